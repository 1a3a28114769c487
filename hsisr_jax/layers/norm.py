"""Normalisation with PyTorch's conventions; statistics are always float32."""

import jax
import jax.numpy as jnp
from flax import linen as nn


class BatchNorm(nn.Module):
    """Batch normalisation over all axes but the last.

    Running variances are unbiased, as in PyTorch. Under a sharded batch the statistics are those of
    the global batch; `groups` divides the batch into that many parts normalised each on its own,
    which is what one part per device does in a data-parallel original.
    """

    momentum: float = 0.1
    epsilon: float = 1e-5
    groups: int = 1

    @nn.compact
    def __call__(self, x: jax.Array, *, train: bool) -> jax.Array:
        d = x.shape[-1]
        scale = self.param("scale", nn.initializers.ones, (d,))
        bias = self.param("bias", nn.initializers.zeros, (d,))
        running_mean = self.variable("batch_stats", "mean", jnp.zeros, (d,), jnp.float32)
        running_var = self.variable("batch_stats", "var", jnp.ones, (d,), jnp.float32)
        y = x.astype(jnp.float32).reshape(self.groups, -1, d)  # g n d
        if train:
            mean = y.mean(1, keepdims=True)
            var = jnp.square(y - mean).mean(1, keepdims=True)
            if not self.is_initializing():
                n = y.shape[1]
                unbiased = var.mean((0, 1)) * (n / max(n - 1, 1))
                running_mean.value += self.momentum * (mean.mean((0, 1)) - running_mean.value)
                running_var.value += self.momentum * (unbiased - running_var.value)
        else:
            mean = running_mean.value.reshape(1, 1, d)
            var = running_var.value.reshape(1, 1, d)
        y = (y - mean) * jax.lax.rsqrt(var + self.epsilon)
        y = y * scale.reshape(1, 1, d) + bias.reshape(1, 1, d)
        return y.reshape(x.shape).astype(x.dtype)


class LayerNorm(nn.Module):
    """Layer normalisation over the last axis."""

    epsilon: float = 1e-5

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        d = x.shape[-1]
        shape = (1,) * (x.ndim - 1) + (d,)
        scale = self.param("scale", nn.initializers.ones, (d,)).reshape(shape)
        bias = self.param("bias", nn.initializers.zeros, (d,)).reshape(shape)
        y = x.astype(jnp.float32)
        y -= y.mean(-1, keepdims=True)
        y *= jax.lax.rsqrt(jnp.square(y).mean(-1, keepdims=True) + self.epsilon)
        return (y * scale + bias).astype(x.dtype)
