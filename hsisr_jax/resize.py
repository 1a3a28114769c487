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

    Args:
        x: cubes `(..., H, W, C)`.
        scale: above 1 enlarges, below 1 shrinks.

    Returns:
        The resized cubes, of the type of `x`.
    """
    x = _cube(x)
    if isinstance(scale, tuple | list) or not 0 < scale < math.inf:
        raise UserError(f"the scale of a resize is one positive number, not {scale}")
    if _symbolic(x) and scale == int(scale):
        return _separable(x, *[_Phases(_matlab_taps, int(scale), "symmetric", float(scale))] * 2)
    if _symbolic(x) and 1 / scale == round(1 / scale):
        return _separable(x, *[_Strides(round(1 / scale), *_matlab_phase(round(1 / scale)))] * 2)
    rows, columns = (_plan(_matlab_taps, n, float(scale)) for n in x.shape[-3:-1])
    return _separable(x, rows, columns)


def interpolate(
    x: jax.Array, size: tuple[int, int], method: str = "bicubic", align_corners: bool = False
) -> jax.Array:
    """PyTorch's `interpolate(x, size=size)` on `(..., H, W, C)`, without antialiasing.

    Args:
        x: cubes `(..., H, W, C)`.
        size: height and width of the result.
        method: `bicubic` or `bilinear`.
        align_corners: whether the corner pixels of both grids coincide, as in PyTorch.

    Returns:
        The resized cubes, of the type of `x`.
    """
    x = _cube(x)
    if method not in _TORCH_KERNELS:
        raise UserError(f"unknown method {method!r}; known: {', '.join(_TORCH_KERNELS)}")
    if len(size) != 2 or size[0] < 1 or size[1] < 1:
        raise UserError(f"the size to interpolate to is two positive numbers, not {size}")
    if _symbolic(x) and not align_corners:
        factors = [out // n for out, n in zip(size, x.shape[-3:-1])]
        if all(isinstance(factor, int) for factor in factors):
            ends = [4 * MARGIN * f for f in factors]
            return _separable(
                x,
                *(_Phases(_torch_taps, f, "edge", n, method, False) for f, n in zip(factors, ends)),
            )
    rows, columns = (
        _plan(_torch_taps, n, int(out), method, align_corners)
        for n, out in zip(x.shape[-3:-1], size)
    )
    return _separable(x, rows, columns)


def gaussian_downsample(x: jax.Array, factor: int, deviation: float | np.ndarray) -> jax.Array:
    """Gaussian blur and every factor-th pixel of `(..., H, W, C)`, aligned and mirrored as
    `imresize`: low-resolution pixels lie at the centres of their blocks.

    `deviation` is the Gaussian's standard deviation in pixels of `x`, one or one a band. The
    Gaussian is cut off beyond four of them.
    """
    x = _cube(x)
    deviation = np.asarray(deviation, float)
    if deviation.shape not in ((), x.shape[-1:]) or not (deviation >= 0).all():
        raise UserError(f"a Gaussian for {x.shape[-1]} bands has one deviation, or one a band")
    if deviation.ndim == 0 and not _symbolic(x):
        rows, columns = (
            _plan(_gaussian_taps, n, int(factor), float(deviation)) for n in x.shape[-3:-1]
        )
        return _separable(x, rows, columns)
    taps = _gaussian_phase(int(factor), np.atleast_1d(deviation))
    return _separable(x, *[_Strides(int(factor), *taps)] * 2)


def weights(n: int, scale: float) -> np.ndarray:
    """The float64 matrix `[ceil(n * scale), n]` that `imresize` applies to an axis of n pixels."""
    return _dense(n, _matlab_taps(n, float(scale)))


def gaussian_weights(n: int, factor: int, deviation: float) -> np.ndarray:
    """The float64 matrix `[n / factor, n]` that `gaussian_downsample` applies to an axis."""
    return _dense(n, _gaussian_taps(n, factor, deviation))


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
    return _mirrored(index, n), weight


def _matlab_phase(factor: int) -> Taps:
    """Taps as of `_gaussian_phase`, for the kernel with which MATLAB shrinks by a whole factor."""
    n = 8  # output pixels, of which the middle one is far from the borders
    index, weight = _matlab_taps(n * factor, 1 / factor)
    return index[n // 2] - n // 2 * factor, weight[n // 2][:, None]


def _mirrored(index: np.ndarray, n: int) -> np.ndarray:
    """... b a | a b c | c b ..., also for kernels wider than the image."""
    index = index % (2 * n)
    return np.where(index < n, index, 2 * n - 1 - index)


def _gaussian_phase(factor: int, deviation: np.ndarray) -> Taps:
    """Offsets from the first pixel of a block `[taps]`, and weights `[taps, deviations]`."""
    reach = math.ceil(4 * max(float(deviation.max()), 0.25)) + 1
    offsets = np.arange(-reach, factor + reach)
    distance = offsets - (factor - 1) / 2
    # Relative to the nearest pixel, so that the narrowest Gaussian leaves that one.
    exponent = 0.5 * (distance**2 - (distance**2).min())[:, None]
    weight = np.exp(-exponent / np.maximum(deviation, 1e-3) ** 2)
    return offsets, weight / weight.sum(0)


def _gaussian_taps(n: int, factor: int, deviation: float) -> Taps:
    offsets, weight = _gaussian_phase(factor, np.array([deviation]))
    index = factor * np.arange(n // factor)[:, None] + offsets
    return _mirrored(index, n), np.broadcast_to(weight[:, 0], index.shape)


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
            taps = zip((MARGIN + offsets).tolist(), weights.tolist())
            return sum(x[:, o : o + n] * w for o, w in taps if w)

        phases = [phase(o, w) for o, w in zip(self.offsets, self.weights)]
        return jnp.stack(phases, 2).reshape(p, n * self.factor, q)


class _Strides:
    """Shrinking an axis by a whole factor with weights `[taps, bands]` (one column: of all bands)
    at offsets from a block's first pixel; also an axis of any length, for export."""

    def __init__(self, factor: int, offsets: np.ndarray, weights: np.ndarray):
        self.factor, self.offsets, self.weights = factor, offsets, weights

    def __call__(self, x: jax.Array) -> jax.Array:
        p, n, q = x.shape
        before, out = -int(self.offsets[0]), n // self.factor
        x = jnp.pad(x, ((0, 0), (before, before + self.factor), (0, 0)), mode="symmetric")
        bands = self.weights.shape[1]
        x = x.reshape(*x.shape[:2], q // bands, bands)

        def add(total: jax.Array, tap: tuple[jax.Array, jax.Array]):
            start, weight = tap
            span = jax.lax.dynamic_slice_in_dim(x, start, out * self.factor, axis=1)
            span = span.reshape(p, out, self.factor, q // bands, bands)[:, :, 0]
            return total + span * weight[None, None, None], None

        taps = jnp.arange(len(self.offsets)), jnp.asarray(self.weights, x.dtype)
        total, _ = jax.lax.scan(add, jnp.zeros((p, out, q // bands, bands), x.dtype), taps)
        return total.reshape(p, out, q)


_Axis = _Plan | _Phases | _Strides


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
