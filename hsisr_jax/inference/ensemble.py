"""The x8 geometric self-ensemble: the mean over all flips and rotations of the input."""

from collections.abc import Callable

import jax
import jax.numpy as jnp

from hsisr_jax.data.sampler import SYMMETRIES


def over_symmetries(run: Callable[[dict], jax.Array]) -> Callable[[dict], jax.Array]:
    """`run` averaged over the eight symmetries. Images need not be square: the four symmetries
    that transpose run in a second call of the transposed shape."""

    def averaged(inputs: dict) -> jax.Array:
        total = 0.0
        for number in range(SYMMETRIES):
            turned = {name: _turn_all(x, number) for name, x in inputs.items()}
            total = total + _unturn_all(jnp.asarray(run(turned)), number)
        return total / SYMMETRIES

    return averaged


def _turn_all(x: jax.Array, number: int) -> jax.Array:
    """Every image of a batch under the same symmetry, of any shape."""
    x = x[:, ::-1] if number & 1 else x
    x = x[:, :, ::-1] if number & 2 else x
    return x.swapaxes(1, 2) if number & 4 else x


def _unturn_all(x: jax.Array, number: int) -> jax.Array:
    x = x.swapaxes(1, 2) if number & 4 else x
    x = x[:, :, ::-1] if number & 2 else x
    return x[:, ::-1] if number & 1 else x
