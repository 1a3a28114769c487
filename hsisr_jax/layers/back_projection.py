"""Back-projection: corrects an estimate until its degradation reproduces the input.

Irani and Peleg, "Improving resolution by image registration", CVGIP 53 (1991). The
difference between the input and the degraded estimate is upsampled and added, band by band. It adds
no detail, but makes the estimate consistent with the input, which preserves the spectra of flat
areas.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp

from hsisr_jax import resize

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
    """Returns `moved`, except where `x` is dark: there only the brightness changes.

    Below `dark` (root mean square of a spectrum) the spectral direction stays that of `x`; from
    there to twice that, both are blended linearly.

    This keeps the noise of `lr` and the influence of bright neighbours out of dark pixels' spectra.
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
    return direction * xp.maximum(factor, 0)[..., None]  # never reversed
