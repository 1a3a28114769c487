"""From a high-resolution cube to what a sensor would have seen: blur, decimation, responses, noise.

The observation models of the published data sets, as jittable and differentiable functions:
MATLAB's bicubic (SSPSR, SRLSGAT), a measured PSF with A-SNLSR's zero-padded alignment, a Gaussian,
and spectral responses (SSRAN's and A-SNLSR's multispectral images, A-SNLSR's band reduction). What
depends on wavelengths alone is numpy: they are known before anything is compiled.

`create(name, scale=...)` gives a function `degradation(hr, key) -> dict` of batch entries, which
the sampler calls inside its compiled step.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from inspect import signature

import jax
import jax.numpy as jnp
import numpy as np

from hsisr_jax.errors import UserError
from hsisr_jax.ops.blur import psf_downsample
from hsisr_jax.resize import imresize

# The full width of a Gaussian at half its maximum, in standard deviations.
FWHM = 2 * math.sqrt(2 * math.log(2))


# -- space ---------------------------------------------------------------------------------------


def gaussian_kernel(size: int, sigma: float) -> np.ndarray:
    """A Gaussian PSF `(size, size)`, sum 1."""
    offsets = np.arange(size) - (size - 1) / 2
    taps = np.exp(-0.5 * (offsets / sigma) ** 2)
    return np.outer(taps, taps) / taps.sum() ** 2


def gaussian_blur_downsample(
    x: jax.Array, factor: int, *, sigma: float | None = None, size: int | None = None
) -> jax.Array:
    """Gaussian blur and decimation, aligned as `psf_downsample`.

    The default, sigma = factor / 2 in a kernel of 4 factor pixels, passes about 0.3 of the contrast
    at the low-resolution Nyquist frequency, as imaging spectrometers do.
    """
    kernel = gaussian_kernel(size or 4 * factor, sigma or factor / 2)
    return psf_downsample(x, kernel, factor)


# -- spectrum ------------------------------------------------------------------------------------


def gaussian_response(centres: jax.Array, widths: jax.Array, wavelengths: jax.Array) -> jax.Array:
    """Gaussian spectral responses `(len(wavelengths), len(centres))`; every column sums to 1.

    `widths` are full widths at half maximum (one, or one a band), as sensors and ENVI headers state
    them; a standard deviation times `degrade.FWHM` is one. A-SNLSR's code names its standard
    deviations "width".
    """
    # Constants are worked out in float64: wavelengths in nm lose three digits of a narrow band.
    known = not any(isinstance(v, jax.Array) for v in (centres, widths, wavelengths))
    xp = np if known else jnp
    dtype = np.float64 if known else None
    centres, widths, wavelengths = (
        xp.asarray(v, dtype=dtype) for v in (centres, widths, wavelengths)
    )
    if centres.ndim != 1 or wavelengths.ndim != 1 or widths.shape not in ((), centres.shape):
        raise UserError(
            "a response needs a list of centres, one width or one for each centre, and a list of "
            f"wavelengths, not the shapes {centres.shape}, {widths.shape}, {wavelengths.shape}"
        )
    deviations = xp.broadcast_to(widths / FWHM, centres.shape)
    exponent = -0.5 * ((wavelengths[:, None] - centres[None]) / deviations[None]) ** 2
    response = xp.exp(exponent - exponent.max(axis=0, keepdims=True))  # no column can be all zero
    return jnp.asarray(response / response.sum(axis=0, keepdims=True))


def apply_response(x: jax.Array, response: jax.Array) -> jax.Array:
    """`(..., C)` cubes through a response `(C, bands)`, or any linear map of bands."""
    x = jnp.asarray(x)
    response = jnp.asarray(response)
    if response.ndim != 2 or response.shape[0] != x.shape[-1]:
        raise UserError(
            f"a response for {x.shape[-1]} bands has the shape ({x.shape[-1]}, n), "
            f"not {response.shape}"
        )
    dtype = x.dtype if jnp.issubdtype(x.dtype, jnp.floating) else jnp.dtype(jnp.float32)
    work = dtype if dtype == jnp.float64 else jnp.float32
    y = jnp.matmul(x.astype(work), response.astype(work), precision=jax.lax.Precision.HIGHEST)
    return y.astype(dtype)


def uniform_wavelengths(wavelengths: Sequence[float]) -> np.ndarray:
    """As many wavelengths, evenly spaced from the first to the last.

    A-SNLSR's responses take these for the true ones, also where cut-off bands have left a gap.
    """
    return np.linspace(wavelengths[0], wavelengths[-1], len(wavelengths))


def band_reduction_response(
    wavelengths: Sequence[float], bands: int
) -> tuple[jax.Array, np.ndarray]:
    """A-SNLSR's reduction to `bands` bands: the response `(C, bands)` and their wavelengths.

    Gaussians centred evenly from the first wavelength to the last, of FWHM range / bands.
    """
    grid = uniform_wavelengths(wavelengths)
    centres = np.linspace(grid[0], grid[-1], bands)
    return gaussian_response(centres, (grid[-1] - grid[0]) / bands, grid), centres


def msi_response(
    wavelengths: Sequence[float], centres: Sequence[float], deviation: float
) -> jax.Array:
    """A-SNLSR's multispectral bands: Gaussians of one standard deviation, on an even grid."""
    return gaussian_response(
        np.asarray(centres, float), FWHM * deviation, uniform_wavelengths(wavelengths)
    )


