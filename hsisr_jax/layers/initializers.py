"""Default initialisers of the originals: part of reproducing a training run."""

import math

import jax
import jax.numpy as jnp


def torch_uniform(fan_in: int):
    """PyTorch's default for the kernel and the bias of linear and convolution layers."""
    bound = 1 / math.sqrt(fan_in)

    def init(key: jax.Array, shape: tuple[int, ...], dtype=jnp.float32) -> jax.Array:
        return jax.random.uniform(key, shape, dtype, -bound, bound)

    return init


def xavier_normal(key: jax.Array, shape: tuple[int, ...], dtype=jnp.float32) -> jax.Array:
    """Glorot normal, not truncated, as PyTorch's `xavier_normal_`."""
    return math.sqrt(2 / (shape[-2] + shape[-1])) * jax.random.normal(key, shape, dtype)
