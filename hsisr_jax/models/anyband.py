"""A network for any sensor, which sharpens principal components of a scene instead of bands.

The structures of aerial images (edges, roads, fields, shores) do not depend on the sensor. Spectra
are transformed to components; a residual network that was trained on photographs sharpens
the few that carry detail; the detail is added through the components to the bicubic cube. Its
cost does not grow with the number of bands, and one set of weights serves all of them. That an
image network sharpens eigenimages is the idea of EigenSR (AAAI 2025, arXiv 2409.04050); the network
is EDSR's (Lim et al., CVPRW 2017) with one channel and the sensor's blur as a further input.
"""

import jax
import jax.numpy as jnp
from flax import linen as nn
from flax.linen.dtypes import canonicalize_dtype

from hsisr_jax import resize
from hsisr_jax.layers import sensor
from hsisr_jax.layers.conv import Conv, Dense
from hsisr_jax.layers.upsample import pixel_shuffle
from hsisr_jax.models.network import Network, lr_of
from hsisr_jax.ops.components import Basis, Views, basis_of, empty, views

SCALES = (2, 3, 4, 8)
SCENE = "scene"  # the collection with a whole scene's basis, where the input is a part of it
ROUNDS = 3  # of back-projection, before the network and after it
RESIDUAL = 0.2  # scale of each block's output
FAINT = 0.3  # a share of noise above which a component is not back-projected
NOISE_FLOOR = 0.003  # a share of a component's deviation that counts as no noise


class Trunk(nn.Module):
    """Predicts the missing detail of component images on the finer grid."""

    scale: int
    features: int
    blocks: int

    @nn.compact
    def __call__(self, x: jax.Array, facts: jax.Array, valid: jax.Array | float) -> jax.Array:
        first = hidden = valid * Conv(self.features, name="head")(valid * x)  # n h w d
        for i in range(self.blocks):
            told = Dense(self.features, name=f"facts_{i}")(facts)[:, None, None]  # n 1 1 d
            y = valid * nn.relu(Conv(self.features, name=f"block_{i}_0")(hidden) + told)
            y = Conv(self.features, name=f"block_{i}_1")(y)
            hidden = hidden + valid * RESIDUAL * y
        hidden = valid * Conv(self.features, name="merge")(hidden) + first
        zeros = nn.initializers.zeros
        name = f"tail_x{self.scale}"
        last = Conv(self.scale**2, kernel_init=zeros, bias_init=zeros, name=name)
        return pixel_shuffle(last(hidden), self.scale)  # n H W 1


