"""The residual block of EDSR and RCAN, the brick of SSPSR and of SRLSGAT's decoder."""

import jax
from flax import linen as nn

from hsisr_jax.layers.attention import ChannelAttention
from hsisr_jax.layers.conv import Conv
from hsisr_jax.layers.norm import BatchNorm


class ResidualBlock(nn.Module):
    """`x + scale * (conv - [norm] - ReLU - conv - [norm] - [channel attention])(x)`."""

    kernel_size: int = 3
    norm: bool = False
    attention: bool = False
    scale: float = 1.0
    norm_groups: int = 1  # parts of a batch with statistics of their own

    @nn.compact
    def __call__(self, x: jax.Array, *, train: bool = False) -> jax.Array:
        y = x
        for i in range(2):
            y = Conv(x.shape[-1], self.kernel_size, name=f"conv_{i}")(y)
            if self.norm:
                y = BatchNorm(groups=self.norm_groups, name=f"norm_{i}")(y, train=train)
            if i == 0:
                y = nn.relu(y)
        if self.attention:
            y = ChannelAttention(name="attention")(y)
        return x + self.scale * y
