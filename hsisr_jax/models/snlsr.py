"""SNLSR: super-resolution in the space of abundances.

Hu, Wang, Jiang, Zhang, Ma, "Exploring the spectral prior for hyperspectral image super-resolution",
IEEE TIP 33, 2024, in the form that A-SNLSR's authors published. An encoder unmixes the cube into
abundances of a few materials, six spectral-spatial attention modules with dense links and two
upsamplings refine them, and the endmembers, one spectrum a material, mix them again.

Departures from the published code:
- `scale` is the scale of the output. The code upsamples twice by `factor // 2`, which is correct
  only for 4; `stage_scales=(factor // 2, factor // 2)` reproduces it.
- Sizes of the input are free; the code needs the constructor's size and sides of at least 15.
- The attention between channels is a power series (`attention="full"` makes the matrix), equal to
  float32 rounding.
- The code freezes encoder and endmembers unless `pretrain` is set. Here `config.optimizer.freeze`
  does that.
"""

import jax
import jax.numpy as jnp
from flax import linen as nn

from hsisr_jax.errors import UserError
from hsisr_jax.layers.conv import Conv, Dense
from hsisr_jax.layers.spatial_attention import ConvolutionalBlockAttention
from hsisr_jax.layers.spectral_attention import Merge, SpectralSpatialAttention
from hsisr_jax.layers.upsample import Upsampler
from hsisr_jax.models.network import Network, lr_of
from hsisr_jax.resize import interpolate


class SNLSR(nn.Module):
    """`lr` -> `sr`, with the `abundance` (`b h w m`) and its `reconstruction` of `lr`."""

    bands: int = 30
    scale: int = 4
    features: int = 64
    materials: int = 16
    bicubic_skip: bool = True
    stage_scales: tuple[int, int] | None = None  # instead of `scale`, the two upsamplings
    attention: str = "series"  # or "full"
    encoder: nn.Module | None = None  # `b h w c` -> `b h w m`; the paper's when None

    @nn.compact
    def __call__(self, batch: dict, *, train: bool = False) -> dict:
        return self._super_resolve(lr_of(batch, "snlsr"))

    def _super_resolve(self, lr: jax.Array) -> dict:
        b, h, w, _ = self._checked(lr).shape
        first, second = self.stage_scales or two_stages(self.scale)
        endmembers = Dense(self.bands, use_bias=False, name="endmembers")
        encoder = self.encoder or UnmixingEncoder(self.materials, name="encoder")

        abundance = encoder(lr)  # b h w m
        if abundance.shape[-1] != self.materials:
            raise UserError(
                f"the encoder gives {abundance.shape[-1]} materials, this network mixes "
                f"{self.materials}: set materials={abundance.shape[-1]}"
            )
        x = Conv(self.features, name="head")(abundance)
        self.sow("intermediates", "features_0", x)
        x = Merge(self.features, name="merge_0")(self._dense_links(x, 0))
        x = Upsampler(first, name="up_0")(x)
        self.sow("intermediates", "features_1", x)
        x = Merge(self.features, name="merge_1")(self._dense_links(x, 3))
        x = Upsampler(second, name="up_1")(x)
        sr = endmembers(Conv(self.materials, name="tail")(x))  # b H W c
        if self.bicubic_skip:
            sr = sr + interpolate(lr, sr.shape[1:3], method="bicubic")
        return {"sr": sr, "abundance": abundance, "reconstruction": endmembers(abundance)}

    def _dense_links(self, x: jax.Array, first: int) -> tuple[jax.Array, ...]:
        """Three modules, each fed with the features before all of them."""
        maps = (x,)
        for i in range(first, first + 3):
            block = SpectralSpatialAttention(self.features, self.attention, name=f"block_{i}")
            maps += (block(*maps),)
            self.sow("intermediates", f"refined_{i}", maps[-1])
        return maps

    def _checked(self, lr: jax.Array) -> jax.Array:
        if lr.shape[-1] != self.bands:
            raise UserError(f"lr has {lr.shape[-1]} bands, this network {self.bands}: set bands")
        if min(lr.shape[1:3]) < 3:
            raise UserError(f"lr is {lr.shape[1]} x {lr.shape[2]}; SNLSR needs sides of 3 or more")
        return lr


class UnmixingEncoder(nn.Module):
    """Spectra to abundances that are not negative and sum to one (`SPDNEncoder`)."""

    materials: int

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        for i, width in enumerate((8, 4, 2)):
            x = Conv(width * self.materials, name=f"conv_{i}")(x)
            self.sow("intermediates", f"convolved_{i}", x)
            x = ConvolutionalBlockAttention(name=f"attention_{i}")(x)
            self.sow("intermediates", f"attended_{i}", x)
            x = nn.tanh(x)
        x = nn.relu(Dense(self.materials, name="abundance")(x))
        work = x.astype(jnp.promote_types(x.dtype, jnp.float32))
        return nn.softmax(work).astype(x.dtype)


def two_stages(scale: int) -> tuple[int, int]:
    """Factors the scale into two upsamplings, as even as possible, the smaller one first."""
    possible = [
        (first, scale // first)
        for first in range(1, int(scale**0.5) + 1)
        if scale % first == 0 and _can_upsample(first) and _can_upsample(scale // first)
    ]
    if not possible:
        raise UserError(f"SNLSR cannot upsample by {scale}: use 1, 2, 3, 4, 6, 8, 9, 12, 16 ...")
    return possible[-1]


def _can_upsample(scale: int) -> bool:
    return scale == 3 or scale & (scale - 1) == 0


NETWORK = Network(
    "snlsr",
    SNLSR,
    whole="attention between channels over all pixels",
    last_layer=lambda snlsr: "tail",
    adds_bicubic=lambda snlsr: snlsr.bicubic_skip,
    endmembers="endmembers/kernel",
    tiny={"features": 16, "materials": 8},
)
