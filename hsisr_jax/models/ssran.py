"""SSRAN: from a multispectral image to a hyperspectral one of the same size.

Zheng, Chen, Lu: "Spectral Super-Resolution of Multispectral Images Using Spatial-Spectral Residual
Attention Network", IEEE Transactions on Geoscience and Remote Sensing 60 (2022). Residual blocks
of a spatial (3x3) and a spectral (1x1) branch, channel attention by a short convolution along the
channels, and the same attention on the output, where it weighs neighbouring bands.

As published: the two branches are concatenated in another order in the first block than in the
others, and a block's 1x1 convolution has a ReLU before its attention. The attention averages over
the whole input, so that the output for a pixel differs between a scene, its tiles and a training
patch. Any image size works (the original fixes the patch size in its graph).
"""

import jax
import jax.numpy as jnp
from flax import linen as nn

from hsisr_jax.errors import UserError
from hsisr_jax.layers.attention import EfficientChannelAttention
from hsisr_jax.layers.conv import Conv
from hsisr_jax.models.network import Network


def _conv(features: int, size: int, name: str) -> Conv:
    """TensorFlow's defaults: Glorot uniform kernels, zero biases."""
    glorot, zeros = nn.initializers.glorot_uniform(), nn.initializers.zeros
    return Conv(features, size, kernel_init=glorot, bias_init=zeros, name=name)


class SpatialSpectralBlock(nn.Module):
    """Spatial and spectral branch, fused by a 1x1 convolution and weighed by channel."""

    kernel_size: int = 5
    spectral_first: bool = False

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        d = x.shape[-1]
        spatial = spectral = x
        for i in range(2):
            spatial = nn.relu(_conv(d, 3, f"spatial_{i}")(spatial))
            spectral = nn.relu(_conv(d, 1, f"spectral_{i}")(spectral))
        pair = (spectral, spatial) if self.spectral_first else (spatial, spectral)
        y = nn.relu(_conv(d, 1, "fuse")(jnp.concatenate(pair, -1)))  # b h w 2*d -> b h w d
        y = EfficientChannelAttention(self.kernel_size, name="attention")(y)
        return nn.relu(x + y)


class SSRAN(nn.Module):
    """Reads `msi`, gives `sr` with `bands` bands at the same resolution."""

    bands: int = 93
    msi_bands: int = 4
    features: int = 64
    blocks: int = 3
    kernel_size: int = 5

    @nn.compact
    def __call__(self, batch: dict, *, train: bool = False) -> dict:
        if "msi" not in batch:
            raise UserError(
                "ssran reads msi, which this dataset lacks: set "
                "config.data.degradation.name=spectral with centres, widths, wavelengths"
            )
        msi = batch["msi"]
        if msi.shape[-1] != self.msi_bands:
            raise UserError(
                f"ssran expects {self.msi_bands} bands, msi has {msi.shape[-1]}: set msi_bands"
            )
        if self.kernel_size % 2 == 0:
            raise UserError(
                f"kernel_size {self.kernel_size} must be odd: a band and its neighbours"
            )
        x = nn.relu(_conv(self.features, 1, "head")(msi))
        for i in range(self.blocks):
            first = i == 0
            x = SpatialSpectralBlock(self.kernel_size, first, name=f"block_{i}")(x)  # b h w d
            self.sow("intermediates", f"block{i + 1}", x)
        y = _conv(self.bands, 1, "tail")(x)  # b h w c
        return {"sr": EfficientChannelAttention(self.kernel_size, name="attention")(y)}


NETWORK = Network(
    "ssran",
    SSRAN,
    reads=("msi",),
    whole="attention between all bands and pixels",
    last_layer=lambda ssran: "tail",
    tiny={"features": 16},
    may_be_zero=("blocks",),
)
