"""A reader of PCIDSK (`.pix`), the format of the Houston 2018 cube."""

from pathlib import Path

import numpy as np

from hsisr_jax.errors import UserError
from hsisr_jax.formats import SceneMeta, SceneReader


class PcidskCube(SceneReader):
    """The first `bands` layers of a `.pix` file; the others are not spectral."""

    kind = "a PCIDSK file"

    def __init__(self, path: Path, bands: int):
        import rasterio
        from rasterio.errors import RasterioError

        try:
            self._file = rasterio.open(path, driver="PCIDSK")
        except RasterioError as error:
            raise UserError(f"{path} is not a readable PCIDSK file ({error})") from None
        self.path, self.bands = path, bands
        if self._file.count < bands:
            raise UserError(f"{path} has {self._file.count} layers; {bands} bands are expected")
        self.height, self.width = self._file.height, self._file.width
        self.dtype = np.dtype(self._file.dtypes[0])
        self._check_size()
        crs = self._file.crs
        self.meta = SceneMeta(
            crs=crs.to_wkt() if crs else "", transform=tuple(self._file.transform)[:6]
        )

    def _check_size(self) -> None:
        """Refuses truncated files, for which GDAL returns zeros; tiled files may be compressed."""
        if self._file.tags(ns="IMAGE_STRUCTURE").get("INTERLEAVE") == "TILED":
            return
        declared = self.height * self.width * self._file.count * self.dtype.itemsize
        size = self.path.stat().st_size
        if size < declared:
            raise UserError(f"{self.path} is truncated: {size} bytes of more than {declared}")

    def _read(self, rows: slice, cols: slice) -> np.ndarray:
        from rasterio.windows import Window

        window = Window.from_slices(rows, cols)
        block = self._file.read(list(range(1, self.bands + 1)), window=window)
        return np.moveaxis(block, 0, -1)

    def close(self) -> None:
        """Close the file."""
        self._file.close()
