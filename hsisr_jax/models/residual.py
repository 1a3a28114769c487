"""Any network as a correction of a simple estimate, starting at zero.

The published networks must first learn to copy their input. With these wrappers training starts at
bicubic interpolation (back-projected, if asked for), or at the best linear map of bands, and every
step is spent on what is left.
The wrapped network keeps its parameters' names, so weights move between both forms.
"""

import jax
import jax.numpy as jnp
from flax import linen as nn
from jax.typing import ArrayLike

from hsisr_jax.layers.back_projection import Observe, back_projected, held
from hsisr_jax.layers.ensemble import Ensemble, bare
from hsisr_jax.ops import filters
from hsisr_jax.resize import interpolate

# class of a network -> its last linear layer, through which alone the output is made
LAST_LAYERS = {
    "SRLSGAT": "final",
    "SSPSR": "final",
    "SSRAN": "tail",
    "SNLSR": "tail",
    "AdversarialSNLSR": "tail",
}
USUAL_MEAN = 0.2  # of a scene divided by its maximum: a level of 1
GAIN = "residual_gain"
FILTERS = "base_filters"
LEAST_SQUARES = "least_squares"


def last_layer(network: nn.Module) -> str | None:
    """The path of the layer that makes the output; None where no single one does.

    ESRT ends in two, one of them behind a ReLU that would be dead at zero; SRFormer adds a mean to
    cubes of three bands and the input where it does not upsample.
    """
    if isinstance(network, Ensemble):
        inner = last_layer(network.member)
        return inner and f"member/{inner}"
    name = type(network).__name__
    if name == "RCAM":
        return f"stage_{network.scale.bit_length() - 2}/upsample"
    if name == "SRFormer" and network.bands != 3 and network.upsampler:
        direct = network.upsampler == "pixelshuffledirect"
        return f"reconstruction/{'conv_0' if direct else 'conv_last'}"
    return LAST_LAYERS.get(name)


class BicubicResidual(nn.Module):
    """`sr = base + network's sr`; a bicubic skip of the network's own is taken out again.

    The base is `lms`, or, where the sensor's view (`observe`) is known, what some `rounds` of
    back-projection make of it: more than bicubic, before anything is learnt. With a `radius` the
    linear filters of `ops.filters` add their detail to it. A network without a
    single last layer gets one factor a band instead, zero at the start. The network sees its inputs
    divided by `level`, and what it gives is multiplied by it: dark scenes, or scenes of one very
    bright pixel, train as others do. The number is kept with the weights.
    """

    network: nn.Module
    level: float = 1.0
    rounds: int = 0
    observe: Observe | None = None
    dark: float = 0.0  # below it, pixels of the base keep their spectral direction
    radius: int = 0  # of the base's filters, in low-resolution pixels

    def setup(self):
        nn.share_scope(self, self.network)

    @nn.compact
    def __call__(self, batch: dict, *, train: bool = False) -> dict:
        lms = batch["lms"]
        stored = self.variable("constants", "level", jnp.asarray, self.level, jnp.float32)
        level = stored.value.astype(lms.dtype)
        seen = batch | {name: batch[name] / level for name in ("lr", "lms")}
        out = self.network(seen, train=train)
        detail = out["sr"]
        if getattr(bare(self.network), "bicubic_skip", False):
            detail = detail - interpolate(seen["lr"], detail.shape[1:3])
        if last_layer(self.network) is None:
            detail = detail * self.param(GAIN, nn.initializers.zeros, (1, 1, 1, detail.shape[-1]))
        scaled = {name: level * out[name] for name in ("reconstruction", "spread") if name in out}
        scaled |= {"stages": [level * x for x in out["stages"]]} if "stages" in out else {}
        return out | scaled | {"sr": self.base(batch) + level * detail}

    def base(self, batch: dict) -> jax.Array:
        """The estimate that is corrected, `b H W c`."""
        lms, lr = batch["lms"], batch["lr"]
        scale = lms.shape[1] // lr.shape[1]
        moved = self.projected(batch)
        if self.radius:
            shape = (filters.taps(self.radius), scale**2)
            fitted = self.param(FILTERS, nn.initializers.zeros, shape)
            moved = moved + filters.detail(lr, jax.lax.stop_gradient(fitted), scale)
        return held(lms, moved, self.dark, jnp)

    def projected(self, batch: dict) -> jax.Array:
        """The bicubic image after the rounds of back-projection, `b H W c`."""
        lms, lr = batch["lms"], batch["lr"]
        if not self.rounds:
            return lms
        scale = lms.shape[1] // lr.shape[1]
        return back_projected(lms, lr, self.observe, scale=scale, rounds=self.rounds)

    def normal_equations(self, batch: dict) -> tuple[jax.Array, jax.Array]:
        """Of the filters that the base of this batch's targets lacks."""
        wanted = batch["hr"] - self.projected(batch)
        return filters.normal_equations(batch["lr"], wanted, self.radius)

    def zero_start(self, params: dict) -> dict:
        """Fresh parameters with the network's last layer at zero."""
        return with_zeros(params, last_layer(self.network))


class LeastSquaresResidual(nn.Module):
    """`sr = linear map of msi + network's sr`, for spectral super-resolution."""

    network: nn.Module

    def setup(self):
        nn.share_scope(self, self.network)

    @nn.compact
    def __call__(self, batch: dict, *, train: bool = False) -> dict:
        out = self.network(batch, train=train)
        base = nn.Dense(out["sr"].shape[-1], name=LEAST_SQUARES)(batch["msi"])
        return out | {"sr": base + out["sr"]}

    def zero_start(self, params: dict, kernel: ArrayLike, bias: ArrayLike) -> dict:
        """Fresh parameters that give the linear map `msi @ kernel + bias`."""
        base = {"kernel": jnp.asarray(kernel, jnp.float32), "bias": jnp.asarray(bias, jnp.float32)}
        return with_zeros(params, last_layer(self.network)) | {LEAST_SQUARES: base}


def with_zeros(params: dict, layer: str | None) -> dict:
    """`params` with everything under `layer` at zero."""
    path = tuple(layer.split("/")) if layer else None

    def leaf(keys, x):
        names = tuple(key.key for key in keys)
        return jnp.zeros_like(x) if path and names[: len(path)] == path else x

    return jax.tree_util.tree_map_with_path(leaf, params)