class AnyBand(nn.Module):
    """`sr = bicubic cube + predicted detail of its components`, for any number of bands.

    The first `sharpened` components go through the network; all `components` that exceed the noise
    are back-projected. The rest of the spectrum stays bicubic.

    `degradation` is the blur of the sensor: `bicubic`, `area`, or `mtf` with the value `mtf` at the
    low resolution's Nyquist frequency. The components are those of the input, or those of the
    variable collection `scene` (`mean`, `vectors`, `deviations`, `noise` of `ops.components`),
    which the tiles of a scene share; with `one_basis` they are always the collection's. If the
    batch has `valid` (`b h w 1`), pixels at 0 are treated as outside of the image. With `noise` the
    estimated noise of each component is an input of the network.

    Except in training, the predicted detail is the mean of `flips` passes, 2 or 4, each of which
    sees another flip of the input and another of `ops.components.views`: other mixtures of its
    components. What is wrong in one mixture is not in another, so their mean is better than any.

    If the batch has `sensor` and `noise` (`b`, as `data/component_images.py` makes them), the input
    is already a component image, and the network is given that sensor of `layers.sensor.FAMILY`
    and that standard deviation of noise.
    """

    scale: int = 2
    features: int = 64
    blocks: int = 8
    components: int = 32
    sharpened: int = 5
    degradation: str = "bicubic"
    mtf: float = 0.3
    flips: int = 4
    noise: bool = True
    one_basis: bool = False

    @nn.compact
    def __call__(self, batch: dict, *, train: bool = False) -> dict:
        lr = lr_of(batch, "anyband")
        dtype = canonicalize_dtype(lr)  # of the network and the output
        lr = lr.astype(jnp.float32)
        basis = self.basis(lr, batch.get("noise"))
        passes = 1 if train else max(self.flips, 1)
        n = min(self.sharpened, basis.vectors.shape[-1])
        look = jax.vmap(lambda x: views(x, n, passes))(basis)
        # A scene's are worked out once for the whole batch.
        basis, look = jax.tree.map(
            lambda x: jnp.broadcast_to(x, (lr.shape[0], *x.shape[1:])), (basis, look)
        )
        down, up = self.matrices(*lr.shape[1:3], batch.get("sensor"))
        both = [d @ u for d, u in zip(down, up)]  # what upsampling and the sensor do together

        def lacking(x: jax.Array) -> jax.Array:
            return x - sensor.apply(both[0], x, both[1])

        # Rounds of back-projection are linear: those before and after the network are one sum at
        # low resolution, from which the part that the detail explains is subtracted.
        images = jax.vmap(Basis.images)(basis, lr)  # b h w k
        missing, rest = jnp.zeros_like(images), images
        for _ in range(2 * ROUNDS):
            rest = lacking(rest)
            missing = missing + rest
        found = self.detail(images, look, batch, dtype)  # b H W vn
        seen = sensor.apply(down[0], found, down[1])  # b h w vn
        back = look.back.reshape(lr.shape[0], passes * n, -1)  # b vn k
        detail, seen = (jnp.einsum("bhwn,bnk->bhwk", x, back) for x in (found, seen))
        for _ in range(ROUNDS):
            missing = missing - seen
            seen = lacking(seen)
        above = jnp.clip(1 - (basis.noise / FAINT) ** 2, 0, 1)  # b k
        missing = above[:, None, None] * missing
        sharper = sensor.apply(up[0], missing, up[1]) + detail
        sr = batch["lms"] + jax.vmap(Basis.spectra)(basis, sharper)
        return {"sr": sr.astype(dtype)}

    def basis(self, lr: jax.Array, noise: jax.Array | None) -> Basis:
        """The basis of each sample, or one for all: the scene's, the input's, or trivial for
        component images."""
        if noise is not None:
            ones = jnp.ones((len(lr), lr.shape[-1]), jnp.float32)
            noise = ones * noise.astype(jnp.float32)[:, None]
            return Basis(0 * ones, ones[:, :, None] * jnp.eye(lr.shape[-1])[None], ones, noise)
        if self.one_basis:
            for name, values in empty(lr.shape[-1], self.components)._asdict().items():
                self.variable(SCENE, name, jnp.asarray, values)
        if not self.has_variable(SCENE, "vectors"):
            return jax.vmap(lambda x: basis_of(x, self.components))(lr)
        found = Basis(*(self.get_variable(SCENE, name) for name in Basis._fields))
        return jax.tree.map(lambda x: x.astype(jnp.float32)[None], found)

    def matrices(self, h: int, w: int, number: jax.Array | None) -> tuple[list, list]:
        """The matrices of the sensor and of bicubic upsampling, along rows and columns."""
        up = [resize.weights(n, self.scale) for n in (h, w)]
        if number is not None:
            return [sensor.of_family(n, self.scale, number) for n in (h, w)], up
        return [sensor.matrix(n, self.scale, self.degradation, self.mtf) for n in (h, w)], up

    def detail(self, images: jax.Array, look: Views, batch: dict, dtype: jnp.dtype) -> jax.Array:
        """The missing detail of the mixtures of component images, `b H W vn`: those of each view
        in a pass of its own, in which the image is flipped another way."""
        b, h, w, _ = images.shape
        v, n = look.noise.shape[1:]
        axes = [(), (1, 2), (1,), (2,)][:v]
        mixed = jnp.einsum("bhwk,bvkn->vbhwn", images, look.forth)
        turned = jnp.stack([jnp.flip(x, a) for x, a in zip(mixed, axes)])
        turned = turned.transpose(0, 1, 4, 2, 3).reshape(-1, h, w, 1)
        facts = self.facts(look.noise.transpose(1, 0, 2), batch.get("sensor"))
        mask: jax.Array | float = 1.0
        if "valid" in batch:
            mask = jnp.repeat(batch["valid"].astype(dtype), n, 0)
            mask = jnp.concatenate([jnp.flip(mask, a) for a in axes])
        trunk = Trunk(self.scale, self.features, self.blocks, name="trunk")
        made = trunk(turned.astype(dtype), facts.astype(dtype), mask).astype(jnp.float32)
        made = made.reshape(v, b, n, *made.shape[1:3]).transpose(0, 1, 3, 4, 2)
        made = jnp.stack([jnp.flip(x, a) for x, a in zip(made, axes)])  # v b H W n
        return made.transpose(1, 2, 3, 0, 4).reshape(*made.shape[1:4], v * n)

    def facts(self, noise: jax.Array, number: jax.Array | None) -> jax.Array:
        """Further inputs of the network for each image (noise: `v b n`), `vbn 9`: the sensor's MTF,
        the noise, the scale."""
        passes, _, count = noise.shape
        noise = noise.reshape(-1, 1)
        noise = noise if self.noise else jnp.zeros_like(noise)
        if number is None:
            passed = sensor.transfer(self.scale, self.degradation, self.mtf)
            same = jnp.broadcast_to(jnp.asarray(passed, jnp.float32), (noise.shape[0], 4))
        else:
            same = jnp.repeat(sensor.transfer_of_family(self.scale, number), count, 0)
            same = jnp.tile(same, (passes, 1))
        noise = jnp.log10(jnp.minimum(noise, 0.5) + NOISE_FLOOR) + 2.5
        scales = jnp.asarray([float(self.scale == s) for s in SCALES], jnp.float32)
        scales = jnp.broadcast_to(scales, (noise.shape[0], len(SCALES)))
        return jnp.concatenate([same, noise, scales], 1)


NETWORK = Network(
    "anyband",
    AnyBand,
    whole="",
    last_layer=lambda module: f"trunk/tail_x{module.scale}",
    starts_at_bicubic=True,
    any_bands=True,
    scales=SCALES,
    tiny={"features": 8, "blocks": 1, "components": 4, "sharpened": 3},
)
