"""Any network as a correction of the bicubic image, starting at zero.

The published networks must first learn to copy their input; with this wrapper and a last layer
of zeros, training starts at bicubic interpolation and every step is spent on detail.
"""

import jax
import jax.numpy as jnp
from flax import linen as nn

from hsisr_jax.errors import UserError

# class of a network -> path of the layer that makes its output
LAST_LAYERS = {"SRLSGAT": "final", "SSPSR": "final"}


class BicubicResidual(nn.Module):
    """`sr = lms + network's sr`."""

    network: nn.Module

    def __call__(self, batch: dict, *, train: bool = False) -> dict:
        out = self.network(batch, train=train)
        return out | {"sr": batch["lms"] + out["sr"]}

    def zero_start(self, params: dict) -> dict:
        """Fresh parameters with the network's last layer at zero."""
        name = type(self.network).__name__
        if name not in LAST_LAYERS:
            known = ", ".join(LAST_LAYERS)
            raise UserError(f"config.residual is not there for {name}: use it with {known}")
        last = tuple(LAST_LAYERS[name].split("/"))

        def leaf(path, x):
            names = tuple(key.key for key in path)
            return jnp.zeros_like(x) if names[1 : 1 + len(last)] == last else x

        return jax.tree_util.tree_map_with_path(leaf, params)