def selected_bands(wavelengths: Sequence[float], begin: float, end: float) -> np.ndarray:
    """Which wavelengths lie in [begin, end], as a mask."""
    wavelengths = np.asarray(wavelengths, float)
    return (begin <= wavelengths) & (wavelengths <= end)


def cutoff_bands(
    x: jax.Array,
    wavelengths: Sequence[float],
    ranges: Sequence[tuple[float, float]],
    *,
    rule: str = "inclusive",
) -> tuple[jax.Array, np.ndarray]:
    """Take the bands in `ranges` out of `(..., C)`; the rest and their wavelengths.

    "inclusive" takes out begin <= wavelength <= end. "nearest" takes out from the band nearest to
    begin up to, and without, the band nearest to end (A-SNLSR's `LinearSRF.band_cutoff`).
    """
    wavelengths = np.asarray(wavelengths, float)
    if rule not in ("inclusive", "nearest"):
        raise UserError(f"unknown rule {rule!r} of a band cut-off; known: inclusive, nearest")
    kept = np.ones(len(wavelengths), bool)
    for begin, end in ranges:
        if rule == "inclusive":
            kept &= ~selected_bands(wavelengths, begin, end)
        else:
            first, last = (np.argmin(np.abs(wavelengths - edge)) for edge in (begin, end))
            kept[first:last] = False
    return jnp.asarray(x)[..., np.flatnonzero(kept)], wavelengths[kept]


# -- tiles ---------------------------------------------------------------------------------------


def subdivide_patches(
    height: int, width: int, *, tile: int = 128, overlap_threshold: float = 0.5
) -> list[tuple[int, int]]:
    """A-SNLSR's tile origins (row, column), row by row.

    The last tile of a row or column is moved back to end at the edge, and is left out if at least
    `overlap_threshold` of it lies in tiles already taken. A scene smaller than a tile gives a
    negative origin, as the original does.
    """
    taken = np.zeros((height, width), bool)
    origins = []
    for row in range(0, height, tile):
        for column in range(0, width, tile):
            origin = min(row, height - tile), min(column, width - tile)
            covered = taken[tuple(slice(start, start + tile) for start in origin)]
            if covered.mean() < overlap_threshold:
                origins.append(origin)
                covered[...] = True
    return origins


# -- radiometry ----------------------------------------------------------------------------------


def log_normalise(
    x: jax.Array, minimum: float, maximum: float, *, floor: float = 1e-4
) -> jax.Array:
    """A-SNLSR's scaling: values below `floor` raised to it, natural logarithm, min-max.

    `minimum` and `maximum` are logarithms too: of the training tiles' extremes (`log_range`).
    """
    return (jnp.log(jnp.maximum(x, floor)) - minimum) / (maximum - minimum)


def log_denormalise(x: jax.Array, minimum: float, maximum: float) -> jax.Array:
    """The inverse of `log_normalise` for values from its floor upwards."""
    return jnp.exp(jnp.asarray(x) * (maximum - minimum) + minimum)


def log_range(x: jax.Array, *, floor: float = 1e-4) -> tuple[jax.Array, jax.Array]:
    """The least and the largest logarithm of `x`, values below `floor` raised to it."""
    x = jnp.maximum(x, floor)
    return jnp.log(x.min()), jnp.log(x.max())


def clip_normalise(
    x: jax.Array, minimum: float, maximum: float, *, ceiling: float = 5e-2
) -> jax.Array:
    """A-SNLSR's scaling without the logarithm: values above `ceiling` lowered to it, min-max."""
    return (jnp.minimum(x, ceiling) - minimum) / (maximum - minimum)


def add_noise(key: jax.Array, x: jax.Array, snr: float | jax.Array) -> jax.Array:
    """White noise in `(..., H, W, C)` of a signal-to-noise ratio in dB, one or one for each band.

    The signal's power is each image's and band's own mean square.
    """
    x = jnp.asarray(x)
    power = jnp.square(x.astype(jnp.float32)).mean((-3, -2), keepdims=True)
    snr = jnp.broadcast_to(jnp.asarray(snr, jnp.float32), (x.shape[-1],))
    deviation = jnp.sqrt(power * 10 ** (-snr.reshape((1,) * (x.ndim - 1) + (-1,)) / 10))
    noise = deviation * jax.random.normal(key, x.shape, jnp.float32)
    return (x + noise).astype(x.dtype)


