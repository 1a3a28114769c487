"""Quality without a reference, from a guide image: D_lambda, D_s, QNR and HQNR.

The conventions are those of the published pansharpening toolboxes (Vivone et al., IEEE TGRS 2015
and IEEE GRSM 2021); each is a keyword:

- `ms`, the image that was sharpened, is given as it was or upsampled to the sharp image's size. As
  it was, it is upsampled here (`interpolation`: the toolboxes' 23 taps, or "bicubic"), or, with
  `protocol="paper"`, its blocks of `size / ratio` are compared with blocks of `size` (Alparone et
  al., PE&RS 2008).
- `guide` is the image of high spatial resolution, one band: `(..., H, W)` or `(..., H, W, 1)`.
- Blocks of `size` pixels do not overlap; pixels beyond the last whole block are left out.

A block that is constant keeps the factor of the means alone, where the toolboxes give NaN.
"""

import math
from collections.abc import Sequence
from functools import lru_cache, partial

import jax
import jax.numpy as jnp
import numpy as np

from hsisr_jax.errors import UserError
from hsisr_jax.metrics.blocks import between_bands, over_images, to_guide
from hsisr_jax.metrics.hypercomplex import q2n
from hsisr_jax.ops.spectral import at_least_float32
from hsisr_jax.resize import imresize

HIGHEST = jax.lax.Precision.HIGHEST
TAPS = 41  # of the sensor's blur
# Half of the 23 taps of the interpolator (Aiazzi et al., IEEE TGRS 2002); every other one is zero.
INTERPOLATOR = (
    1.0, 0.610668182370, 0.0, -0.145397186478, 0.0, 0.043619155154,
    0.0, -0.010385513306, 0.0, 0.001615524292, 0.0, -0.000120162964,
)  # fmt: skip


def d_lambda(
    sharp: jax.Array,
    ms: jax.Array,
    *,
    size: int = 32,
    exponent: float = 1,
    protocol: str = "toolbox",
    interpolation: str = "interp23",
) -> jax.Array:
    """Spectral distortion: how much the similarity (UIQI) of each pair of bands has changed.

    Args:
        sharp: the sharpened image, `(H, W, C)` or a batch.
        ms: the image it was made from, at its own size or upsampled.
        size: side of the blocks.
        exponent: of the differences that are averaged.
        protocol: `"toolbox"` or `"paper"`.
        interpolation: how `ms` is upsampled: `"interp23"` or `"bicubic"`.

    Returns:
        One value an image, 0 at best.
    """
    sharp, ms, ratio = _images(sharp, ms, None, protocol, interpolation)
    return _d_lambda(sharp, ms, size=size, low=_low(size, ratio), exponent=float(exponent))


def d_s(
    sharp: jax.Array,
    ms: jax.Array,
    guide: jax.Array,
    *,
    ratio: int | None = None,
    size: int = 32,
    exponent: float = 1,
    protocol: str = "toolbox",
    interpolation: str = "interp23",
) -> jax.Array:
    """Spatial distortion: how much the similarity (UIQI) of each band to the guide has changed.

    Args:
        sharp: the sharpened image, `(H, W, C)` or a batch.
        ms: the image it was made from, at its own size or upsampled.
        guide: the image of high resolution, `(H, W)` or `(H, W, 1)`.
        ratio: the scale; needed where `ms` is upsampled.
        size: side of the blocks.
        exponent: of the differences that are averaged.
        protocol: `"toolbox"` or `"paper"`.
        interpolation: how `ms` is upsampled: `"interp23"` or `"bicubic"`.

    Returns:
        One value an image, 0 at best.
    """
    ratio = _ratio(sharp, ms, ratio)
    sharp, ms, blocks = _images(sharp, ms, ratio, protocol, interpolation)
    guide = _guide(guide, sharp)
    low = imresize(guide, 1 / ratio)
    if protocol == "toolbox":
        low = _upsampled(low, ratio, interpolation)
    return _d_s(sharp, ms, guide, low, size=size, low=_low(size, blocks), exponent=float(exponent))


def qnr(
    sharp: jax.Array,
    ms: jax.Array,
    guide: jax.Array,
    *,
    ratio: int | None = None,
    size: int = 32,
    p: float = 1,
    q: float = 1,
    alpha: float = 1,
    beta: float = 1,
    protocol: str = "toolbox",
    interpolation: str = "interp23",
) -> jax.Array:
    """Quality with no reference: `(1 - d_lambda)^alpha * (1 - d_s)^beta`, 1 at best.

    Args:
        sharp: the sharpened image, `(H, W, C)` or a batch.
        ms: the image it was made from, at its own size or upsampled.
        guide: the image of high resolution, `(H, W)` or `(H, W, 1)`.
        ratio: the scale; needed where `ms` is upsampled.
        size: side of the blocks.
        p: exponent of `d_lambda`.
        q: exponent of `d_s`.
        alpha: weight of the spectral part.
        beta: weight of the spatial part.
        protocol: `"toolbox"` or `"paper"`.
        interpolation: how `ms` is upsampled: `"interp23"` or `"bicubic"`.

    Returns:
        One value an image.
    """
    common = {"size": size, "protocol": protocol, "interpolation": interpolation}
    spectral = d_lambda(sharp, ms, exponent=p, **common)
    spatial = d_s(sharp, ms, guide, ratio=ratio, exponent=q, **common)
    return (1 - spectral) ** alpha * (1 - spatial) ** beta


