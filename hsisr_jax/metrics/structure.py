"""Structural similarity (SSIM) and the universal image quality index (UIQI), in sliding windows.

One band at a time, which keeps the windows in the cache. Both indices
follow from four local moments of the reference x and the error d = y - x:

    SSIM = (1 - (mean d)^2 / (mean x^2 + mean y^2 + C1)) * (1 - var d / (var x + var y + C2))
    UIQI = 2 mean x mean y / (mean x^2 + mean y^2)       * (1 - var d / (var x + var y))

which are the usual formulas rewritten so that near identical images lose no digits. Moments of box
windows are joined from those of their parts (Chan, Golub & LeVeque 1979), one axis after the other:
cheaper than summed-area tables and free of their cancellation, which costs UIQI its digits in
float32; a constant window has the variance 0 exactly.

Published differences as keywords: the window (uniform 7 with sample variances: scikit-image, SSPSR;
Gaussian 11 of sigma 1.5: torchmetrics, A-SNLSR, and SSRAN), what happens at the border (only
windows wholly inside count; torchmetrics mirrors instead), and UIQI's block (8; SSRAN: 32).
"""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np

from hsisr_jax.errors import UserError
from hsisr_jax.metrics.errors import cubes, kept_bands, mean_of_bands, spatial_mean

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
    mask: jax.Array | None = None,
) -> jax.Array:
    """Mean SSIM of the bands; `window` is "uniform" or "gaussian" (of `sigma`).

    With a `mask` (`(..., H, W)`, true where there are data) only windows wholly inside it count.

    `border` is "valid", or "reflect": mirror the image, without repeating the edge pixel, so that
    every pixel is the centre of a window.
    """
    if window == "uniform":
        moments = partial(_box_moments, size=size)
    elif window == "gaussian":
        taps = np.exp(-0.5 * ((np.arange(size) - (size - 1) / 2) / sigma) ** 2)
        moments = partial(_weighted_moments, taps=tuple(float(t) for t in taps / taps.sum()))
    else:
        raise UserError(f"unknown SSIM window {window!r}; known: uniform, gaussian")
    if border not in ("valid", "reflect"):
        raise UserError(f"unknown SSIM border {border!r}; known: valid, reflect")
    margin = size // 2 if border == "reflect" else 0
    c1, c2 = (k1 * data_range) ** 2, (k2 * data_range) ** 2
    unbiased = size**2 / (size**2 - 1) if sample_variance else 1.0

    def index(x: jax.Array, y: jax.Array) -> jax.Array:
        if margin:
            x, y = (jnp.pad(image, margin, mode="reflect") for image in (x, y))
        mean_x, mean_d, spread, error = moments(x, y)
        power = jnp.square(mean_x) + jnp.square(mean_x + mean_d)
        luminance = 1 - jnp.square(mean_d) / (power + c1)
        structure = 1 - unbiased * error / (unbiased * spread + c2)
        return luminance * structure

    smallest = least_side(size, border)
    return _over_bands(index, reference, estimate, smallest, drop_empty, mask, size, margin)


def least_side(size: int, border: str = "valid") -> int:
    """Pixels on a side that an image must have for windows of `size`."""
    return size // 2 + 1 if border == "reflect" else size


def uiqi(
    reference: jax.Array,
    estimate: jax.Array,
    *,
    size: int = 8,
    drop_empty: bool = False,
    mask: jax.Array | None = None,
) -> jax.Array:
    """Wang and Bovik's index over sliding blocks, mean over positions, then bands.

    A block that is constant in both images keeps the factor of the means alone; one whose means
    are zero in both, the factor of the variances alone. `mask` is as in `ssim`.
    """

    def index(x: jax.Array, y: jax.Array) -> jax.Array:
        mean_x, mean_d, spread, error = _box_moments(x, y, size)
        power = jnp.square(mean_x) + jnp.square(mean_x + mean_d)
        luminance = 1 - _ratio(jnp.square(mean_d), power)
        return luminance * (1 - _ratio(error, spread))

    return _over_bands(index, reference, estimate, size, drop_empty, mask, size)


def _ratio(a: jax.Array, b: jax.Array) -> jax.Array:
    none = b <= 0  # false for NaN, whose ratio is NaN
    return jnp.where(none, 0.0, a / jnp.where(none, 1.0, b))


