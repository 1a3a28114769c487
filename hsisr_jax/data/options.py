"""Validation of a user's dataset options, before a file is read."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hsisr_jax.errors import UserError


@dataclass(frozen=True)
class Kind:
    """A check of a value, and a description of valid values."""

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


FILES = either(Kind("a file", TEXT.admits), lists("a list of them", TEXT))


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
    """Checks values against their kinds; `None` means the default."""
    for key, value in options.items():
        if value is not None and not kinds[key].admits(value):
            raise UserError(f"config.data.options.{key} is {value!r}: give {kinds[key].words}")


def chosen(
    dataset: str, given: Mapping[str, Any], kinds: Mapping[str, Kind], *, missing: str
) -> dict[str, Any]:
    """The options that were given, as plain lists and texts, once all are known and as they must
    be; `missing` says what to do where there is no `path`."""
    if unknown := sorted(set(given) - set(kinds)):
        problem = f"'{unknown[0]}' is unknown; they are {', '.join(kinds)}"
        raise UserError(f"options of '{dataset}': {problem}")
    found = {key: _plain(value) for key, value in given.items() if value is not None}
    if "path" not in found:
        raise UserError(f"options of '{dataset}': {missing}")
    check(found, kinds)
    return found


def _plain(value: Any) -> Any:
    """Converts a value of a config or a command line to lists and dicts."""
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return str(value) if isinstance(value, Path) else value
