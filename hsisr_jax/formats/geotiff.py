"""GeoTIFF through GDAL: one file with bands, or one page a band as tifffile writes.

Per-band values are kept where other programs look for them: `wavelength`, `wavelength_units` and
`fwhm` as GDAL's ENVI driver names them, and GDAL's own IMAGERY domain (micrometres). Only the TIFF
driver may open a file, so that no file can point GDAL at another one.
"""

import math
import os
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from hsisr_jax.errors import UserError
from hsisr_jax.formats import carried, enmap, geotiff_meta
from hsisr_jax.formats.gdal import (
    ALONE,
    alpha_bands,
    check_pages,
    check_whole,
    masked,
    open_tiff,
    opened,
    settings,
)
from hsisr_jax.formats.raw import Staged, flush, partial, stale
from hsisr_jax.formats.scene import (
    NUMERIC,
    NewScene,
    SceneReader,
    SceneWriter,
    check_size,
    no_data_of,
    writable,
)

BLOCK = 256
OVERVIEW = 512  # pixels: a picture no larger needs no smaller copy of itself
COMPRESSIONS = ("none", "deflate", "zstd", "lzw")
MAX_BANDS = 8192
SPARE = 1 << 22  # bytes of a tile that may be larger than its file: the last is cut


class GeoTiffReader(SceneReader):
    """Windows of a GeoTIFF; the file is opened for each, so that threads do not share a dataset."""

    kind = "a GeoTIFF"

    def __init__(self, path: Path):
        self.path: Path = path
        check_pages(path)
        with opened(path) as first:
            pages = [name for name in first.subdatasets if name.startswith("GTIFF_DIR:")]
            self.height, self.width = first.height, first.width
            self._check(first, max(1, len(pages)))
            self.dtype = self.stored = np.dtype(first.dtypes[0])
            tags = geotiff_meta.tags_of(first)
            alpha, marked = alpha_bands(first, tags)
            self.alpha, self.notes = alpha, _of_alpha(alpha, marked)
            if first.tags(ns="RPC"):
                self.notes += ("its rational polynomials (RPC) are not kept",)
            self.chosen = [band for band in range(1, first.count + 1) if band not in alpha]
            self.bands = len(self.chosen)
            self.meta = geotiff_meta.meta_of(path, first, self.chosen, tags)
            beside = {Path(file) for file in first.files} | geotiff_meta.beside(path)
            self.sidecars = tuple(sorted(file for file in beside - {path} if file.is_file()))
        self.pages = self._stack(pages) if self.bands == 1 and len(pages) > 1 else []
        self.bands = len(self.pages) or self.bands
        self.meta = geotiff_meta.completed(path, self.meta, self.bands)
        self.masked = not self.pages and (bool(alpha) or masked(path))
        self.mask = None if self.masked else self._beside()
        if (self.masked or self.mask) and self.meta.nodata is None:
            if self.dtype.itemsize == 1:  # each of its 256 values may be a valid one
                self.dtype = np.dtype(np.int16)
            self.meta = replace(self.meta, nodata=no_data_of(self.dtype))

    def _beside(self) -> Path | None:
        """The mask that GDAL keeps in a TIFF beside; one that cannot be used is told."""
        mask = self.path.with_name(f"{self.path.name}.msk")
        if not mask.is_file():
            return None
        try:
            with opened(mask, **ALONE) as dataset:
                shape = dataset.height, dataset.width
                fits = shape == (self.height, self.width) and dataset.dtypes[0] == "uint8"
                check_size(mask, math.prod(shape), mask.stat().st_size, packed=True)
        except Exception:  # no TIFF: whatever it is, GDAL's other drivers are kept from it
            fits = False
        if fits:
            self.sidecars = tuple(sorted({*self.sidecars, mask}))
            return mask
        self.notes += (f"its mask {mask.name} cannot be read, and hides nothing",)
        return None

    def _check(self, dataset: Any, pages: int) -> None:
        """Refuse what declares more than the file can hold, before anything is allocated."""
        if len(set(dataset.dtypes)) != 1 or np.dtype(dataset.dtypes[0]).kind not in NUMERIC:
            raise UserError(f"{self.path}: its bands are {set(dataset.dtypes)}; give all one dtype")
        if dataset.count > MAX_BANDS:
            raise UserError(
                f"{self.path}: {dataset.count} bands; a TIFF is read with up to {MAX_BANDS}, since "
                "GDAL's time grows with their square: save it as ENVI or Zarr"
            )
        size = self.path.stat().st_size
        itemsize = np.dtype(dataset.dtypes[0]).itemsize
        declared = dataset.height * dataset.width * dataset.count * itemsize
        bits = dataset.tags(1, ns="IMAGE_STRUCTURE").get("NBITS")
        declared = declared * int(bits) // (8 * itemsize) if bits else declared
        # As if compressed in any case: tiles that hold no data may be left out.
        check_size(self.path, declared * pages, size, packed=True)
        pixel = dataset.profile.get("interleave") == "pixel"
        rows, cols = dataset.block_shapes[0]  # GDAL has one for all bands of a TIFF
        block = min(rows, dataset.height) * cols * itemsize * (dataset.count if pixel else 1)
        packed = dataset.profile.get("compress") is not None
        check_size(self.path, block, size if packed else size + SPARE, packed=packed)

    def _stack(self, pages: list[str]) -> list[str]:
        """Pages of one size and dtype are bands; anything else (thumbnails, masks) is not."""
        alike = []
        # `GTIFF_DIR:12:file.tif` is page 12; GDAL lists page 10 before page 2
        for name in sorted(pages, key=lambda name: int(name.split(":")[1])):
            with opened(name) as page:
                same = (page.height, page.width, page.count) == (self.height, self.width, 1)
                if same and np.dtype(page.dtypes[0]) == self.stored:
                    alike.append(name)
        return alike if len(alike) > 1 else []

    def _read(self, rows: slice, cols: slice) -> np.ndarray:
        from rasterio.windows import Window

        height, width = rows.stop - rows.start, cols.stop - cols.start
        cube = np.empty((self.bands, height, width), self.dtype)
        if not cube.size:
            return cube.transpose(1, 2, 0)
        part = Window(cols.start, rows.start, width, height)
        if not self.pages:
            with opened(self.path, **(ALONE if self.masked else {})) as dataset:
                dataset.read(self.chosen, window=part, out=cube)
                if self.masked:
                    read = dataset.read if self.alpha else dataset.read_masks
                    seen = read(self.alpha[0] if self.alpha else 1, window=part)
                    cube[:, seen == 0] = self.meta.nodata
        for band, name in enumerate(self.pages):
            with opened(name) as page:
                page.read(1, window=part, out=cube[band])
        if self.mask:
            with opened(self.mask, **ALONE) as dataset:
                cube[:, dataset.read(1, window=part) == 0] = self.meta.nodata
        return np.ascontiguousarray(cube.transpose(1, 2, 0))


