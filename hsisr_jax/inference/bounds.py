"""Limits of the numbers in a workdir's `model.json`, which may come from an untrusted source.

A network of a million layers, a kernel of a million pixels or a tile of -2 would take hours or end
in a library's error; such a card is refused before anything is built from it.
"""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from hsisr_jax.errors import UserError

WHOLE = {
    "scale": (1, 64), "bands": (0, 1 << 16), "msi_bands": (0, 1 << 16), "members": (1, 64),
    "projection": (0, 1000), "rounds": (0, 1000), "base_projection": (0, 1000),
    "radius": (0, 1024), "base_radius": (0, 1024), "tile": (0, 1 << 16), "overlap": (0, 1 << 16),
}  # fmt: skip
DEPTHS = ("block", "rcam", "group", "layer", "depth", "stage", "unit")  # parts of options' names
LAYERS = ("block", "rcam", "layer", "depth", "unit")  # of those, which multiply each other
DEEPEST, WIDEST = 256, 8192  # layers, and any other number of an option
DEEPEST_OF_ALL = 1024  # blocks of blocks
LARGEST = 1e30  # float32 ends at 3e38
KERNEL = 255  # pixels on a side
DOMAINS = 64
NESTING = 12


def check(card: Any, where: object) -> dict:
    """Returns the card after checking that every number in it is possible."""
    if not isinstance(card, dict):
        raise UserError(f"{where} does not hold a trained network; run --mode=eval to renew it")
    _walk(card, "", where, 0)
    if isinstance(card.get("degradation"), dict):
        _check_kernel(card["degradation"].get("kernel"), where)
    domains = card.get("domains")
    if not isinstance(domains, list) or not 1 <= len(domains) <= DOMAINS:
        raise _refusal(where, "domains", f"a list of 1 to {DOMAINS}")
    for domain in domains:
        _check_domain(domain, where)
    options = card.get("network") or card.get("spec")
    if isinstance(options, dict) and options.get("msi_bands") and options.get("scale", 1) != 1:
        raise _refusal(where, "scale", "1, and the network reads multispectral bands")
    for name, value in _numbers(options, ""):
        most = DEEPEST if any(part in name for part in DEPTHS) else WIDEST
        if name not in WHOLE and isinstance(value, int) and abs(value) > most:
            raise _refusal(where, name, f"a number up to {most}")
    layers: dict[str, int] = {}
    for name, value in _numbers(options, ""):
        if isinstance(value, int) and any(part in name for part in LAYERS):
            layers[name] = layers.get(name, 0) + abs(value)
    if math.prod(max(count, 1) for count in layers.values()) > DEEPEST_OF_ALL:
        names = " times ".join(layers)
        raise _refusal(where, names, f"a number up to {DEEPEST_OF_ALL}")
    return card


def _walk(value: Any, name: str, where: object, depth: int) -> None:
    if depth > NESTING:
        raise UserError(f"{where} is nested too deeply; run --mode=eval to renew it")
    if isinstance(value, Mapping):
        for key, inner in value.items():
            _walk(inner, key, where, depth + 1)
    elif name == "kernel" and not isinstance(value, str):  # of bicubic it is a word
        _check_kernel(value, where)
    elif isinstance(value, list):
        for inner in value:
            _walk(inner, "", where, depth + 1)
    elif isinstance(value, float | int) and not isinstance(value, bool):
        _check_number(value, name, where)
    if name in WHOLE:
        low, high = WHOLE[name]
        if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
            raise _refusal(where, name, f"a whole number from {low} to {high}")


def _check_number(value: float, name: str, where: object) -> None:
    if isinstance(value, int) and abs(value) > LARGEST or not math.isfinite(value):
        raise _refusal(where, name or "a list", "finite")
    if abs(value) > LARGEST:
        raise _refusal(where, name or "a list", f"below {LARGEST:g}")


def _check_kernel(value: Any, where: object) -> None:
    if value is None:
        return
    side = len(value) if isinstance(value, list) else 0
    rows = [row for row in value if isinstance(row, list)] if side else []
    if not 1 <= side <= KERNEL or len(rows) != side or len({len(row) for row in rows}) != 1:
        raise _refusal(where, "kernel", f"a table of at most {KERNEL} x {KERNEL} numbers")
    try:
        table = np.asarray(value, float)
    except (TypeError, ValueError, OverflowError):
        table = np.full((1, 1), np.nan)
    if table.ndim != 2 or table.shape[1] > KERNEL or not np.isfinite(table).all():
        raise _refusal(where, "kernel", f"a table of at most {KERNEL} x {KERNEL} numbers")


def _check_domain(domain: Any, where: object) -> None:
    normaliser = domain.get("normaliser") if isinstance(domain, dict) else None
    if not isinstance(normaliser, dict):
        raise _refusal(where, "a domain", "a normaliser and wavelengths")
    floor = normaliser.get("floor")
    numbers = {name: normaliser.get(name, default) for name, default in
               (("gain", 1.0), ("bias", 0.0), ("low", 0.0), ("high", 1.0))}  # fmt: skip
    if floor is not None:
        numbers["floor"] = floor
    for name, value in numbers.items():
        if not isinstance(value, float | int) or isinstance(value, bool):
            raise _refusal(where, name, "a number")
    if not abs(numbers["gain"]) > 1 / LARGEST:
        raise _refusal(where, "gain", "a number other than 0")
    if not numbers["low"] < numbers["high"]:
        raise _refusal(where, "low", "below high")
    wavelengths = domain.get("wavelengths")
    listed = wavelengths if isinstance(wavelengths, list) else []
    if wavelengths is not None and (
        not listed or not all(isinstance(w, float | int) and w > 0 for w in listed)
    ):
        raise _refusal(where, "wavelengths", "positive numbers, or null")


def _numbers(value: Any, name: str) -> list[tuple[str, Any]]:
    if isinstance(value, Mapping):
        return [found for key, inner in value.items() for found in _numbers(inner, str(key))]
    if isinstance(value, list):
        return [found for inner in value for found in _numbers(inner, name)]
    return [(name, value)]


def _refusal(where: object, name: str, need: str) -> UserError:
    return UserError(f"{where}: {name} is not {need}; run --mode=eval to renew it")
