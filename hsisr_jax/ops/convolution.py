"""Convolutions for CPUs, whose gradients are themselves plain convolutions.

XLA's CPU backend hands a convolution to its fast library only when the dimension numbers are the
plain NHWC/HWIO/NHWC ones, and inside a loop it never rewrites the others into that form: the
gradients that autodiff makes are then about 100 times slower. Here both gradients are written as
plain convolutions of explicitly transposed arrays. Wide 3x3 layers and their gradients take
Winograd's form, and a few images at a time, which stay in cache. Elsewhere (GPU, TPU) XLA's own
form is kept.
"""

from collections.abc import Callable
from functools import partial

import jax
import jax.numpy as jnp
from jax import lax

from hsisr_jax.ops import winograd
from hsisr_jax.ops.platforms import platform

Pads = tuple[tuple[int, int], tuple[int, int]]
LAYOUT = ("NHWC", "HWIO", "NHWC")
CACHED = 2048  # pixels at a time
WINOGRAD = 64  # channels on both sides, from which on the products outweigh the transforms


def linear(x: jax.Array, kernel: jax.Array) -> jax.Array:
    """`... i` times `i o`, as one product of two matrices: its gradient then copies nothing."""
    return (x.reshape(-1, x.shape[-1]) @ kernel).reshape(*x.shape[:-1], kernel.shape[-1])


def convolve(x: jax.Array, kernel: jax.Array, *, stride: int = 1, padding: Pads) -> jax.Array:
    """Cross-correlation of `b h w i` with `kh kw i o`, zero padding given per side."""
    if kernel.shape[:2] == (1, 1) and stride == 1 and padding == ((0, 0), (0, 0)):
        return linear(x, kernel[0, 0])
    if platform() == "cpu":
        return _convolve_cpu(x, kernel, stride, padding)
    return plain(x, kernel, stride, padding)


def plain(x: jax.Array, kernel: jax.Array, stride: int, padding: Pads) -> jax.Array:
    """XLA's own form."""
    return lax.conv_general_dilated(x, kernel, (stride, stride), padding, dimension_numbers=LAYOUT)


@partial(jax.custom_vjp, nondiff_argnums=(2, 3))
def _convolve_cpu(x: jax.Array, kernel: jax.Array, stride: int, padding: Pads) -> jax.Array:
    return _correlate(x, kernel, stride, padding)


def _correlate(x: jax.Array, kernel: jax.Array, stride: int, padding: Pads) -> jax.Array:
    if stride > 1 or not _wide(kernel) or min(min(pads) for pads in padding) < 0:
        return plain(x, kernel, stride, padding)
    (parts,) = _cached_parts(x)
    if len(parts) == 1:
        return winograd.convolution(x, kernel, padding)
    y = lax.map(lambda part: winograd.convolution(part, kernel, padding), parts)
    return y.reshape(-1, *y.shape[2:])


def _wide(kernel: jax.Array) -> bool:
    """Whether Winograd's form is made for a layer, and saves something."""
    return kernel.shape[:2] == (3, 3) and min(kernel.shape[2:]) >= WINOGRAD


def _forward(x, kernel, stride, padding):
    return _correlate(x, kernel, stride, padding), (x, kernel)


def _backward(stride, padding, residuals, dy):
    x, kernel = residuals
    dy = _dilate(dy, stride)  # b (h'-1)*stride+1 (w'-1)*stride+1 o
    return _input_gradient(dy, kernel, x.shape, padding), _weight_gradient(x, dy, kernel, padding)


_convolve_cpu.defvjp(_forward, _backward)


def _dilate(dy: jax.Array, stride: int) -> jax.Array:
    """Zeros between the outputs of a strided convolution make it the gradient of a dense one."""
    if stride == 1:
        return dy
    b, h, w, o = dy.shape
    dy = dy[:, :, None, :, None]
    dy = jnp.pad(dy, ((0, 0), (0, 0), (0, stride - 1), (0, 0), (0, stride - 1), (0, 0)))
    dy = dy.reshape(b, h * stride, w * stride, o)
    return dy[:, : (h - 1) * stride + 1, : (w - 1) * stride + 1]


def _input_gradient(dy: jax.Array, kernel: jax.Array, shape, padding: Pads) -> jax.Array:
    flipped = kernel[::-1, ::-1].swapaxes(2, 3)  # kh kw o i
    pads = []
    for axis in (0, 1):
        low = kernel.shape[axis] - 1 - padding[axis][0]
        high = shape[axis + 1] - (dy.shape[axis + 1] + low - kernel.shape[axis] + 1)
        pads.append((low, high))  # negative padding crops
    return _correlate(dy, flipped, 1, tuple(pads))


def _weight_gradient(x: jax.Array, dy: jax.Array, kernel: jax.Array, padding: Pads) -> jax.Array:
    if _wide(kernel) and dy.shape[1:3] == _dense(x, padding):
        return in_chunks(partial(winograd.weight_gradient, padding=padding), x, dy, kernel)
    pads = tuple(
        (low, kernel.shape[axis] - 1 + dy.shape[axis + 1] - x.shape[axis + 1] - low)
        for axis, (low, _) in enumerate(padding)
    )

    def of_images(x, dy):  # batch and channels change places
        grad = plain(x.transpose(3, 1, 2, 0), dy.transpose(1, 2, 0, 3), 1, pads)
        return grad.transpose(1, 2, 0, 3)  # kh kw i o

    return in_chunks(of_images, x, dy, kernel)


def _dense(x: jax.Array, padding: Pads) -> tuple[int, ...]:
    """Height and width of the output of a 3x3 convolution of stride 1."""
    return tuple(n + sum(pads) - 2 for n, pads in zip(x.shape[1:3], padding))


def in_chunks(gradient: Callable, x: jax.Array, dy: jax.Array, kernel: jax.Array) -> jax.Array:
    """The sum over a few images at a time."""
    parts = _cached_parts(x, dy)
    if len(parts[0]) == 1:
        return gradient(x, dy)
    start = jnp.zeros(kernel.shape, kernel.dtype)
    return lax.scan(lambda total, pair: (total + gradient(*pair), None), start, parts)[0]


def _cached_parts(x: jax.Array, *others: jax.Array) -> tuple[jax.Array, ...]:
    """`b ...` -> `n s ...` each: as many images as divide the batch and have no more than `CACHED`
    pixels."""
    batch, height, width = x.shape[:3]
    most = max(CACHED // (height * width), 1)
    size = max(n for n in range(1, min(most, batch) + 1) if batch % n == 0)
    return tuple(a.reshape(-1, size, *a.shape[1:]) for a in (x, *others))


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
            y[:, :, :, p, :, q],
            ((0, 0), (p, sh - 1 - p), (q, sw - 1 - q), (0, 0), (0, 0), (0, 0)),
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
