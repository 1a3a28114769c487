"""From a scene file's stored values to a network's input and back, on the device.

What a network needs beside the cube (its bicubic upsampling) is made from a tile and the pixels
around it, so that it is the same as if it were made from the whole scene.
"""

from collections.abc import Callable
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn

from hsisr_jax import resize
from hsisr_jax.data.normalise import Normaliser
from hsisr_jax.formats import SceneReader
from hsisr_jax.layers.back_projection import Observe, back_projected

HALO = 4  # input pixels: bicubic upsampling looks two away


@dataclass(frozen=True, eq=False)
class Frontend:
    """How a scene is shown to a network; hidden (no-data) values stay hidden in the output."""

    module: nn.Module
    scale: int
    spectral: bool  # whether the input is `msi`
    normaliser: Normaliser  # of stored values
    bands: np.ndarray | None = None  # a map [c, bands] from the scene's bands to the model's
    nodata: float | None = None
    precision: str = "float32"
    observe: Observe | None = None  # for back-projection of every tile: it looks a few pixels far
    rounds: int = 0
    dark: float = 0.0

    def __call__(self, variables: dict, stored: jax.Array) -> jax.Array:
        """`b h+2m w+2m c` stored values to `b H W c` in the network's own range, NaN if hidden."""
        dtype = jnp.dtype(self.precision)
        hidden, values = self._visible(stored.astype(jnp.float32))
        seen = self.normaliser.apply(values)
        inner = np.s_[:, HALO:-HALO, HALO:-HALO]
        batch = {"msi" if self.spectral else "lr": seen[inner]}
        if not self.spectral:
            edge = HALO * self.scale
            batch["lms"] = resize.imresize(seen, self.scale)[:, edge:-edge, edge:-edge]
        batch = jax.tree.map(lambda x: x.astype(dtype), batch)
        variables = jax.tree.map(
            lambda x: x.astype(dtype) if jnp.issubdtype(x.dtype, jnp.floating) else x, variables
        )
        sr = self.module.apply(variables, batch, train=False)["sr"].astype(jnp.float32)
        if self.rounds:
            sr = back_projected(
                sr,
                seen[inner],
                self.observe,
                scale=self.scale,
                rounds=self.rounds,
                dark=self.dark,
            )
        hidden = hidden[inner].repeat(self.scale, 1).repeat(self.scale, 2)
        if self.spectral:
            hidden = hidden.any(-1, keepdims=True)
        return jnp.where(hidden, jnp.nan, sr)

    def _visible(self, stored: jax.Array) -> tuple[jax.Array, jax.Array]:
        """Which values are hidden, and all values with what the network sees as 0 in their place;
        both in the model's bands."""
        hidden = ~jnp.isfinite(stored)
        if self.nodata is not None:
            hidden |= stored == np.float32(self.nodata)
        zero = -self.normaliser.bias / self.normaliser.gain
        values = jnp.where(hidden, np.float32(zero), stored)
        if self.bands is not None:
            used = jnp.asarray(self.bands != 0, jnp.float32)
            hidden = (hidden.astype(jnp.float32) @ used) > 0
            mapped = jnp.asarray(self.bands, jnp.float32)
            values = jnp.matmul(values, mapped, precision=jax.lax.Precision.HIGHEST)
        return hidden, values


@jax.jit
def weigh(sr: jax.Array, down: jax.Array, across: jax.Array) -> jax.Array:
    """`b H W c` times one weight a row (`b H`) and one a column (`b W`)."""
    return sr * (down[:, :, None] * across[:, None, :])[..., None]


def window(scene: SceneReader) -> Callable[[slice, slice], np.ndarray]:
    """Reads windows that may reach over the scene's border, which is mirrored there."""

    def read(rows: slice, cols: slice) -> np.ndarray:
        parts, pads = [], []
        for part, size in ((rows, scene.height), (cols, scene.width)):
            inside = slice(max(part.start, 0), min(part.stop, size))
            parts.append(inside)
            pads.append((inside.start - part.start, part.stop - inside.stop))
        values = scene.read(*parts)
        if values.dtype.itemsize > 4:  # JAX would narrow 64-bit integers without rounding
            values = values.astype(np.float32)
        return np.pad(values, (*pads, (0, 0)), mode="symmetric") if any(map(any, pads)) else values

    return read