def _of_alpha(alpha: list[int], marked: list[int]) -> tuple[str, ...]:
    """Messages about bands that are marked as transparency."""
    hides = "is transparency (alpha): where it is 0 there is no data"
    shown = "is marked as alpha and holds other values: it is read as a band"
    words = {band: hides for band in alpha} | {band: shown for band in marked}
    return tuple(f"its band {band} {text}" for band, text in words.items())


def open_scene(path: Path, *, variable: str | None = None) -> SceneReader:
    """Open a TIFF or BigTIFF; a product's gains of each band are applied."""
    reader = GeoTiffReader(path)
    if not enmap.is_image(path):
        return reader
    from hsisr_jax.formats.products.base import GainReader, unused

    reader.meta.check_units(path)
    reader.notes += unused(enmap.quality_layers(path))
    return GainReader(reader) if carried.gains(reader.meta.extra, reader.bands) else reader


class GeoTiffWriter(SceneWriter):
    """A tiled, band-interleaved TIFF; BigTIFF where it must be. With `compress` it becomes a
    cloud-optimised one when it is finished: until then tiles are written in place.

    `sync` closes and opens the file: only then are the places of new tiles in its directory. The
    first time GDAL fills the tiles that were not written yet.
    """

    def __init__(self, path: Path, new: NewScene, compress: str):
        self.path: Path = path
        self.dtype, self.compress = new.dtype.newbyteorder("="), compress
        self.height, self.width, self.bands = new.shape
        self.files = Staged(path)
        self.dataset: Any = None
        self.resumed = new.resume and partial(path).exists()
        if self.resumed:
            try:
                self._open("r+")
            except Exception as error:
                raise stale(path) from error
            dataset: Any = self.dataset
            found = (dataset.height, dataset.width, dataset.count)
            if found != new.shape or set(dataset.dtypes) != {new.dtype.name}:
                self._close()
                raise stale(path)
            return
        try:
            self._open("w", **_profile(new))
            geotiff_meta.describe(self.dataset, new.meta)
        except BaseException:
            self._abort()
            raise

    def _open(self, mode: str, **profile: Any) -> None:
        self.dataset = open_tiff(partial(self.path), mode, **profile)

    def _close(self) -> None:
        dataset, self.dataset = self.dataset, None
        if dataset is not None:
            with settings():
                dataset.close()

    def _write(self, row: int, col: int, block: np.ndarray) -> None:
        from rasterio.windows import Window

        part = Window(col, row, block.shape[1], block.shape[0])
        with settings():
            self.dataset.write(np.ascontiguousarray(block.transpose(2, 0, 1)), window=part)

    def _sync(self) -> None:
        self._close()
        check_whole(partial(self.path))
        flush(partial(self.path))
        self._open("r+")

    def _finish(self) -> None:
        self._close()
        check_whole(partial(self.path))
        if self.compress != "none":
            optimise(partial(self.path), self.compress, self.dtype)
        self.files.commit()

    def _abort(self) -> None:
        try:
            with writable(self.path):
                self._close()
        except UserError:
            pass  # it is thrown away in any case
        self.files.remove()


