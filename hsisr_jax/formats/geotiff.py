"""GeoTIFF through GDAL: one file with bands, or one page a band as tifffile writes.

Per-band values are kept where other programs look for them: `wavelength`, `wavelength_units` and
`fwhm` as GDAL's ENVI driver names them, and GDAL's own IMAGERY domain (micrometres). Only the TIFF
driver may open a file, so that no file can point GDAL at another one.
"""

import math
import os
import shutil
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import numpy as np

from hsisr_jax.errors import UserError
from hsisr_jax.formats import carried, enmap, geotiff_meta
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
# A file beside it would be opened by any driver of GDAL.
ALONE = {"GDAL_DISABLE_READDIR_ON_OPEN": "EMPTY_DIR"}
MAX_PAGES = 2048  # the finest sensors have some 700 bands
SPARE = 1 << 22  # bytes of a tile that may be larger than its file: the last is cut


@contextmanager
def _settings(**more: Any) -> Iterator[None]:
    """A small block cache: GDAL's own would take 5% of the machine's memory. Of one thread only."""
    import rasterio

    with rasterio.Env(GDAL_CACHEMAX=64, GDAL_MAX_BAND_COUNT=65536, **more):
        yield


def _open(path: Path | str, mode: str = "r", **options: Any) -> Any:
    """A dataset; no other driver of GDAL may open the file."""
    import rasterio
    from rasterio.errors import NotGeoreferencedWarning

    with warnings.catch_warnings(), _settings():
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        return rasterio.open(path, mode, driver="GTiff", **options)


@contextmanager
def _opened(path: Path | str, **settings: Any) -> Iterator[Any]:
    """A dataset for a while."""
    with _settings(**settings), _open(path) as dataset:
        yield dataset


def _masked(path: Path) -> bool:
    """Whether the file hides pixels by a mask of its own."""
    from rasterio.enums import MaskFlags

    with _opened(path, **ALONE) as dataset:
        flags = dataset.mask_flag_enums[0]
    return MaskFlags.per_dataset in flags and MaskFlags.alpha not in flags


def check_pages(path: Path) -> None:
    """Refuse more pages than a cube has bands: GDAL goes through all of them for each."""
    with path.open("rb") as file:
        head = file.read(16)
        order: Literal["little", "big"] = "little" if head[:2] == b"II" else "big"
        big = int.from_bytes(head[2:4], order) == 43
        count, entry, pointer = (8, 20, 8) if big else (2, 12, 4)
        place, pages = int.from_bytes(head[8:16] if big else head[4:8], order), 0
        while place:
            pages += 1
            if pages > MAX_PAGES:
                raise UserError(f"{path}: it has more than {MAX_PAGES} pages; save it as bands")
            file.seek(place)
            entries = int.from_bytes(file.read(count), order)
            file.seek(place + count + entries * entry)
            place = int.from_bytes(file.read(pointer), order)


