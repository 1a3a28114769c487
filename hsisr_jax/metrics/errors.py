"""Errors between a reference cube and an estimate: PSNR, RMSE, ERGAS, correlation, MARE, DD.

Every function takes `(..., H, W, C)` and gives one number for each leading index. What the
published codes do differently is a keyword:

- `data_range`: the peak of PSNR; None takes each band's own maximum in the reference (SSRAN).
- `average`: "bands" scores each band and takes the mean of the scores, "whole" scores the cube.
- `drop_empty`: leave out the bands whose reference sums to zero (SSRAN).
- `shift`, `clip`: added to both cubes, then a clipping, before ERGAS (A-SNLSR: 0.5, [0, 1]).

Degenerate input gives finite values, where the published codes give infinity or NaN, and gradients
are finite everywhere: docs/metrics.md has the table.
"""

import jax
import jax.numpy as jnp

from hsisr_jax.errors import UserError
from hsisr_jax.ops.spectral import at_least_float32, safe_sqrt

# PSNR of identical images, in dB. The rounding of float32 alone is at about 145.
PSNR_CEILING = 200.0


def psnr(
    reference: jax.Array,
    estimate: jax.Array,
    *,
    data_range: float | None = 1.0,
    average: str = "bands",
    drop_empty: bool = False,
) -> jax.Array:
    """Peak signal-to-noise ratio in dB, within +-`PSNR_CEILING`."""
    reference, estimate = cubes(reference, estimate)
    if average == "bands":
        bands = psnr_per_band(reference, estimate, data_range=data_range)
        return mean_of_bands(bands, kept_bands(reference, drop_empty))
    if average != "whole":
        raise UserError(f"unknown average {average!r} of PSNR; known: bands, whole")
    error = mean_of_bands(mse_per_band(reference, estimate), kept_bands(reference, drop_empty))
    peak = reference.max((-3, -2, -1)) if data_range is None else data_range
    return _decibels(peak, error)


def psnr_per_band(
    reference: jax.Array, estimate: jax.Array, *, data_range: float | None = 1.0
) -> jax.Array:
    """The PSNR of each band, `(..., C)`."""
    reference, estimate = cubes(reference, estimate)
    peak = reference.max((-3, -2)) if data_range is None else data_range
    return _decibels(peak, mse_per_band(reference, estimate))


def mse_per_band(reference: jax.Array, estimate: jax.Array) -> jax.Array:
    """The mean squared error of each band, `(..., C)`."""
    reference, estimate = cubes(reference, estimate)
    return spatial_mean(jnp.square(reference - estimate))


def rmse(reference: jax.Array, estimate: jax.Array, *, drop_empty: bool = False) -> jax.Array:
    """Root of the mean squared error over everything."""
    reference, estimate = cubes(reference, estimate)
    error = mse_per_band(reference, estimate)
    return safe_sqrt(mean_of_bands(error, kept_bands(reference, drop_empty)))


def ergas(
    reference: jax.Array,
    estimate: jax.Array,
    *,
    ratio: float = 4.0,
    shift: float = 0.0,
    clip: tuple[float, float] | None = None,
    drop_empty: bool = False,
) -> jax.Array:
    """`100 / ratio` times the root of the bands' mean of MSE / mean^2; `ratio` is the scale.

    A band whose mean is zero has no relative error and is left out of the mean.
    """
    reference, estimate = cubes(reference, estimate)
    if shift or clip is not None:
        low, high = (None, None) if clip is None else clip
        reference, estimate = (jnp.clip(x + shift, low, high) for x in (reference, estimate))
    mean = spatial_mean(reference)
    kept = kept_bands(reference, drop_empty) & (mean != 0)
    relative = mse_per_band(reference, estimate) / jnp.where(kept, jnp.square(mean), 1.0)
    return 100 / ratio * safe_sqrt(mean_of_bands(relative, kept))


def cc(reference: jax.Array, estimate: jax.Array, *, drop_empty: bool = False) -> jax.Array:
    """Pearson's correlation of each band over its pixels, mean over bands.

    A band that is constant in the estimate alone scores 0; one that is constant in the reference
    has no correlation and is left out of the mean.
    """
    reference, estimate = cubes(reference, estimate)
    x, y = (x - spatial_mean(x)[..., None, None, :] for x in (reference, estimate))
    # The root of each variance, not of their product: that underflows for faint bands.
    spread_x, spread_y = (safe_sqrt(spatial_mean(x * x)) for x in (x, y))
    varied = jnp.min(reference, (-3, -2)) < jnp.max(reference, (-3, -2))
    kept = kept_bands(reference, drop_empty) & varied
    spread = spread_x * spread_y
    correlation = spatial_mean(x * y) / jnp.where(spread > 0, spread, 1.0)
    return mean_of_bands(jnp.where(spread > 0, correlation, 0.0), kept)


def mare(reference: jax.Array, estimate: jax.Array, *, offset: float = 1.0) -> jax.Array:
    """Mean of |error| / (reference + offset); pixels where that divisor is 0 divide by 1."""
    reference, estimate = cubes(reference, estimate)
    divisor = reference + offset
    return _mean(jnp.abs(reference - estimate) / jnp.where(divisor == 0, 1.0, divisor))


def dd(reference: jax.Array, estimate: jax.Array, *, drop_empty: bool = False) -> jax.Array:
    """Degree of distortion: mean absolute difference over everything."""
    reference, estimate = cubes(reference, estimate)
    bands = spatial_mean(jnp.abs(reference - estimate))
    return mean_of_bands(bands, kept_bands(reference, drop_empty))


# -- what every metric uses ----------------------------------------------------------------------


def cubes(reference: jax.Array, estimate: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Both cubes in float32 or better; a clear error where they are not two equal cubes."""
    reference, estimate = at_least_float32(reference), at_least_float32(estimate)
    if reference.shape != estimate.shape or reference.ndim < 3 or reference.size == 0:
        raise UserError(
            f"a metric compares two cubes (..., H, W, C) of one shape, not {reference.shape} "
            f"and {estimate.shape}"
        )
    return reference, estimate


def spatial_mean(x: jax.Array) -> jax.Array:
    """Mean over H and W, `(..., C)`.

    One axis after the other: a single float32 sum over 512 x 512 pixels loses three digits on a
    CPU, two sums over 512 lose none.
    """
    return x.mean(-2).mean(-2)


def kept_bands(reference: jax.Array, drop_empty: bool) -> jax.Array:
    """Which bands count, `(..., C)` bool."""
    if not drop_empty:
        return jnp.ones((*reference.shape[:-3], reference.shape[-1]), bool)
    return spatial_mean(reference) != 0


def mean_of_bands(scores: jax.Array, kept: jax.Array) -> jax.Array:
    """Mean over the kept bands; 0 if there are none."""
    return jnp.where(kept, scores, 0.0).sum(-1) / jnp.maximum(kept.sum(-1), 1)


def _mean(x: jax.Array) -> jax.Array:
    return spatial_mean(x).mean(-1)


def _decibels(peak: jax.Array | float, error: jax.Array) -> jax.Array:
    """10 log10(peak^2 / error), within +-`PSNR_CEILING`, also where one of the two is 0."""
    tiny = 1e-30  # its square root squares to a normal float32
    power = jnp.maximum(jnp.square(jnp.asarray(peak, error.dtype)), tiny)
    decibels = 10 * (jnp.log10(power) - jnp.log10(jnp.maximum(error, tiny)))
    return jnp.clip(decibels, -PSNR_CEILING, PSNR_CEILING)
