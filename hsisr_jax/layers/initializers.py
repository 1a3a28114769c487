"""Default initialisers of the originals: part of reproducing a training run."""

import math

import jax
import jax.numpy as jnp


def uniform_bound(bound: float):
    """Uniform on `[-bound, bound]`."""

    def init(key: jax.Array, shape: tuple[int, ...], dtype=jnp.float32) -> jax.Array:
        return jax.random.uniform(key, shape, dtype, -bound, bound)

    return init


def torch_uniform(fan_in: int):
    """PyTorch's default for the kernel and the bias of linear and convolution layers."""
    return uniform_bound(1 / math.sqrt(fan_in))


def xavier_normal(gain: float = 1.0):
    """Glorot normal, not truncated, as PyTorch's `xavier_normal_`."""
    scale = gain**2

    def init(key: jax.Array, shape: tuple[int, ...], dtype=jnp.float32) -> jax.Array:
        std = math.sqrt(2 * scale / (shape[-2] + shape[-1]))
        return std * jax.random.normal(key, shape, dtype)

    return init
