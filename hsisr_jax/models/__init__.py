"""Every network by name. `create("sspsr", bands=102, scale=4)` gives a Flax linen module.

variables = module.init(key, batch, train=False)
out = module.apply(variables, batch, train=False)  # out["sr"] is the super-resolved cube

A network of your own is one class and one call, `register(Network("mine", Mine))`: from then on
its name works in configs, workdirs and commands like those below.
"""

import difflib
from importlib import import_module
from numbers import Integral

from flax import linen as nn

from hsisr_jax.errors import UserError
from hsisr_jax.models.network import Network

BUILT_IN = ("bicubic", "srlsgat", "sspsr", "ssran", "snlsr", "asnlsr", "rcam", "esrt", "srformer",
            "anyband")  # each in the module of that name  # fmt: skip
_registered: dict[str, Network] = {}


def names() -> tuple[str, ...]:
    """The networks that `create` knows.

    Returns:
        Their names, in the order of the documentation.
    """
    return (*BUILT_IN, *_registered)


def register(network: Network) -> None:
    """Makes a network known by its name, in place of one registered before by the same name."""
    if network.name in BUILT_IN:
        raise UserError(f"there is a network {network.name!r} already: register another name")
    _registered[network.name] = network


def find(name: str) -> Network:
    """The class and facts of a network."""
    if name in _registered:
        return _registered[name]
    if name not in BUILT_IN:
        raise UserError(
            f"unknown network {name!r}{_hint(name, names())}: known are {_list(names())}"
        )
    return import_module(f"hsisr_jax.models.{name}").NETWORK


def of(module: nn.Module) -> Network:
    """The facts of a module's network; of a class that is not registered, those true of any."""
    known = (network for network in map(find, names()) if network.build is type(module))
    return next(known, None) or Network(type(module).__name__, type(module))


def create(name: str, **kwargs) -> nn.Module:
    """The network `name`; its keywords default to the full-size original.

    Args:
        name: one of `names()`.
        **kwargs: fields of the network, such as `bands`, `scale` and `features`.

    Returns:
        A module; `module.apply(variables, batch, train=False)["sr"]` is the super-resolved cube.

    Raises:
        UserError: the name or a keyword is unknown; the message lists the known ones.
    """
    network = find(name)
    known = network.options
    for key, value in kwargs.items():
        if key not in known:
            raise UserError(
                f"{name} has no option {key!r}{_hint(key, known)}: known are {_list(known)}"
            )
        if isinstance(value, type):
            raise UserError(
                f"{name}: {key} is the class {value.__name__}: give a module, {value.__name__}(...)"
            )
        least = int(key not in network.may_be_zero)
        if _whole(known[key].default) and not (_whole(value) and int(value) >= least):
            raise UserError(
                f"{name}: {key} is {value!r}: use a whole number of at least {least} (its default "
                f"is {known[key].default})"
            )
    return network.build(**kwargs)


def _whole(value) -> bool:
    return isinstance(value, Integral) and not isinstance(value, bool)


def _list(options) -> str:
    return ", ".join(options)


def _hint(word: str, options) -> str:
    close = difflib.get_close_matches(word.lower(), options, n=1)
    return f" (did you mean {close[0]!r}?)" if close else ""
