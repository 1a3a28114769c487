"""SRFormer's transformer pieces: permuted self-attention in windows and its convolutional MLP.

Zhou et al., "SRFormer: Permuted Self-Attention for Single Image Super-Resolution", ICCV 2023,
section 3.2. Keys and values have a quarter of the channels; 2x2 tokens are then laid side by side
in the channels, so that a window has a quarter as many keys as queries, each as wide as a query.
"""

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn

from hsisr_jax.layers.conv import Dense, DepthwiseConv
from hsisr_jax.layers.norm import LayerNorm
from hsisr_jax.ops.attention import attend
from hsisr_jax.ops.windows import (
    merge,
    partition,
    permute,
    permuted_position_index,
    permuted_shift_mask,
)

truncated = nn.initializers.normal(0.02)  # the original cuts at +-2, a hundred deviations away


class StochasticDepth(nn.Module):
    """Drops a residual branch for whole samples while training, and rescales the others."""

    rate: float = 0.0

    @nn.compact
    def __call__(self, x: jax.Array, *, train: bool) -> jax.Array:
        axes = tuple(range(1, x.ndim))
        return nn.Dropout(self.rate, broadcast_dims=axes)(x, deterministic=not train)


class PermutedSelfAttention(nn.Module):
    """Multi-head attention of windows `b n t d`, `mask` (`n t t/4`) added to the scores."""

    heads: int
    qkv_bias: bool = True
    attention_dropout: float = 0.0
    dropout: float = 0.0

    @nn.compact
    def __call__(self, x: jax.Array, mask: jax.Array | None, *, train: bool = False) -> jax.Array:
        b, n, tokens, d = x.shape
        window = round(tokens**0.5)
        linear = {"use_bias": self.qkv_bias, "kernel_init": truncated}
        linear["bias_init"] = nn.initializers.zeros
        q = Dense(d, name="q", **linear)(x) * (d // self.heads) ** -0.5
        q = q.reshape(b, n, tokens, self.heads, -1)  # b n t h d/h
        kv = Dense(d // 2, name="kv", **linear)(x)
        k, v = (  # b n t/4 h d/h
            permute(half, window).reshape(b, n, tokens // 4, self.heads, -1)
            for half in jnp.split(kv, 2, -1)
        )
        bias = self._position_bias(window)[None, None]  # 1 1 h t t/4
        if mask is not None:
            bias += mask[None, :, None]
        drop = nn.Dropout(self.attention_dropout, deterministic=not train)
        x = attend(q, k, v, bias=bias, drop=drop).reshape(b, n, tokens, d)
        x = Dense(d, name="proj", kernel_init=truncated, bias_init=nn.initializers.zeros)(x)
        return nn.Dropout(self.dropout, deterministic=not train)(x)

    def _position_bias(self, window: int) -> jax.Array:
        table = self.param("position_bias", truncated, ((window - 1) ** 2, self.heads))
        index = stored(self, "position_index", permuted_position_index(window))
        return table[index].transpose(2, 0, 1).astype(jnp.float32)  # h t t/4


class ConvFeedForward(nn.Module):
    """Dense, GELU, plus a 5x5 depthwise convolution with GELU of the same, dense."""

    hidden: int
    dropout: float = 0.0

    @nn.compact
    def __call__(self, x: jax.Array, *, train: bool = False) -> jax.Array:
        drop = nn.Dropout(self.dropout, deterministic=not train)
        init = {"kernel_init": truncated, "bias_init": nn.initializers.zeros}
        y = nn.gelu(Dense(self.hidden, name="fc1", **init)(x), approximate=False)  # b h w hidden
        y += nn.gelu(DepthwiseConv(5, name="depthwise")(y), approximate=False)
        return drop(Dense(x.shape[-1], name="fc2", **init)(drop(y)))


class WindowBlock(nn.Module):
    """Pre-norm transformer block on `b h w d`; sides are multiples of the window.

    `shift` rolls the image before it is cut into windows. The mask that keeps tokens apart that the
    roll has brought together is stored for `image_size`, as in the original; for other sizes it is
    made while tracing. `attention` replaces the permuted self-attention.
    """

    heads: int
    window: int
    shift: int
    image_size: tuple[int, int]
    mlp_ratio: float = 4.0
    qkv_bias: bool = True
    drop_rate: float = 0.0
    attn_drop_rate: float = 0.0
    drop_path_rate: float = 0.0
    attention: nn.Module | None = None

    @nn.compact
    def __call__(self, x: jax.Array, *, train: bool = False) -> jax.Array:
        depth = StochasticDepth(self.drop_path_rate)
        y = LayerNorm(name="norm1")(x)
        x += depth(self._attend(y, train), train=train)
        y = LayerNorm(name="norm2")(x)
        mlp = ConvFeedForward(int(x.shape[-1] * self.mlp_ratio), self.drop_rate, name="mlp")
        return x + depth(mlp(y, train=train), train=train)

    def _attend(self, x: jax.Array, train: bool) -> jax.Array:
        size = x.shape[1:3]
        attention = self.attention or PermutedSelfAttention(
            self.heads, self.qkv_bias, self.attn_drop_rate, self.drop_rate, name="attention"
        )
        x = jnp.roll(x, (-self.shift, -self.shift), (1, 2)) if self.shift else x
        windows = partition(x, self.window)  # b n t d
        x = merge(attention(windows, self._mask(size), train=train), size)
        return jnp.roll(x, (self.shift, self.shift), (1, 2)) if self.shift else x

    def _mask(self, size: tuple[int, int]) -> jax.Array | None:
        if not self.shift:
            return None
        nominal = permuted_shift_mask(self.image_size, self.window, self.shift)
        mask = stored(self, "mask", nominal)
        if size == self.image_size:
            return mask
        return jnp.asarray(permuted_shift_mask(size, self.window, self.shift))


def stored(module: nn.Module, name: str, value: np.ndarray) -> jax.Array:
    """An array that the original keeps beside its weights: in the collection `constants`.

    Where that collection was not passed on, the array is what it would be there.
    """
    if module.is_initializing() or module.has_variable("constants", name):
        return module.variable("constants", name, jnp.asarray, value).value
    return jnp.asarray(value)
