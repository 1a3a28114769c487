"""Convolutions, transposed convolutions and products with one matrix.

CPUs have a form of their own (`ops.cpu`); elsewhere XLA's is used.
"""

import jax
import jax.numpy as jnp

from hsisr_jax.ops import cpu, xla
from hsisr_jax.ops.platforms import platform
from hsisr_jax.ops.xla import Pads


def linear(x: jax.Array, kernel: jax.Array) -> jax.Array:
    """`... i` times `i o`, as one product of two matrices: its gradient then copies nothing."""
    return (x.reshape(-1, x.shape[-1]) @ kernel).reshape(*x.shape[:-1], kernel.shape[-1])


def convolve(x: jax.Array, kernel: jax.Array, *, stride: int = 1, padding: Pads) -> jax.Array:
    """Cross-correlation of `b h w i` with `kh kw i o`, zero padding given per side."""
    if kernel.shape[:2] == (1, 1) and stride == 1 and padding == ((0, 0), (0, 0)):
        return linear(x, kernel[0, 0])
    if platform() == "cpu":
        return cpu.convolver(stride, padding)(x, kernel)
    return xla.convolve(x, kernel, stride, padding)


def convolve_transposed(
    x: jax.Array, kernel: jax.Array, *, stride: int, padding: int, output_padding: int = 0
) -> jax.Array:
    """Transposed convolution of `b h w i` with `kh kw i o` as one matmul and a few shifted adds.

    `y[stride * p + k - padding] += x[p] @ kernel[k]`: PyTorch's convention, sizes
    `(h - 1) * stride - 2 * padding + kh + output_padding`.
    """
    (b, h, w, _), (kh, kw, i, o) = x.shape, kernel.shape
    sh, sw = -(-kh // stride), -(-kw // stride)  # blocks of `stride` that a kernel spans
    taps = kernel.transpose(2, 0, 1, 3).reshape(i, kh * kw * o)
    y = linear(x, taps).reshape(b, h, w, kh, kw, o)
    y = jnp.pad(y, ((0, 0), (0, 0), (0, 0), (0, sh * stride - kh), (0, sw * stride - kw), (0, 0)))
    y = y.reshape(b, h, w, sh, stride, sw, stride, o)
    total = sum(
        jnp.pad(
            y[:, :, :, p, :, q], ((0, 0), (p, sh - 1 - p), (q, sw - 1 - q), (0, 0), (0, 0), (0, 0))
        )
        for p in range(sh)
        for q in range(sw)
    )  # b h+sh-1 w+sw-1 stride stride o
    height = (h - 1) * stride - 2 * padding + kh + output_padding
    width = (w - 1) * stride - 2 * padding + kw + output_padding
    total = total.transpose(0, 1, 3, 2, 4, 5)
    total = total.reshape(b, (h + sh - 1) * stride, (w + sw - 1) * stride, o)
    total = total[:, padding : padding + height, padding : padding + width]
    missing = (height - total.shape[1], width - total.shape[2])
    return jnp.pad(total, ((0, 0), (0, missing[0]), (0, missing[1]), (0, 0)))
