"""ESRT: a convolutional backbone and one efficient transformer, as A-SNLSR's authors use it.

Lu et al., "Transformer for Single Image Super-Resolution", CVPR Workshops 2022. The lightweight
CNN backbone (section 3.1) is three high-preserving blocks (Fig. 3), each of residual feature
blocks (Fig. 5); the efficient transformer (section 3.2) lets every pixel's 3x3 neighbourhood
attend to the others of its quarter of the image.

What the published code does and this one keeps: scores are scaled by the width of a head before
the reduction (`36**-0.5`, heads are 18 wide); tokens are cut in chunks of `n // 4`, so that up to
three left-over tokens attend among themselves; the shortcut's upsampling ends with a ReLU, also
where the cube is negative; a scale in every residual feature block is never used.

Departures: any size from 2x2 up works (PyTorch's `split` needs four tokens as well). Large score
matrices are made in blocks of rows, so memory does not grow with the square of the image.
"""

import jax
import jax.numpy as jnp
from flax import linen as nn

from hsisr_jax.errors import UserError
from hsisr_jax.layers.attention import ChannelAttention
from hsisr_jax.layers.conv import Conv, Dense
from hsisr_jax.layers.norm import LayerNorm
from hsisr_jax.layers.upsample import Upsampler
from hsisr_jax.models.network import Network, lr_of
from hsisr_jax.ops.attention import attend_in_blocks
from hsisr_jax.ops.windows import fold, unfold
from hsisr_jax.resize import interpolate


