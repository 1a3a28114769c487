"""Q2n, the quality index of all bands at once.

Garzelli and Nencini, "Hypercomplex quality assessment of multi/hyperspectral images", IEEE GRSL 6
(2009), as the published pansharpening toolboxes have it.
"""

import math
from functools import lru_cache, partial

import jax
import jax.numpy as jnp
import numpy as np

from hsisr_jax.errors import UserError
from hsisr_jax.metrics.blocks import moments, over_images, rows_of_blocks
from hsisr_jax.metrics.errors import cubes
from hsisr_jax.ops.spectral import safe_sqrt

HIGHEST = jax.lax.Precision.HIGHEST
TINY = 1e-10  # the deviation of a constant band: of the order of the toolboxes' 2^-52


def q2n(
    reference: jax.Array,
    estimate: jax.Array,
    *,
    size: int = 32,
    shift: int = 32,
    integers: bool = False,
) -> jax.Array:
    """Garzelli and Nencini's index: UIQI of pixels as hypercomplex numbers of all bands, 1 at best.

    Args:
        reference: the true image, `(H, W, C)` or a batch.
        estimate: the image that is scored, of the same shape.
        size: side of the blocks, over an image that is mirrored to fit.
        shift: pixels from one block to the next.
        integers: rounds both images to 16 bits first, as the toolboxes do: for digital numbers.

    Returns:
        One value an image.
    """
    reference, estimate = cubes(reference, estimate)
    sides = reference.shape[-3:-1]
    room = [(math.ceil(n / shift) - 1) * shift + size - n for n in sides]
    if any(r > n for r, n in zip(room, sides)):
        raise UserError(f"q2n's blocks of {size} need {-(-size // 2)} pixels a side, not {sides}")
    if integers:
        reference, estimate = (jnp.clip(jnp.round(x), 0, 65535) for x in (reference, estimate))
    pads = [(0, 0)] * (reference.ndim - 3) + [(0, max(r, 0)) for r in room] + [(0, 0)]
    reference, estimate = (jnp.pad(x, pads, mode="symmetric") for x in (reference, estimate))
    return _q2n(reference, estimate, size=size, shift=shift)


@partial(jax.jit, static_argnames=("size", "shift"))
def _q2n(reference, estimate, *, size: int, shift: int):
    def one(x: jax.Array, y: jax.Array) -> jax.Array:
        blocks = (rows_of_blocks(x, size, shift), rows_of_blocks(y, size, shift))
        return jax.lax.map(lambda row: jax.vmap(_hypercomplex)(*row), blocks).mean()

    return over_images(one, reference, estimate)


def _hypercomplex(x: jax.Array, y: jax.Array) -> jax.Array:
    """The index of one block, `(pixels, c)` each.

    Bands are standardised by the reference's and moved to a mean of 1; a number has 2^n parts, and
    those beyond the last band are 1 in both. The product of two numbers is a signed sum over pairs
    of parts (i, j), which fall on part `i xor j`: all of them are in one matrix product.
    """
    bands, share = x.shape[-1], 1 / (len(x) - 1)
    parts = 1 << max(bands - 1, 0).bit_length()
    mean, square, centred = moments(x)
    deviation = jnp.maximum(safe_sqrt(square / (1 - 1 / len(x))), TINY)
    divisor = jnp.where(mean == 0, 1, deviation)  # as published: an empty band is not divided
    moved = (y - mean[None]) / divisor[None]
    offset, _, shifted = moments(moved)
    standard = centred / deviation[None]
    power_x, power_y = float(parts), jnp.square(offset + 1).sum() + (parts - bands)
    bias = 2 * jnp.sqrt(power_x * power_y) / (power_x + power_y)
    spread = share * (jnp.square(standard).sum() + jnp.square(shifted).sum())
    products = share * jnp.matmul(standard.T, shifted, precision=HIGHEST)
    signs, place = _algebra(parts)
    signed = products * signs[:bands, :bands]
    number = jax.ops.segment_sum(signed.ravel(), place[:bands, :bands].ravel(), parts)
    quality = 2 * safe_sqrt(jnp.square(number).sum()) / jnp.where(spread > 0, spread, 1)
    return bias * jnp.where(spread > 0, quality, 1)


@lru_cache(16)
def _algebra(parts: int) -> tuple[np.ndarray, np.ndarray]:
    """Signs and places of the products of the parts of `x` and of the conjugate of `y`.

    From the toolboxes' recursion: with a, b the halves of one number and c, d of the other, and *
    the conjugate, the product is `(a c - d* b, a* d* + c b*)`.
    """
    signs = np.ones((1, 1))
    while len(signs) < parts:
        conjugate = np.where(np.arange(len(signs)), -1.0, 1.0)
        if len(signs) == 1:
            signs = np.array([[1.0, 1.0], [1.0, -1.0]])
            continue
        ad = signs * conjugate[:, None] * conjugate
        cb = signs.T * conjugate[:, None]
        db = -signs.T * conjugate
        signs = np.block([[signs, ad], [cb, db]])
    index = np.arange(parts)
    return signs * np.where(index, -1.0, 1.0), index[:, None] ^ index
