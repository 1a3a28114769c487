"""Spectral angle, spectral gradient and total variation of cubes `(..., H, W, C)`.

The angle is not `arccos` of a cosine: near identical spectra the cosine loses all its digits in
float32 (angles below 3e-4 rad drown) and the gradient of `arccos` is infinite. The chord between
the two unit vectors is exact there, so 1 - cos is computed from it, and the angle from 1 - cos.
Statistics are taken in float32 (float64 if the input is) whatever the input's dtype.
"""

import jax
import jax.numpy as jnp


def spectral_angle(
    x: jax.Array,
    y: jax.Array,
    *,
    norm_epsilon: float = 0.0,
    product_epsilon: float = 0.0,
    dot_epsilon: float = 0.0,
    axis: int = -1,
) -> jax.Array:
    """The angle between spectra in radians, along `axis`.

    The cosine is `(x.y + dot) / ((|x| + norm) (|y| + norm) + product)`, clipped to [-1, 1]. Where
    that is 0 / 0 the angle is 0. Values and gradients are finite everywhere; where the angle is 0
    or pi, and at zero vectors, the gradient is 0.
    """
    x, y = at_least_float32(x), at_least_float32(y)
    norm_x, norm_y = safe_sqrt((x * x).sum(axis)), safe_sqrt((y * y).sum(axis))
    unit_x, unit_y = (v / _or_one(jnp.expand_dims(n, axis)) for v, n in ((x, norm_x), (y, norm_y)))
    versine = 0.5 * jnp.square(unit_x - unit_y).sum(axis)  # 1 - cos, exact where it is small
    versine = jnp.where((norm_x == 0) | (norm_y == 0), 1.0, versine)
    product = norm_x * norm_y
    added = norm_epsilon * (norm_x + norm_y + norm_epsilon) + product_epsilon
    whole = product + added
    versine = (added + product * versine - dot_epsilon) / _or_one(whole)
    return angle_of_versine(jnp.where(whole == 0, 0.0, versine))


def angle_of_versine(versine: jax.Array) -> jax.Array:
    """`arccos(1 - versine)` in full precision; 0 below 0, pi above 2; finite gradients."""
    inside = (versine > 1e-30) & (versine < 2)
    v = jnp.where(inside, versine, 1.0)
    angle = 2 * jnp.arctan2(jnp.sqrt(v), jnp.sqrt(2 - v))
    return jnp.where(inside, angle, jnp.where(versine >= 2, jnp.pi, 0.0))


def spectral_gradient(x: jax.Array) -> jax.Array:
    """Differences of neighbouring bands, `(..., C) -> (..., C - 1)`."""
    return x[..., 1:] - x[..., :-1]


def spatial_variation(x: jax.Array) -> jax.Array:
    """Mean squared difference of vertical plus that of horizontal neighbours, a scalar.

    The published hybrid loss divides by the element count of one sample and by the batch, which is
    this mean.
    """
    x = at_least_float32(x)
    down, right = x[..., 1:, :, :] - x[..., :-1, :, :], x[..., 1:, :] - x[..., :-1, :]
    return _mean_square(down) + _mean_square(right)


def spectral_variation(x: jax.Array) -> jax.Array:
    """Mean squared difference of neighbouring bands, a scalar (the published loss doubles it)."""
    return _mean_square(spectral_gradient(at_least_float32(x)))


def _mean_square(x: jax.Array) -> jax.Array:
    """Zero, not 0 / 0, where there are no neighbours: one band, one row."""
    return jnp.square(x).sum() / max(x.size, 1)


def safe_sqrt(x: jax.Array) -> jax.Array:
    """The square root with gradient 0, not infinity, at 0; 0 below 0."""
    positive = x > 0
    return jnp.where(positive, jnp.sqrt(jnp.where(positive, x, 1.0)), 0.0)


def at_least_float32(x: jax.Array) -> jax.Array:
    """`x` in float32, or in float64 if it is."""
    x = jnp.asarray(x)
    return x if x.dtype == jnp.float64 else x.astype(jnp.float32)


def _or_one(x: jax.Array) -> jax.Array:
    """A divisor: 1 where `x` is 0."""
    return jnp.where(x == 0, 1.0, x)
