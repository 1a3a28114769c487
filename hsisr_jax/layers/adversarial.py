"""Domain discriminators of A-SNLSR and the gradient reversal in front of them.

A discriminator reads abundances, `b h w m`, and gives one logit a domain for every pixel. What is
before it gets its gradient times `-strength` (Ganin and Lempitsky, ICML 2015), so that one
minimisation trains both sides.

Departures from the published code: the fully connected one takes any size (the code reshapes to
32 x 32), the one-dimensional one any batch.
"""

import jax
import jax.numpy as jnp
from flax import linen as nn

from hsisr_jax.errors import UserError
from hsisr_jax.layers.conv import Conv, Dense
from hsisr_jax.layers.initializers import torch_uniform
from hsisr_jax.layers.norm import BatchNorm
from hsisr_jax.ops.largest import largest

DROPOUT = 0.2


@jax.custom_jvp
def reverse_gradient(x: jax.Array, strength: jax.Array | float) -> jax.Array:
    """The identity, whose gradient is multiplied by `-strength`; `strength` gets no gradient."""
    return x


@reverse_gradient.defjvp
def _reversed(primals, tangents):
    x, strength = primals
    return x, tangents[0] * (-jnp.asarray(strength)).astype(x.dtype)


class Conv2dDiscriminator(nn.Module):
    """One decision per image from two convolutions, repeated over its pixels; as published."""

    domains: int = 2
    features: int = 16
    norm_groups: int = 1

    @nn.compact
    def __call__(self, x: jax.Array, *, train: bool) -> jax.Array:
        b, h, w, _ = x.shape
        if min(h, w) < 4:
            raise UserError(
                f"the conv2d discriminator halves its input twice, {h} x {w} is too small: "
                "use sides of 4 or more, or discriminator='fc'"
            )
        for i in range(2):
            x = Conv((i + 1) * self.features, use_bias=False, name=f"conv_{i}")(x)
            x = BatchNorm(groups=self.norm_groups, name=f"norm_{i}")(x, train=train)
            x = _halve(nn.leaky_relu(x, 0.01))
            # whole channels are dropped
            x = nn.Dropout(DROPOUT, broadcast_dims=(1, 2))(x, deterministic=not train)
        x = x.mean((1, 2), dtype=jnp.promote_types(x.dtype, jnp.float32)).astype(x.dtype)
        logits = Dense(self.domains, name="guess")(x)  # b k
        return jnp.broadcast_to(logits[:, None, None], (b, h, w, self.domains))


class Conv1dDiscriminator(nn.Module):
    """One decision per pixel from two convolutions along its materials."""

    domains: int = 2
    features: int = 8
    norm_groups: int = 1

    @nn.compact
    def __call__(self, x: jax.Array, *, train: bool) -> jax.Array:
        b, h, w, m = x.shape
        if m < 5:
            raise UserError(f"the conv1d discriminator needs 5 materials or more, not {m}")
        y = x.reshape(-1, m, 1)
        for i in range(2):
            y = Conv1d((i + 1) * self.features, name=f"conv_{i}")(y)
            norm, shape = BatchNorm(groups=self.norm_groups, name=f"norm_{i}"), y.shape
            y = norm(y.reshape(b, -1, shape[-1]), train=train).reshape(shape)
            y = nn.Dropout(DROPOUT)(nn.leaky_relu(y, 0.01), deterministic=not train)
        y = y.swapaxes(1, 2).reshape(b, h, w, -1)  # features outermost, as PyTorch flattens
        return Dense(self.domains, name="guess")(y)


class DenseDiscriminator(nn.Module):
    """One decision per pixel from its abundances, by two hidden layers."""

    domains: int = 2
    features: int = 8
    norm_groups: int = 1

    @nn.compact
    def __call__(self, x: jax.Array, *, train: bool) -> jax.Array:
        for i in range(2):
            x = Dense((i + 1) * self.features, use_bias=False, name=f"dense_{i}")(x)
            x = BatchNorm(groups=self.norm_groups, name=f"norm_{i}")(x, train=train)
            x = nn.Dropout(DROPOUT)(nn.leaky_relu(x, 0.01), deterministic=not train)
        return Dense(self.domains, name="guess")(x)


class Conv1d(nn.Module):
    """Convolution along the second axis of `p t i`, without padding or bias, as one product."""

    features: int
    kernel_size: int = 3

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        k, width = self.kernel_size, x.shape[-1]
        kernel = self.param("kernel", torch_uniform(k * width), (k, width, self.features))
        length = x.shape[1] - k + 1
        taps = jnp.concatenate([x[:, i : i + length] for i in range(k)], axis=-1)  # p t k*i
        return taps @ kernel.reshape(k * width, self.features)


def _halve(x: jax.Array) -> jax.Array:
    """The largest of each 2 x 2 pixels; an odd last row or column is left out."""
    b, h, w, d = x.shape
    x = x[:, : h // 2 * 2, : w // 2 * 2]
    return largest(x.reshape(b, h // 2, 2, w // 2, 2, d), (2, 4))


DISCRIMINATORS = {
    "conv2d": Conv2dDiscriminator,
    "conv1d": Conv1dDiscriminator,
    "fc": DenseDiscriminator,
}
