"""Convolution for CPUs, with gradients written by hand that are fast inside loops as well.

XLA's CPU backend hands a convolution to its fast library only when the dimension numbers are the
plain NHWC/HWIO/NHWC ones, and inside a loop it never rewrites the others into that form: the
gradients of autodiff are then about 100 times slower. Here both gradients are written as
plain convolutions of explicitly transposed arrays, or as one product where a side has few
channels. Wide 3x3 layers and their gradients use Winograd's algorithm. All take a few images at a
time, which stay in cache.
"""

from collections.abc import Callable
from functools import cache, partial
from pathlib import Path

import jax
import jax.numpy as jnp
from jax import lax

from hsisr_jax.ops import xla
from hsisr_jax.ops.cpu import winograd
from hsisr_jax.ops.derivatives import with_gradient
from hsisr_jax.ops.xla import Pads

LEVEL = Path("/sys/devices/system/cpu/cpu0/cache/index2/size")  # of the second cache, on Linux


def cached_pixels(size: Path = LEVEL) -> int:
    """Pixels to work on at a time: 2048 for each MiB of a core's second cache.

    Measured with 1 MiB (AMD EPYC) and 2 MiB (Intel Xeon); 2048 where the size is not told.
    """
    try:
        kib = int(size.read_text().strip().removesuffix("K"))
    except (OSError, ValueError):
        return 2048
    return min(max(2 * kib, 1024), 4096)


CACHED = cached_pixels()
SHIFTED = 16384  # pixels of an image up to which all its shifts are held
WINOGRAD = 64  # channels on both sides, from which on the products outweigh the transforms


@cache
def convolver(stride: int, padding: Pads) -> Callable[[jax.Array, jax.Array], jax.Array]:
    """The convolution `(x, kernel) -> y` with both gradients as plain convolutions."""

    def forward(x, kernel):
        return _correlate(x, kernel, stride, padding), (x, kernel)

    def backward(residuals, dy):
        x, kernel = residuals
        dy = _dilate(dy, stride)  # b (h'-1)*stride+1 (w'-1)*stride+1 o
        of_input = _input_gradient(dy, kernel, x.shape, padding)
        return of_input, _weight_gradient(x, dy, kernel, padding)

    @with_gradient(forward, backward, point=lambda residuals: residuals)
    def convolve_cpu(x, kernel):
        return _correlate(x, kernel, stride, padding)

    return convolve_cpu


def _correlate(
    x: jax.Array, kernel: jax.Array, stride: int, padding: Pads, *, turned: bool = False
) -> jax.Array:
    """The convolution; `turned`: with the kernel flipped and its channels exchanged."""
    if stride > 1 or not _wide(kernel) or min(min(pads) for pads in padding) < 0:
        kernel = kernel[::-1, ::-1].swapaxes(2, 3) if turned else kernel
        return xla.convolve(x, kernel, stride, padding)
    convolve = partial(winograd.convolution, kernel=kernel, padding=padding, turned=turned)
    (parts,) = _cached_parts(x)
    if len(parts) == 1:
        return convolve(x)
    y = lax.map(convolve, parts)
    return y.reshape(-1, *y.shape[2:])


def _wide(kernel: jax.Array) -> bool:
    """Whether Winograd's form is made for a layer, and saves something."""
    return kernel.shape[:2] == (3, 3) and min(kernel.shape[2:]) >= WINOGRAD


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
    pads = []
    for axis in (0, 1):
        low = kernel.shape[axis] - 1 - padding[axis][0]
        high = shape[axis + 1] - (dy.shape[axis + 1] + low - kernel.shape[axis] + 1)
        pads.append((low, high))  # negative padding crops
    return _correlate(dy, kernel, 1, tuple(pads), turned=True)


def _weight_gradient(x: jax.Array, dy: jax.Array, kernel: jax.Array, padding: Pads) -> jax.Array:
    if _wide(kernel) and dy.shape[1:3] == _dense(x, padding):
        return in_chunks(partial(winograd.weight_gradient, padding=padding), x, dy, kernel)
    if min(kernel.shape[2:]) < WINOGRAD and x.shape[1] * x.shape[2] <= SHIFTED:
        return in_chunks(partial(by_shifts, kernel=kernel.shape, padding=padding), x, dy, kernel)
    pads = tuple(
        (low, kernel.shape[axis] - 1 + dy.shape[axis + 1] - x.shape[axis + 1] - low)
        for axis, (low, _) in enumerate(padding)
    )

    def of_images(x, dy):  # batch and channels change places
        grad = xla.convolve(x.transpose(3, 1, 2, 0), dy.transpose(1, 2, 0, 3), 1, pads)
        return grad.transpose(1, 2, 0, 3)  # kh kw i o

    return in_chunks(of_images, x, dy, kernel)


def by_shifts(x: jax.Array, dy: jax.Array, kernel: tuple[int, ...], padding: Pads) -> jax.Array:
    """The weight gradient as one product: of one side, and of the narrower one at every shift."""
    kh, kw, i, o = kernel
    lows = tuple(low for low, _ in padding)
    if i <= o:
        shifted = _shifts(x, (kh, kw), dy.shape[1:3], lows)
        return winograd.over_pixels(shifted, dy).reshape(kernel)
    shifted = _shifts(dy, (kh, kw), x.shape[1:3], (kh - 1 - lows[0], kw - 1 - lows[1]))
    gradient = winograd.over_pixels(x, shifted).reshape(i, kh, kw, o)
    return gradient[:, ::-1, ::-1].transpose(1, 2, 0, 3)


def _shifts(x: jax.Array, kernel, size, lows) -> jax.Array:
    """`b h w c` -> `b h' w' kh*kw*c`: the pixels that each tap of a kernel meets."""
    (kh, kw), (h, w) = kernel, size
    ends = [(low, n + k - 1 - m - low, 0)
            for low, n, k, m in zip(lows, size, kernel, x.shape[1:3])]  # fmt: skip
    x = lax.pad(x, jnp.zeros((), x.dtype), ((0, 0, 0), *ends, (0, 0, 0)))  # negative: cropped
    return jnp.concatenate([x[:, a : a + h, b : b + w] for a in range(kh) for b in range(kw)], -1)


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
    size = at_a_time(batch, height * width)
    return tuple(a.reshape(-1, size, *a.shape[1:]) for a in (x, *others))


def at_a_time(count: int, pixels: int) -> int:
    """How many of `count` equal parts, as a divisor of it, have no more than `CACHED` pixels."""
    most = max(CACHED // pixels, 1)
    return max(n for n in range(1, min(most, count) + 1) if count % n == 0)
