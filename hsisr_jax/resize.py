"""Bicubic resizing as small matrices: MATLAB's `imresize` and PyTorch's `interpolate`.

A resize is separable and linear, so each axis is one matrix `[out, n]`, made once in float64 by
numpy and applied by a matrix product. Two conventions, both needed: the published data sets were
made with MATLAB's (Keys' cubic, a = -0.5; stretched when shrinking; mirrored borders), and
A-SNLSR's bicubic skip is PyTorch's (a = -0.75; never stretched; clamped borders).

`jax.image.resize` is neither at the borders: it renormalises the weights there, which differs from
MATLAB's mirror by up to 0.05 within two low-resolution pixels of an edge.
"""

import math
from collections.abc import Callable
from functools import lru_cache

import jax
import jax.numpy as jnp
import numpy as np

from hsisr_jax.errors import UserError

# The matrices are banded. Up to this many input pixels the whole matrix is multiplied; beyond, each
# block of output pixels is made from its own short window of the input.
DENSE_UP_TO = 128
BLOCK = 32
MARGIN = 4  # pixels beyond the border that enlarging by a whole factor looks at, at most

# Where each output pixel of an axis reads, and how much of it: two arrays `[out, taps]`.
Taps = tuple[np.ndarray, np.ndarray]


def imresize(x: jax.Array, scale: float) -> jax.Array:
    """MATLAB's `imresize(x, scale)`, bicubic and antialiased, on `(..., H, W, C)`.

    The result has `ceil(scale * size)` pixels on each axis and is not clipped: it overshoots near
    edges, as MATLAB's does. float64 stays float64; anything below float32 is computed in float32
    and rounded once.
    """
    x = _cube(x)
    if not 0 < scale < math.inf:
        raise UserError(f"the scale of a resize is a positive number, not {scale}")
    if _symbolic(x) and scale == int(scale):
        return _separable(x, *[_Phases(_matlab_taps, int(scale), "symmetric", float(scale))] * 2)
    if _symbolic(x) and 1 / scale == round(1 / scale):
        return _separable(x, *[_Strides(round(1 / scale))] * 2)
    rows, columns = (_plan(_matlab_taps, n, float(scale)) for n in x.shape[-3:-1])
    return _separable(x, rows, columns)


