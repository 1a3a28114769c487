"""What a user's options of a dataset must be, checked before a file is read. Plain Python."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from hsisr_jax.errors import UserError


@dataclass(frozen=True)
class Kind:
    """A check of a value, and in words what it admits."""

    words: str
    admits: Callable[[Any], bool]


def _finite(value: Any) -> bool:
    return isinstance(value, int | float) and math.isfinite(value)


NUMBER = Kind("a number", _finite)
SHARE = Kind("a number from 0 to below 1", lambda x: _finite(x) and 0 <= x < 1)
WHOLE = Kind("a whole number", lambda x: isinstance(x, int))
SIZE = Kind("a whole number above 0", lambda x: isinstance(x, int) and x > 0)
TEXT = Kind("a name", lambda x: isinstance(x, str) and x != "")
NUMBERS = Kind(
    "numbers by name", lambda x: isinstance(x, Mapping) and all(map(_finite, x.values()))
)


def either(one: Kind, other: Kind) -> Kind:
    return Kind(f"{one.words} or {other.words}", lambda x: one.admits(x) or other.admits(x))


def lists(words: str, kind: Kind) -> Kind:
    """A list of one or more."""
    return Kind(
        words, lambda x: isinstance(x, list | tuple) and len(x) > 0 and all(map(kind.admits, x))
    )


def fixed(words: str, *kinds: Kind) -> Kind:
    """A list of one of each kind, in their order."""
    return Kind(
        words,
        lambda x: (
            isinstance(x, list | tuple)
            and len(x) == len(kinds)
            and all(kind.admits(item) for kind, item in zip(kinds, x))
        ),
    )


def check(options: Mapping[str, Any], kinds: Mapping[str, Kind]) -> None:
    """Values of `None` are left to their defaults."""
    for key, value in options.items():
        if value is not None and not kinds[key].admits(value):
            raise UserError(f"config.data.options.{key} is {value!r}: give {kinds[key].words}")
