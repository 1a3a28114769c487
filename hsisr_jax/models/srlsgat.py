"""SRLSGAT: joint spectral-spatial super-resolution with row-column LSTMs and graph attention.

Dong, Yang, Liu, Geng, Wang: "Hyperspectral image super-resolution via joint network with
spectral-spatial strategy", Geo-spatial Information Science (2025), doi
10.1080/10095020.2025.2522909. A strided convolution makes tokens (encoder); a bidirectional LSTM
over rows and columns (VH-BiLSTM, `SpectralUnit`) and a graph attention over the most related tokens
(MAW-GAT, `SpatialUnit`) see them side by side; the decoder turns their sum back into an image.

`variant="released"` is the published code, weight for weight. `variant="paper"` is what the paper's
figures show. Where they part ways (released / paper):

1. Groups of bands: the loop keeps the last group alone / every group goes through the branch, comes
   out in its own bands, and overlaps are averaged. A 3x3 convolution, ours, takes the averaged
   bands to the features that the lms skip joins (the figure says "integrate" and no more).
2. Encoder: one strided convolution / patch embedding, then strided convolution, group
   normalisation, ReLU. Kernels stay 5 or 3 by stride; the figure's 3 at stride 4 would skip pixels.
3. Spectral units: each is fed the same tokens and all but the last is dropped / stacked.
4. Inside a unit: one LayerNorm and one MLP, used twice / each place has its own. The figure draws
   the second residual only; both are kept, as in the code, or stacked units would lose the tokens.
5. Adjacency: relations enter the mix as they are, beside unused parameters / learned projections
   (`MultiAdjacency` says how).
6. Decoder: transposed convolution, then blocks in series, with batch normalisation / blocks of
   parallel spatial and spectral branches without it, joined by a 1x1 convolution, then the
   transposed convolution. The 3x3 convolutions drawn behind the pooling act on one pixel, so they
   are 1x1 here as in the code.

Common to both because the figures say nothing against it: lms through a 3x3 convolution, the
log-softmax at the end of the graph attention. The released variant, in training, runs the earlier
groups too, for the one thing that they do there: each updates the running statistics of the shared
branch, in order. In evaluation they are skipped.

Departures from the published code: token grids need not be square and any image size works (there:
square, multiples of the stride), because the strided convolution covers a partial last patch with
zeros and the decoder crops what exceeds the image; a single token works; `shared_branch=False`
works; a `group_size` above the number of bands is one group. Ties: `ops/graphs.py`.
"""

import math

import jax
import jax.numpy as jnp
from flax import linen as nn

from hsisr_jax.errors import UserError
from hsisr_jax.layers.attention import ChannelAttention
from hsisr_jax.layers.conv import Conv, ConvTranspose, Dense
from hsisr_jax.layers.graph_attention import GAT, MultiAdjacency
from hsisr_jax.layers.norm import LayerNorm
from hsisr_jax.layers.recurrent import BiLSTM2D
from hsisr_jax.layers.residual import ResidualBlock
from hsisr_jax.layers.upsample import Upsampler
from hsisr_jax.models.network import Network, lr_and_lms
from hsisr_jax.ops.bands import (
    fold_groups,
    group_indices,
    merge_groups,
    split_groups,
    unfold_groups,
)

VARIANTS = ("released", "paper")
UNITS = 2  # spectral units


def patches(scale: int) -> tuple[int, int]:
    """Kernel size and stride of the encoder and the decoder."""
    return (5, 4) if scale == 2 else (3, 2)


class Encoder(nn.Module):
    """`b H W c` -> tokens on a grid, `b h w d`: a strided convolution, in the paper normalised."""

    features: int
    scale: int
    normalised: bool = False

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        kernel_size, stride = patches(self.scale)
        if not self.normalised:
            return Conv(self.features, kernel_size, stride=stride, name="conv")(x)
        x = Conv(self.features, name="embed")(x)
        x = Conv(self.features, kernel_size, stride=stride, name="conv")(x)
        return nn.relu(nn.GroupNorm(num_groups=math.gcd(self.features, 8), name="norm")(x))


class MLP(nn.Module):
    """Two linear layers, four times as wide between them, with the exact GELU."""

    features: int
    dropout: float = 0.1

    @nn.compact
    def __call__(self, x: jax.Array, *, train: bool = False) -> jax.Array:
        x = nn.gelu(Dense(4 * self.features, name="expand")(x), approximate=False)
        x = nn.Dropout(self.dropout, name="drop_hidden")(x, deterministic=not train)
        x = Dense(self.features, name="contract")(x)
        return nn.Dropout(self.dropout, name="drop")(x, deterministic=not train)


