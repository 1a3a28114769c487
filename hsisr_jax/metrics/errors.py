"""Errors between a reference cube and an estimate: PSNR, RMSE, ERGAS, correlation, MARE, DD.

Every function takes `(..., H, W, C)` and gives one number for each leading index. What the
published codes do differently is a keyword:

- `data_range`: the peak of PSNR; None takes each band's own maximum in the reference (SSRAN).
- `average`: "bands" scores each band and takes the mean of the scores, "whole" scores the cube.
- `drop_empty`: leave out the bands whose reference sums to zero (SSRAN).
- `shift`, `clip`: added to both cubes, then a clipping, before ERGAS (A-SNLSR: 0.5, [0, 1]).

`mask` (`(..., H, W)`, true where there are data) leaves out the other pixels, whatever they hold.

Degenerate images give finite values, where the published codes give infinity or NaN, and gradients
of finite images are finite: docs/metrics.md has the table. What is not finite scores NaN.
"""

import jax
import jax.numpy as jnp
import numpy as np

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
    mask: jax.Array | None = None,
) -> jax.Array:
    """Peak signal-to-noise ratio in dB, within +-`PSNR_CEILING`."""
    reference, estimate = cubes(reference, estimate, mask)
    kept = kept_bands(reference, drop_empty, mask)
    if average == "bands":
        bands = psnr_per_band(reference, estimate, data_range=data_range, mask=mask)
        return mean_of_bands(bands, kept)
    if average != "whole":
        raise UserError(f"unknown average {average!r} of PSNR; known: bands, whole")
    error = mean_of_bands(mse_per_band(reference, estimate, mask=mask), kept)
    peak = _largest(reference, mask).max(-1) if data_range is None else data_range
    return _decibels(peak, error)


def psnr_per_band(
    reference: jax.Array,
    estimate: jax.Array,
    *,
    data_range: float | None = 1.0,
    mask: jax.Array | None = None,
) -> jax.Array:
    """The PSNR of each band, `(..., C)`."""
    reference, estimate = cubes(reference, estimate, mask)
    peak = _largest(reference, mask) if data_range is None else data_range
    return _decibels(peak, mse_per_band(reference, estimate, mask=mask))


def mse_per_band(
    reference: jax.Array, estimate: jax.Array, *, mask: jax.Array | None = None
) -> jax.Array:
    """The mean squared error of each band, `(..., C)`."""
    reference, estimate = cubes(reference, estimate, mask)
    return spatial_mean(jnp.square(reference - estimate), mask)


def rmse(
    reference: jax.Array,
    estimate: jax.Array,
    *,
    drop_empty: bool = False,
    mask: jax.Array | None = None,
) -> jax.Array:
    """Root of the mean squared error over everything."""
    reference, estimate = cubes(reference, estimate, mask)
    error = mse_per_band(reference, estimate, mask=mask)
    return safe_sqrt(mean_of_bands(error, kept_bands(reference, drop_empty, mask)))


def ergas(
    reference: jax.Array,
    estimate: jax.Array,
    *,
    ratio: float = 4.0,
    shift: float = 0.0,
    clip: tuple[float, float] | None = None,
    drop_empty: bool = False,
    mask: jax.Array | None = None,
) -> jax.Array:
    """`100 / ratio` times the root of the bands' mean of MSE / mean^2; `ratio` is the scale.

    A band whose mean is zero has no relative error and is left out of the mean.
    """
    reference, estimate = cubes(reference, estimate, mask)
    if shift or clip is not None:
        low, high = (None, None) if clip is None else clip
        reference, estimate = (jnp.clip(x + shift, low, high) for x in (reference, estimate))
    mean = spatial_mean(reference, mask)
    kept = kept_bands(reference, drop_empty, mask) & (mean != 0)
    relative = mse_per_band(reference, estimate, mask=mask) / jnp.where(kept, jnp.square(mean), 1.0)
    return 100 / ratio * safe_sqrt(mean_of_bands(relative, kept))


def cc(
    reference: jax.Array,
    estimate: jax.Array,
    *,
    drop_empty: bool = False,
    mask: jax.Array | None = None,
) -> jax.Array:
    """Pearson's correlation of each band over its pixels, mean over bands.

    A band that is constant in the estimate alone scores 0; one that is constant in the reference
    has no correlation and is left out of the mean.
    """
    reference, estimate = cubes(reference, estimate, mask)
    x, y = (x - spatial_mean(x, mask)[..., None, None, :] for x in (reference, estimate))
    # The root of each variance, not of their product: that underflows for faint bands.
    spread_x, spread_y = (safe_sqrt(spatial_mean(x * x, mask)) for x in (x, y))
    varied = -_largest(-reference, mask) < _largest(reference, mask)
    kept = kept_bands(reference, drop_empty, mask) & varied
    spread = spread_x * spread_y
    constant = spread <= 0
    correlation = spatial_mean(x * y, mask) / jnp.where(constant, 1.0, spread)
    return mean_of_bands(jnp.where(constant, 0.0, correlation), kept)


