"""Every network by name. `create("sspsr", bands=102, scale=4)` gives a Flax linen module.

variables = module.init(key, batch, train=False)
out = module.apply(variables, batch, train=False)  # out["sr"] is the super-resolved cube
"""

import dataclasses
import difflib
from importlib import import_module

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
    known = [f.name for f in dataclasses.fields(cls) if f.name not in ("parent", "name")]
    for key in kwargs:
        if key not in known:
            raise UserError(
                f"{name} has no option {key!r}{_hint(key, known)}: known are {_list(known)}"
            )
    return cls(**kwargs)


def _list(options) -> str:
    return ", ".join(options)


def _hint(word: str, options) -> str:
    close = difflib.get_close_matches(word, options, n=1)
    return f" (did you mean {close[0]!r}?)" if close else ""
