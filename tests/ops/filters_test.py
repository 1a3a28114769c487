"""Linear filters of a low-resolution pixel's neighbourhood, against loops and numpy's own fit."""

import jax
import numpy as np
import pytest

from hsisr_jax.ops import filters

RADIUS = 1


def cubes(scale, shape=(2, 5, 6, 3)):
    rng = np.random.default_rng(0)
    lr = rng.random(shape, np.float32)
    taught = rng.normal(size=(filters.taps(RADIUS), scale**2)).astype(np.float32)
    return lr, taught


def by_loops(lr, taught, scale):
    """Every output pixel on its own."""
    b, h, w, c = lr.shape
    padded = np.pad(lr, ((0, 0), (RADIUS,) * 2, (RADIUS,) * 2, (0, 0)), mode="symmetric")
    out = np.zeros((b, h * scale, w * scale, c))
    side = 2 * RADIUS + 1
    for i, j in np.ndindex(h, w):
        window = padded[:, i : i + side, j : j + side] - lr[:, i : i + 1, j : j + 1]
        for p, q in np.ndindex(scale, scale):
            taps = taught[:, p * scale + q].reshape(side, side)
            out[:, i * scale + p, j * scale + q] = np.einsum("bijc,ij->bc", window, taps)
    return out


@pytest.mark.parametrize("scale", [2, 3])
def test_every_place_in_a_pixel_has_its_filter(scale):
    lr, taught = cubes(scale)
    found = jax.jit(filters.detail, static_argnums=2)(lr, taught, scale)
    np.testing.assert_allclose(found, by_loops(lr, taught, scale), atol=1e-5)
    flat = np.full_like(lr, 0.7)
    np.testing.assert_allclose(filters.detail(flat, taught, scale), 0, atol=1e-5)


@pytest.mark.parametrize("ridge", [0.0, 0.3])
def test_the_fit_is_that_of_ridge_regression(ridge):
    """`numpy.linalg.lstsq` over the differences, with rows of the ridge below them."""
    lr, _ = cubes(2)
    wanted = np.random.default_rng(1).random((2, 10, 12, 3), np.float32)
    gram, right = map(np.float64, filters.normal_equations(lr, wanted, RADIUS))
    count, middle = len(gram), filters.taps(RADIUS) // 2
    assert not gram[middle].any() and not right[middle].any()
    padded = np.pad(lr, ((0, 0), (1, 1), (1, 1), (0, 0)), mode="symmetric")
    read = [padded[:, i : i + 5, j : j + 6] - lr for i in range(3) for j in range(3)]
    read = np.stack(read, -1).reshape(-1, count)
    phases = wanted.reshape(2, 5, 2, 6, 2, 3).transpose(0, 1, 3, 5, 2, 4).reshape(-1, 4)
    weight = ridge * np.square(read).sum() / count
    rows = np.concatenate([read, np.sqrt(weight) * np.eye(count)]).astype(np.float64)
    targets = np.concatenate([phases, np.zeros((count, 4))])
    expected, *_ = np.linalg.lstsq(rows, targets, rcond=1e-9)
    found = filters.solve(gram, right, max(ridge, 1e-9))
    np.testing.assert_allclose(found, expected, atol=1e-4)


def test_filters_that_made_the_data_are_found():
    lr, taught = cubes(2, (2, 12, 12, 4))
    taught[len(taught) // 2] = 0  # the middle reads no difference
    wanted = filters.detail(lr, taught, 2)
    found = filters.solve(*map(np.float64, filters.normal_equations(lr, wanted, RADIUS)), 1e-9)
    np.testing.assert_allclose(found, taught, atol=1e-3)


def test_a_scene_without_detail_has_no_filters():
    flat = np.full((1, 4, 4, 2), 0.5, np.float32)
    sums = filters.normal_equations(flat, np.zeros((1, 8, 8, 2), np.float32), RADIUS)
    np.testing.assert_array_equal(filters.solve(*map(np.float64, sums)), 0)