def optimise(path: Path, compress: str, dtype: np.dtype) -> None:
    """Replaces a TIFF by a cloud-optimised one: overviews, compression, its directories first.

    GDAL's own COG driver would interleave the bands by pixel, and showing one band of hundreds
    would read all of them; copying a TIFF with its overviews gives the same order of the file.
    """
    from rasterio.enums import Resampling
    from rasterio.shutil import copy

    beside = path.with_name(f"{path.name}.cog")
    try:
        with settings(), open_tiff(path, "r+") as dataset:
            side, factors = max(dataset.height, dataset.width), list[int]()
            while side > OVERVIEW:
                factors.append(2 ** (len(factors) + 1))
                side = -(-side // 2)
            if factors:
                method = Resampling.average if dtype.kind == "f" else Resampling.nearest
                dataset.build_overviews(factors, method)
        predictor = {"f": 3, "i": 2, "u": 2}.get(dtype.kind, 1)
        with settings():
            copy(path, beside, driver="GTiff", COPY_SRC_OVERVIEWS="YES", TILED="YES",
                 BLOCKXSIZE=BLOCK, BLOCKYSIZE=BLOCK, COMPRESS=compress.upper(),
                 PREDICTOR=predictor, INTERLEAVE="BAND", BIGTIFF="IF_SAFER",
                 NUM_THREADS="ALL_CPUS")  # fmt: skip
        check_whole(beside)
        os.replace(beside, path)
    finally:
        beside.unlink(missing_ok=True)


def _profile(new: NewScene) -> dict[str, Any]:
    from rasterio.control import GroundControlPoint
    from rasterio.transform import Affine

    (height, width, bands), meta = new.shape, new.meta
    profile = dict(height=height, width=width, count=bands, dtype=new.dtype.name)
    # GDAL takes the fourth of four 8-bit bands for transparency unless it is told not to.
    profile |= dict(nodata=meta.nodata, interleave="band", BIGTIFF="IF_SAFER", ALPHA="NO")
    if min(height, width) >= BLOCK:
        profile |= dict(tiled=True, blockxsize=BLOCK, blockysize=BLOCK)
    if meta.transform is not None:
        profile["transform"] = Affine(*meta.transform)
    elif points := carried.points(meta.extra):
        profile["gcps"] = [GroundControlPoint(row, col, *xyz) for col, row, *xyz in points]
    crs = geotiff_meta.system(meta.crs)
    return profile | ({"crs": crs} if crs else {})


def check_dtype(path: Path, dtype: np.dtype) -> None:
    """Refuse a type that the format does not hold."""
    if dtype.kind not in NUMERIC or dtype.name in ("float16", "longdouble"):
        raise UserError(f"{path}: a GeoTIFF cannot hold {dtype}; choose float32 or uint16")


def create_scene(path: Path, new: NewScene, compress: str = "none") -> GeoTiffWriter:
    """Begin a GeoTIFF."""
    if compress not in COMPRESSIONS:
        raise UserError(f"{path}: compress={compress!r} is not one of {', '.join(COMPRESSIONS)}")
    needed, free = math.prod(new.shape) * new.dtype.itemsize, shutil.disk_usage(path.parent).free
    if needed > free and not new.resume:
        raise UserError(f"{path}: needs {needed} bytes and the disk has {free}; free some space")
    return GeoTiffWriter(path, new, compress)
