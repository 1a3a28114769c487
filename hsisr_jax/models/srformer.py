"""SRFormer: permuted self-attention in windows, for cubes as A-SNLSR's authors use it.

Zhou et al., "SRFormer: Permuted Self-Attention for Single Image Super-Resolution", ICCV 2023.
Shallow convolution, groups of window transformer blocks with a convolution and a skip each
(section 3.1), reconstruction by one of four heads, optionally plus PyTorch's bicubic upsampling.

What the published code does and this one keeps: the size the stored shift masks are made for
(`image_size`, rounded up to whole windows) does not limit the input, but where it is a single
window, no block shifts; cubes of three bands have ImageNet-like means subtracted; the width of
the reconstruction is 64 whatever `embed_dim` is.

Departures: inputs are padded by reflection as often as needed, so that a side may be shorter than
the padding, which PyTorch forbids. An absolute position embedding has one value per place, so with
`ape` the padded input must have the padded `image_size`. The head without upsampling
(`upsampler=""`) gives the input's own size, so `scale` must then be 1; the original lets a cube of
some other size out.
"""

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn

from hsisr_jax.errors import UserError
from hsisr_jax.layers.conv import Conv
from hsisr_jax.layers.norm import LayerNorm
from hsisr_jax.layers.upsample import Upsampler, pixel_shuffle
from hsisr_jax.layers.window_attention import WindowBlock, truncated
from hsisr_jax.models.network import Network, lr_of
from hsisr_jax.resize import interpolate

UPSAMPLERS = ("pixelshuffle", "pixelshuffledirect", "nearest+conv", "")
CONNECTIONS = ("1conv", "3conv")
FEATURES = 64  # of the reconstruction
RGB_MEAN = (0.4488, 0.4371, 0.4040)


