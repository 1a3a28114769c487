"""Hyperion L1T and L1R as the USGS gives them: a folder with one GeoTIFF a band.

Radiance = stored / 40 for the VNIR (bands 1 to 70), stored / 80 for the SWIR; the product names no
wavelengths. Centres of the calibrated bands are those of the USGS's table of spectral coverage,
which lie on a straight line for each spectrometer (to 0.1 nm).
"""

import re
from dataclasses import replace
from pathlib import Path

import numpy as np

from hsisr_jax.errors import UserError
from hsisr_jax.formats.geotiff import GeoTiffReader
from hsisr_jax.formats.scene import SceneReader

NAME = re.compile(r"EO1H.*_B(\d{3})_L1\w+\.TIFF?$", re.IGNORECASE)
VNIR, SWIR = (8, 57, 426.82, 925.41), (77, 224, 912.45, 2395.50)  # first, last, their centres
GAINS = (40.0, 80.0)  # stored numbers for one W/(m^2 sr um)
OVERLAP = (77, 78)  # of the SWIR: the VNIR's bands there are taken


def bands_of(folder: Path) -> dict[int, Path]:
    """The calibrated bands in a folder, by number."""
    found = {int(m[1]): file for file in sorted(folder.iterdir()) if (m := NAME.search(file.name))}
    return {
        band: file
        for band, file in found.items()
        if any(first <= band <= last for first, last, *_ in (VNIR, SWIR)) and band not in OVERLAP
    }


class HyperionReader(SceneReader):
    """Bands of a folder as one cube of radiance."""

    kind = "a Hyperion product"

    def __init__(self, folder: Path):
        files = bands_of(folder)
        self.path, self.sidecars = folder, tuple(files.values())
        self.readers = [GeoTiffReader(file) for file in files.values()]
        first = self.readers[0]
        for reader in self.readers:
            if (reader.height, reader.width, reader.bands) != (first.height, first.width, 1):
                raise UserError(f"{reader.path}: differs in size from {first.path.name}")
        numbers = np.array(list(files))
        swir = numbers > VNIR[1]
        self.height, self.width, self.bands = first.height, first.width, len(files)
        self.dtype = np.dtype(np.float32)
        self.gain = np.where(swir, *GAINS[::-1]).astype(np.float32)
        self.meta = replace(
            first.meta,
            wavelengths=np.where(swir, _centre(numbers, *SWIR), _centre(numbers, *VNIR)),
            band_names=tuple(f"B{number:03d}" for number in numbers),
            nodata=np.nan, scale=1.0, offset=0.0, units="W/(m^2 sr um)",
            sensor="Hyperion", description="")  # fmt: skip
        self.notes = ("wavelengths are the sensor's published ones; the product has none",)

    @property
    def files(self) -> tuple[Path, ...]:
        return self.sidecars

    def _read(self, rows: slice, cols: slice) -> np.ndarray:
        stored = np.concatenate([reader.read(rows, cols) for reader in self.readers], axis=-1)
        values = stored / self.gain
        values[(stored == 0).all(-1)] = np.nan  # beside the strip
        return values.astype(np.float32)


def _centre(band: np.ndarray, first: int, last: int, low: float, high: float) -> np.ndarray:
    return np.round(low + (band - first) * (high - low) / (last - first), 2)
