"""SSPSR: a spatial-spectral prior network for super-resolution of hyperspectral cubes.

Jiang, Sun, Liu, Ma: "Learning Spatial-Spectral Prior for Super-Resolution of Hyperspectral
Imagery", IEEE Transactions on Computational Imaging 6 (2020). The spectrum is cut into overlapping
groups of bands (section III-A); one branch, with the same weights for every group, learns each at
low resolution and upsamples it by scale / 2 (III-B); overlaps are averaged and a trunk of the same
build sees all bands and upsamples by the last 2 (III-C). Blocks: `Branch`, `SpatialSpectralNet`
(SSPN), `SpatialSpectralBlock` (SSB).

As published, and unlike the paper's figure: the bicubic image enters as features, through one
convolution added before the last one; nothing is added to the output. Departures of ours: branches
that do not share weights upsample by scale / 2 as well (the original by 2 always, so that it runs
at scale 4 only); all groups are one batch, not a loop, except on a CPU, where a compiled loop takes
as many at a time as stay in cache; scale 3 is refused.
"""

import math
from functools import partial

import jax
from flax import linen as nn

from hsisr_jax.errors import UserError
from hsisr_jax.layers.conv import Conv
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
from hsisr_jax.ops.cpu.convolution import at_a_time
from hsisr_jax.ops.platforms import platform

LIFTED = {"params": 0, "batch_stats": 0, "intermediates": 0}  # every group has its own


class SpatialSpectralBlock(nn.Module):
    """A residual block of 3x3 convolutions, then one of 1x1 with channel attention (figure 3)."""

    res_scale: float = 0.1

    @nn.compact
    def __call__(self, x: jax.Array, *, train: bool = False) -> jax.Array:
        x = ResidualBlock(3, scale=self.res_scale, name="spatial")(x, train=train)
        spectral = ResidualBlock(1, attention=True, scale=self.res_scale, name="spectral")
        return spectral(x, train=train)


class SpatialSpectralNet(nn.Module):
    """`blocks` spatial-spectral blocks inside one long skip."""

    blocks: int = 3
    res_scale: float = 0.1

    @nn.compact
    def __call__(self, x: jax.Array, *, train: bool = False) -> jax.Array:
        y = x
        for i in range(self.blocks):
            y = SpatialSpectralBlock(self.res_scale, name=f"block_{i}")(y, train=train)
        return x + y


class Branch(nn.Module):
    """Head, body, upsampler and, for a group, the convolution back to its bands."""

    features: int
    scale: int
    body: nn.Module
    tail: bool = True

    @nn.compact
    def __call__(self, x: jax.Array, *, train: bool = False) -> jax.Array:
        bands = x.shape[-1]
        y = Conv(self.features, name="head")(x)  # b h w d
        y = self.body(y, train=train)
        y = Upsampler(self.scale, name="upsample")(y)  # b s*h s*w d
        return Conv(bands, name="tail")(y) if self.tail else y


class SSPSR(nn.Module):
    """Bands in groups through a branch, averaged, then all bands through the trunk.

    `branch_body` and `trunk_body` replace the paper's spatial-spectral network: any module that
    maps `(b h w d, train=...)` to `b h w d`. Any image size works. `grouping` is how the groups go
    through the branch: `batched` at once, `loop` one by one, `auto` by the backend. The results are
    the same, unless a body of yours draws random numbers or keeps statistics over the batch; with
    such a body `auto` is always `batched`.
    """

    bands: int = 128
    scale: int = 4
    features: int = 256
    blocks: int = 3
    group_size: int = 8
    group_overlap: int = 2
    res_scale: float = 0.1
    shared_branch: bool = True
    branch_body: nn.Module | None = None
    trunk_body: nn.Module | None = None
    grouping: str = "auto"

    @nn.compact
    def __call__(self, batch: dict, *, train: bool = False) -> dict:
        lr, lms = self._check(batch)  # b h w c, b H W c
        starts = group_indices(self.bands, self.group_size, self.group_overlap)
        groups = split_groups(lr, starts, self.group_size)  # g b h w s
        groups = self._branches(groups, train)  # g b H/2 W/2 s
        y = merge_groups(groups, starts, self.bands)  # b H/2 W/2 c
        self.sow("intermediates", "averaged_groups", y)
        trunk = Branch(self.features, 2, self._body(self.trunk_body), tail=False, name="trunk")
        y = trunk(y, train=train)  # b H W d
        self.sow("intermediates", "trunk_output", y)
        skip = Conv(self.features, name="skip")(lms)
        self.sow("intermediates", "skip_conv_output", skip)
        return {"sr": Conv(self.bands, name="final")(y + skip)}

    def _branches(self, groups: jax.Array, train: bool) -> jax.Array:
        body = self._body(self.branch_body)
        branch = Branch(self.features, self.scale // 2, body, name="branch")
        if self._loops() and not self.is_initializing():
            return self._loop(branch, groups, train)
        if self.shared_branch:
            return unfold_groups(branch(fold_groups(groups), train=train), groups.shape[0])
        each = nn.vmap(
            lambda branch, x: branch(x, train=train),
            variable_axes=LIFTED,
            split_rngs={"params": True, "dropout": True},
        )
        return each(branch, groups)

    def _loop(self, branch: Branch, groups: jax.Array, train: bool) -> jax.Array:
        """A few groups at a time, or one where each has weights of its own."""
        each = nn.scan(
            lambda branch, carry, x: (carry, branch(x, train=train)),
            variable_axes={"intermediates": 0} if self.shared_branch else LIFTED,
            variable_broadcast="params" if self.shared_branch else False,
            variable_carry="batch_stats" if self.shared_branch else False,
            split_rngs={"params": False, "dropout": True},
        )
        pixels = math.prod(groups.shape[1:4])
        size = at_a_time(len(groups), pixels) if self.shared_branch else 1
        some = groups.reshape(-1, size, *groups.shape[1:])
        y = each(branch, None, jax.vmap(fold_groups)(some))[1]
        y = jax.vmap(partial(unfold_groups, groups=size))(y)
        return y.reshape(len(groups), *y.shape[2:])

    def _loops(self) -> bool:
        if self.grouping not in ("auto", "batched", "loop"):
            raise UserError(f"grouping {self.grouping!r} is unknown: use auto, batched or loop")
        if self.grouping == "auto":
            # on a CPU 1.04 to 1.10 times as fast: benchmarks/micro_groups.py
            return self.branch_body is None and platform() == "cpu"
        return self.grouping == "loop"

    def _body(self, body: nn.Module | None) -> nn.Module:
        if body is None:
            return SpatialSpectralNet(self.blocks, self.res_scale, parent=None)
        return body.clone(parent=None, name=None)

    def _check(self, batch: dict) -> tuple[jax.Array, jax.Array]:
        if self.scale < 2 or self.scale & (self.scale - 1):
            raise UserError(f"sspsr cannot upsample by {self.scale}: use 2, 4, 8 or 16")
        return lr_and_lms(batch, "sspsr", self.bands, self.scale)


NETWORK = Network(
    "sspsr",
    SSPSR,
    reads=("lr", "lms"),
    whole="channel attention",
    last_layer=lambda sspsr: "final",
    tiny={"features": 16, "blocks": 1},
    may_be_zero=("blocks", "group_overlap"),
)
