"""RCAM: residual channel attention modules with progressive upsampling, one factor 2 a stage.

Zhang, Fu, Huang, Li, You, Yan: "RGB-guided hyperspectral image super-resolution with deep
progressive learning", CAAI Transactions on Intelligence Technology 9 (2023), section 3, in the form
that the A-SNLSR code uses as a baseline for single images: the RGB guide and its fusion are left
out, so that each stage sees the cube alone. The last layer of a stage is a leaky ReLU (a band can
get stuck at zero under a plain one), and with `bicubic_skip` every stage, not only the last, adds
the bicubic upsampling (PyTorch's) of the low-resolution input.

`out["stages"]` are the outputs before the last, at scales 2, 4, ...: the `rcam` loss compares them
with `lr_div*`. Any image size works.
"""

import math

import jax
import jax.numpy as jnp
from flax import linen as nn

from hsisr_jax.errors import UserError
from hsisr_jax.layers.attention import ChannelAttention
from hsisr_jax.layers.conv import Conv, ConvTranspose
from hsisr_jax.models.network import Network, lr_of
from hsisr_jax.resize import interpolate


class ResidualAttention(nn.Module):
    """Two 1x1 convolutions, and what channel attention keeps of them added once more."""

    features: int

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        x = nn.relu(Conv(self.features, 1, name="conv_0")(x))
        x = Conv(self.features, 1, name="conv_1")(x)
        return x + ChannelAttention(reduction=4, name="attention")(x)


class DenseBlock(nn.Module):
    """A chain of attention modules; one convolution sees the outputs of all of them."""

    features: int
    out_features: int
    rcams: int
    last: bool

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        outputs = []
        for i in range(self.rcams):
            x = ResidualAttention(self.features, name=f"rcam_{i}")(x)
            outputs.append(x)
        y = jnp.concatenate(outputs, -1)  # b h w rcams*d
        y = Conv(self.out_features, 1 if self.last else 3, name="fuse")(y)
        return nn.leaky_relu(y, 0.01) if self.last else nn.relu(y)


class FusionSubnet(nn.Module):
    """Densely linked blocks and a transposed convolution that doubles the resolution."""

    bands: int
    features: int
    dense_blocks: int
    rcams: int

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        seen = [nn.relu(Conv(self.features, 1, name="head")(x))]
        for i in range(self.dense_blocks):
            last = i == self.dense_blocks - 1
            width = self.bands if last else self.features
            block = DenseBlock(self.features, width, self.rcams, last, name=f"dense_{i}")
            seen.append(block(jnp.concatenate(seen, -1)))
        return ConvTranspose(self.bands, 4, 2, padding=1, name="upsample")(seen[-1])


class RCAM(nn.Module):
    """One fusion network for each factor 2 of the scale."""

    bands: int = 30
    scale: int = 4
    features: int = 64
    dense_blocks: int = 4
    rcams: int = 4
    input_bands: int | None = None
    bicubic_skip: bool = False

    @nn.compact
    def __call__(self, batch: dict, *, train: bool = False) -> dict:
        x = lr = lr_of(batch, "rcam")
        self._check(lr)
        outputs = []
        for i in range(round(math.log2(self.scale))):
            stage = FusionSubnet(
                self.bands, self.features, self.dense_blocks, self.rcams, name=f"stage_{i}"
            )
            x = stage(x)  # b 2*h 2*w c
            if self.bicubic_skip:
                x += interpolate(lr, x.shape[1:3])
            outputs.append(x)
        return {"sr": outputs[-1], "stages": outputs[:-1]}

    def _check(self, lr: jax.Array) -> None:
        if self.scale < 2 or self.scale & (self.scale - 1):
            raise UserError(f"rcam cannot upsample by {self.scale}: use 2, 4, 8 or 16")
        if min(self.dense_blocks, self.rcams) < 1:
            raise UserError("rcam needs dense_blocks and rcams of at least 1")
        expected = self.bands if self.input_bands is None else self.input_bands
        if lr.shape[-1] != expected:
            raise UserError(f"rcam expects {expected} bands, lr has {lr.shape[-1]}: set bands")
        if self.bicubic_skip and expected != self.bands:
            raise UserError(f"{expected} input bands cannot be added to {self.bands}: bicubic_skip")


NETWORK = Network(
    "rcam",
    RCAM,
    whole="channel attention",
    last_layer=lambda rcam: f"stage_{rcam.scale.bit_length() - 2}/upsample",
    adds_bicubic=lambda rcam: rcam.bicubic_skip,
    input_bands=lambda rcam: rcam.input_bands,
    tiny={"features": 16, "dense_blocks": 2, "rcams": 2},
    may_be_zero=("rcams",),  # refused in the network's own words
)
