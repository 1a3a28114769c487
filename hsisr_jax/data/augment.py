"""Augmentations that keep spectra physical: `(hr, key) -> hr` on linear values, `b H W c`."""

from collections.abc import Callable

import jax
import jax.numpy as jnp

from hsisr_jax.errors import UserError

Augmentation = Callable[[jax.Array, jax.Array], jax.Array]


def gain(spread: float = 0.1) -> Augmentation:
    """Brightness: one factor a sample, the same for every band, so that angles stay."""

    def apply(hr: jax.Array, key: jax.Array) -> jax.Array:
        shape = (hr.shape[0], 1, 1, 1)
        return hr * jax.random.uniform(key, shape, hr.dtype, 1 - spread, 1 + spread)

    return apply


def band_gain(spread: float = 0.02) -> Augmentation:
    """Calibration: one factor a band and sample."""

    def apply(hr: jax.Array, key: jax.Array) -> jax.Array:
        shape = (hr.shape[0], 1, 1, hr.shape[-1])
        return hr * (1 + spread * jax.random.normal(key, shape, hr.dtype))

    return apply


def mix(share: float = 0.5) -> Augmentation:
    """Linear mixing: each sample becomes a convex sum with another one of the batch."""

    def apply(hr: jax.Array, key: jax.Array) -> jax.Array:
        weight, use = jax.random.split(key)
        shape = (hr.shape[0], 1, 1, 1)
        chosen = jax.random.bernoulli(use, share, shape)
        part = jnp.where(chosen, jax.random.uniform(weight, shape, hr.dtype, 0.0, 0.5), 0.0)
        return (1 - part) * hr + part * jnp.roll(hr, 1, axis=0)

    return apply


AUGMENTATIONS: dict[str, Callable[..., Augmentation]] = {
    "gain": gain,
    "band_gain": band_gain,
    "mix": mix,
}


def create(name: str, **options) -> Augmentation:
    """An augmentation by name."""
    if name not in AUGMENTATIONS:
        raise UserError(
            f"unknown augmentation {name!r} in config.data.augmentations: known are "
            f"{', '.join(AUGMENTATIONS)}"
        )
    try:
        return AUGMENTATIONS[name](**options)
    except TypeError as error:
        raise UserError(f"config.data.augmentations.{name}: {error}") from None
