"""Windows, neighbourhoods and SRFormer's masks against slow definitions and PyTorch."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hsisr_jax.ops import windows

X = np.random.default_rng(0).normal(size=(2, 6, 9, 4)).astype(np.float32)


def test_windows_are_the_slices_and_merge_back():
    found = windows.partition(jnp.asarray(X), 3)
    slices = [X[:, i : i + 3, j : j + 3].reshape(2, 9, 4) for i in (0, 3) for j in (0, 3, 6)]
    np.testing.assert_array_equal(found, np.stack(slices, 1))
    np.testing.assert_array_equal(windows.merge(found, (6, 9)), X)


def test_unfold_and_fold_equal_pytorch():
    torch = pytest.importorskip("torch")
    options = {"kernel_size": 3, "padding": 1}
    nchw = torch.from_numpy(np.moveaxis(X, -1, 1).copy())
    patches = torch.nn.functional.unfold(nchw, **options)  # b (d 3 3) t
    found = windows.unfold(jnp.asarray(X))
    expected = patches.numpy().swapaxes(1, 2).reshape(2, 6, 9, 36)
    np.testing.assert_array_equal(found, expected)
    summed = torch.nn.functional.fold(patches, (6, 9), **options).numpy()
    np.testing.assert_allclose(windows.fold(found), np.moveaxis(summed, 1, -1), atol=1e-5)


def test_fold_is_the_transpose_of_unfold():
    y = jax.random.normal(jax.random.key(0), (2, 6, 9, 36))
    (expected,) = jax.linear_transpose(windows.unfold, jnp.asarray(X))(y)
    np.testing.assert_allclose(windows.fold(y), expected, atol=1e-5)


def test_permutation_lays_blocks_of_two_by_two_side_by_side():
    window = jnp.arange(16.0).reshape(1, 1, 16, 1)  # 4 x 4 tokens
    found = windows.permute(window, 4)[0, 0]
    np.testing.assert_array_equal(found[0], [0, 1, 4, 5])
    np.testing.assert_array_equal(found[3], [10, 11, 14, 15])


@pytest.mark.parametrize("window", [2, 4, 6, 8])
def test_a_position_index_is_the_distance_between_blocks(window):
    half, index = window // 2, windows.permuted_position_index(window)
    for query in range(window * window):
        for key in range(half * half):
            dy = query // window // 2 - key // half + half - 1
            dx = query % window // 2 - key % half + half - 1
            assert index[query, key] == dy * (2 * half - 1) + dx


def regions(size, window, boundary):
    """The original's three slices an axis, painted one after the other."""
    image, number = np.zeros(size, int), 0
    slices = (slice(0, -window), slice(-window, boundary), slice(boundary, None))
    for rows in slices:
        for columns in slices:
            image[rows, columns] = number
            number += 1
    return image


@pytest.mark.parametrize(
    ("size", "window", "shift"), [((12, 18), 6, 3), ((8, 8), 8, 4), ((6, 10), 2, 1)]
)
def test_mask_equals_the_painted_regions(size, window, shift):
    half = window // 2
    queries = regions(size, window, -shift)
    keys = regions((size[0] // 2, size[1] // 2), half, -shift // 2)  # rounds down: -3 // 2 is -2
    cut = lambda image, w: windows.partition(jnp.asarray(image)[None, :, :, None], w)[0, :, :, 0]  # noqa: E731
    apart = np.asarray(cut(queries, window))[:, :, None] != np.asarray(cut(keys, half))[:, None]
    found = windows.permuted_shift_mask(size, window, shift)
    np.testing.assert_array_equal(found, np.where(apart, -100, 0))
    assert found.dtype == np.float32
