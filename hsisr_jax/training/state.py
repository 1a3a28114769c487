"""The training state, one pytree."""

from collections.abc import Mapping

import jax
import jax.numpy as jnp
import optax
from flax import linen as nn
from flax import struct

DISCRIMINATOR = "discriminator"
TREES = ("params", "ema", "batch_stats", "constants", "opt_state")
COUNTERS = ("step", "skipped", "streak")


@struct.dataclass
class TrainState:
    """`opt_state` holds one optax state per named group of parameters.

    A plain network has the group `model`; with a discriminator there are `generator` and
    `discriminator`, split by name at the top of the parameter tree.
    """

    step: jax.Array
    params: dict
    batch_stats: dict
    constants: dict  # other collections: never trained
    opt_state: dict[str, optax.OptState]
    ema: dict  # averaged parameters; empty when not asked for
    skipped: jax.Array  # steps left out because a number was not finite
    streak: jax.Array  # of those, how many in a row up to now

    @property
    def variables(self) -> dict:
        """The variables for `module.apply`."""
        return {"params": self.params, "batch_stats": self.batch_stats, **self.constants}

    @property
    def averaged(self) -> dict:
        """The same with the averaged parameters, if there are any."""
        return self.variables | {"params": self.ema or self.params}


def split(params: Mapping, groups) -> dict[str, dict]:
    """Parameters by group."""
    if tuple(groups) == ("model",):
        return {"model": dict(params)}
    return {
        "generator": {k: v for k, v in params.items() if k != DISCRIMINATOR},
        DISCRIMINATOR: {k: v for k, v in params.items() if k == DISCRIMINATOR},
    }


def join(groups: Mapping[str, Mapping]) -> dict:
    """The parameter tree from its groups."""
    return {name: value for group in groups.values() for name, value in group.items()}


def create(
    module: nn.Module,
    optimizers: Mapping[str, optax.GradientTransformation],
    batch: Mapping[str, jax.Array],
    key: jax.Array,
    *,
    ema: bool,
    adjust=lambda params: params,
) -> TrainState:
    """A state at step 0; `adjust` may change the fresh parameters (a zero start)."""
    variables = dict(module.init(key, batch, train=False))
    variables.pop("intermediates", None)
    params, stats = adjust(variables.pop("params", {})), variables.pop("batch_stats", {})
    parts = split(params, optimizers)
    return TrainState(
        step=jnp.zeros((), jnp.int32),
        params=params,
        batch_stats=stats,
        constants=variables,
        opt_state={name: tx.init(parts[name]) for name, tx in optimizers.items()},
        ema=jax.tree.map(jnp.copy, params) if ema else {},
        skipped=jnp.zeros((), jnp.int32),
        streak=jnp.zeros((), jnp.int32),
    )


def trees(state: TrainState) -> dict:
    """The content of a checkpoint, by name; prediction reads only the first four."""
    counters = {name: getattr(state, name) for name in COUNTERS}
    return {name: getattr(state, name) for name in TREES} | {"counters": counters}


def from_trees(found: Mapping, like: TrainState) -> TrainState:
    """The inverse of `trees`; empty trees are not stored and come from `like`."""
    return like.replace(**{n: found[n] for n in TREES if n in found}, **found["counters"])
