"""`layers.back_projection` of an estimate of any size."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np

from hsisr_jax.layers.back_projection import Observe, back_projected, held

BANDS_AT_ONCE = 32  # a large cube need not fit the device


def back_project(
    sr: np.ndarray,
    lr: np.ndarray,
    observe: Observe,
    *,
    scale: int,
    rounds: int = 1,
    dark: float = 0.0,
) -> np.ndarray:
    """`sr` (`H W c`) after some rounds, a few bands at a time."""
    cut = [slice(i, i + BANDS_AT_ONCE) for i in range(0, sr.shape[-1], BANDS_AT_ONCE)]
    parts = [
        np.asarray(
            _rounds(jnp.asarray(sr[..., s]), jnp.asarray(lr[..., s]), observe, scale, rounds)
        )
        for s in cut
    ]
    projected = np.concatenate(parts, -1)
    return held(sr, projected, dark, np)


@partial(jax.jit, static_argnums=(2, 3, 4))
def _rounds(sr: jax.Array, lr: jax.Array, observe: Observe, scale: int, rounds: int) -> jax.Array:
    return back_projected(sr[None], lr[None], observe, scale=scale, rounds=rounds)[0]
