"""`Network`: a class and its properties, as each model file declares them in `NETWORK`."""

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import jax
from flax import linen as nn

from hsisr_jax.errors import UserError

UNKNOWN_REACH = "its architecture"


@dataclass(frozen=True)
class Network:
    """A network's name, class and properties. Properties that depend on options are functions of
    the module. The defaults are correct for any network, though not always the fastest.

    `whole` is the reason why an output pixel depends on the whole image (tiles then have the size
    used in training); empty if it depends only on pixels nearby, so that tiles may have any size.
    `last_layer` is the path of parameters that, set to zero, make the output zero (but for a
    bicubic skip, see `adds_bicubic`). If there is none, a correction gets one factor per band,
    zero at the start.
    """

    name: str
    build: type[nn.Module]
    reads: tuple[str, ...] = ("lr",)  # entries of the batch: lr, lms, msi
    whole: str = UNKNOWN_REACH
    last_layer: Callable[[Any], str | None] = lambda module: None
    adds_bicubic: Callable[[Any], bool] = lambda module: False  # of lr, by a skip of its own
    tile_unit: Callable[[Any], int] = lambda module: 1  # tiles are best a multiple of it
    side: Callable[[Any], int] = lambda module: 16  # of an input that it takes
    input_bands: Callable[[Any], int | None] = lambda module: None  # where not those of the output
    endmembers: str = ""  # path of the spectra that its `abundance` mixes, among the parameters
    discriminator: Callable[[Any], nn.Module] | None = None  # of domains, by its abundance
    starts_at_bicubic: bool = False  # a correction by itself: of no other base
    any_bands: bool = False  # one set of weights serves cubes of every number of bands
    scales: tuple[int, ...] = (2, 4, 8)  # that its configs offer
    tiny: Mapping[str, Any] = field(default_factory=dict)  # the smallest size with all its parts
    may_be_zero: tuple[str, ...] = ()  # whole-number options that are not sizes

    @property
    def options(self) -> dict[str, dataclasses.Field]:
        """The fields of its class, by name."""
        own = dataclasses.fields(self.build)  # type: ignore[arg-type]
        return {f.name: f for f in own if f.name not in ("parent", "name")}


def lr_of(batch: Mapping, name: str) -> jax.Array:
    """The input `b h w c` of a network."""
    if "lr" not in batch:
        raise UserError(f"{name} reads lr (b, h, w, c), which the batch lacks")
    lr = batch["lr"]
    if lr.ndim != 4:
        raise UserError(f"{name} reads batches (b, h, w, c), not lr {lr.shape}: use lr[None]")
    return lr


def lr_and_lms(batch: Mapping, name: str, bands: int, scale: int) -> tuple[jax.Array, jax.Array]:
    """`b h w c` and its upsampling `b H W c`, once they are of the network's bands and scale."""
    if missing := {"lr", "lms"} - set(batch):
        raise UserError(
            f"{name} reads lr and lms, the batch has no {' and no '.join(sorted(missing))}: lms is "
            f"resize.imresize(lr, {scale})"
        )
    lr, lms = lr_of(batch, name), batch["lms"]
    b, h, w, c = lr.shape
    if c != bands:
        raise UserError(f"{name} was made for {bands} bands, lr has {c}: set bands={c}")
    if lms.shape != (b, h * scale, w * scale, c):
        raise UserError(f"lms {lms.shape} is not lr {lr.shape} upsampled by {scale}")
    return lr, lms
