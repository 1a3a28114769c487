"""Spectral angle, spectral gradient and total variation of cubes `(..., H, W, C)`.

The angle is not `arccos` of a cosine: near identical spectra the cosine loses all its digits in
float32 (angles below 3e-4 rad drown) and the gradient of `arccos` is infinite. The chord between
the two unit vectors is exact there, so 1 - cos is computed from it. The same goes for opposite
spectra and 1 + cos, the chord to the mirrored vector; the angle comes from both.
Angles near pi, which radiances do not have, are good to 1e-3.
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
    that is 0 / 0 the angle is 0. Values and gradients of finite spectra are finite; where the angle
    is 0 and at zero vectors the gradient is 0. The angle to a spectrum with a NaN is NaN.
    """
    x, y = at_least_float32(x), at_least_float32(y)
    norm_x, norm_y = safe_sqrt((x * x).sum(axis)), safe_sqrt((y * y).sum(axis))
    unit_x, unit_y = (v / _or_one(jnp.expand_dims(n, axis)) for v, n in ((x, norm_x), (y, norm_y)))
    zero = (norm_x == 0) | (norm_y == 0)
    product = norm_x * norm_y
    added = norm_epsilon * (norm_x + norm_y + norm_epsilon) + product_epsilon
    whole = _or_one(product + added)

    def one_minus(sign: int) -> jax.Array:  # 1 - sign * cos, exact where it is small
        chord = 0.5 * jnp.square(unit_x - sign * unit_y).sum(axis)
        return (added + product * jnp.where(zero, 1.0, chord) - sign * dot_epsilon) / whole

    angle = _angle(one_minus(1), one_minus(-1))
    return jnp.where(product + added == 0, 0.0, angle)


def _angle(versine: jax.Array, coversine: jax.Array) -> jax.Array:
    """The angle from 1 - cos and 1 + cos, each exact where it is small; finite gradients."""
    end = (versine <= 1e-30) | (coversine <= 1e-30)  # false for NaN, which thus stays NaN
    v, w = jnp.where(end, 1.0, versine), jnp.where(end, 1.0, coversine)
    angle = 2 * jnp.arctan2(jnp.sqrt(v), jnp.sqrt(w))
    return jnp.where(end, jnp.where(versine > coversine, jnp.pi, 0.0), angle)


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
    """The square root with gradient 0, not infinity, at 0; 0 below 0; NaN of NaN."""
    none = x <= 0
    return jnp.where(none, 0.0, jnp.sqrt(jnp.where(none, 1.0, x)))


def at_least_float32(x: jax.Array) -> jax.Array:
    """`x` in float32, or in float64 if it is."""
    x = jnp.asarray(x)
    return x if x.dtype == jnp.float64 else x.astype(jnp.float32)


def _or_one(x: jax.Array) -> jax.Array:
    """A divisor: 1 where `x` is 0."""
    return jnp.where(x == 0, 1.0, x)