def hqnr(
    sharp: jax.Array,
    ms: jax.Array,
    guide: jax.Array,
    *,
    ratio: int | None = None,
    size: int = 32,
    mtf: float | Sequence[float] = 0.3,
    alpha: float = 1,
    beta: float = 1,
    interpolation: str = "interp23",
) -> jax.Array:
    """Hybrid QNR: `qnr` with Khan's spectral distortion, `1 - q2n(ms, sharp seen by the sensor)`.

    The sensor's blur is a Gaussian in a Kaiser window of 41 pixels; `q2n` mirrors the image to fit.

    Args:
        sharp: the sharpened image, `(H, W, C)` or a batch.
        ms: the image it was made from, at its own size or upsampled.
        guide: the image of high resolution, `(H, W)` or `(H, W, 1)`.
        ratio: the scale; needed where `ms` is upsampled.
        size: side of the blocks.
        mtf: the sensor's gain at the Nyquist frequency of `ms`, one value or one a band.
        alpha: weight of the spectral part.
        beta: weight of the spatial part.
        interpolation: how `ms` is upsampled: `"interp23"` or `"bicubic"`.

    Returns:
        One value an image, 1 at best.
    """
    ratio = _ratio(sharp, ms, ratio)
    seen, upsampled, _ = _images(sharp, ms, ratio, "toolbox", interpolation)
    spectral = 1 - q2n(upsampled, _blurred(seen, ratio, mtf), size=size, shift=size)
    spatial = d_s(sharp, ms, guide, ratio=ratio, size=size, interpolation=interpolation)
    return (1 - spectral) ** alpha * (1 - spatial) ** beta


# -- what is compared ----------------------------------------------------------------------------


def _images(
    sharp, ms, ratio: int | None, protocol: str, interpolation: str
) -> tuple[jax.Array, jax.Array, int]:
    """Checks and returns both cubes in float32 or better, and the ratio of their blocks' sizes."""
    if protocol not in ("toolbox", "paper"):
        raise UserError(f"unknown protocol {protocol!r} of a guided metric; known: toolbox, paper")
    if interpolation not in ("interp23", "bicubic"):
        raise UserError(f"unknown interpolation {interpolation!r}; known: interp23, bicubic")
    sharp, ms = at_least_float32(sharp), at_least_float32(ms)
    if sharp.ndim < 3 or ms.ndim != sharp.ndim or ms.shape[-1] != sharp.shape[-1]:
        raise UserError(
            f"sharp and ms are cubes (..., H, W, C) of the same bands, not {sharp.shape} and "
            f"{ms.shape}"
        )
    same = ms.shape == sharp.shape
    if protocol == "paper":
        if same:
            raise UserError('protocol="paper" compares with ms as it was, not upsampled')
        return sharp, ms, _ratio(sharp, ms, ratio)
    return sharp, ms if same else _upsampled(ms, _ratio(sharp, ms, ratio), interpolation), 1


def _ratio(sharp, ms, ratio: int | None) -> int:
    """How many times finer the sharp image is."""
    high, low = np.shape(sharp)[-3:-1], np.shape(ms)[-3:-1]
    if high == low:
        if ratio is None:
            raise UserError("ms has the size of the sharp image: give the scale, ratio=4")
        return ratio
    found = high[0] // max(low[0], 1)
    if found < 2 or high != (low[0] * found, low[1] * found) or ratio not in (None, found):
        asked = f" of {ratio}" if ratio else ""
        raise UserError(f"ms of {low} is not {high} at a whole scale{asked}")
    return found


def _guide(guide, sharp: jax.Array) -> jax.Array:
    guide = at_least_float32(guide)
    guide = guide[..., None] if guide.ndim == sharp.ndim - 1 else guide
    if guide.shape != (*sharp.shape[:-1], 1):
        raise UserError(
            f"the guide is one band of the sharp image's size, {sharp.shape[:-1]}, not "
            f"{guide.shape}"
        )
    return guide


