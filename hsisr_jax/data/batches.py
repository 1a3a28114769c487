"""Makes batches from stored pixels, inside the compiled step.

crop -> linear values -> flip or rotate -> augment -> degrade -> compress: `Recipe` is the whole
chain, the same for device-resident scenes, for scenes on the host, and for test images.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct

from hsisr_jax import resize
from hsisr_jax.data import sampler
from hsisr_jax.data.normalise import compress
from hsisr_jax.data.sampler import SCALING, Patches
from hsisr_jax.errors import UserError

Batch = dict[str, jax.Array]


@struct.dataclass
class Draw:
    """The stored pixels of a batch with the properties of its patches, all `[b, ...]`."""

    pixels: dict[str, jax.Array]  # b p p c
    gain: jax.Array  # b 1, as the three below
    bias: jax.Array
    low: jax.Array
    high: jax.Array
    domain: jax.Array  # b
    symmetry: jax.Array | None  # b; None: as they are


def draw(patches: Patches, seed, step, batch_size: int, *, augment: bool, place=lambda x: x):
    """The batch at `step`, cut on the device; `place` shards what is chosen before it is cut.
    `seed`: as of `sampler.choose`."""
    chosen, symmetry = sampler.choose(patches.counts, seed, step, batch_size, augment=augment)
    chosen, symmetry = place(chosen), place(symmetry)
    pixels = sampler.gather(patches, chosen)
    return drawn(patches, pixels, chosen, symmetry if augment else None)


def draw_on_host(
    patches: Patches, seed: int, step: int, batch_size: int, *, augment: bool, part=slice(None)
) -> Draw:
    """The same batch (or one `part` of it) from numpy arrays."""
    chosen, symmetry = sampler.choose(
        patches.counts, seed, step, batch_size, augment=augment, xp=np
    )
    chosen, symmetry = chosen[part], symmetry[part]
    pixels = sampler.gather_on_host(patches, chosen)
    return drawn(patches, pixels, chosen, symmetry if augment else None)


def drawn(patches: Patches, pixels, chosen, symmetry=None) -> Draw:
    """The pixels of the chosen patches with their properties."""
    own = {name: getattr(patches, name)[chosen] for name in (*SCALING, "domain")}
    return Draw(pixels=pixels, symmetry=symmetry, **own)


@dataclass(frozen=True)
class Recipe:
    """The steps that turn a `Draw` into a batch.

    `degrade(hr, key)` returns `lr`, `lms` and other inputs; `augmentations` are functions
    `(hr, key) -> hr` on linear values, `on_inputs` the same for `lr`, from which `lms` is then
    recomputed; `floor` switches to the logarithmic range. With `components`, training sees
    single component images by random sensors instead: `(hr, key) -> batch`.
    """

    degrade: Callable[[jax.Array, jax.Array | None], Batch] | None
    scale: int = 1
    floor: float | None = None
    augmentations: tuple[Callable, ...] = ()
    on_inputs: tuple[Callable, ...] = ()
    components: Callable[[jax.Array, jax.Array], Batch] | None = None
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
        if self.components and key is not None:
            return self.components(hr, key)
        batch = self.degrade(hr, key) if self.degrade else {}
        batch |= {"hr": hr} | cubes
        if self.on_inputs and key is not None:
            batch = self._augment_input(batch, jax.random.fold_in(key, len(self.augmentations)))
        if self.floor is not None:
            batch = self._compress(batch, drawn)
        if self.domains > 1:
            batch["domain"] = drawn.domain
        return batch

    def as_tested(self, drawn: Draw, number: int | jax.Array = 0) -> Batch:
        """The batch without augmentations, of all bands; noise of the degradation is that of this
        number."""
        plain = replace(self, augmentations=(), on_inputs=(), components=None)
        return plain(drawn, jax.random.fold_in(jax.random.key(0), number))

    def _augment_input(self, batch: Batch, key) -> Batch:
        lr = batch["lr"]
        for i, augmentation in enumerate(self.on_inputs):
            lr = augmentation(lr, jax.random.fold_in(key, i))
        return batch | {"lr": lr, "lms": resize.imresize(lr, self.scale)}

    def _augment(self, cubes: Batch, keys) -> Batch:
        """Augments all cubes of a sample in the same way."""
        ends = np.cumsum([x.shape[-1] for x in cubes.values()])[:-1]
        together = jnp.concatenate(list(cubes.values()), -1)
        for augmentation, key in zip(self.augmentations, keys):
            together = augmentation(together, key)
        return dict(zip(cubes, jnp.split(together, ends, -1)))

    @property
    def observation(self) -> Callable[[jax.Array], Batch]:
        """The function from `b H W c` to what the sensor observes, `lr` and more, without noise."""
        if self.floor is not None or not hasattr(self.degrade, "observe"):
            raise UserError(
                "back-projection (config.eval.projection, config.base.kind) and "
                "config.data.train_on are for spatial degradations of values that are not "
                "logarithms: set them to 0, 'bicubic' or 'none', and 'train'"
            )
        return self.degrade.observe

    def seen_again(self, sr: jax.Array, drawn: Draw) -> jax.Array:
        """Degrades a network's output as the sensor would: nearly `lr` if the output is correct. No
        target is needed."""
        if not hasattr(self.degrade, "observe"):
            raise UserError("'consistency' is for spatial degradations: choose another metric")
        if self.floor is None:
            return self.degrade.observe(sr)["lr"]
        low, high = drawn.low[:, :, None, None], drawn.high[:, :, None, None]
        lr = self.degrade.observe(jnp.exp(sr * (high - low) + low))["lr"]
        return compress(lr, self.floor, low, high)

    def _compress(self, batch: Batch, drawn: Draw) -> Batch:
        """Converts inputs and targets to the logarithmic range, but not intermediate targets."""
        low, high = drawn.low[:, :, None, None], drawn.high[:, :, None, None]
        seen = {k: compress(batch[k], self.floor, low, high) for k in ("lr", "hr")}
        return batch | seen | {"lms": resize.imresize(seen["lr"], self.scale)}


def of_image(image: Mapping[str, np.ndarray], normaliser, domain: int = 0) -> Draw:
    """A whole image as a draw with a batch of one, for evaluation with the same recipe."""

    return Draw(
        pixels={name: jnp.asarray(np.asarray(x))[None] for name, x in image.items()},
        domain=jnp.full((1,), domain, jnp.int32),
        symmetry=None,
        **{k: jnp.full((1, 1), getattr(normaliser, k), jnp.float32) for k in SCALING},
    )
