"""Conversion of a scene file's stored values to a network's input and back, on the device.

What a network needs beside the cube (its bicubic upsampling) is made from a tile and the pixels
around it, so that it is the same as if it were made from the whole scene. Hidden (no-data) values
are filled from their neighbours before anything is made, and hidden again in the output.
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
from hsisr_jax.formats.scene import hidden_values
from hsisr_jax.layers.back_projection import Observe, back_projected
from hsisr_jax.ops.fill import filled

HALO = 4  # input pixels: bicubic upsampling looks two away
INNER = np.s_[:, HALO:-HALO, HALO:-HALO]


@dataclass(frozen=True, eq=False)
class Frontend:
    """How a scene is shown to a network; hidden (no-data) values stay hidden in the output."""

    module: nn.Module
    scale: int
    spectral: bool  # whether the input is `msi`
    normaliser: Normaliser  # of stored values
    bands: np.ndarray | None = None  # a map [c, bands] from the scene's bands to the model's
    precision: str = "float32"
    observe: Observe | None = None  # for back-projection of every tile: it looks a few pixels far
    rounds: int = 0
    dark: float = 0.0

    def __call__(self, variables: dict, stored: jax.Array, bits: jax.Array) -> jax.Array:
        """`b h+2m w+2m c` stored values to `b H W c` in the network's own range, NaN where `bits`
        (see `window`) hide them."""
        return self.finished(self.estimate(variables, stored, bits), stored, bits)

    def estimate(self, variables: dict, stored: jax.Array, bits: jax.Array) -> jax.Array:
        """The network alone, of which a mean over flips can be taken before it is `finished`."""
        dtype, seen = jnp.dtype(self.precision), self.seen(stored)
        batch = {"msi" if self.spectral else "lr": seen[INNER]}
        if not self.spectral:
            edge = HALO * self.scale
            batch["lms"] = resize.imresize(seen, self.scale)[:, edge:-edge, edge:-edge]
        batch["valid"] = ~self.hidden(stored, bits)[INNER].all(-1, keepdims=True)
        batch = jax.tree.map(lambda x: x.astype(dtype), batch)
        variables = jax.tree.map(
            lambda x: x.astype(dtype) if jnp.issubdtype(x.dtype, jnp.floating) else x, variables
        )
        return self.module.apply(variables, batch, train=False)["sr"].astype(jnp.float32)

    def finished(self, sr: jax.Array, stored: jax.Array, bits: jax.Array) -> jax.Array:
        """Projected back, and NaN where the input is hidden."""
        if self.rounds:
            sr = back_projected(
                sr,
                self.seen(stored)[INNER],
                self.observe,
                scale=self.scale,
                rounds=self.rounds,
                dark=self.dark,
            )
        hidden = self.hidden(stored, bits)[INNER].repeat(self.scale, 1).repeat(self.scale, 2)
        if self.spectral:
            hidden = hidden.any(-1, keepdims=True)
        return jnp.where(hidden, jnp.nan, sr)

    def hidden(self, stored: jax.Array, bits: jax.Array) -> jax.Array:
        """The mask of hidden values in the model's bands."""
        hidden = jnp.unpackbits(bits, axis=-1, count=stored.shape[-1]).astype(bool)
        if self.bands is None:
            return hidden
        used = (jnp.asarray(self.bands, jnp.float32) != 0).astype(jnp.float32)
        return (hidden.astype(jnp.float32) @ used) > 0

    def seen(self, stored: jax.Array) -> jax.Array:
        """Stored values in the model's bands and the network's range."""
        values = stored.astype(jnp.float32)
        if self.bands is not None:
            mapped = jnp.asarray(self.bands, jnp.float32)
            values = jnp.matmul(values, mapped, precision=jax.lax.Precision.HIGHEST)
        return self.normaliser.apply(values)


@jax.jit
def weigh(sr: jax.Array, down: jax.Array, across: jax.Array) -> jax.Array:
    """`b H W c` times one weight a row (`b H`) and one a column (`b W`)."""
    return sr * (down[:, :, None] * across[:, None, :])[..., None]


def window(
    scene: SceneReader, neutral: np.ndarray | float = 0.0, centre: float = 0.0
) -> Callable[[slice, slice], tuple[np.ndarray, np.ndarray]]:
    """Reads windows that may reach over the scene's border, which is mirrored there.

    Gives stored values (where `centre` is not 0, less that, as float32), those without data filled
    in (by `neutral` where a band has none at all), and which ones that were, eight bands in a byte.
    """

    def read(rows: slice, cols: slice) -> tuple[np.ndarray, np.ndarray]:
        parts, pads = [], []
        for part, size in ((rows, scene.height), (cols, scene.width)):
            inside = slice(max(part.start, 0), min(part.stop, size))
            parts.append(inside)
            pads.append((inside.start - part.start, part.stop - inside.stop))
        values = scene.read(*parts)
        hidden = hidden_values(values, scene.meta.nodata)
        if centre:
            values = (values.astype(np.float64) - centre).astype(np.float32)
        elif values.dtype.itemsize > 4:  # JAX would narrow 64-bit integers without rounding
            values = values.astype(np.float32)
        both = filled(values, hidden, neutral), np.packbits(hidden, axis=-1)
        if not any(map(any, pads)):
            return both
        values, bits = (np.pad(x, (*pads, (0, 0)), mode="symmetric") for x in both)
        return values, bits

    return read


def empty(tile: tuple[np.ndarray, np.ndarray], bands: int) -> bool:
    """Whether a tile of `window` has nothing but hidden values inside its halo."""
    bits = tile[1][HALO:-HALO, HALO:-HALO]
    return bool(bits.all()) and bool(np.unpackbits(bits, axis=-1, count=bands).all())