def mare(
    reference: jax.Array, estimate: jax.Array, *, offset: float = 1.0, mask: jax.Array | None = None
) -> jax.Array:
    """Mean of |error| / (reference + offset); pixels where that divisor is 0 divide by 1."""
    reference, estimate = cubes(reference, estimate, mask)
    divisor = reference + offset
    relative = jnp.abs(reference - estimate) / jnp.where(divisor == 0, 1.0, divisor)
    return spatial_mean(relative, mask).mean(-1)


def dd(
    reference: jax.Array,
    estimate: jax.Array,
    *,
    drop_empty: bool = False,
    mask: jax.Array | None = None,
) -> jax.Array:
    """Degree of distortion: mean absolute difference over everything."""
    reference, estimate = cubes(reference, estimate, mask)
    bands = spatial_mean(jnp.abs(reference - estimate), mask)
    return mean_of_bands(bands, kept_bands(reference, drop_empty, mask))


# -- what every metric uses ----------------------------------------------------------------------


def cubes(
    reference: jax.Array, estimate: jax.Array, mask: jax.Array | None = None
) -> tuple[jax.Array, jax.Array]:
    """Checks and returns both cubes in float32 or better, 0 outside the mask; refuses cubes or a
    mask of different shapes."""
    without_own_masks(reference, estimate)
    reference, estimate = at_least_float32(reference), at_least_float32(estimate)
    if reference.shape != estimate.shape or reference.ndim < 3 or reference.size == 0:
        raise UserError(
            f"a metric compares two cubes (..., H, W, C) of one shape, not {reference.shape} "
            f"and {estimate.shape}"
        )
    if mask is None:
        return reference, estimate
    if jnp.shape(mask) != reference.shape[:-1]:
        raise UserError(
            f"a mask has the cubes' rows and columns, {reference.shape[:-1]}, not "
            f"{jnp.shape(mask)}: one value a pixel, true where there are data"
        )
    shown = jnp.asarray(mask, bool)[..., None]
    return jnp.where(shown, reference, 0), jnp.where(shown, estimate, 0)


def without_own_masks(*cubes: jax.Array) -> None:
    """Refuses numpy's masked arrays with hidden values: JAX takes them for ordinary ones."""
    if any(np.ma.is_masked(cube) for cube in cubes):
        raise UserError(
            "a metric does not see the mask of a masked array: give "
            "mask=~(np.ma.getmaskarray(reference) | np.ma.getmaskarray(estimate)).any(-1)"
        )


def spatial_mean(x: jax.Array, mask: jax.Array | None = None) -> jax.Array:
    """Mean over H and W, or over the pixels of the mask, `(..., C)`; NaN where it has none.

    One axis after the other: a single float32 sum over 512 x 512 pixels loses three digits on a
    CPU, two sums over 512 lose none.
    """
    if mask is None:
        return x.mean(-2).mean(-2)
    shown = jnp.asarray(mask, bool)
    share = shown.astype(x.dtype).mean(-1).mean(-1)
    return jnp.where(shown[..., None], x, 0).mean(-2).mean(-2) / share[..., None]


def kept_bands(reference: jax.Array, drop_empty: bool, mask: jax.Array | None = None) -> jax.Array:
    """The mask of bands that count, `(..., C)` bool."""
    if not drop_empty:
        return jnp.ones((*reference.shape[:-3], reference.shape[-1]), bool)
    return spatial_mean(reference, mask) != 0


def mean_of_bands(scores: jax.Array, kept: jax.Array) -> jax.Array:
    """Mean over the kept bands; 0 if there are none."""
    return jnp.where(kept, scores, 0.0).sum(-1) / jnp.maximum(kept.sum(-1), 1)


def _largest(x: jax.Array, mask: jax.Array | None) -> jax.Array:
    """The largest value of each band, `(..., C)`."""
    shown = x if mask is None else jnp.where(jnp.asarray(mask, bool)[..., None], x, -jnp.inf)
    return shown.max((-3, -2))


def _decibels(peak: jax.Array | float, error: jax.Array) -> jax.Array:
    """10 log10(peak^2 / error), within +-`PSNR_CEILING`, also where one of the two is 0."""
    tiny = 1e-30  # its square root squares to a normal float32
    power = jnp.maximum(jnp.square(jnp.asarray(peak, error.dtype)), tiny)
    decibels = 10 * (jnp.log10(power) - jnp.log10(jnp.maximum(error, tiny)))
    return jnp.clip(decibels, -PSNR_CEILING, PSNR_CEILING)