def interpolate(
    x: jax.Array, size: tuple[int, int], method: str = "bicubic", align_corners: bool = False
) -> jax.Array:
    """PyTorch's `interpolate(x, size=size)` on `(..., H, W, C)`; `bicubic` or `bilinear`."""
    x = _cube(x)
    if method not in _TORCH_KERNELS:
        raise UserError(f"unknown method {method!r}; known: {', '.join(_TORCH_KERNELS)}")
    if len(size) != 2 or size[0] < 1 or size[1] < 1:
        raise UserError(f"the size to interpolate to is two positive numbers, not {size}")
    if _symbolic(x) and not align_corners:
        factors = [out // n for out, n in zip(size, x.shape[-3:-1])]
        if all(isinstance(factor, int) for factor in factors):
            return _separable(
                x, *(_Phases(_torch_phase_taps, f, "edge", f, method) for f in factors)
            )
    rows, columns = (
        _plan(_torch_taps, n, int(out), method, align_corners)
        for n, out in zip(x.shape[-3:-1], size)
    )
    return _separable(x, rows, columns)


def weights(n: int, scale: float) -> np.ndarray:
    """The float64 matrix `[ceil(n * scale), n]` that `imresize` applies to an axis of n pixels."""
    return _dense(n, _matlab_taps(n, float(scale)))


def _cube(x: jax.Array) -> jax.Array:
    x = jnp.asarray(x)
    if x.ndim < 3 or 0 in x.shape:
        raise UserError(f"resizing needs a cube (..., H, W, C), not an array of shape {x.shape}")
    return x


def _symbolic(x: jax.Array) -> bool:
    """Whether it is being exported for images of any size."""
    return not all(isinstance(n, int) for n in x.shape[-3:-1])


def _separable(x: jax.Array, rows: "_Axis", columns: "_Axis") -> jax.Array:
    dtype = x.dtype if jnp.issubdtype(x.dtype, jnp.floating) else jnp.dtype(jnp.float32)
    work = dtype if dtype == jnp.float64 else jnp.float32
    *lead, h, w, c = x.shape
    x = rows(x.astype(work).reshape(-1, h, w * c))  # p H wc
    tall = x.shape[1]
    x = columns(x.reshape(-1, w, c))  # pH W c
    return x.reshape(*lead, tall, x.shape[1], c).astype(dtype)


# -- where the taps are --------------------------------------------------------------------------


def _cubic(x: np.ndarray, a: float) -> np.ndarray:
    """Keys' cubic convolution kernel."""
    x = np.abs(x)
    near = (a + 2) * x**3 - (a + 3) * x**2 + 1
    far = a * (x**3 - 5 * x**2 + 8 * x - 4)
    return np.where(x <= 1, near, np.where(x < 2, far, 0.0))


def _matlab_taps(n: int, scale: float) -> Taps:
    out = math.ceil(n * scale)
    stretch = min(scale, 1.0)  # the kernel is widened when shrinking: that is the antialiasing
    centre = (np.arange(out) + 0.5) / scale - 0.5
    taps = math.ceil(4 / stretch) + 2
    index = np.floor(centre - 2 / stretch).astype(int)[:, None] + np.arange(taps)
    weight = _cubic(stretch * (centre[:, None] - index), -0.5)
    weight /= weight.sum(axis=1, keepdims=True)
    mirrored = index % (2 * n)  # ... b a | a b c | c b ..., also for kernels wider than the image
    return np.where(mirrored < n, mirrored, 2 * n - 1 - mirrored), weight


def _torch_bicubic(position: np.ndarray) -> Taps:
    index = np.floor(position).astype(int)[:, None] + np.arange(-1, 3)
    return index, _cubic(position[:, None] - index, -0.75)


def _torch_bilinear(position: np.ndarray) -> Taps:
    position = np.maximum(position, 0)
    index = np.floor(position).astype(int)[:, None] + np.arange(2)
    return index, np.maximum(1 - np.abs(position[:, None] - index), 0)


_TORCH_KERNELS: dict[str, Callable[[np.ndarray], Taps]] = {
    "bicubic": _torch_bicubic,
    "bilinear": _torch_bilinear,
}


def _torch_taps(n: int, out: int, method: str, align_corners: bool) -> Taps:
    if align_corners:
        position = np.arange(out) * ((n - 1) / (out - 1) if out > 1 else 0.0)
    else:
        position = (np.arange(out) + 0.5) * (n / out) - 0.5
    index, weight = _TORCH_KERNELS[method](position)
    return np.clip(index, 0, n - 1), weight


# -- how they are applied ------------------------------------------------------------------------


def _dense(n: int, taps: Taps) -> np.ndarray:
    index, weight = taps
    matrix = np.zeros((len(index), n))
    np.add.at(matrix, (np.arange(len(index))[:, None], index), weight)
    return matrix


class _Plan:
    """One axis of a resize: called with `(p, n, q)`, it gives `(p, out, q)`."""

    def __init__(self, n: int, taps: Taps):
        self.out = len(taps[0])
        self.windows = None
        self.matrix = _dense(n, taps)  # o n
        if n > DENSE_UP_TO:
            self._cut_into_blocks(n, taps[0])

    def _cut_into_blocks(self, n: int, index: np.ndarray) -> None:
        starts = range(0, self.out, BLOCK)
        low = np.array([index[i : i + BLOCK].min() for i in starts])
        length = max(index[i : i + BLOCK].max() + 1 - first for i, first in zip(starts, low))
        low = np.minimum(low, n - length)
        blocks = np.zeros((len(starts), BLOCK, length))
        for block, i, first in zip(blocks, starts, low):
            rows = self.matrix[i : i + BLOCK, first : first + length]
            block[: len(rows)] = rows
        self.matrix = blocks  # k o l
        self.windows = low[:, None] + np.arange(length)  # k l

    def __call__(self, x: jax.Array) -> jax.Array:
        matrix = jnp.asarray(self.matrix, x.dtype)
        if self.windows is None:
            return _batched(matrix, x)
        y = _batched(matrix, jnp.take(x, self.windows, axis=1))  # p k o q
        return y.reshape(x.shape[0], -1, x.shape[-1])[:, : self.out]


class _Phases:
    """Enlarging an axis of any length by a whole factor: every factor-th output pixel has the same
    taps. Slower than a `_Plan`; for export, where the length is not known."""

    def __init__(self, rule: Callable[..., Taps], factor: int, border: str, *options):
        n = 4 * MARGIN  # of a middle pixel, far from the borders
        index, weight = rule(n, *options)
        middle = slice(n // 2 * factor, (n // 2 + 1) * factor)
        self.offsets, self.weights = index[middle] - n // 2, weight[middle]  # f taps
        self.factor, self.border = factor, border

    def __call__(self, x: jax.Array) -> jax.Array:
        p, n, q = x.shape
        x = jnp.pad(x, ((0, 0), (MARGIN, MARGIN), (0, 0)), mode=self.border)

        def phase(offsets: np.ndarray, weights: np.ndarray) -> jax.Array:
            return _weighted(lambda o: x[:, MARGIN + o : MARGIN + o + n], offsets, weights)

        phases = [phase(o, w) for o, w in zip(self.offsets, self.weights)]
        return jnp.stack(phases, 2).reshape(p, n * self.factor, q)


class _Strides:
    """Shrinking an axis of any length (a multiple of the factor) as MATLAB does; for export."""

    def __init__(self, factor: int):
        n = 8  # output pixels, of which the middle one is far from the borders
        index, weight = _matlab_taps(n * factor, 1 / factor)
        self.offsets, self.weights = index[n // 2] - n // 2 * factor, weight[n // 2]  # taps
        self.factor = factor

    def __call__(self, x: jax.Array) -> jax.Array:
        p, n, q = x.shape
        margin = 3 * self.factor
        x = jnp.pad(x, ((0, 0), (margin, margin), (0, 0)), mode="symmetric")
        rows = (p, n // self.factor, self.factor, q)

        def every(o: int) -> jax.Array:
            return x[:, margin + o : margin + o + n].reshape(rows)[:, :, 0]

        return _weighted(every, self.offsets, self.weights)


def _weighted(part: Callable[[int], jax.Array], offsets: np.ndarray, weights: np.ndarray):
    """The sum of the parts at each offset, those of weight 0 left out."""
    return sum(part(o) * w for o, w in zip(offsets.tolist(), weights.tolist()) if w)


_Axis = _Plan | _Phases | _Strides


def _torch_phase_taps(n: int, factor: int, method: str) -> Taps:
    return _torch_taps(n, n * factor, method, False)


@lru_cache(maxsize=256)
def _plan(rule: Callable[..., Taps], n: int, *options) -> _Plan:
    return _Plan(n, rule(n, *options))


def _batched(matrix: jax.Array, x: jax.Array) -> jax.Array:
    """`matrix @ x` with the matrix repeated for each of the p samples.

    The repeated form is a batched product, up to three times as fast on a CPU as one contraction
    over (o n, p n q), which XLA surrounds with transpositions of the whole image.
    """
    matrix = jnp.broadcast_to(matrix, (x.shape[0], *matrix.shape))
    return jnp.matmul(matrix, x, precision=jax.lax.Precision.HIGHEST)
