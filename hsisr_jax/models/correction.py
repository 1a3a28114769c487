"""A wrapper that makes any network a correction of a simpler estimate, its base.

The published networks must first learn to copy their input. A correction starts at zero, so that
training starts from the base (`models.bases`). The wrapped network keeps its parameters' names, so
weights can be moved between both forms.
"""

import jax
import jax.numpy as jnp
from flax import linen as nn

from hsisr_jax.models.bases import Base, Bicubic
from hsisr_jax.resize import interpolate

USUAL_MEAN = 0.2  # of a scene divided by its maximum, which has a level of 1
GAIN = "residual_gain"


class Correction(nn.Module):
    """`sr = base + network's sr`.

    `last_layer` is the path of the network's layer that starts at zero (`with_zeros`); without one
    its output gets one factor a band, zero at the start. With `adds_bicubic` the network adds the
    bicubic image itself, which is taken out again. Inputs are divided by `level` and outputs
    multiplied by it, so dark scenes train at the usual scale; it is stored with the weights. None
    leaves values as they are.
    """

    network: nn.Module
    base: Base = Bicubic()
    last_layer: str | None = None
    adds_bicubic: bool = False
    level: float | None = 1.0

    def setup(self):
        nn.share_scope(self, self.network)

    @nn.compact
    def __call__(self, batch: dict, *, train: bool = False) -> dict:
        level = None
        seen = batch
        if self.level is not None:
            stored = self.variable("constants", "level", jnp.asarray, self.level, jnp.float32)
            level = stored.value.astype(batch["lr"].dtype)
            seen = batch | {name: batch[name] / level for name in ("lr", "lms")}
        out = self.network(seen, train=train)
        detail = out["sr"]
        if self.adds_bicubic:
            detail = detail - interpolate(seen["lr"], detail.shape[1:3])
        if self.last_layer is None:
            detail = detail * self.param(GAIN, nn.initializers.zeros, (1, 1, 1, detail.shape[-1]))
        if level is not None:
            detail, out = level * detail, out | _times(level, out)
        return out | {"sr": self.base(self, batch) + detail}


def _times(level: jax.Array, out: dict) -> dict:
    """Multiplies the outputs that are in the units of the cube."""
    scaled = {name: level * out[name] for name in ("reconstruction", "spread") if name in out}
    return scaled | ({"stages": [level * x for x in out["stages"]]} if "stages" in out else {})


def with_zeros(params: dict, layer: str | None) -> dict:
    """`params` with everything under `layer` at zero."""
    path = tuple(layer.split("/")) if layer else None

    def leaf(keys, x):
        names = tuple(key.key for key in keys)
        return jnp.zeros_like(x) if path and names[: len(path)] == path else x

    return jax.tree_util.tree_map_with_path(leaf, params)