def _low(size: int, ratio: int) -> int:
    if size % ratio:
        raise UserError(
            f"blocks of {size} pixels are no whole number of pixels {ratio} times as large"
        )
    return size // ratio


def _upsampled(x: jax.Array, ratio: int, interpolation: str) -> jax.Array:
    if interpolation == "bicubic":
        return imresize(x, ratio)
    if ratio & (ratio - 1):
        raise UserError(
            f'interp23 upsamples by powers of 2, not by {ratio}: use interpolation="bicubic"'
        )
    rows, columns = (jnp.asarray(_interpolator(n, ratio), x.dtype) for n in x.shape[-3:-1])
    x = jnp.einsum("Hh,...hwc->...Hwc", rows, x, precision=HIGHEST)
    return jnp.einsum("Ww,...hwc->...hWc", columns, x, precision=HIGHEST)


@lru_cache(32)
def _interpolator(n: int, ratio: int) -> np.ndarray:
    """`[ratio * n, n]`: for each doubling zeros put in between, and the 23 taps, periodic."""
    taps = np.concatenate([INTERPOLATOR[:0:-1], INTERPOLATOR])
    matrix = np.eye(n)
    for doubling in range(ratio.bit_length() - 1):
        wide = np.zeros((2 * len(matrix), n))
        wide[1 if doubling == 0 else 0 :: 2] = matrix
        matrix = sum(tap * np.roll(wide, k - 11, axis=0) for k, tap in enumerate(taps))
    return matrix


def _blurred(x: jax.Array, ratio: int, mtf: float | Sequence[float]) -> jax.Array:
    """Blurs `x` by the sensor's MTF, without decimation; the border is repeated outwards."""
    gains = [float(gain) for gain in np.atleast_1d(mtf)]
    if len(gains) not in (1, x.shape[-1]) or not all(0 < gain < 1 for gain in gains):
        raise UserError(
            f"mtf is the gain at the Nyquist frequency, between 0 and 1, one or one for each of "
            f"{x.shape[-1]} bands, not {mtf}"
        )
    margin = TAPS // 2
    pads = [(0, 0)] * (x.ndim - 3) + [(margin, margin)] * 2 + [(0, 0)]
    wide = jnp.pad(x, pads, mode="edge")
    size = wide.shape[-3:-1]
    kernels = np.stack([_sensor(ratio, gain) for gain in gains], -1)
    kernel = np.fft.rfft2(kernels, size, axes=(0, 1)).astype(np.complex64)
    kernel = kernel.reshape((1,) * (x.ndim - 3) + kernel.shape)
    seen = jnp.fft.irfft2(jnp.fft.rfft2(wide, axes=(-3, -2)) * kernel, size, axes=(-3, -2))
    return seen[..., 2 * margin :, 2 * margin :, :].astype(x.dtype)


@lru_cache(32)
def _sensor(ratio: int, mtf: float) -> np.ndarray:
    """The blur's kernel: a Gaussian frequency response, sampled, in a round Kaiser window."""
    half = TAPS // 2
    squares = np.add.outer(*[np.arange(-half, half + 1) ** 2] * 2)
    variance = (half / ratio) ** 2 / (-2 * math.log(mtf))
    response = np.exp(-squares / (2 * variance))
    kernel = np.fft.fftshift(np.fft.ifft2(np.fft.ifftshift(response)).real)
    radius = np.sqrt(squares) / half
    window = np.interp(radius, np.linspace(-1, 1, TAPS), np.kaiser(TAPS, 0.5), right=0.0)
    return kernel * window


# -- distortions --------------------------------------------------------------------------------


def _norm(changes: jax.Array, exponent: float) -> jax.Array:
    """The mean of `|changes|^exponent`, its root; 0 for none."""
    if changes.size == 0:
        return jnp.zeros((), changes.dtype)
    total = (jnp.abs(changes) ** exponent).mean()
    return jnp.where(total > 0, jnp.where(total > 0, total, 1) ** (1 / exponent), 0)


@partial(jax.jit, static_argnames=("size", "low", "exponent"))
def _d_lambda(sharp, ms, *, size: int, low: int, exponent: float):
    pairs = np.triu_indices(sharp.shape[-1], 1)

    def one(sharp: jax.Array, ms: jax.Array) -> jax.Array:
        change = between_bands(sharp, size) - between_bands(ms, low)
        return _norm(change[pairs], exponent)

    return over_images(one, sharp, ms)


@partial(jax.jit, static_argnames=("size", "low", "exponent"))
def _d_s(sharp, ms, guide, guide_low, *, size: int, low: int, exponent: float):
    def one(sharp, ms, guide, guide_low) -> jax.Array:
        change = to_guide(sharp, guide, size) - to_guide(ms, guide_low, low)
        return _norm(change, exponent)

    return over_images(one, sharp, ms, guide, guide_low)
