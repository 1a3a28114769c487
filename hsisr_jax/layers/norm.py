"""Normalisation with PyTorch's conventions; statistics are always float32."""

from functools import cache

import jax
import jax.numpy as jnp
from flax import linen as nn

from hsisr_jax.errors import UserError
from hsisr_jax.ops.derivatives import with_gradient


class BatchNorm(nn.Module):
    """Batch normalisation over all axes but the last.

    Running variances are unbiased, as in PyTorch. Under a sharded batch the statistics are those of
    the global batch. `groups` divides the batch into that many parts, each normalised on its own,
    whatever the mesh: one a device is what a data-parallel original does, and sends nothing.
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
        mean, var = running_mean.value, running_var.value
        if not train:
            shape = (1,) * (x.ndim - 1) + (d,)
            mean, var, scale, bias = (a.reshape(shape) for a in (mean, var, scale, bias))
            factor = scale * jax.lax.rsqrt(var + self.epsilon)
            return ((x.astype(jnp.float32) - mean) * factor + bias).astype(x.dtype)
        groups = 1 if self.is_initializing() else self.groups
        if groups < 1 or x.shape[0] % groups:
            raise UserError(
                f"a batch of {x.shape[0]} cannot be normalised in {groups} equal parts: "
                "change batch_size or model.norm_groups"
            )
        y = x.reshape(groups, -1, d)  # g n d
        rows = (a.reshape(1, 1, d) for a in (scale, bias, mean))
        y, means, variances = normalise(y, *rows, self.epsilon)
        if not self.is_initializing():
            n = y.shape[1]
            unbiased = variances.mean((0, 1)) * (n / max(n - 1, 1))
            running_mean.value += self.momentum * (means.mean((0, 1)) - mean)
            running_var.value += self.momentum * (unbiased - var)
        return y.reshape(x.shape)


def normalise(
    x: jax.Array, scale: jax.Array, bias: jax.Array, near: jax.Array, epsilon: float
) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Each group of `g n d` by its own statistics: the result, the means and the variances.

    Two sums over pixels forward and two backward, and neither waits for the other: one pass over
    memory, and one message where the pixels lie on several devices. `near` is a guess of the mean,
    which spares the variance as a difference of squares most of its rounding; like scale and bias
    it is `1 1 d`.
    """
    return _normaliser(epsilon)(x, scale, bias, near)


@cache
def _normaliser(epsilon: float):
    """`normalise` with its gradient: two sums, where autodiff's form makes more passes."""

    def forward(x, scale, bias, near):
        y = x.astype(jnp.float32) - near
        mean = y.mean(1, keepdims=True)  # g 1 d
        var = jnp.maximum(jnp.square(y).mean(1, keepdims=True) - jnp.square(mean), 0)
        centre, inverse = mean + near, jax.lax.rsqrt(var + epsilon)
        y = ((y - mean) * (inverse * scale) + bias).astype(x.dtype)
        return (y, centre, var), (x, scale, near, mean, inverse)

    def backward(residuals, cotangents):
        x, scale, near, mean, inverse = residuals
        dy, n = cotangents[0].astype(jnp.float32), x.shape[1]  # running statistics pass none on
        y = (x.astype(jnp.float32) - near - mean) * inverse
        of_bias, of_scale = dy.sum(1, keepdims=True), _pixel_sum(dy * y)  # g 1 d
        dx = scale * inverse * (dy - (of_bias + y * of_scale) / n)
        sums = (a.sum(0, keepdims=True).astype(scale.dtype) for a in (of_scale, of_bias))
        return dx.astype(x.dtype), *sums, jnp.zeros_like(near)

    def point(residuals):
        x, scale, near = residuals[:3]
        return x, scale, jnp.zeros_like(scale), near  # no tangent depends on the bias

    return with_gradient(forward, backward, point)(lambda *args: forward(*args)[0])


def _pixel_sum(products: jax.Array) -> jax.Array:
    """The sum of `g n d` over `n`, as a product of matrices.

    On a CPU jax 0.10 takes 13 times as long where it fuses a sum with the product of two arrays.
    """
    ones = jnp.ones((products.shape[0], 1, products.shape[1]), products.dtype)
    return jnp.einsum("gun,gnd->gud", ones, products, precision="highest")


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