class SpectralUnit(nn.Module):
    """VH-BiLSTM: `x + MLP(LSTM(norm(x)))`, then `x + MLP(norm(x))`, on tokens `b h w d`."""

    features: int
    reuse: bool = True  # one norm and one MLP for both places

    @nn.compact
    def __call__(self, x: jax.Array, *, train: bool = False) -> jax.Array:
        norms = [LayerNorm(name="norm")] * 2
        mlps = [MLP(self.features, name="mlp")] * 2
        if not self.reuse:
            norms[1], mlps[1] = LayerNorm(name="norm_1"), MLP(self.features, name="mlp_1")
        y = BiLSTM2D(self.features, name="lstm")(norms[0](x))
        x = x + mlps[0](y, train=train)
        return x + mlps[1](norms[1](x), train=train)


class SpatialUnit(nn.Module):
    """MAW-GAT: which tokens are related, then graph attention among those, on `b h w d`.

    Works on any feature map, of this network or another: `SpatialUnit(64)(x, train=train)`.
    """

    features: int
    graph: str = "auto"
    learned: bool = False

    @nn.compact
    def __call__(self, x: jax.Array, *, train: bool = False) -> jax.Array:
        b, h, w, _ = x.shape
        tokens = x.reshape(b, h * w, -1)  # b n d
        edges, bias = MultiAdjacency(self.learned, name="adjacency")(tokens)
        y = GAT(self.features, graph=self.graph, name="attention")(tokens, edges, bias, train=train)
        return y.reshape(b, h, w, -1)


class SeriesDecoder(nn.Module):
    """Released: transposed convolution, then spatial and spectral residual blocks in turn."""

    blocks: int
    scale: int
    norm_groups: int = 1

    @nn.compact
    def __call__(self, x: jax.Array, size: tuple[int, int], *, train: bool) -> jax.Array:
        x = _expand(x, self.scale, size)  # b H W d
        self.sow("intermediates", "decoder_transposed_conv", x)
        y, norm = x, {"norm": True, "norm_groups": self.norm_groups}
        for i in range(self.blocks):
            y = ResidualBlock(3, **norm, name=f"spatial_{i}")(y, train=train)
            y = ResidualBlock(1, **norm, attention=True, name=f"spectral_{i}")(y, train=train)
        return x + y


class ParallelBlock(nn.Module):
    """Paper, SSAT: a spatial residual block beside a spectral attention, joined, plus the input."""

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        d = x.shape[-1]
        spatial = ResidualBlock(3, name="spatial")(x)
        spectral = nn.relu(Conv(d, 1, name="spectral_0")(x))
        spectral = ChannelAttention(name="attention")(Conv(d, 1, name="spectral_1")(spectral))
        return x + Conv(d, 1, name="join")(jnp.concatenate([spatial, spectral], -1))


class ParallelDecoder(nn.Module):
    """Paper: parallel blocks on the token grid, then the transposed convolution."""

    blocks: int
    scale: int

    @nn.compact
    def __call__(self, x: jax.Array, size: tuple[int, int], *, train: bool) -> jax.Array:
        for i in range(self.blocks):
            x = ParallelBlock(name=f"block_{i}")(x)
        return _expand(x, self.scale, size)


def _expand(x: jax.Array, scale: int, size: tuple[int, int]) -> jax.Array:
    """Tokens to pixels; what a partial last patch has too much is cropped."""
    kernel_size, stride = patches(scale)
    x = ConvTranspose(x.shape[-1], kernel_size, stride, 1, 1, name="expand")(x)
    return x[:, : size[0], : size[1]]


class Branch(nn.Module):
    """One group of bands at low resolution -> `outputs` channels at high resolution."""

    features: int
    blocks: int
    scale: int
    outputs: int
    paper: bool = False
    graph: str = "auto"
    spatial: nn.Module | None = None
    spectral: nn.Module | None = None
    norm_groups: int = 1

    @nn.compact
    def __call__(self, x: jax.Array, *, train: bool = False) -> jax.Array:
        size = x.shape[1:3]
        tokens = Encoder(self.features, self.scale, self.paper, name="encoder")(x)  # b h w d
        self._note("tokens", tokens)
        spatial = self.spatial
        if spatial is None:
            spatial = SpatialUnit(self.features, self.graph, self.paper, name="spatial_unit")
        related = spatial(tokens, train=train)
        self._note("gat_output", related)
        sequence = self._spectral(tokens, train)
        self._note("spectral_output", sequence)
        y = LayerNorm(name="norm")(related + sequence)
        self._note("fused_normalised", y)
        if self.paper:
            decoder = ParallelDecoder(self.blocks, self.scale, name="decoder")
        else:
            decoder = SeriesDecoder(self.blocks, self.scale, self.norm_groups, name="decoder")
        y = decoder(y, size, train=train)
        self.sow("intermediates", "decoder_output", y)
        y = Upsampler(self.scale, name="upsample")(y)  # b s*H s*W d
        return Conv(self.outputs, name="tail")(y)

    def _spectral(self, tokens: jax.Array, train: bool) -> jax.Array:
        if self.spectral is not None:
            return self.spectral(tokens, train=train)
        units = [
            SpectralUnit(self.features, not self.paper, name=f"spectral_unit_{i}")
            for i in range(UNITS)
        ]
        if self.paper:
            for unit in units:
                tokens = unit(tokens, train=train)
            return tokens
        if self.is_initializing() or self.is_mutable_collection("intermediates"):
            for unit in units[:-1]:  # their parameters exist; the result is dropped
                self._note("spectral_output_layer0_discarded", unit(tokens, train=train))
        return units[-1](tokens, train=train)

    def _note(self, name: str, x: jax.Array) -> None:
        self.sow("intermediates", name, x.reshape(x.shape[0], -1, x.shape[-1]))  # b n d


