"""Structural similarity (SSIM) and the universal image quality index (UIQI), in sliding windows.

One band at a time, which keeps the windows in the cache. Both indices
follow from four local moments of the reference x and the error d = y - x:

    SSIM = (1 - (mean d)^2 / (mean x^2 + mean y^2 + C1)) * (1 - var d / (var x + var y + C2))
    UIQI = 2 mean x mean y / (mean x^2 + mean y^2)       * (1 - var d / (var x + var y))

which are the usual formulas rewritten so that near identical images lose no digits. Variances of
box windows are merged from halves (Chan, Golub & LeVeque 1979) with log2(size) additions an axis:
as cheap as summed-area tables and free of their cancellation, which costs UIQI its digits in
float32; a constant window has the variance 0 exactly.

Published differences as keywords: the window (uniform 7 with sample variances: scikit-image, SSPSR;
Gaussian 11 of sigma 1.5: torchmetrics, A-SNLSR, and SSRAN), what happens at the border (only
windows wholly inside count; torchmetrics mirrors instead), and UIQI's block (8; SSRAN: 32).
"""

import jax
import jax.numpy as jnp
import numpy as np

from hsisr_jax.errors import UserError
from hsisr_jax.metrics.errors import cubes, kept_bands, mean_of_bands

# mean x, mean d, var x + var y, var d: each (h, w)
Moments = tuple[jax.Array, jax.Array, jax.Array, jax.Array]


def ssim(
    reference: jax.Array,
    estimate: jax.Array,
    *,
    data_range: float = 1.0,
    window: str = "uniform",
    size: int = 7,
    sigma: float = 1.5,
    sample_variance: bool = True,
    border: str = "valid",
    k1: float = 0.01,
    k2: float = 0.03,
    drop_empty: bool = False,
) -> jax.Array:
    """Mean SSIM of the bands; `window` is "uniform" or "gaussian" (of `sigma`).

    `border` is "valid", or "reflect": mirror the image, without repeating the edge pixel, so that
    every pixel is the centre of a window.
    """
    if window == "uniform":
        taps = np.ones(size)
    elif window == "gaussian":
        taps = np.exp(-0.5 * ((np.arange(size) - (size - 1) / 2) / sigma) ** 2)
    else:
        raise UserError(f"unknown SSIM window {window!r}; known: uniform, gaussian")
    if border not in ("valid", "reflect"):
        raise UserError(f"unknown SSIM border {border!r}; known: valid, reflect")
    taps = tuple(float(tap) for tap in taps / taps.sum())
    margin = size // 2 if border == "reflect" else 0
    c1, c2 = (k1 * data_range) ** 2, (k2 * data_range) ** 2
    unbiased = size**2 / (size**2 - 1) if sample_variance else 1.0

    def index(x: jax.Array, y: jax.Array) -> jax.Array:
        if margin:
            x, y = (jnp.pad(image, margin, mode="reflect") for image in (x, y))
        mean_x, mean_d, spread, error = _weighted_moments(x, y, taps)
        power = jnp.square(mean_x) + jnp.square(mean_x + mean_d)
        luminance = 1 - jnp.square(mean_d) / (power + c1)
        structure = 1 - unbiased * error / (unbiased * spread + c2)
        return luminance * structure

    smallest = margin + 1 if margin else size
    return _over_bands(index, reference, estimate, smallest, drop_empty)


def uiqi(
    reference: jax.Array, estimate: jax.Array, *, size: int = 8, drop_empty: bool = False
) -> jax.Array:
    """Wang and Bovik's index over sliding blocks, mean over positions, then bands.

    A block that is constant in both images keeps the factor of the means alone; one whose means
    are zero in both, the factor of the variances alone.
    """

    def index(x: jax.Array, y: jax.Array) -> jax.Array:
        mean_x, mean_d, spread, error = _box_moments(x, y, size)
        power = jnp.square(mean_x) + jnp.square(mean_x + mean_d)
        luminance = 1 - _ratio(jnp.square(mean_d), power)
        return luminance * (1 - _ratio(error, spread))

    return _over_bands(index, reference, estimate, size, drop_empty)