def _over_bands(
    index, reference, estimate, smallest: int, drop_empty: bool, mask, size: int, margin: int = 0
) -> jax.Array:
    """The mean over positions of `index(x, y)` for each band, then the mean over bands. The windows
    have `size` pixels a side and begin `margin` pixels outside the image."""
    reference, estimate = cubes(reference, estimate, mask)
    *lead, h, w, c = reference.shape
    if min(h, w) < smallest:
        raise UserError(f"the metric's window needs {smallest} pixels a side, not {h} x {w}")
    bands = tuple(jnp.moveaxis(x, -1, -3).reshape(-1, h, w) for x in (reference, estimate))
    kept = kept_bands(reference, drop_empty, mask)
    if mask is None:
        scores = jax.lax.map(lambda pair: index(*pair).mean(-1).mean(-1), bands)
        return mean_of_bands(scores.reshape(*lead, c), kept)
    masks = jnp.asarray(mask, bool).reshape(-1, h, w)
    whole = _whole_windows(masks, size, margin)

    def score(x: jax.Array, y: jax.Array, image: jax.Array) -> jax.Array:
        x, y = _filled(x, masks[image]), _filled(y, masks[image])
        return spatial_mean(index(x, y)[..., None], whole[image])[0]

    images = jnp.arange(len(whole)).repeat(c)
    scores = jax.lax.map(lambda band: score(*band), (*bands, images))
    return mean_of_bands(scores.reshape(*lead, c), kept)


def _filled(band: jax.Array, mask: jax.Array) -> jax.Array:
    """The band, 0 outside the mask, with its mean there: no value far from those that count."""
    return jnp.where(mask, band, band.sum() / jnp.maximum(mask.sum(), 1))


def _whole_windows(mask: jax.Array, size: int, margin: int) -> jax.Array:
    """The mask of windows that have no pixel outside the masks `n h w`."""
    mask = jnp.pad(mask, ((0, 0), (margin, margin), (margin, margin)), mode="reflect")
    least, shape = jax.lax.min, (1, size, size)
    windows = jax.lax.reduce_window(
        mask.astype(jnp.float32), jnp.inf, least, shape, (1, 1, 1), "valid"
    )
    return windows > 0


def _box_moments(x: jax.Array, y: jax.Array, size: int) -> Moments:
    # Stacked, so that XLA does not cut the band out of the cube again for every window's column.
    x, d = jax.lax.optimization_barrier(jnp.stack([x, y - x]))
    moments = (x, d, jnp.zeros_like(x), jnp.zeros_like(x))
    for axis in (0, 1):
        length = 1
        for count in _factors(size):
            moments = _join(moments, count, length, axis)
            length *= count
    return moments


def _factors(size: int, largest: int = 8) -> list[int]:
    """`size` as a product of short windows, where it has divisors: 32 is 8 windows of 8 and 4."""
    factors = []
    while size > largest:
        factor = next((f for f in range(largest, 1, -1) if size % f == 0), size)
        factors.append(factor)
        size //= factor
    return factors + [size] * (size > 1)


def _join(moments: Moments, count: int, length: int, axis: int) -> Moments:
    """Moments of the unions of `count` neighbouring windows of `length` pixels each."""
    positions = moments[0].shape[axis] - length * (count - 1)

    def neighbours(m: jax.Array) -> list[jax.Array]:
        starts = range(0, length * count, length)
        return [jax.lax.slice_in_dim(m, i, i + positions, axis=axis) for i in starts]

    share = 1 / count  # XLA keeps divisions, which cost five times a product
    x, d, spread, error = map(neighbours, moments)
    mean_x, mean_d = (m[0] + share * sum(v - m[0] for v in m[1:]) for m in (x, d))
    mean_y = mean_x + mean_d
    apart = sum(jnp.square(u - mean_x) + jnp.square(u + v - mean_y) for u, v in zip(x, d))
    joined = (
        mean_x,
        mean_d,
        share * (sum(spread) + apart),
        share * (sum(error) + sum(jnp.square(v - mean_d) for v in d)),
    )
    # A wall: without it XLA fuses the two axes and computes every row once for each column of the
    # window, ten times slower.
    return tuple(jax.lax.optimization_barrier(jnp.stack(joined)))


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