class SRLSGAT(nn.Module):
    """Groups of bands through a branch, plus a skip from lms, to `sr`. Any image size works.

    `spatial` and `spectral` replace the paper's MAW-GAT and VH-BiLSTM: any modules that map
    `(b h w features, train=...)` to the same shape.
    """

    bands: int = 31
    scale: int = 2
    features: int = 256
    blocks: int = 6
    group_size: int = 31
    group_overlap: int = 0
    shared_branch: bool = True
    variant: str = "released"
    graph: str = "auto"
    spatial: nn.Module | None = None
    spectral: nn.Module | None = None
    norm_groups: int = 1  # parts of a batch that are normalised each on its own

    @nn.compact
    def __call__(self, batch: dict, *, train: bool = False) -> dict:
        lr, lms = self._check(batch)  # b h w c, b H W c
        starts, size = groups_of(self)
        groups = split_groups(lr, starts, size)  # g b h w s
        combine = self._all_groups if self.variant == "paper" else self._last_group
        y = combine(groups, starts, train)  # b H W d
        self.sow("intermediates", "branch_output", y)
        skip = Conv(self.features, name="skip")(lms)
        return {"sr": Conv(self.bands, name="final")(y + skip)}

    def _last_group(self, groups: jax.Array, starts: tuple[int, ...], train: bool) -> jax.Array:
        branches = self._branches(len(starts), self.features)
        if self.is_initializing() or (train and self.is_mutable_collection("batch_stats")):
            for branch, group in zip(branches[:-1], groups[:-1]):
                branch(group, train=train)  # for its parameters or running statistics alone
        return branches[-1](groups[-1], train=train)

    def _all_groups(self, groups: jax.Array, starts: tuple[int, ...], train: bool) -> jax.Array:
        branches = self._branches(len(starts), groups.shape[-1])
        if self.shared_branch:  # all groups as one batch
            y = branches[0](fold_groups(groups), train=train)
            y = unfold_groups(y, groups.shape[0])  # g b H W s
        else:
            y = jnp.stack([branch(x, train=train) for branch, x in zip(branches, groups)])
        y = merge_groups(y, starts, self.bands)  # b H W c
        self.sow("intermediates", "averaged_groups", y)
        return Conv(self.features, name="integrate")(y)

    def _branches(self, count: int, outputs: int) -> list[Branch]:
        def branch(name):
            own = [m and m.clone(parent=None, name=None) for m in (self.spatial, self.spectral)]
            return Branch(
                self.features, self.blocks, self.scale, outputs, self.variant == "paper",
                self.graph, *own, self.norm_groups, name=name,
            )  # fmt: skip

        if self.shared_branch:
            return [branch("branch")] * count
        return [branch(f"branch_{i}") for i in range(count)]

    def _check(self, batch: dict) -> tuple[jax.Array, jax.Array]:
        if self.variant not in VARIANTS:
            raise UserError(f"variant is {self.variant!r}: use {' or '.join(VARIANTS)}")
        return lr_and_lms(batch, "srlsgat", self.bands, self.scale)


def groups_of(module: SRLSGAT) -> tuple[tuple[int, ...], int]:
    """First bands of the groups, and their size; fewer bands than that are one group."""
    if module.group_size >= module.bands:
        return (0,), module.bands
    starts = group_indices(module.bands, module.group_size, module.group_overlap)
    return starts, module.group_size


NETWORK = Network(
    "srlsgat",
    SRLSGAT,
    reads=("lr", "lms"),
    whole="a graph over the patch and channel attention",
    last_layer=lambda srlsgat: "final",
    tiny={"features": 16, "blocks": 1},
    may_be_zero=("blocks", "group_overlap"),
)