# -- the sampler's degradations ------------------------------------------------------------------


@dataclass(frozen=True)
class Degradation:
    """`degradation(hr, key) -> dict` of batch entries for `hr` `(b, H, W, C)`; pure.

    Spatial ones give `lr`, its MATLAB bicubic upsampling `lms`, and the intermediate `lr_div2`, ...
    where asked for; the spectral one gives `msi`. Noise falls on the observation (`lr`, `msi`)
    alone; only then is a key needed.
    """

    name: str
    scale: int
    observe: Callable[[jax.Array], dict[str, jax.Array]] = field(repr=False)
    noise_snr: float | Sequence[float] | None = None

    def __call__(self, hr: jax.Array, key: jax.Array | None = None) -> dict[str, jax.Array]:
        h, w = hr.shape[-3:-1]
        if h % self.scale or w % self.scale:
            raise UserError(
                f"{h} x {w} pixels cannot be degraded by {self.scale}: crop them to a multiple"
            )
        entries = self.observe(hr)
        if self.noise_snr is not None:
            if key is None:
                raise UserError(f"the degradation {self.name!r} adds noise and needs a random key")
            observed = "msi" if "msi" in entries else "lr"
            entries[observed] = add_noise(key, entries[observed], jnp.asarray(self.noise_snr))
        if "lr" in entries:
            entries["lms"] = imresize(entries["lr"], self.scale)
        return entries


def create(
    name: str, *, scale: int, noise_snr: float | Sequence[float] | None = None, **kwargs
) -> Degradation:
    """The degradation `name`, one of `names()`.

    bicubic; gaussian (`sigma`, `size`); psf (`kernel`, `intermediate=False`); spectral (`response`,
    or `centres`, `widths` and `wavelengths` of a Gaussian one; `scale` 1). Each takes `noise_snr`
    in dB, one or one for each band that is observed.
    """
    if name not in _OBSERVATIONS:
        raise UserError(f"unknown degradation {name!r}; known: {', '.join(_OBSERVATIONS)}")
    build = _OBSERVATIONS[name]
    known = [k for k in signature(build).parameters if k != "scale"]
    unknown = sorted(set(kwargs) - set(known))
    if unknown:
        raise UserError(
            f"the degradation {name!r} has no option {unknown[0]!r}; known: "
            f"{', '.join([*known, 'noise_snr'])}"
        )
    if scale != int(scale) or scale < 1:
        raise UserError(f"the scale of a degradation is a positive whole number, not {scale}")
    return Degradation(name, int(scale), build(scale=int(scale), **kwargs), noise_snr)


def names() -> tuple[str, ...]:
    """The degradations that `create` knows."""
    return tuple(_OBSERVATIONS)


def _bicubic(*, scale: int):
    return lambda hr: {"lr": imresize(hr, 1 / scale)}


def _gaussian(*, scale: int, sigma: float | None = None, size: int | None = None):
    return lambda hr: {"lr": gaussian_blur_downsample(hr, scale, sigma=sigma, size=size)}


def _psf(*, scale: int, kernel=None, intermediate: bool = False):
    if kernel is None:
        raise UserError("the degradation 'psf' needs kernel=, a square array (k, k)")
    kernel = np.asarray(kernel, float)
    if intermediate and scale & (scale - 1):
        raise UserError(f"intermediate resolutions need a scale that is a power of 2, not {scale}")
    # Every level straight from the high-resolution cube, as A-SNLSR's preparation does.
    levels = [2**i for i in range(1, scale.bit_length() - 1)] if intermediate else []
    keys = {**{f"lr_div{level}": level for level in levels}, "lr": scale}
    return lambda hr: {k: psf_downsample(hr, kernel, factor) for k, factor in keys.items()}


def _spectral(*, scale: int = 1, response=None, centres=None, widths=None, wavelengths=None):
    if scale != 1:
        raise UserError(f"the degradation 'spectral' keeps all pixels: scale is 1, not {scale}")
    if response is None:
        if centres is None or widths is None or wavelengths is None:
            raise UserError(
                "the degradation 'spectral' needs response=, or centres=, widths= and wavelengths="
            )
        response = gaussian_response(
            *(np.asarray(v, float) for v in (centres, widths, wavelengths))
        )
    response = np.asarray(response)
    return lambda hr: {"msi": apply_response(hr, response)}


_OBSERVATIONS: Mapping[str, Callable[..., Callable[[jax.Array], dict[str, jax.Array]]]] = {
    "bicubic": _bicubic,
    "gaussian": _gaussian,
    "psf": _psf,
    "spectral": _spectral,
}
