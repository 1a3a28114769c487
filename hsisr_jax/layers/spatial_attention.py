"""Attention over space: a mask from a wide, downsampled view, and CBAM's two masks in a row."""

import jax
import jax.numpy as jnp
from flax import linen as nn

from hsisr_jax.errors import UserError
from hsisr_jax.layers.conv import Conv, Dense
from hsisr_jax.ops.largest import largest
from hsisr_jax.resize import interpolate

POOL, POOL_STRIDE = 7, 3


class SpatialAttention(nn.Module):
    """Enhanced spatial attention (RFANet, CVPR 2020), as SNLSR uses it (`ESA`).

    The original needs sides of 15 pixels or more, because its pooling window of 7 follows a strided
    convolution. On smaller maps the window here shrinks to what is left, down to sides of 3, the
    convolution's own.
    """

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        b, h, w, d = x.shape
        if min(h, w) < 3:
            raise UserError(f"spatial attention needs sides of 3 pixels or more, not {h} x {w}")
        f = d // 4
        if f < 1:
            raise UserError(f"spatial attention needs 4 features or more, not {d}")
        narrow = Dense(f, name="reduce")(x)  # b h w f
        y = Conv(f, stride=2, padding=0, name="stride")(narrow)
        window = tuple(min(POOL, side) for side in y.shape[1:3])
        y = nn.max_pool(y, window, (POOL_STRIDE, POOL_STRIDE))
        y = nn.relu(Conv(f, name="pooled_0")(y))
        y = nn.relu(Conv(f, name="pooled_1")(y))
        y = Conv(f, name="pooled_2")(y)
        y = interpolate(y, (h, w), method="bilinear")
        y = y + Dense(f, name="skip")(narrow)
        return x * nn.sigmoid(Dense(d, name="expand")(y))


class ConvolutionalBlockAttention(nn.Module):
    """CBAM (Woo et al., ECCV 2018): a weight a channel, then a weight a pixel."""

    reduction: int = 4

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        d = x.shape[-1]
        squeeze = Dense(d // self.reduction, use_bias=False, name="squeeze")
        excite = Dense(d, use_bias=False, name="excite")
        pooled = jnp.stack([_mean(x, (1, 2)), largest(x, (1, 2))], axis=1)  # b 2 d
        weight = nn.sigmoid(excite(nn.relu(squeeze(pooled))).sum(1))
        x = x * weight[:, None, None]
        views = jnp.stack([_mean(x, -1), largest(x, -1)], axis=-1)  # b h w 2
        mask = Conv(1, kernel_size=7, mode="reflect", use_bias=False, name="mask")(views)
        return x * nn.sigmoid(mask)


def _mean(x: jax.Array, axes) -> jax.Array:
    """The mean over `axes`, summed in float32."""
    return x.mean(axes, dtype=jnp.promote_types(x.dtype, jnp.float32)).astype(x.dtype)
