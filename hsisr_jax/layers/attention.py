"""Attention over channels: one weight per channel, the same for every pixel."""

import jax
import jax.numpy as jnp
from flax import linen as nn
from jax import lax

from hsisr_jax.errors import UserError
from hsisr_jax.layers.conv import Dense


class ChannelAttention(nn.Module):
    """Squeeze and excitation as in RCAN: spatial mean, two dense layers, a sigmoid a channel."""

    reduction: int = 16

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        features = x.shape[-1]
        if features < self.reduction:
            raise UserError(
                f"channel attention squeezes {features} features by {self.reduction} to none: "
                f"use features >= {self.reduction}"
            )
        y = _mean_over_space(x)  # b d
        y = nn.relu(Dense(features // self.reduction, name="squeeze")(y))
        y = nn.sigmoid(Dense(features, name="excite")(y))
        return x * y[:, None, None]


class EfficientChannelAttention(nn.Module):
    """One short convolution along the channels of the spatial mean, a sigmoid per channel.

    ECA-Net (Wang et al., CVPR 2020) as SSRAN uses it: neighbouring bands weigh each other.
    """

    kernel_size: int = 5

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        k = self.kernel_size
        kernel = self.param("kernel", nn.initializers.glorot_uniform(), (k, 1, 1))
        y = _mean_over_space(x)[..., None]  # b d 1
        y = lax.conv_general_dilated(
            y, kernel, (1,), "SAME", dimension_numbers=("NWC", "WIO", "NWC")
        )
        weights = nn.sigmoid(y)[..., 0]  # b d
        self.sow("intermediates", "weights", weights)
        return x * weights[:, None, None]


def _mean_over_space(x: jax.Array) -> jax.Array:
    """`b h w d` -> `b d`, summed in float32."""
    return x.mean((1, 2), dtype=jnp.float32).astype(x.dtype)
