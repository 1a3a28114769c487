"""Blur by a point spread function and decimation, as matrix products.

A convolution with one input and one output channel a band is what XLA's CPU back end does worst.
Each row of the kernel is a banded matrix `[W / factor, W]` instead; their products with every
factor-th row of the image are summed in a scan: five to seven times faster on tiles of 128 pixels,
no slower on whole scenes, and without the memory of unfolded windows.
"""

import jax
import jax.numpy as jnp
import numpy as np

from hsisr_jax.errors import UserError


def psf_downsample(x: jax.Array, kernel: jax.Array, factor: int) -> jax.Array:
    """Correlate `(..., H, W, C)` with a PSF `(k, k)` and keep every factor-th pixel.

    A-SNLSR's alignment: (k - factor) // 2 zeros before the image and the rest of k - factor behind
    it, so that a kernel of even size sits centred on its block of factor x factor pixels. Rows and
    columns beyond a multiple of the factor are dropped.

    Args:
        x: cubes `(..., H, W, C)`.
        kernel: the PSF, of at least `factor` pixels a side.
        factor: the distance of the pixels that are kept.

    Returns:
        `(..., H // factor, W // factor, C)`.
    """
    x, kernel = jnp.asarray(x), jnp.asarray(kernel)
    dtype = x.dtype if jnp.issubdtype(x.dtype, jnp.floating) else jnp.dtype(jnp.float32)
    work = dtype if dtype == jnp.float64 else jnp.float32
    size = kernel.shape[0] if kernel.ndim == 2 else 0
    if size < factor or kernel.shape != (size, size):
        raise UserError(
            f"a PSF is a square (k, k) of at least factor = {factor} pixels, not {kernel.shape}"
        )
    *lead, h, w, c = x.shape
    rows, columns = h // factor, w // factor
    if not rows or not columns:
        raise UserError(f"{h} x {w} pixels are too few to shrink by {factor}")
    before = (size - factor) // 2
    margin = (before, size - factor - before)
    x = jnp.pad(x.astype(work).reshape(-1, h, w, c), ((0, 0), margin, margin, (0, 0)))
    matrices = _row_matrices(kernel.astype(work), factor, columns, x.shape[2])  # k cols W

    def add_row(total: jax.Array, step: tuple[jax.Array, jax.Array]):
        row, matrix = step
        span = jax.lax.dynamic_slice_in_dim(x, row, (rows - 1) * factor + 1, axis=1)
        lines = span[:, ::factor].reshape(-1, x.shape[2], c)
        matrix = jnp.broadcast_to(matrix, (len(lines), *matrix.shape))
        return total + jnp.matmul(matrix, lines, precision=jax.lax.Precision.HIGHEST), None

    total = jnp.zeros((len(x) * rows, columns, c), work)
    total, _ = jax.lax.scan(add_row, total, (jnp.arange(size), matrices))
    return total.reshape(*lead, rows, columns, c).astype(dtype)


def _row_matrices(kernel: jax.Array, factor: int, columns: int, width: int) -> jax.Array:
    """Matrices that correlate a padded line with each kernel row: `[k, columns, W]`."""
    offset = np.arange(width) - factor * np.arange(columns)[:, None]
    inside = (offset >= 0) & (offset < len(kernel))
    taps = kernel[:, np.where(inside, offset, 0)]
    return jnp.where(inside[None], taps, 0)
