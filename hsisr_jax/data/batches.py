"""From stored pixels to a network's batch, inside the compiled step.

crop -> linear values -> flip or rotate -> augment -> degrade -> compress: `Recipe` is the whole
chain, the same for device-resident scenes, for scenes on the host, and for test images.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct

from hsisr_jax import resize
from hsisr_jax.data import sampler
from hsisr_jax.data.normalise import compress
from hsisr_jax.data.sampler import Patches
from hsisr_jax.errors import UserError

Batch = dict[str, jax.Array]


@struct.dataclass
class Draw:
    """The stored pixels of one batch and what its patches bring with them, all `[b, ...]`."""

    pixels: dict[str, jax.Array]  # b p p c
    gain: jax.Array  # b 1, as the three below
    bias: jax.Array
    low: jax.Array
    high: jax.Array
    domain: jax.Array  # b
    symmetry: jax.Array | None  # b; None: as they are


def draw(patches: Patches, seed: int, step, batch_size: int, *, augment: bool, place=lambda x: x):
    """The batch at `step`, cut on the device; `place` shards what is chosen before it is cut."""
    chosen, symmetry = sampler.choose(patches.counts, seed, step, batch_size, augment=augment)
    chosen, symmetry = place(chosen), place(symmetry)
    pixels = sampler.gather(patches, chosen)
    return _draw(patches, pixels, chosen, symmetry if augment else None)


def draw_on_host(
    patches: Patches, seed: int, step: int, batch_size: int, *, augment: bool, part=slice(None)
) -> Draw:
    """The same batch (or one `part` of it) from numpy arrays."""
    chosen, symmetry = sampler.choose(
        patches.counts, seed, step, batch_size, augment=augment, xp=np
    )
    chosen, symmetry = chosen[part], symmetry[part]
    pixels = sampler.gather_on_host(patches, chosen)
    return _draw(patches, pixels, chosen, symmetry if augment else None)


def _draw(patches: Patches, pixels, chosen, symmetry) -> Draw:
    return Draw(
        pixels=pixels,
        gain=patches.gain[chosen],
        bias=patches.bias[chosen],
        low=patches.low[chosen],
        high=patches.high[chosen],
        domain=patches.domain[chosen],
        symmetry=symmetry,
    )


@dataclass(frozen=True)
class Recipe:
    """How a draw becomes a batch.

    `degrade(hr, key)` gives `lr`, `lms` and what else a network trains on; `augmentations` are
    functions `(hr, key) -> hr` on linear values; `floor` switches to the logarithmic range.
    """

    degrade: Callable[[jax.Array, jax.Array | None], Batch] | None
    scale: int = 1
    floor: float | None = None
    augmentations: tuple[Callable, ...] = ()
    domains: int = 1

    def __call__(self, drawn: Draw, key: jax.Array | None = None) -> Batch:
        def linear(pixels):
            spread = (slice(None), None, None)
            x = pixels.astype(jnp.float32) * drawn.gain[spread] + drawn.bias[spread]
            return x if drawn.symmetry is None else sampler.turn(x, drawn.symmetry)

        cubes = {name: linear(pixels) for name, pixels in drawn.pixels.items()}
        if self.augmentations and key is not None:
            key, *keys = jax.random.split(key, len(self.augmentations) + 1)
            cubes = self._augment(cubes, keys)
        hr = cubes.pop("hr")  # b H W c
        batch = self.degrade(hr, key) if self.degrade else {}
        batch |= {"hr": hr} | cubes
        if self.floor is not None:
            batch = self._compress(batch, drawn)
        if self.domains > 1:
            batch["domain"] = drawn.domain
        return batch

    def _augment(self, cubes: Batch, keys) -> Batch:
        """All cubes of a sample alike: what shrinks or brightens the one does so to the other."""
        ends = np.cumsum([x.shape[-1] for x in cubes.values()])[:-1]
        together = jnp.concatenate(list(cubes.values()), -1)
        for augmentation, key in zip(self.augmentations, keys):
            together = augmentation(together, key)
        return dict(zip(cubes, jnp.split(together, ends, -1)))

    @property
    def observation(self) -> Callable[[jax.Array], Batch]:
        """What the sensor sees of `b H W c`, without noise: a function to `lr` and more."""
        if self.floor is not None or not hasattr(self.degrade, "observe"):
            raise UserError(
                "config.eval.projection, config.base_projection and config.data.train_on are for "
                "spatial degradations of values that are not logarithms: set the first two to 0, "
                "the third to 'train'"
            )
        return self.degrade.observe

    def seen_again(self, sr: jax.Array, drawn: Draw) -> jax.Array:
        """The input that the sensor would make of a network's output: nearly `lr`, where it is
        right. No target is needed."""
        if not hasattr(self.degrade, "observe"):
            raise UserError("'consistency' is for spatial degradations: choose another metric")
        if self.floor is None:
            return self.degrade.observe(sr)["lr"]
        low, high = drawn.low[:, :, None, None], drawn.high[:, :, None, None]
        lr = self.degrade.observe(jnp.exp(sr * (high - low) + low))["lr"]
        return compress(lr, self.floor, low, high)

    def _compress(self, batch: Batch, drawn: Draw) -> Batch:
        """Inputs and targets to the logarithmic range; targets halfway stay linear."""
        low, high = drawn.low[:, :, None, None], drawn.high[:, :, None, None]
        seen = {k: compress(batch[k], self.floor, low, high) for k in ("lr", "hr")}
        return batch | seen | {"lms": resize.imresize(seen["lr"], self.scale)}


def of_image(image: Mapping[str, np.ndarray], normaliser, domain: int = 0) -> Draw:
    """One whole image as a draw of batch one: the same recipe serves the tests."""

    def row(value):
        return jnp.full((1, 1), value, jnp.float32)

    return Draw(
        pixels={name: jnp.asarray(x)[None] for name, x in image.items()},
        gain=row(normaliser.gain),
        bias=row(normaliser.bias),
        low=row(normaliser.low),
        high=row(normaliser.high),
        domain=jnp.full((1,), domain, jnp.int32),
        symmetry=None,
    )