class GeoTiffReader(SceneReader):
    """Windows of a GeoTIFF; the file is opened for each, so that threads do not share a dataset."""

    kind = "a GeoTIFF"

    def __init__(self, path: Path):
        self.path: Path = path
        check_pages(path)
        with _opened(path) as first:
            pages = [name for name in first.subdatasets if name.startswith("GTIFF_DIR:")]
            self.height, self.width = first.height, first.width
            self._check(first, max(1, len(pages)))
            self.dtype = np.dtype(first.dtypes[0])
            self.bands = first.count
            self.meta = geotiff_meta.meta_of(path, first)
            beside = {Path(file) for file in first.files} | geotiff_meta.beside(path)
            self.sidecars = tuple(sorted(file for file in beside - {path} if file.is_file()))
        self.pages = self._stack(pages) if self.bands == 1 and len(pages) > 1 else []
        self.bands = len(self.pages) or self.bands
        self.meta = geotiff_meta.completed(path, self.meta, self.bands)
        self.masked = not self.pages and _masked(path)
        self.mask = None if self.masked else self._beside()
        if (self.masked or self.mask) and self.meta.nodata is None:
            self.meta = replace(self.meta, nodata=no_data_of(self.dtype))

    def _beside(self) -> Path | None:
        """The mask that GDAL keeps in a TIFF beside; one that cannot be used is told."""
        mask = self.path.with_name(f"{self.path.name}.msk")
        if not mask.is_file():
            return None
        try:
            with _opened(mask, **ALONE) as dataset:
                shape = dataset.height, dataset.width
                fits = shape == (self.height, self.width) and dataset.dtypes[0] == "uint8"
                check_size(mask, math.prod(shape), mask.stat().st_size, packed=True)
        except Exception:  # no TIFF: whatever it is, GDAL's other drivers are kept from it
            fits = False
        if fits:
            self.sidecars = tuple(sorted({*self.sidecars, mask}))
            return mask
        self.notes = (f"its mask {mask.name} cannot be read, and hides nothing",)
        return None

    def _check(self, dataset: Any, pages: int) -> None:
        """Refuse what declares more than the file can hold, before anything is allocated."""
        if len(set(dataset.dtypes)) != 1 or np.dtype(dataset.dtypes[0]).kind not in NUMERIC:
            raise UserError(f"{self.path}: its bands are {set(dataset.dtypes)}; give all one dtype")
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
            with _opened(name) as page:
                same = (page.height, page.width, page.count) == (self.height, self.width, 1)
                if same and np.dtype(page.dtypes[0]) == self.dtype:
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
            with _opened(self.path, **(ALONE if self.masked else {})) as dataset:
                dataset.read(window=part, out=cube)
                if self.masked:
                    cube[:, dataset.read_masks(1, window=part) == 0] = self.meta.nodata
        for band, name in enumerate(self.pages):
            with _opened(name) as page:
                page.read(1, window=part, out=cube[band])
        if self.mask:
            with _opened(self.mask, **ALONE) as dataset:
                cube[:, dataset.read(1, window=part) == 0] = self.meta.nodata
        return np.ascontiguousarray(cube.transpose(1, 2, 0))


def open_scene(path: Path, *, variable: str | None = None) -> SceneReader:
    """Open a TIFF or BigTIFF; a product's gains of each band are applied."""
    reader = GeoTiffReader(path)
    if not enmap.is_image(path):
        return reader
    from hsisr_jax.formats.products.base import GainReader, unused

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
        self.dataset = _open(partial(self.path), mode, **profile)

    def _close(self) -> None:
        dataset, self.dataset = self.dataset, None
        if dataset is not None:
            with _settings():
                dataset.close()

    def _write(self, row: int, col: int, block: np.ndarray) -> None:
        from rasterio.windows import Window

        part = Window(col, row, block.shape[1], block.shape[0])
        with _settings():
            self.dataset.write(np.ascontiguousarray(block.transpose(2, 0, 1)), window=part)

    def _sync(self) -> None:
        self._close()
        flush(partial(self.path))
        self._open("r+")

    def _finish(self) -> None:
        self._close()
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
        with _settings(), _open(path, "r+") as dataset:
            side, factors = max(dataset.height, dataset.width), list[int]()
            while side > OVERVIEW:
                factors.append(2 ** (len(factors) + 1))
                side = -(-side // 2)
            if factors:
                method = Resampling.average if dtype.kind == "f" else Resampling.nearest
                dataset.build_overviews(factors, method)
        predictor = {"f": 3, "i": 2, "u": 2}.get(dtype.kind, 1)
        with _settings():
            copy(path, beside, driver="GTiff", COPY_SRC_OVERVIEWS="YES", TILED="YES",
                 BLOCKXSIZE=BLOCK, BLOCKYSIZE=BLOCK, COMPRESS=compress.upper(),
                 PREDICTOR=predictor, INTERLEAVE="BAND", BIGTIFF="IF_SAFER",
                 NUM_THREADS="ALL_CPUS")  # fmt: skip
        os.replace(beside, path)
    finally:
        beside.unlink(missing_ok=True)


def _profile(new: NewScene) -> dict[str, Any]:
    from rasterio.control import GroundControlPoint
    from rasterio.transform import Affine

    (height, width, bands), meta = new.shape, new.meta
    profile = dict(height=height, width=width, count=bands, dtype=new.dtype.name)
    profile |= dict(nodata=meta.nodata, interleave="band", BIGTIFF="IF_SAFER")
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
