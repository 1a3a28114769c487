"""Spectral ranges by name, and cubes resampled to evenly spaced bands inside one of them.

The ranges are A-SNLSR's, separated by water vapour absorption. As in its code, the bands of a
camera are reduced to a fixed number per range, so that a network can read both ranges.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from hsisr_jax.data.cubes import Cube, RawScene
from hsisr_jax.errors import UserError

WATER = ((1310.0, 1550.0), (1800.0, 1980.0))


@dataclass(frozen=True)
class SpectralRange:
    """The range from `begin` to `end` nm without the intervals in `cut`."""

    name: str
    begin: float
    end: float
    cut: tuple[tuple[float, float], ...] = ()

    def holds(self, wavelengths: np.ndarray) -> np.ndarray:
        inside = (wavelengths >= self.begin) & (wavelengths <= self.end)
        for low, high in self.cut:
            inside &= (wavelengths < low) | (wavelengths > high)
        return inside


RANGES = {
    "VNIR": SpectralRange("VNIR", 450, 1000),
    "SWIR": SpectralRange("SWIR", 1000, 2500, WATER),
    "SWIR1": SpectralRange("SWIR1", 1000, 1700, WATER[:1]),
    "SWIR2": SpectralRange("SWIR2", 1700, 2500, WATER[1:]),
}


def spectral_range(given: str | Sequence[float]) -> SpectralRange:
    """A range by its name, or by its two ends in nm."""
    if not isinstance(given, str):
        low, high = (float(x) for x in given)
        if not 0 < low < high:
            raise UserError(f"the range {low:g} to {high:g} nm is empty: give its two ends in nm")
        return SpectralRange(f"{low:g}-{high:g}", low, high, WATER)
    name = given.upper().replace("_", "").replace(" ", "")
    if name not in RANGES:
        raise UserError(
            f"the spectral range {given!r} is unknown: use {', '.join(RANGES)} or two ends in nm"
        )
    return RANGES[name]


def overlap(a: SpectralRange, b: SpectralRange) -> bool:
    return max(a.begin, b.begin) < min(a.end, b.end)


def available(
    wavelengths: np.ndarray | None, bad: np.ndarray | None, asked: SpectralRange, where: str
) -> np.ndarray:
    """The bands of a cube that are inside a range."""
    if wavelengths is None:
        raise UserError(
            f"{where} has no wavelengths, so {asked.name} cannot be cut out of it: give a file "
            "with them (ENVI: `wavelength` in the header)"
        )
    found = asked.holds(wavelengths)
    if bad is not None:
        found &= ~np.asarray(bad, bool)
    if found.sum() < 4:
        raise UserError(
            f"{where} has {found.sum()} good bands in {asked.name} ({asked.begin:g} to "
            f"{asked.end:g} nm): choose ranges that it covers "
            f"({wavelengths.min():.0f} to {wavelengths.max():.0f} nm)"
        )
    return found


def even_bands(
    wavelengths: np.ndarray, asked: SpectralRange, count: int
) -> tuple[np.ndarray, np.ndarray]:
    """Gaussian responses `[n, count]` of sum one, and the `count` centres, evenly spaced.

    A gap counts as one step, and no centre lies in it. A response is as wide at half its height as
    two centres are apart, as in A-SNLSR's code, or as two bands where these are wider apart.
    """
    bands = np.sort(wavelengths)
    steps = np.diff(bands)
    usual = np.median(steps)
    along = np.concatenate([[0.0], np.cumsum(np.minimum(steps, usual))])
    places = np.linspace(along[0], along[-1], count)
    centres = np.interp(places, along, bands)
    before = np.clip(np.searchsorted(along, places) - 1, 0, len(steps) - 1)
    nearest = bands[np.abs(places[:, None] - along).argmin(1)]
    centres = np.where(steps[before] > 1.5 * usual, nearest, centres)
    width = max(along[-1] / max(count - 1, 1), usual)
    std = width / (2 * np.sqrt(2 * np.log(2)))
    weights = np.exp(-0.5 * ((wavelengths[:, None] - centres) / std) ** 2)
    return weights / weights.sum(axis=0), centres


class MixedCube:
    """Weighted sums of another cube's bands, float32; a pixel without data stays one (NaN)."""

    def __init__(self, cube: Cube, bands: np.ndarray, weights: np.ndarray, nodata: float | None):
        self.cube, self.kept, self.weights, self.nodata = cube, bands, weights, nodata
        self.height, self.width, self.bands = cube.height, cube.width, weights.shape[1]
        self.dtype = np.dtype(np.float32)

    def read(self, rows: slice, cols: slice) -> np.ndarray:
        block = np.asarray(self.cube.read(rows, cols))[..., self.kept].astype(np.float64)
        if self.nodata is not None:
            block[block == self.nodata] = np.nan
        return (block @ self.weights).astype(np.float32)


def as_domain(raw: RawScene, asked: SpectralRange, count: int, domain: int) -> RawScene:
    """A scene with `count` even bands of one range, as a domain of its own."""
    meta = raw.meta
    kept = available(meta.wavelengths, meta.bad_bands, asked, raw.name)
    if kept.sum() < count:
        raise UserError(f"{raw.name} has {kept.sum()} good bands in {asked.name}, not {count}")
    weights, centres = even_bands(np.asarray(meta.wavelengths)[kept], asked, count)
    mixed = MixedCube(raw.cube, kept, weights, meta.nodata)
    meta = replace(meta, wavelengths=centres, fwhm=None, bad_bands=None, nodata=None)
    name = f"{raw.name}_{asked.name}"
    return replace(raw, name=name, cube=mixed, meta=meta, domain=domain)