def _ratio(a: jax.Array, b: jax.Array) -> jax.Array:
    return jnp.where(b > 0, a / jnp.where(b > 0, b, 1.0), 0.0)


def _over_bands(index, reference, estimate, smallest: int, drop_empty: bool) -> jax.Array:
    """The mean over positions of `index(x, y)` for each band, then the mean over bands."""
    reference, estimate = cubes(reference, estimate)
    *lead, h, w, c = reference.shape
    if min(h, w) < smallest:
        raise UserError(f"the metric's window needs {smallest} pixels a side, not {h} x {w}")
    bands = tuple(jnp.moveaxis(x, -1, -3).reshape(-1, h, w) for x in (reference, estimate))
    scores = jax.lax.map(lambda pair: index(*pair).mean(-1).mean(-1), bands)
    return mean_of_bands(scores.reshape(*lead, c), kept_bands(reference, drop_empty))


def _box_moments(x: jax.Array, y: jax.Array, size: int) -> Moments:
    d = y - x
    moments = (x, d, jnp.zeros_like(x), jnp.zeros_like(x))
    for axis in (0, 1):
        moments = _box_axis(moments, size, axis)
    return moments


def _box_axis(moments: Moments, size: int, axis: int) -> Moments:
    """Moments over `size` neighbours along `axis`: doubled windows, joined by size's binary digits.

    Seven is 4 + 2 + 1: each power of two is made once from two of the one before.
    """
    positions = moments[0].shape[axis] - size + 1
    done, joined = 0, None
    for bit in range(size.bit_length()):
        length = 1 << bit
        if bit:
            moments = _merge(moments, length // 2, length // 2, axis)
        if size & length:
            part = _cut(moments, done, positions, axis)
            joined = part if joined is None else _join(joined, part, done, length)
            done += length
    return joined


def _merge(moments: Moments, offset: int, length: int, axis: int) -> Moments:
    count = moments[0].shape[axis] - offset
    first, second = (_cut(moments, start, count, axis) for start in (0, offset))
    return _join(first, second, length, length)


def _cut(moments: Moments, start: int, count: int, axis: int) -> Moments:
    return tuple(jax.lax.slice_in_dim(m, start, start + count, axis=axis) for m in moments)


def _join(a: Moments, b: Moments, count_a: int, count_b: int) -> Moments:
    """Moments of the union of two disjoint windows of `count_a` and `count_b` pixels."""
    share = count_b / (count_a + count_b)
    between = share * (1 - share)
    step_x, step_d = b[0] - a[0], b[1] - a[1]
    apart = jnp.square(step_x) + jnp.square(step_x + step_d)
    return (
        a[0] + share * step_x,
        a[1] + share * step_d,
        a[2] + share * (b[2] - a[2]) + between * apart,
        a[3] + share * (b[3] - a[3]) + between * jnp.square(step_d),
    )


def _weighted_moments(x: jax.Array, y: jax.Array, taps: tuple[float, ...]) -> Moments:
    """Moments under separable weights, from means of squares.

    That loses digits where a window varies little, which SSIM's constants hide (UIQI has none); the
    band's mean is taken off first all the same.
    """
    centre = x.mean(-1).mean(-1)
    d, x, y = y - x, x - centre, y - centre
    sums = _slide(jnp.stack([x, d, x * x + y * y, d * d]), taps, axis=1)
    # The loop is a wall between the two axes: without it XLA fuses them and computes every row sum
    # once for each of the window's columns, four times slower.
    mean_x, mean_d, power, error = jax.lax.map(lambda m: _slide(m, taps, axis=1), sums)
    spread = power - jnp.square(mean_x) - jnp.square(mean_x + mean_d)
    error = error - jnp.square(mean_d)
    return mean_x + centre, mean_d, jnp.maximum(spread, 0.0), jnp.maximum(error, 0.0)


def _slide(x: jax.Array, taps: tuple[float, ...], axis: int) -> jax.Array:
    count = x.shape[axis] - len(taps) + 1
    parts = [jax.lax.slice_in_dim(x, i, i + count, axis=axis) for i in range(len(taps))]
    return sum(tap * part for tap, part in zip(taps, parts))
