"""Bands and strips: any division of a scene, and any interruption, gives the same numbers."""

import jax
import numpy as np
import pytest

from hsisr_jax import mesh
from hsisr_jax.inference.frontend import weigh
from hsisr_jax.inference.grid import Grid
from hsisr_jax.inference.stream import Stream
from hsisr_jax.inference.tiles import Plan, in_tiles, ramp

SCALE, BANDS = 2, 3
CUBE = np.random.default_rng(0).random((37, 29, BANDS), np.float32)


def enlarge(tiles):
    """Every tile differs from the whole at its edges, so that blending is seen."""
    spread = tiles - tiles.mean((1, 2), keepdims=True)
    return np.repeat(np.repeat(spread, SCALE, 1), SCALE, 2)


class Canvas:
    """What was written, and in how many pieces."""

    def __init__(self, die_after=10**9):
        self.pixels = np.full((CUBE.shape[0] * SCALE, CUBE.shape[1] * SCALE, BANDS), np.nan)
        self.units, self.die_after = [], die_after

    def __call__(self, unit, row, values):
        where = np.s_[row : row + len(values), unit.left : unit.right]
        assert np.isnan(self.pixels[where]).all()  # nothing is written twice
        self.pixels[where] = values
        self.units.append(unit.key)


def stream(grid, canvas, done=frozenset(), devices=1):
    placed = mesh.make(devices)
    run = Stream(
        grid,
        lambda tiles, down, across: weigh(enlarge(np.asarray(tiles)), down, across),
        lambda rows, cols: CUBE[rows, cols],
        canvas,
        halo=0,
        batch=2 * devices,
        mesh=placed,
        stop=lambda: len(canvas.units) >= canvas.die_after,
    )
    return run(set(done))


@pytest.fixture(scope="module")
def expected():
    inputs = {"lr": CUBE[None]}
    return in_tiles(
        lambda cut: enlarge(cut["lr"]), inputs, scale=SCALE, tile=8, overlap=3, batch=4
    )[0]


@pytest.mark.parametrize("strip_bytes", [1, 4 * 16 * BANDS * 25, 1 << 30])
def test_strips_change_nothing_and_equal_the_tiling_in_memory(expected, strip_bytes):
    grid, canvas = Grid(Plan(37, 29, 8, 3), SCALE, BANDS, strip_bytes), Canvas()
    assert stream(grid, canvas)
    np.testing.assert_allclose(canvas.pixels, expected, atol=1e-6)
    assert len(list(grid.strips())) == {1: 6, 4 * 16 * BANDS * 25: 3, 1 << 30: 1}[strip_bytes]


def test_what_is_done_is_not_done_again(expected):
    grid = Grid(Plan(37, 29, 8, 3), SCALE, BANDS, 4 * 16 * BANDS * 25)
    for die_after in (1, 4, 9):
        canvas = Canvas(die_after)
        assert not stream(grid, canvas)
        done = set(canvas.units)
        assert len(done) >= die_after and np.isnan(canvas.pixels).any()
        assert grid.tiles(done) < grid.tiles(set()) or die_after == 1
        canvas.die_after = 10**9
        assert stream(grid, canvas, done)
        np.testing.assert_allclose(canvas.pixels, expected, atol=1e-6)


def test_nothing_is_computed_for_empty_tiles():
    cube, seen, canvas = CUBE.copy(), [], Canvas()
    cube[:20, :18] = np.nan

    def network(tiles, down, across):
        seen.append(np.asarray(tiles))
        return weigh(seen[-1].repeat(2, 1).repeat(2, 2), down, across)

    run = Stream(
        Grid(Plan(37, 29, 8, 3), SCALE, BANDS),
        network,
        lambda rows, cols: cube[rows, cols],
        canvas,
        halo=0,
        batch=2,
        mesh=mesh.make(1),
        empty=lambda tile: bool(np.isnan(tile).all()),
    )
    assert run(set())
    assert not any(np.isnan(tile).all() for batch in seen for tile in batch)
    np.testing.assert_allclose(canvas.pixels, cube.repeat(2, 0).repeat(2, 1), atol=1e-6)


def test_several_devices_share_a_batch(expected):
    canvas = Canvas()
    assert stream(
        Grid(Plan(37, 29, 8, 3), SCALE, BANDS), canvas, devices=min(8, jax.device_count())
    )
    np.testing.assert_allclose(canvas.pixels, expected, atol=1e-6)


def test_an_error_of_a_thread_is_raised():
    def full(unit, row, values):
        raise OSError("disk full")

    full.units, full.die_after = [], 1
    with pytest.raises(OSError, match="disk full"):
        stream(Grid(Plan(37, 29, 8, 3), SCALE, BANDS), full)


def test_weights_of_all_tiles_add_up_to_one():
    axis = Grid(Plan(37, 29, 8, 3), SCALE, BANDS).rows
    total = np.zeros(37 * SCALE)
    for first, weights in zip(axis.first, axis.weights):
        total[first : first + axis.out] += weights
    np.testing.assert_allclose(total, 1, atol=1e-6)


def test_a_tiles_edge_does_not_count_beside_another_tile():
    weights = ramp(16, 8)
    assert (weights[[0, 1, -2, -1]] < 1e-6).all() and weights[2] > 0.1 and weights[8] == 1
