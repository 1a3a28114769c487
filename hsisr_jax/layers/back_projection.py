"""Back-projection: an estimate moved until its degradation gives the input back.

Irani and Peleg, "Improving resolution by image registration", CVGIP 53 (1991). What the estimate
lacks at low resolution is upsampled and added. It adds no detail; it keeps an estimate from
contradicting what was seen, band by band, which holds the spectra of flat areas.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp

from hsisr_jax import resize

DARK = 0.3  # of the mean of the training scenes: water and shadow, whose spectra are mostly noise
Observe = Callable[[jax.Array], dict[str, jax.Array]]  # what the sensor sees: `lr` and more


def back_projected(
    x: jax.Array,
    lr: jax.Array,
    observe: Observe,
    *,
    scale: int,
    rounds: int,
    dark: float | jax.Array = 0.0,
) -> jax.Array:
    """`x` (`b H W c`) after some rounds of `x + upsampled(lr - observe(x)["lr"])`; see `held`."""
    moved = x
    for _ in range(rounds):
        moved = moved + resize.imresize(lr - observe(moved)["lr"], scale)
    return held(x, moved, dark, jnp)


def held(x, moved, dark, xp):
    """`moved`, but where `x` is darker than `dark` (root mean square of a spectrum) only its
    brightness: the spectral direction stays that of `x`. Up to twice as bright, in part.

    The noise of `lr`, and what bright neighbours leave behind, stay out of dark pixels' spectra.
    """
    if isinstance(dark, float) and not dark:
        return moved
    kept = along(x, moved, xp)
    brightness = xp.sqrt(xp.mean(x * x, -1, keepdims=True))
    return kept + xp.clip(brightness / dark - 1, 0, 1) * (moved - kept)


def along(direction, x, xp):
    """The part of every spectrum of `x` that points as `direction` does."""
    dot = xp.einsum("...c,...c->...", direction, x)
    square = xp.einsum("...c,...c->...", direction, direction)
    factor = xp.where(square > 0, dot / xp.where(square > 0, square, 1), 1)
    return direction * xp.maximum(factor, 0)[..., None]  # never turned round
