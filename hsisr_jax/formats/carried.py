"""Header fields that are carried along, adapted to a finer grid or to chosen bands.

Lists are as in an ENVI header, in braces; its pixels count from 1 at the first one's outer corner.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence

GCPS = "ground control points"  # ours: {column, row, x, y, z, ...}, pixels from 0 at the corner
ENTRIES = {"geo points": 4, GCPS: 5}  # of each point, the column and the row first
GAINS = ("data gain values", "data offset values")
SYSTEM = "map info system"  # ours: name and tail of a `map info` that stands for no WKT
NOT_OF_BANDS = ("rpc info", "projection info", "pixel size", "z plot range", SYSTEM, *ENTRIES)


def items(value: str) -> list[str]:
    """The entries of a list in braces."""
    inside = value.strip().removeprefix("{").partition("}")[0]
    return [item.strip() for item in inside.replace("\n", " ").split(",") if item.strip()]


def listed(entries: Iterable[object]) -> str:
    return "{" + ", ".join(str(entry) for entry in entries) + "}"


def is_number(text: str) -> bool:
    return re.fullmatch(r"[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?", text) is not None


def gains(extra: Mapping[str, str], bands: int) -> dict[str, list[float]]:
    """Gains and offsets that differ from band to band, as they are carried: nobody applied them."""
    lists = {key: items(extra.get(key, "")) for key in GAINS}
    found = {
        key: [float(entry) for entry in entries]
        for key, entries in lists.items()
        if len(entries) == bands and all(map(is_number, entries))
    }
    return found if any(len(set(values)) > 1 for values in found.values()) else {}


def absurd_gains(extra: Mapping[str, str], largest: float) -> Iterator[tuple[str, int, str]]:
    """Gains and offsets of single bands that are no numbers below `largest`: field, band, entry."""
    for key in GAINS:
        for band, entry in enumerate(items(extra.get(key, "")), 1):
            if not is_number(entry) or not abs(float(entry)) < largest:
                yield key, band, entry


def points(extra: Mapping[str, str]) -> list[list[float]]:
    """Ground control points: column, row, x, y, z of each."""
    entries = items(extra.get(GCPS, ""))
    if len(entries) % 5 or not all(map(is_number, entries)):
        return []
    return [[float(entry) for entry in entries[i : i + 5]] for i in range(0, len(entries), 5)]


def finer(extra: Mapping[str, str], factor: float) -> dict[str, str]:
    """Fields of a grid `factor` times finer; what cannot be brought to it is left out."""
    result = {}
    for key, value in extra.items():
        try:
            result[key] = _finer(" ".join(key.lower().split()), value, factor)
        except ValueError:  # not the numbers that this field should have
            continue
    return {key: value for key, value in result.items() if value}


def _finer(key: str, value: str, factor: float) -> str:
    if key == "rpc info":
        return ""
    if key in ("x start", "y start"):
        return _number((float(value) - 1) * factor + 1)
    if key == "pixel size":
        size, rest = items(value)[:2], items(value)[2:]
        return listed([*(_number(float(entry) / factor) for entry in size), *rest])
    if key in ENTRIES:
        first = 0 if key == GCPS else 1
        entries = items(value)
        for place in range(len(entries)):
            if place % ENTRIES[key] < 2:
                entries[place] = _number((float(entries[place]) - first) * factor + first)
        return listed(entries)
    return value


def _number(value: float) -> str:
    return f"{value:.12g}"


def of_bands(extra: Mapping[str, str], chosen: Sequence[int] | None, count: int) -> dict[str, str]:
    """Fields of the `chosen` of `count` bands; None: the bands are new, per-band fields go."""
    result = {}
    for key, value in extra.items():
        name, entries = " ".join(key.lower().split()), items(value)
        if name == "default bands":
            value = _renumbered(entries, chosen)
        elif value.lstrip().startswith("{") and len(entries) == count and name not in NOT_OF_BANDS:
            value = "" if chosen is None else listed(entries[band] for band in chosen)
        if value:
            result[key] = value
    return result


def _renumbered(entries: list[str], chosen: Sequence[int] | None) -> str:
    """Numbers of bands, from 1, where all of them are left."""
    places = {
        str(band + 1): place for place, band in enumerate(() if chosen is None else chosen, 1)
    }
    return listed(places[entry] for entry in entries) if set(entries) <= set(places) else ""
