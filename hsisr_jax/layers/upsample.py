"""Sub-pixel upsampling."""

import math

import jax
from flax import linen as nn

from hsisr_jax.errors import UserError
from hsisr_jax.layers.conv import Conv


def pixel_shuffle(x: jax.Array, factor: int) -> jax.Array:
    """`b h w (c f f)` -> `b h*f w*f c`, channels ordered as PyTorch orders them."""
    b, h, w, c = x.shape
    c //= factor * factor
    x = x.reshape(b, h, w, c, factor, factor).transpose(0, 1, 4, 2, 5, 3)  # b h f w f c
    return x.reshape(b, h * factor, w * factor, c)


def stages(scale: int) -> tuple[int, ...]:
    """The shuffles that make up `scale`: twos for a power of two, one three for three."""
    if scale == 3:
        return (3,)
    power = round(math.log2(scale)) if scale > 0 else -1
    if scale < 1 or 2**power != scale:
        raise UserError(f"scale {scale} cannot be upsampled: use 3 or a power of two")
    return (2,) * power


class Upsampler(nn.Module):
    """A 3x3 convolution and a pixel shuffle for each factor of the scale."""

    scale: int

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        features = x.shape[-1]
        for i, factor in enumerate(stages(self.scale)):
            x = Conv(factor * factor * features, name=f"conv_{i}")(x)
            x = pixel_shuffle(x, factor)  # b h*f w*f d
        return x
