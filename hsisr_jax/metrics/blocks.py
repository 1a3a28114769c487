"""Statistics of image blocks, and the index (UIQI) that compares them."""

import jax
import jax.numpy as jnp
import numpy as np

from hsisr_jax.errors import UserError

HIGHEST = jax.lax.Precision.HIGHEST


def rows_of_blocks(x: jax.Array, size: int, shift: int) -> jax.Array:
    """`(h, w, c)` to `(rows of blocks, blocks in a row, pixels, c)`."""
    h, w, c = x.shape
    if min(h, w) < size:
        raise UserError(f"the metric's blocks need {size} pixels a side, not {h} x {w}")
    down, across = (np.arange(0, n - size + 1, shift)[:, None] + np.arange(size) for n in (h, w))
    blocks = x[down[:, :, None, None], across].transpose(0, 2, 1, 3, 4)
    return blocks.reshape(len(down), len(across), size * size, c)


def moments(x: jax.Array) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Mean and mean square of pixels without it, `(..., c)`, and those pixels, exactly 0 where a
    band is constant."""
    first = x[..., :1, :]
    mean = (x - first).mean(-2, keepdims=True)
    centred = x - first - mean
    return (mean + first)[..., 0, :], jnp.square(centred).mean(-2), centred


def over_images(function, *images: jax.Array) -> jax.Array:
    """A function of single images over any leading axes."""
    lead = images[0].shape[:-3]
    scores = jax.lax.map(lambda one: function(*one), [x.reshape(-1, *x.shape[-3:]) for x in images])
    return scores.reshape(lead)


def similarity(mean_x, mean_y, spread_x, spread_y, covariance) -> jax.Array:
    """UIQI of blocks."""
    power, spread = mean_x**2 + mean_y**2, spread_x + spread_y
    luminance = jnp.where(power > 0, 2 * mean_x * mean_y / jnp.where(power > 0, power, 1), 1)
    structure = jnp.where(spread > 0, 2 * covariance / jnp.where(spread > 0, spread, 1), 1)
    return luminance * structure


def between_bands(x: jax.Array, size: int) -> jax.Array:
    """UIQI of every pair of bands of `(h, w, c)`, mean over blocks: `(c, c)`."""

    def row(blocks: jax.Array) -> jax.Array:
        mean, square, centred = moments(blocks)
        product = jnp.einsum("npi,npj->nij", centred, centred, precision=HIGHEST)
        product = product / blocks.shape[1]
        left, right = np.s_[..., :, None], np.s_[..., None, :]
        q = similarity(mean[left], mean[right], square[left], square[right], product)
        return q.mean(0)

    return jax.lax.map(row, rows_of_blocks(x, size, size)).mean(0)


def to_guide(x: jax.Array, guide: jax.Array, size: int) -> jax.Array:
    """UIQI of every band and the guide, mean over blocks: `(c,)`."""

    def row(blocks: tuple[jax.Array, jax.Array]) -> jax.Array:
        (mean_x, square_x, x), (mean_y, square_y, y) = map(moments, blocks)
        return similarity(mean_x, mean_y, square_x, square_y, (x * y).mean(-2)).mean(0)

    return jax.lax.map(
        row, (rows_of_blocks(x, size, size), rows_of_blocks(guide, size, size))
    ).mean(0)
