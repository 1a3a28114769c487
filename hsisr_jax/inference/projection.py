"""Back-projection: an estimate moved until its degradation gives the input back.

Irani and Peleg, "Improving resolution by image registration", CVGIP 53 (1991). What the estimate
lacks at low resolution is upsampled and added. It adds no detail; it keeps a network from
contradicting what was seen, band by band, which holds the spectra of flat areas.
"""

from collections.abc import Callable
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np

from hsisr_jax import resize

BANDS_AT_ONCE = 32  # a large cube need not fit the device


def back_project(
    sr: np.ndarray,
    lr: np.ndarray,
    observe: Callable[[jax.Array], dict],
    *,
    scale: int,
    rounds: int = 1,
    keep_angles: bool = False,
) -> np.ndarray:
    """`sr` (`H W c`) after some rounds of `sr + upsampled(lr - observe(sr)["lr"])`.

    With `keep_angles` each pixel takes the brightness of the result and the spectral direction of
    `sr`: the noise of `lr` then stays out of dark pixels' spectra.
    """
    cut = [slice(i, i + BANDS_AT_ONCE) for i in range(0, sr.shape[-1], BANDS_AT_ONCE)]
    parts = [
        np.asarray(
            _rounds(jnp.asarray(sr[..., s]), jnp.asarray(lr[..., s]), observe, scale, rounds)
        )
        for s in cut
    ]
    projected = np.concatenate(parts, -1)
    return along(sr, projected) if keep_angles else projected


def along(direction: np.ndarray, x: np.ndarray, xp=np) -> np.ndarray:
    """The part of every spectrum of `x` that points as `direction` does."""
    dot = xp.einsum("...c,...c->...", direction, x)
    square = xp.einsum("...c,...c->...", direction, direction)
    factor = xp.where(square > 0, dot / xp.where(square > 0, square, 1), 1)
    return direction * xp.maximum(factor, 0)[..., None]  # never turned round


@partial(jax.jit, static_argnums=(2, 3, 4))
def _rounds(sr: jax.Array, lr: jax.Array, observe: Callable, scale: int, rounds: int) -> jax.Array:
    for _ in range(rounds):
        sr = sr + resize.imresize(lr - observe(sr[None])["lr"][0], scale)
    return sr
