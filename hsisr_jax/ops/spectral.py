"""Differences along space and spectrum, and the angle between spectra: for losses and metrics.

Everything is computed in float32 at least, whatever the input, with finite gradients everywhere.
"""

import jax
import jax.numpy as jnp


def at_least_float32(x: jax.Array) -> jax.Array:
    """`x`, or its float32 copy when it is of a shorter type."""
    return x.astype(jnp.promote_types(x.dtype, jnp.float32))


def safe_norm(x: jax.Array, *, axis: int = -1) -> jax.Array:
    """Euclidean norm whose gradient at zero is zero, not NaN."""
    square = jnp.sum(jnp.square(x), axis=axis)
    positive = square > 0
    return jnp.where(positive, jnp.sqrt(jnp.where(positive, square, 1)), 0)


def spectral_angle(x: jax.Array, y: jax.Array, *, epsilon: float = 0.0) -> jax.Array:
    """Angle in radians between the spectra of two cubes, `... c` -> `...`.

    `epsilon` is added to each norm. A zero spectrum is at a right angle to everything. The cosine
    is held one rounding step inside (-1, 1), where the derivative of arccos is still finite; equal
    spectra then have an angle of about 5e-4 (float32) and a zero gradient.
    """
    x, y = at_least_float32(x), at_least_float32(y)
    norms = (safe_norm(x) + epsilon) * (safe_norm(y) + epsilon)
    cosine = jnp.sum(x * y, axis=-1) / jnp.where(norms > 0, norms, 1)
    limit = 1 - float(jnp.finfo(cosine.dtype).eps)
    return jnp.arccos(jnp.clip(cosine, -limit, limit))


def spectral_gradient(x: jax.Array) -> jax.Array:
    """Differences between neighbouring bands, `... c` -> `... c-1`."""
    return x[..., 1:] - x[..., :-1]


def spatial_gradients(x: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Differences between neighbouring rows and between neighbouring columns of `... h w c`."""
    return x[..., 1:, :, :] - x[..., :-1, :, :], x[..., :, 1:, :] - x[..., :, :-1, :]


def mean_square(x: jax.Array) -> jax.Array:
    """Mean of the squares over everything; zero for an array without elements."""
    return jnp.sum(jnp.square(at_least_float32(x))) / max(x.size, 1)


def spatial_total_variation(x: jax.Array) -> jax.Array:
    """Mean squared difference between rows plus that between columns."""
    rows, columns = spatial_gradients(at_least_float32(x))
    return mean_square(rows) + mean_square(columns)


def spectral_total_variation(x: jax.Array) -> jax.Array:
    """Mean squared difference between neighbouring bands."""
    return mean_square(spectral_gradient(at_least_float32(x)))
