"""CF and NetCDF attributes of stored values: their type, their unit, which are missing.

They are applied, or the file is refused: values in another unit than the file's own are worse than
none. `_Unsigned` changes the type; every further missing value, and what lies outside the valid
range, becomes the one no-data value that a scene has.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from hsisr_jax.errors import UserError
from hsisr_jax.formats.scene import no_data_of


@dataclass(frozen=True)
class Conventions:
    """How stored values are to be read."""

    dtype: np.dtype  # as which they are meant
    scale: float = 1.0
    offset: float = 0.0
    nodata: float | None = None
    missing: tuple[float, ...] = ()  # more values that mean the same as `nodata`
    low: float | None = None
    high: float | None = None

    @property
    def plain(self) -> bool:
        """Whether the values are what is stored."""
        return not self.missing and self.low is None and self.high is None

    def apply(self, stored: np.ndarray) -> np.ndarray:
        """Values of the type that they are meant as, each that is missing as `nodata`."""
        values = stored if stored.dtype == self.dtype else stored.view(self.dtype)
        if self.plain or self.nodata is None:
            return values
        hidden = np.isin(values, self.missing)
        if self.low is not None:
            hidden |= values < self.low
        if self.high is not None:
            hidden |= values > self.high
        return np.where(hidden, np.asarray(self.nodata).astype(self.dtype), values)


def conventions(path: object, attributes: Callable[[str], Any], dtype: np.dtype) -> Conventions:
    """Reads the conventions of a variable of `dtype`; `attributes(name)` gives text, a number, an
    array or None."""
    unsigned = str(attributes("_Unsigned")).lower()
    meant = np.dtype(dtype)
    if unsigned in ("true", "false") and dtype.kind in "iu":
        kind = "u" if unsigned == "true" else "i"
        meant = np.dtype(f"{kind}{dtype.itemsize}").newbyteorder(dtype.byteorder)

    def numbers(name: str) -> list[float]:
        value = attributes(name)
        try:
            return [] if value is None else np.asarray(value, float).reshape(-1).tolist()
        except (TypeError, ValueError):
            raise UserError(f"{path}: {name!r} is {value!r}, not a number; correct it") from None

    def stored(name: str) -> list[float]:
        return [_seen_as(value, dtype, meant) for value in numbers(name)]

    def one(name: str, default: float) -> float:
        found = set(numbers(name))
        if len(found) > 1:
            raise UserError(
                f"{path}: {name!r} has {len(found)} values, and a scene has one: apply them to the "
                "values and save those"
            )
        return found.pop() if found else default

    least, most = stored("valid_min"), stored("valid_max")
    if len(both := stored("valid_range")) == 2:
        least, most = both[:1], both[1:]
    low, high = _needed(least, most, meant)
    absent = stored("_FillValue") + stored("missing_value")
    nodata = absent[0] if absent else None
    if nodata is None and (low is not None or high is not None):
        nodata = _outside(low, high, meant)
    more = {value for value in absent[1:] if value != nodata and not np.isnan(value)}
    scale, offset = one("scale_factor", 1.0), one("add_offset", 0.0)
    return Conventions(meant, scale, offset, nodata, tuple(sorted(more)), low, high)


def _seen_as(value: float, stored: np.dtype, meant: np.dtype) -> float:
    """-1 of int16 is 65535 where the values are unsigned ones."""
    if stored == meant or not float(value).is_integer():
        return value
    limits = np.iinfo(stored)
    inside = limits.min <= value <= limits.max
    return float(np.array(int(value), stored).view(meant)) if inside else value


def _needed(
    least: list[float], most: list[float], meant: np.dtype
) -> tuple[float | None, float | None]:
    """Ends of the valid range beyond which a value may lie at all."""
    low, high = (max(least) if least else None), (min(most) if most else None)
    if meant.kind in "iu":
        limits = np.iinfo(meant)
        low = None if low is None or low <= limits.min else low
        high = None if high is None or high >= limits.max else high
    return low, high


def _outside(low: float | None, high: float | None, meant: np.dtype) -> float:
    """A no-data value that no valid value is."""
    usual = no_data_of(meant)
    if np.isnan(usual) or (low is not None and usual < low) or (high is not None and usual > high):
        return usual
    return low - 1 if low is not None else float(high or 0) + 1
