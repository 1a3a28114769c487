"""SNLSR's spectral-spatial attention module (Hu et al., IEEE TIP 33, 2024, section III).

A module refines abundance features along two ways, spectral (attention between the channels of a
pixel) and spatial (a mask from a wide, downsampled view), and adds what each changes. As in the
authors' code, the spectral way's residual is its embedded feature, not its input.
"""

import jax
import jax.numpy as jnp
from flax import linen as nn

from hsisr_jax.errors import UserError
from hsisr_jax.layers.conv import Conv, Dense, DepthwiseConv
from hsisr_jax.layers.initializers import torch_uniform
from hsisr_jax.layers.spatial_attention import SpatialAttention
from hsisr_jax.ops.series import full_attention, series_attention

ATTENTION = {"series": series_attention, "full": full_attention}


class Matrix(nn.Module):
    """The kernel of a linear layer without a bias, for a product that its user writes."""

    features: int

    @nn.compact
    def __call__(self, inputs: int) -> jax.Array:
        return self.param("kernel", torch_uniform(inputs), (inputs, self.features))


class Merge(nn.Module):
    """A 1x1 convolution of several feature maps side by side, without putting them together."""

    features: int

    @nn.compact
    def __call__(self, maps: tuple[jax.Array, ...]) -> jax.Array:
        widths = [x.shape[-1] for x in maps]
        init = torch_uniform(sum(widths))
        kernel = self.param("kernel", init, (sum(widths), self.features))
        bias = self.param("bias", init, (self.features,))
        work = jnp.promote_types(kernel.dtype, jnp.float32)  # one rounding, as in one product
        y, start = bias.reshape(1, 1, 1, -1).astype(work), 0
        for x, width in zip(maps, widths):
            part = kernel[start : start + width]
            y = y + jnp.matmul(x, part, preferred_element_type=work)
            start += width
        return y.astype(maps[0].dtype)


class SpectralAttention(nn.Module):
    """Softmax attention between the channels of each pixel (`SANL`).

    Queries and keys are scaled to unit length. `attention` is `series`, exact to float32 rounding
    and many times faster, or `full`, which makes a matrix of all pairs of channels for each pixel.
    """

    attention: str = "series"

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        if self.attention not in ATTENTION:
            raise UserError(
                f"unknown attention {self.attention!r}: known are {', '.join(ATTENTION)}"
            )
        d = x.shape[-1]
        x = nn.relu(Conv(d, name="embed_0")(x))
        x = Conv(d, name="embed_1")(x)
        query, key, value = (
            jnp.einsum("bhwi,io->obhw", x, Matrix(d, name=name)(d)).reshape(d, -1)  # d p
            for name in ("query", "key", "value")
        )
        work = jnp.promote_types(x.dtype, jnp.float32)
        y = ATTENTION[self.attention](_unit(query), _unit(key), value.astype(work))
        y = jnp.moveaxis(y.astype(x.dtype).reshape(d, *x.shape[:3]), 0, -1)  # b h w d
        return Dense(d, name="out")(y) + x


class DifferenceFusion(nn.Module):
    """Adds what each way changed, by a 1x1 convolution and by a depthwise 3x3 (`DDP`)."""

    @nn.compact
    def __call__(self, x: jax.Array, spectral: jax.Array, spatial: jax.Array) -> jax.Array:
        point = Dense(x.shape[-1], name="point")(spectral - x)
        return x + point + DepthwiseConv(3, name="depth")(spatial - x)


class SpectralSpatialAttention(nn.Module):
    """One module (`SSAM`) over one or several feature maps, the dense links of those before it."""

    features: int
    attention: str = "series"

    @nn.compact
    def __call__(self, *maps: jax.Array) -> jax.Array:
        x = maps[0] if len(maps) == 1 else Merge(self.features, name="merge")(maps)
        spectral = SpectralAttention(self.attention, name="spectral")(x)
        spatial = SpatialAttention(name="spatial")(x)
        self.sow("intermediates", "spectral_attention", spectral)
        self.sow("intermediates", "spatial_attention", spatial)
        return DifferenceFusion(name="fusion")(x, spectral, spatial)


def _unit(x: jax.Array) -> jax.Array:
    """Columns of unit length, in float32; a column of zeros stays one and has no gradient."""
    x = x.astype(jnp.promote_types(x.dtype, jnp.float32))
    square = jnp.sum(jnp.square(x), axis=0, keepdims=True)
    some = square > 1e-24
    return x * jnp.where(some, jax.lax.rsqrt(jnp.where(some, square, 1)), 0)
