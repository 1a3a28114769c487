"""Weights of the four published codes, in and out.

Every array of the original is used exactly once; one that is missing, left over or of the wrong
shape is an error that names it. The same functions convert gradients.
"""

from collections.abc import Mapping
from importlib import import_module
from importlib.util import find_spec

import jax
import numpy as np
from flax import linen as nn

from hsisr_jax import models
from hsisr_jax.errors import UserError
from hsisr_jax.port.engine import (
    Entry,
    State,
    Table,
    add_prefix,
    convert_in,
    convert_out,
    strip_prefix,
)


def from_torch(module: nn.Module, state_dict: Mapping[str, np.ndarray], batch: Mapping) -> dict:
    """Variables of `module` from the original's PyTorch arrays.

    Args:
        module: the network, of the sizes that the weights have.
        state_dict: the original's names to arrays in PyTorch's layout, buffers included.
        batch: an example of the input, for the shapes.

    Returns:
        The variables, `{"params": ..., "batch_stats": ...}` where the network has statistics.

    Raises:
        UserError: an array is missing, left over or of another shape; the message names it.
    """
    table = _table(module)
    entries, own = table.entries(module), table.own_prefix
    names = [entry.key.removeprefix(own) for entry in entries]
    state = add_prefix(strip_prefix(state_dict, table.prefixes, names), own)
    return convert_in(entries, state, _shapes(module, batch))


def to_torch(module: nn.Module, variables: Mapping) -> State:
    """The exact inverse of `from_torch`; also for trees shaped like `params` (gradients).

    Args:
        module: the network.
        variables: its variables, or `{"params": gradients}` alone.

    Returns:
        The original's names to numpy arrays in PyTorch's layout.
    """
    return convert_out(_table(module).entries(module), variables)


def from_tensorflow(module: nn.Module, weights: Mapping[str, np.ndarray], batch: Mapping) -> dict:
    """Variables of an `ssran` module from its TensorFlow arrays.

    Args:
        module: the network, of the sizes that the weights have.
        weights: the original's names to arrays; kernels are HWIO.
        batch: an example of the input, for the shapes.

    Returns:
        The variables, `{"params": ...}`.

    Raises:
        UserError: an array is missing, left over or of another shape; the message names it.
    """
    return convert_in(_entries_of_tensorflow(module), weights, _shapes(module, batch))


def to_tensorflow(module: nn.Module, variables: Mapping) -> State:
    """The exact inverse of `from_tensorflow`.

    Args:
        module: the network.
        variables: its variables, or `{"params": gradients}`.

    Returns:
        The original's names to numpy arrays.
    """
    return convert_out(_entries_of_tensorflow(module), variables)


def table(name: str) -> Table | None:
    """How the original of a network stores its weights; None where there is no original."""
    place = f"hsisr_jax.port.{name}"
    known = name in models.BUILT_IN and find_spec(place)
    return import_module(place).TABLE if known else None


def originals() -> tuple[str, ...]:
    """The networks whose originals have weights."""
    return tuple(n for n in models.BUILT_IN if (found := table(n)) and found.widths)


def _table(module: nn.Module) -> Table:
    name = models.of(module).name
    found = table(name)
    if found is None or found.tensorflow:
        others = [n for n in originals() if (known := table(n)) and not known.tensorflow]
        raise UserError(f"no PyTorch original for {name}; there are: {', '.join(others)}")
    return found


def _entries_of_tensorflow(module: nn.Module) -> list[Entry]:
    found = table(models.of(module).name)
    if found is None or not found.tensorflow:
        raise UserError("only ssran has a TensorFlow original")
    return found.entries(module)


def _shapes(module: nn.Module, batch: Mapping) -> dict:
    return jax.eval_shape(lambda key: module.init(key, dict(batch), train=False), jax.random.key(0))
