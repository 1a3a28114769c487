"""Degradations of high-resolution cubes, as a sensor: blur, decimation, responses, noise.

The observation models of the published data sets, as jittable and differentiable functions:
MATLAB's bicubic (SSPSR, SRLSGAT), a measured PSF with A-SNLSR's zero-padded alignment, Gaussians,
square detectors, and spectral responses (SSRAN, A-SNLSR). What depends on wavelengths is numpy.

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
from hsisr_jax.ops import sharpness
from hsisr_jax.ops.blur import psf_downsample
from hsisr_jax.resize import gaussian_downsample, imresize

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


def mtf_downsample(x: jax.Array, factor: int, mtf: float | Sequence[float]) -> jax.Array:
    """Downsamples `(..., H, W, C)` through a Gaussian MTF with the value `mtf` (one, or one a band)
    at the Nyquist frequency of the low resolution; aligned and mirrored as `imresize`."""
    mtf = np.asarray(mtf, float)
    if not np.all((mtf > 0) & (mtf < 1)):
        raise UserError(f"an MTF at the Nyquist frequency lies between 0 and 1, not {mtf}")
    # exp(-2 pi^2 d^2 f^2) = mtf at f = 1 / (2 factor) cycles a pixel
    return gaussian_downsample(x, factor, factor / np.pi * np.sqrt(-2 * np.log(mtf)))


def area_downsample(x: jax.Array, factor: int) -> jax.Array:
    """The mean of every block of factor x factor pixels of `(..., H, W, C)`: square detectors."""
    *lead, h, w, c = x.shape
    return x.reshape(*lead, h // factor, factor, w // factor, factor, c).mean((-4, -2))


# -- spectrum ------------------------------------------------------------------------------------


def gaussian_response(centres: jax.Array, widths: jax.Array, wavelengths: jax.Array) -> jax.Array:
    """Gaussian spectral responses `(len(wavelengths), len(centres))`; every column sums to 1.

    Args:
        centres: of the bands that are simulated, in the unit of `wavelengths`.
        widths: full widths at half maximum (one, or one a band), as sensors and ENVI headers state
            them: `degrade.FWHM` times a standard deviation. A-SNLSR's code calls its standard
            deviations "width".
        wavelengths: of the cube's bands.

    Returns:
        The response, to be used with `apply_response`.
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
    numbers = (centres, widths, wavelengths)
    if known and not (all(np.isfinite(v).all() for v in numbers) and (widths > 0).all()):
        raise UserError("the numbers of a response are finite, and widths are above 0")
    deviations = xp.broadcast_to(widths / FWHM, centres.shape)
    exponent = -0.5 * ((wavelengths[:, None] - centres[None]) / deviations[None]) ** 2
    response = xp.exp(exponent - exponent.max(axis=0, keepdims=True))  # no column can be all zero
    return jnp.asarray(response / response.sum(axis=0, keepdims=True))


def apply_response(x: jax.Array, response: jax.Array) -> jax.Array:
    """`(..., C)` cubes through a response `(C, bands)`, or any linear map of bands.

    Args:
        x: cubes or spectra, bands last.
        response: one column for each band of the result.

    Returns:
        `(..., bands)`, of the type of `x` (float32 for integers).
    """
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


# -- noise ---------------------------------------------------------------------------------------


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
    """The degradation `name`: a function `degradation(hr, key) -> dict` of batch entries.

    Args:
        name: one of `names()`.
        scale: how many times fewer pixels a side the observation has; 1 for `spectral`.
        noise_snr: signal-to-noise ratio in dB, one or one for each observed band.
        **kwargs: options of mtf (`mtf`, one, one a band, or a sensor's name), gaussian (`sigma`,
            `size`), psf (`kernel`, `intermediate=False`) and spectral (`response`, or `centres`,
            `widths` and `wavelengths` of a Gaussian one).

    Returns:
        The degradation, jittable and differentiable; a key is needed with noise only.
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


def _mtf(*, scale: int, mtf: float | str | Sequence[float] = 0.3):
    if mtf == sharpness.AUTO:
        raise UserError("an MTF of 'auto' is estimated from a scene, and there is none here")
    mtf = sharpness.named(mtf) if isinstance(mtf, str) else mtf
    return lambda hr: {"lr": mtf_downsample(hr, scale, mtf)}


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
    "bicubic": lambda *, scale: lambda hr: {"lr": imresize(hr, 1 / scale)},
    "area": lambda *, scale: lambda hr: {"lr": area_downsample(hr, scale)},
    "mtf": _mtf,
    "gaussian": _gaussian,
    "psf": _psf,
    "spectral": _spectral,
}
