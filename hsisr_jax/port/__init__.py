"""Weights of the four published codes, in and out.

Every array of the original is used exactly once; one that is missing, left over or of the wrong
shape is an error that names it. The same functions convert gradients.
"""

from collections.abc import Mapping
from importlib import import_module

import jax
import numpy as np
from flax import linen as nn

from hsisr_jax.errors import UserError
from hsisr_jax.port.engine import (
    Entry,
    State,
    add_prefix,
    convert_in,
    convert_out,
    strip_prefix,
)

# class name of a network -> (module with its table, wrapper prefixes that a file may carry).
# ESRT's table has `esrt.` in its names, so that prefix is put back where a file lacks it.
TABLES: dict[str, tuple[str, tuple[str, ...]]] = {
    "SRLSGAT": ("srlsgat", ("module.",)),
    "SSPSR": ("sspsr", ("module.",)),
    "SNLSR": ("snlsr", ("module.",)),
    "AdversarialSNLSR": ("asnlsr", ("module.",)),
    "RCAM": ("rcam", ("module.",)),
    "ESRT": ("esrt", ("module.", "esrt.")),
    "SRFormer": ("srformer", ("module.", "srformer.")),
    "Bicubic": ("bicubic", ()),
}
PREFIXED = {"esrt": "esrt."}


def from_torch(module: nn.Module, state_dict: Mapping[str, np.ndarray], batch: Mapping) -> dict:
    """Variables of `module` from the original's PyTorch arrays; `batch` gives the shapes."""
    name, prefixes = _table(module)
    state = add_prefix(strip_prefix(state_dict, prefixes), PREFIXED.get(name, ""))
    return convert_in(_entries(name, module), state, _shapes(module, batch))


def to_torch(module: nn.Module, variables: Mapping) -> State:
    """The exact inverse of `from_torch`; also for trees shaped like `params` (gradients)."""
    return convert_out(_entries(_table(module)[0], module), variables)


def from_tensorflow(module: nn.Module, weights: Mapping[str, np.ndarray], batch: Mapping) -> dict:
    """Variables of an `ssran` module from its TensorFlow arrays (HWIO kernels)."""
    return convert_in(_entries("ssran", module), weights, _shapes(module, batch))


def to_tensorflow(module: nn.Module, variables: Mapping) -> State:
    """The exact inverse of `from_tensorflow`."""
    return convert_out(_entries("ssran", module), variables)


def _table(module: nn.Module) -> tuple[str, tuple[str, ...]]:
    kind = type(module).__name__
    if kind not in TABLES:
        raise UserError(f"no PyTorch original for {kind}; there are: {', '.join(sorted(TABLES))}")
    return TABLES[kind]


def _entries(name: str, module: nn.Module) -> list[Entry]:
    return import_module(f"hsisr_jax.port.{name}").entries(module)


def _shapes(module: nn.Module, batch: Mapping) -> dict:
    return jax.eval_shape(lambda key: module.init(key, dict(batch), train=False), jax.random.key(0))
