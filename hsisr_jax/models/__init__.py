"""Every network by name. `create("sspsr", bands=102, scale=4)` gives a Flax linen module.

variables = module.init(key, batch, train=False)
out = module.apply(variables, batch, train=False)  # out["sr"] is the super-resolved cube
"""

import dataclasses
import difflib
from importlib import import_module
from numbers import Integral

from flax import linen as nn

from hsisr_jax.errors import UserError

NETWORKS: dict[str, str] = {  # name -> class, in the module of that name
    "bicubic": "Bicubic",
    "srlsgat": "SRLSGAT",
    "sspsr": "SSPSR",
    "ssran": "SSRAN",
    "snlsr": "SNLSR",
    "asnlsr": "AdversarialSNLSR",
    "rcam": "RCAM",
    "esrt": "ESRT",
    "srformer": "SRFormer",
}
MAY_BE_ZERO = ("blocks", "group_overlap", "rcams")  # or the network itself says why not


def names() -> tuple[str, ...]:
    """The networks that `create` knows."""
    return tuple(NETWORKS)


def create(name: str, **kwargs) -> nn.Module:
    """The network `name`; its keywords default to the full-size original."""
    if name not in NETWORKS:
        raise UserError(
            f"unknown network {name!r}{_hint(name, NETWORKS)}: known are {_list(NETWORKS)}"
        )
    cls = getattr(import_module(f"hsisr_jax.models.{name}"), NETWORKS[name])
    known = {f.name: f for f in dataclasses.fields(cls) if f.name not in ("parent", "name")}
    for key, value in kwargs.items():
        if key not in known:
            raise UserError(
                f"{name} has no option {key!r}{_hint(key, known)}: known are {_list(known)}"
            )
        least = int(key not in MAY_BE_ZERO)
        if _whole(known[key].default) and not (_whole(value) and int(value) >= least):
            raise UserError(
                f"{name}: {key} is {value!r}: use a whole number of at least {least} (its default "
                f"is {known[key].default})"
            )
    return cls(**kwargs)


def _whole(value) -> bool:
    return isinstance(value, Integral) and not isinstance(value, bool)


def _list(options) -> str:
    return ", ".join(options)


def _hint(word: str, options) -> str:
    close = difflib.get_close_matches(word, options, n=1)
    return f" (did you mean {close[0]!r}?)" if close else ""
