"""Batches: every patch under every symmetry once an epoch, the same on device and host."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hsisr_jax.data import batches, sampler
from hsisr_jax.data.normalise import Normaliser
from hsisr_jax.data.scenes import Scene, pixel_store
from hsisr_jax.errors import UserError


def store(patch=4):
    rng = np.random.default_rng(0)
    scenes = [
        Scene("a", {"hr": rng.integers(0, 900, (9, 11, 3), np.uint16)}, Normaliser(gain=1e-3)),
        Scene("b", {"hr": rng.integers(0, 900, (6, 5, 3), np.uint16)}, Normaliser(gain=2e-3), 1),
    ]
    where = np.array([(0, 0, 0), (1, 1, 1), (0, 5, 7), (0, 2, 3), (1, 2, 0)])
    return scenes, where, pixel_store(scenes, where, patch)


@pytest.mark.parametrize("size", [1, 2, 3, 7, 64, 1000, 4097])
def test_permute_is_a_permutation_that_differs_by_epoch(size):
    index = np.arange(size, dtype=np.int32)
    orders = [
        sampler.permute(index, size, np.full(size, epoch, np.int32), 7, xp=np) for epoch in (0, 1)
    ]
    for order in orders:
        np.testing.assert_array_equal(np.sort(order), index)
    if size > 7:
        assert (orders[0] != orders[1]).mean() > 0.5
        assert (orders[0] != index).mean() > 0.5


def test_permute_is_the_same_on_the_device():
    index = np.arange(777, dtype=np.int32)
    epoch = index % 3
    ours = jax.jit(lambda i, e: sampler.permute(i, 777, e, 12345))(index, epoch)
    np.testing.assert_array_equal(ours, sampler.permute(index, 777, epoch, 12345, xp=np))


def test_order_has_no_obvious_correlation():
    size = 5000
    index = np.arange(size, dtype=np.int32)
    order = sampler.permute(index, size, np.zeros(size, np.int32), 3, xp=np)
    assert abs(np.corrcoef(index, order)[0, 1]) < 0.05
    assert abs(np.corrcoef(order[:-1], order[1:])[0, 1]) < 0.05


def test_an_epoch_visits_everything_once_also_across_its_border():
    counts, batch = (5,), 3  # 40 items: batches straddle the epochs
    seen = []
    for step in range(40):
        patch, turn = sampler.choose(counts, 1, step, batch, augment=True, xp=np)
        seen += list(zip(patch.tolist(), turn.tolist()))
    everything = sorted((p, t) for p in range(5) for t in range(8))
    for epoch in range(3):
        assert sorted(seen[40 * epoch : 40 * (epoch + 1)]) == everything


def test_domains_have_equal_parts_of_every_batch():
    patch, _ = sampler.choose((3, 10), 0, 17, 8, augment=True, xp=np)
    assert (patch[:4] < 3).all()
    assert (patch[4:] >= 3).all() and (patch[4:] < 13).all()


def test_what_does_not_divide_goes_to_the_first_domains():
    patch, _ = sampler.choose((3, 10, 5), 0, 4, 8, augment=True, xp=np)
    assert np.histogram(patch, [0, 3, 13, 18])[0].tolist() == [3, 3, 2]
    with pytest.raises(UserError, match="batch of 1 has no sample of some of 2 domains"):
        sampler.choose((3, 10), 0, 0, 1, augment=True)


def test_positions_do_not_overflow_in_a_large_scene():
    """Eight million items in batches of 2048: most positions lie beyond 32 bits."""
    count, batch = 1_000_000, 2048
    for x in (0, 1, 1_048_575, 7_999_999):
        for xp in (np, jnp):
            found = sampler._product_divided(xp.asarray(x, xp.int32), batch, 8 * count, xp)
            assert tuple(map(int, found)) == divmod(x * batch, 8 * count)
    host = sampler.choose((count,), 0, 7_999_990, batch, augment=True, xp=np)
    assert host[0].min() >= 0 and host[0].max() < count
    assert len({*zip(*map(np.ndarray.tolist, host))}) == batch


def test_positions_do_not_overflow_late_in_a_long_run():
    step = 2_000_000
    chosen = jax.jit(lambda s: sampler.choose((27720,), 0, s, 2048, augment=True))(step)
    host = sampler.choose((27720,), 0, step, 2048, augment=True, xp=np)
    np.testing.assert_array_equal(chosen[0], host[0])
    assert len({*zip(*map(np.ndarray.tolist, host))}) == 2048


def test_device_and_host_draw_the_same_pixels():
    scenes, where, patches = store()
    on_device = jax.tree.map(jnp.asarray, patches)
    for step in (0, 5, 40):
        ours = batches.draw(on_device, 3, step, 4, augment=True)
        host = batches.draw_on_host(patches, 3, step, 4, augment=True)
        jax.tree.map(np.testing.assert_array_equal, ours, host)
        halves = [
            batches.draw_on_host(patches, 3, step, 4, augment=True, part=part)
            for part in (slice(0, 2), slice(2, 4))
        ]
        joined = jax.tree.map(lambda *x: np.concatenate(x), *halves)
        jax.tree.map(np.testing.assert_array_equal, joined, host)


def test_pixels_are_those_of_the_scenes():
    scenes, where, patches = store()
    order = np.argsort([scenes[i].domain for i, _, _ in where], kind="stable")
    cut = sampler.gather_on_host(patches, np.arange(5))["hr"]
    for got, (index, row, col) in zip(cut, where[order]):
        np.testing.assert_array_equal(got, scenes[index].hr[row : row + 4, col : col + 4])


def test_turn_gives_the_eight_symmetries_of_the_square():
    x = np.arange(9, dtype=np.float32).reshape(1, 3, 3, 1).repeat(8, 0)
    turned = np.asarray(sampler.turn(jnp.asarray(x), jnp.arange(8)))[..., 0]
    expected = [np.rot90(a, k) for a in (x[0, ..., 0], x[0, ::-1, :, 0]) for k in range(4)]
    assert {a.tobytes() for a in turned} == {np.ascontiguousarray(a).tobytes() for a in expected}


def test_recipe_normalises_turns_and_degrades():
    _, _, patches = store()
    drawn = batches.draw_on_host(patches, 3, 0, 4, augment=True)
    recipe = batches.Recipe(lambda hr, key: {"lr": hr[:, ::2, ::2]}, scale=2, domains=2)
    batch = recipe(drawn)
    linear = drawn.pixels["hr"] * drawn.gain[:, None, None]
    expected = sampler.turn(jnp.asarray(linear, jnp.float32), drawn.symmetry)
    np.testing.assert_allclose(batch["hr"], expected, rtol=1e-6)
    np.testing.assert_array_equal(batch["lr"], batch["hr"][:, ::2, ::2])
    np.testing.assert_array_equal(batch["domain"], [0, 0, 1, 1])


def test_logarithmic_range_is_that_of_the_published_code():
    normaliser = Normaliser(gain=0.5, floor=1e-4, low=-9.2103405, high=0.6931473)
    stored = np.array([0.0, 1e-5, 0.02, 1.0, 4.0], np.float32)
    seen = normaliser.apply(stored, np)
    expected = (np.log(np.maximum(stored * 0.5, 1e-4)) + 9.2103405) / (0.6931473 + 9.2103405)
    np.testing.assert_allclose(seen, expected, atol=1e-6)
    np.testing.assert_allclose(normaliser.invert(seen, np)[2:], stored[2:], rtol=1e-5)
