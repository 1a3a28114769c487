"""The estimates that a network can correct: bicubic, back-projected, with fitted filters, linear.

A base is a function `(scope, batch) -> b H W c`. Its variables belong to `scope`, the module that
corrects it, so they are stored with that module's weights: what is fitted before training among
the parameters, a pretrained network in the collection `base`, which no optimizer sees.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn

from hsisr_jax.layers.back_projection import Observe, back_projected, held
from hsisr_jax.ops import filters

FILTERS = "base_filters"  # names of parameters
LEAST_SQUARES = "least_squares"
FROZEN = "base"  # the collection of a pretrained base

Base = Callable[[nn.Module, Mapping[str, jax.Array]], jax.Array]


@dataclass(frozen=True)
class Bicubic:
    """The upsampled input, `lms`."""

    def __call__(self, scope: nn.Module, batch: Mapping) -> jax.Array:
        return batch["lms"]


@dataclass(frozen=True)
class BackProjected:
    """`lms` after some rounds of back-projection.

    Pixels darker than `dark_level` keep the spectral direction of `lms`: see
    `layers.back_projection.held`.
    """

    observe: Observe
    rounds: int
    dark_level: float

    def __call__(self, scope: nn.Module, batch: Mapping) -> jax.Array:
        return held(batch["lms"], self.projected(batch), self.dark_level, jnp)

    def projected(self, batch: Mapping) -> jax.Array:
        """The estimate before dark pixels are held."""
        lms, lr = batch["lms"], batch["lr"]
        return back_projected(lms, lr, self.observe, scale=_scale(batch), rounds=self.rounds)


@dataclass(frozen=True)
class Filters(BackProjected):
    """The back-projected image plus linear filters, fitted by least squares before training."""

    radius: int  # in low-resolution pixels

    def __call__(self, scope: nn.Module, batch: Mapping) -> jax.Array:
        shape = (filters.taps(self.radius), _scale(batch) ** 2)
        fitted = scope.param(FILTERS, nn.initializers.zeros, shape)
        detail = filters.detail(batch["lr"], jax.lax.stop_gradient(fitted), _scale(batch))
        return held(batch["lms"], self.projected(batch) + detail, self.dark_level, jnp)

    def normal_equations(self, batch: Mapping) -> tuple[jax.Array, jax.Array]:
        """The normal equations of the filters that fit the projected estimate to the targets."""
        return filters.normal_equations(
            batch["lr"], batch["hr"] - self.projected(batch), self.radius
        )


@dataclass(frozen=True)
class LeastSquares:
    """A linear map of the bands of `msi`, fitted before training, then trained with the rest."""

    bands: int

    def __call__(self, scope: nn.Module, batch: Mapping) -> jax.Array:
        return nn.Dense(self.bands, name=LEAST_SQUARES)(batch["msi"])


@dataclass(frozen=True)
class Pretrained:
    """The estimate of another network, whose variables are loaded once and not trained."""

    module: nn.Module

    def __call__(self, scope: nn.Module, batch: Mapping) -> jax.Array:
        inputs = {name: batch[name] for name in ("lr", "lms", "valid") if name in batch}

        def init() -> Any:
            found = self.module.init(jax.random.key(0), inputs, train=False)
            return {name: tree for name, tree in found.items() if name != "intermediates"}

        stored = scope.variable(FROZEN, "variables", init).value
        sr = self.module.apply(jax.lax.stop_gradient(stored), inputs, train=False)["sr"]
        return jax.lax.stop_gradient(sr)


def _scale(batch: Mapping) -> int:
    return batch["lms"].shape[1] // batch["lr"].shape[1]


# kind -> the keys of `config.base` that it reads
KINDS: dict[str, tuple[str, ...]] = {
    "none": (),
    "bicubic": (),
    "back_projected": ("rounds", "dark"),
    "filters": ("radius", "rounds", "dark"),
    "least_squares": (),
    "pretrained": ("source",),
}
