"""Spectral fidelity: spectral angle (SAM), its map, APPSA, and the information divergence (SID).

Each published SAM divides by something slightly different: nothing, with zero pixels left out
(SSPSR, SRLSGAT; degrees); norms enlarged by 1e-4 (A-SNLSR; radians, so that identical spectra are
0.01 apart); machine epsilon in all three places (SSRAN; degrees). All are keywords here.
"""

import jax
import jax.numpy as jnp

from hsisr_jax.metrics.errors import cubes, kept_bands, spatial_mean
from hsisr_jax.ops.spectral import spectral_angle

DEGREES = 180 / jnp.pi


def sam(
    reference: jax.Array,
    estimate: jax.Array,
    *,
    degrees: bool = True,
    skip_zero: bool = True,
    norm_epsilon: float = 0.0,
    dot_epsilon: float = 0.0,
    drop_empty: bool = False,
    mask: jax.Array | None = None,
) -> jax.Array:
    """Mean spectral angle over pixels; `skip_zero` leaves out pixels where a spectrum is zero.

    Without any pixel left, 0. `mask` is as in `metrics.errors`.
    """
    reference, estimate = cubes(reference, estimate, mask)
    if drop_empty:  # a band that is left out adds to no norm and no product
        kept = kept_bands(reference, True, mask)
        estimate = jnp.where(kept[..., None, None, :], estimate, 0.0)
    angle = spectral_angle(
        reference, estimate, norm_epsilon=norm_epsilon, dot_epsilon=dot_epsilon
    )  # ... H W
    if skip_zero:
        counted = (reference != 0).any(-1) & (estimate != 0).any(-1)
        angle = _mean_hw(jnp.where(counted, angle, 0.0))
        share = _mean_hw(counted.astype(angle.dtype))
        angle = angle / jnp.where(share > 0, share, 1.0)
    else:
        angle = _mean_hw(angle, mask)
    return angle * DEGREES if degrees else angle


def sam_map(reference: jax.Array, estimate: jax.Array, *, degrees: bool = True) -> jax.Array:
    """The spectral angle of every pixel, `(..., H, W)`; 0 where either spectrum is zero."""
    reference, estimate = cubes(reference, estimate)
    angle = spectral_angle(reference, estimate)
    return angle * DEGREES if degrees else angle


def appsa(
    reference: jax.Array,
    estimate: jax.Array,
    *,
    epsilon: float = 1e-3,
    mask: jax.Array | None = None,
) -> jax.Array:
    """Average per-pixel spectral angle in radians, `epsilon` added to the product of the norms."""
    reference, estimate = cubes(reference, estimate, mask)
    return _mean_hw(spectral_angle(reference, estimate, product_epsilon=epsilon), mask)


def sid(
    reference: jax.Array,
    estimate: jax.Array,
    *,
    epsilon: float = 1e-3,
    mask: jax.Array | None = None,
) -> jax.Array:
    """Spectral information divergence as SSPSR has it: of bands, unnormalised, in decimal digits.

    The published form is NaN once a value falls below -epsilon; here the logarithm's argument stays
    above epsilon / 1000.
    """
    reference, estimate = cubes(reference, estimate, mask)
    logs = (jnp.log10(jnp.maximum(x + epsilon, epsilon / 1000)) for x in (reference, estimate))
    difference = next(logs) - next(logs)
    bands = jnp.abs(spatial_mean((reference - estimate) * difference, mask))
    return bands.mean(-1)


def _mean_hw(x: jax.Array, mask: jax.Array | None = None) -> jax.Array:
    return spatial_mean(x[..., None], mask)[..., 0]