class BodyConv(nn.Module):
    """The convolution before a residual connection: one, or a bottleneck of three."""

    kind: str = "1conv"

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        d = x.shape[-1]
        if self.kind == "1conv":
            return Conv(d, name="conv_0")(x)
        x = nn.leaky_relu(Conv(d // 4, name="conv_0")(x), 0.2)
        x = nn.leaky_relu(Conv(d // 4, 1, name="conv_1")(x), 0.2)
        return Conv(d, name="conv_2")(x)


class Reconstruction(nn.Module):
    """Features `b h w d` -> `b h*scale w*scale bands`."""

    bands: int
    scale: int
    upsampler: str | None

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        if self.upsampler == "pixelshuffledirect":
            y = Conv(self.scale**2 * self.bands, name="conv_0")(x)
            return pixel_shuffle(y, self.scale)
        last = Conv(self.bands, name="conv_last")
        if not self.upsampler:
            return last(x)
        x = nn.leaky_relu(Conv(FEATURES, name="conv_before_upsample")(x), 0.01)
        if self.upsampler == "pixelshuffle":
            return last(Upsampler(self.scale, name="upsample")(x))
        for name in ("conv_up1", "conv_up2"):
            x = x.repeat(2, 1).repeat(2, 2)
            x = nn.leaky_relu(Conv(FEATURES, name=name)(x), 0.2)
        return last(nn.leaky_relu(Conv(FEATURES, name="conv_hr")(x), 0.2))


class SRFormer(nn.Module):
    """`depths[i]` blocks of `num_heads[i]` heads in group `i`; every second block is shifted.

    `drop_path_rate` is the stochastic depth of the last block; it grows from 0 at the first.
    `attention` is a module `(windows b n t d, mask n t t/4 or None, train) -> b n t d` that takes
    the place of `PermutedSelfAttention` in every block, with weights of its own in each.
    """

    bands: int = 30
    scale: int = 4
    image_size: int = 32
    bicubic_skip: bool = False
    embed_dim: int = 96
    depths: tuple[int, ...] = (6, 6, 6, 6)
    num_heads: tuple[int, ...] = (6, 6, 6, 6)
    window_size: int = 6
    mlp_ratio: float = 4.0
    qkv_bias: bool = True
    patch_norm: bool = True
    ape: bool = False
    upsampler: str | None = "pixelshuffle"  # None: the original's word for ""
    resi_connection: str = "1conv"
    drop_rate: float = 0.0
    attn_drop_rate: float = 0.0
    drop_path_rate: float = 0.1
    attention: nn.Module | None = None

    @nn.compact
    def __call__(self, batch: dict[str, jax.Array], *, train: bool = False) -> dict:
        lr = lr_of(batch, "srformer")
        self._check(lr)
        h, w = lr.shape[1:3]
        mean = jnp.asarray(RGB_MEAN if self.bands == 3 else (0.0,), lr.dtype).reshape(1, 1, 1, -1)
        x = _pad_to_windows(lr, self.window_size) - mean  # b h' w' c
        shallow = Conv(self.embed_dim, name="conv_first")(x)  # b h' w' d
        self.sow("intermediates", "shallow", shallow)
        deep = self._groups(shallow, train)
        deep = BodyConv(self.resi_connection, name="conv_after_body")(deep) + shallow
        self.sow("intermediates", "deep", deep)
        y = Reconstruction(self.bands, self.scale, self.upsampler, name="reconstruction")(deep)
        y = (y if self.upsampler else x + y) + mean
        y = y[:, : h * self.scale, : w * self.scale]  # b H W c
        if self.bicubic_skip:
            y += interpolate(lr, (h * self.scale, w * self.scale))
        return {"sr": y}

    @property
    def padded_size(self) -> int:
        """`image_size` rounded up to whole windows."""
        return -(-self.image_size // self.window_size) * self.window_size

    def _groups(self, x: jax.Array, train: bool) -> jax.Array:
        if self.patch_norm:
            x = LayerNorm(name="patch_norm")(x)
        if self.ape:
            x += self._position_embedding(x.shape)
        x = nn.Dropout(self.drop_rate, deterministic=not train)(x)
        rates = np.linspace(0, self.drop_path_rate, sum(self.depths))
        for i, depth in enumerate(self.depths):
            y = x
            for j in range(depth):
                y = self._block(i, j, float(rates[sum(self.depths[:i]) + j]))(y, train=train)
            x += BodyConv(self.resi_connection, name=f"group_{i}_conv")(y)
            self.sow("intermediates", f"group_{i}", x)
        return LayerNorm(name="norm")(x)

    def _block(self, group: int, place: int, drop_path_rate: float) -> WindowBlock:
        shifts = place % 2 == 1 and self.padded_size > self.window_size
        return WindowBlock(
            heads=self.num_heads[group],
            window=self.window_size,
            shift=self.window_size // 2 if shifts else 0,
            image_size=(self.padded_size, self.padded_size),
            mlp_ratio=self.mlp_ratio,
            qkv_bias=self.qkv_bias,
            drop_rate=self.drop_rate,
            attn_drop_rate=self.attn_drop_rate,
            drop_path_rate=drop_path_rate,
            attention=None if self.attention is None else self.attention.clone(parent=None),
            name=f"group_{group}_block_{place}",
        )

    def _position_embedding(self, shape: tuple[int, ...]) -> jax.Array:
        side = self.padded_size
        if shape[1:3] != (side, side):
            raise UserError(
                f"with ape=True this srformer takes sides from {side - self.window_size + 1} to "
                f"{side}: set image_size to the input's side, or ape=False"
            )
        table = self.param("position_embedding", truncated, (1, side * side, self.embed_dim))
        return table.reshape(1, side, side, self.embed_dim)

    def _check(self, lr: jax.Array) -> None:
        if lr.shape[-1] != self.bands:
            raise UserError(f"srformer is made for {self.bands} bands; the cube has {lr.shape[-1]}")
        if (self.upsampler or "") not in UPSAMPLERS:
            raise UserError(f"unknown upsampler {self.upsampler!r}: known are {UPSAMPLERS}")
        if self.resi_connection not in CONNECTIONS:
            raise UserError(
                f"unknown resi_connection {self.resi_connection!r}: known are {CONNECTIONS}"
            )
        only = {"nearest+conv": 4, "": 1}.get(self.upsampler or "", self.scale)
        if self.scale != only:
            raise UserError(f"upsampler {self.upsampler!r} gives scale {only}, not {self.scale}")
        if self.window_size % 2 or self.embed_dim % 4:
            raise UserError(
                "permuted attention lays 2x2 tokens side by side: window_size must be even and "
                f"embed_dim a multiple of 4, not {self.window_size} and {self.embed_dim}"
            )
        if len(self.depths) != len(self.num_heads):
            raise UserError(f"depths {self.depths} and num_heads {self.num_heads} differ in length")
        if any(self.embed_dim % heads for heads in self.num_heads):
            raise UserError(f"embed_dim {self.embed_dim} cannot be cut into {self.num_heads} heads")


def _pad_to_windows(x: jax.Array, window: int) -> jax.Array:
    """Reflection at the bottom and the right, repeated where a side is shorter than that."""
    h, w = x.shape[1:3]
    rows, columns = (_reflected(n, -(-n // window) * window) for n in (h, w))
    x = x if rows.size == h else x[:, rows]
    return x if columns.size == w else x[:, :, columns]


def _reflected(n: int, length: int) -> np.ndarray:
    """Places 0 .. n-1, n-2 .. 0, 1 .. of the first `length` pixels."""
    return np.abs((np.arange(length) + n - 1) % max(2 * n - 2, 1) - n + 1)


def _last_layer(srformer: SRFormer) -> str | None:
    """None where it adds a mean (three bands), or its input (no upsampler), to that layer."""
    if srformer.bands == 3 or not srformer.upsampler:
        return None
    direct = srformer.upsampler == "pixelshuffledirect"
    return f"reconstruction/{'conv_0' if direct else 'conv_last'}"


NETWORK = Network(
    "srformer",
    SRFormer,
    whole="",
    last_layer=_last_layer,
    adds_bicubic=lambda srformer: srformer.bicubic_skip,
    tile_unit=lambda srformer: srformer.window_size,
    side=lambda srformer: srformer.image_size,
    tiny={"embed_dim": 16, "depths": (2, 2), "num_heads": (2, 2), "window_size": 8},
)