class BottleneckUnit(nn.Module):
    """The paper's residual unit: `a x + b conv(PReLU(conv(x)))` through half the features."""

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        d = x.shape[-1]
        y = Conv(d // 2, name="conv")(x)
        slope = self.param("slope", nn.initializers.constant(0.25), (d // 2,))
        y = jnp.where(y >= 0, y, y * slope.reshape(1, 1, 1, -1))
        y = Conv(d, name="conv1")(y)
        return _scaled(self, "weight1", x) + _scaled(self, "weight2", y)


class ResidualFeatureBlock(nn.Module):
    """The adaptive residual feature block: two units, merged, with channel attention."""

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        d = x.shape[-1]
        self.param("weight1", nn.initializers.ones, (1,))  # in the original's files, never used
        first = BottleneckUnit(name="layer1")(x)
        second = BottleneckUnit(name="layer2")(first)
        pair = [_scaled(self, "weight2", second), _scaled(self, "weight3", first)]
        y = nn.relu(Conv(d, 1, use_bias=False, name="merge")(jnp.concatenate(pair, -1)))
        y = ChannelAttention(name="attention")(y)
        y = nn.relu(Conv(d, use_bias=False, name="layer4")(y))
        return _scaled(self, "weight4", x) + _scaled(self, "weight5", y)


class HighPreservingBlock(nn.Module):
    """Refines low frequencies at half the resolution and high ones at full resolution."""

    repeats: int = 5  # of the block for low frequencies, with the same weights

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        d, size = x.shape[-1], x.shape[1:3]
        whole = ResidualFeatureBlock(name="encoder")(x)  # b h w d
        self.sow("intermediates", "whole", whole)
        low = nn.avg_pool(whole, (2, 2), (2, 2))  # b h/2 w/2 d
        high = whole - interpolate(low, size, "bilinear", align_corners=True)
        refine = ResidualFeatureBlock(name="decoder_low")
        for _ in range(self.repeats):
            low = refine(low)
        high = ResidualFeatureBlock(name="decoder_high")(high)
        low = interpolate(low, size, "bilinear", align_corners=True)
        y = jnp.concatenate([low, high], -1)  # b h w 2d
        y = nn.relu(Conv(d, 1, use_bias=False, name="merge")(y))
        y = ChannelAttention(name="attention")(y)
        return ResidualFeatureBlock(name="tail")(y) + x


class EfficientAttention(nn.Module):
    """Multi-head self-attention of tokens `b t d` at half width, within chunks of the tokens."""

    heads: int = 8
    chunks: int = 4

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        b, t, d = x.shape
        half, scale = d // 2, (d // self.heads) ** -0.5
        qkv = Dense(3 * half, use_bias=False, name="qkv")(
            Dense(half, use_bias=False, name="reduce")(x)
        )
        q, k, v = (part.reshape(b, t, self.heads, -1) for part in jnp.split(qkv, 3, -1))
        q *= scale
        size = max(t // self.chunks, 1)
        whole = t // size * size
        y = [self._attend((q, k, v), 0, whole, size)]
        if whole < t:
            y.append(self._attend((q, k, v), whole, t, t - whole))
        return Dense(d, name="proj")(jnp.concatenate(y, 1))

    def _attend(self, qkv: tuple[jax.Array, ...], start: int, stop: int, size: int) -> jax.Array:
        """Tokens `start` to `stop` in chunks of `size`."""
        b, _, h, d = qkv[0].shape
        chunks = (part[:, start:stop].reshape(b, -1, size, h, d) for part in qkv)
        return attend_in_blocks(*chunks).reshape(b, stop - start, h * d)


class EfficientTransformer(nn.Module):
    """`b h w d` -> `b h w d`: every pixel's 3x3 neighbourhood is a token; overlaps are summed."""

    heads: int = 8

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        b, h, w, _ = x.shape
        x = unfold(x).reshape(b, h * w, -1)  # b t 9d
        x += EfficientAttention(self.heads, name="attention")(LayerNorm(name="norm1")(x))
        y = nn.relu(Dense(x.shape[-1] // 4, name="fc1")(LayerNorm(name="norm2")(x)))
        x += Dense(x.shape[-1], name="fc2")(y)
        return fold(x.reshape(b, h, w, -1))


class BackboneAndTransformer(nn.Module):
    """Three high-preserving blocks, their outputs merged, the transformer, a scaled skip."""

    heads: int = 8
    transformer: nn.Module | None = None

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        d, y, outputs = x.shape[-1], x, []
        for i in (1, 2, 3):
            y = HighPreservingBlock(name=f"encoder{i}")(y)
            self.sow("intermediates", f"stage_{i}", y)
            outputs.append(y)
        y = Conv(d, name="reduce")(jnp.concatenate(outputs, -1))
        self.sow("intermediates", "reduced", y)
        y = (self.transformer or EfficientTransformer(self.heads, name="transformer"))(y)
        y = Conv(d, name="alise")(y)
        return _scaled(self, "weight1", x) + _scaled(self, "weight2", y)


class ESRT(nn.Module):
    """`features`, `blocks` and `heads` default to the fixed sizes of the original.

    `transformer` is a module `b h w d -> b h w d` that takes the place of `EfficientTransformer`,
    with weights of its own in every block.
    """

    bands: int = 30
    scale: int = 4
    bicubic_skip: bool = False
    features: int = 32
    blocks: int = 1
    heads: int = 8
    transformer: nn.Module | None = None

    @nn.compact
    def __call__(self, batch: dict[str, jax.Array], *, train: bool = False) -> dict:
        lr = lr_of(batch, "esrt")
        self._check(lr)
        head = Conv(self.features, name="head")(lr)  # b h w d
        self.sow("intermediates", "shallow", head)
        x, outputs = head, []
        for i in range(self.blocks):
            swapped = None if self.transformer is None else self.transformer.clone(parent=None)
            x = BackboneAndTransformer(self.heads, swapped, name=f"body{i}")(x)
            self.sow("intermediates", f"body_{i}", x)
            outputs.append(x)
        x = Conv(self.features, name="reduce")(jnp.concatenate(outputs, -1))
        x = Conv(self.bands, name="tail")(Upsampler(self.scale, name="tail_upsampler")(x))
        shortcut = Upsampler(self.scale, name="up_upsampler")(head)
        sr = x + nn.relu(Conv(self.bands, use_bias=False, name="up")(shortcut))  # b H W c
        if self.bicubic_skip:
            h, w = lr.shape[1:3]
            sr += interpolate(lr, (h * self.scale, w * self.scale))
        return {"sr": sr}

    def _check(self, lr: jax.Array) -> None:
        if lr.shape[-1] != self.bands:
            raise UserError(f"esrt is made for {self.bands} bands; the cube has {lr.shape[-1]}")
        if min(lr.shape[1:3]) < 2:
            raise UserError(
                f"esrt halves the image, so both sides must be 2 or more, not {lr.shape[1:3]}"
            )
        if 9 * self.features % (2 * self.heads) and self.transformer is None:
            raise UserError(
                f"esrt cuts 9 * features / 2 into heads: {self.features} features do not go into "
                f"{self.heads}"
            )


def _scaled(module: nn.Module, name: str, x: jax.Array) -> jax.Array:
    """`x` times a learned number of that name, 1 at first."""
    return x * module.param(name, nn.initializers.ones, (1,)).reshape((1,) * x.ndim)


NETWORK = Network(  # two layers make its output, one of them behind a ReLU, dead at zero
    "esrt",
    ESRT,
    whole="channel attention and attention between pixels",
    adds_bicubic=lambda esrt: esrt.bicubic_skip,
    may_be_zero=("blocks",),
)
