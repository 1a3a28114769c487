"""Opens TIFFs by GDAL's TIFF driver alone, with a small cache; finds masks and transparency."""

import errno
import os
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import product
from pathlib import Path
from typing import Any, Literal

import numpy as np

from hsisr_jax.errors import UserError

# A file beside it would be opened by any driver of GDAL.
ALONE = {"GDAL_DISABLE_READDIR_ON_OPEN": "EMPTY_DIR"}
MAX_PAGES = 2048  # the finest sensors have some 700 bands
STRIPS = 16  # of rows that are looked at, spread over the scene


@contextmanager
def settings(**more: Any) -> Iterator[None]:
    """A small block cache: GDAL's own would take 5% of the machine's memory. Of one thread only."""
    import rasterio

    with _quiet(), rasterio.Env(GDAL_CACHEMAX=64, GDAL_MAX_BAND_COUNT=65536, **more):
        yield


@contextmanager
def _quiet() -> Iterator[None]:
    """Leaves out warnings of GDAL that are not UTF-8: rasterio would print a traceback of each."""
    excepthook, unraisablehook = sys.excepthook, sys.unraisablehook

    def shown(kind: type[BaseException], error: BaseException, trace: Any) -> None:
        if kind is not UnicodeDecodeError:
            excepthook(kind, error, trace)

    def ignored(found: Any) -> None:
        if found.exc_type is not UnicodeDecodeError:
            unraisablehook(found)

    sys.excepthook, sys.unraisablehook = shown, ignored
    try:
        yield
    finally:
        sys.excepthook, sys.unraisablehook = excepthook, unraisablehook


def open_tiff(path: Path | str, mode: str = "r", **options: Any) -> Any:
    """A dataset; no other driver of GDAL may open the file."""
    import rasterio
    from rasterio.errors import NotGeoreferencedWarning

    with warnings.catch_warnings(), settings():
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        return rasterio.open(path, mode, driver="GTiff", **options)


@contextmanager
def opened(path: Path | str, **options: Any) -> Iterator[Any]:
    """A dataset for a while."""
    with settings(**options), open_tiff(path) as dataset:
        yield dataset


def masked(path: Path) -> bool:
    """Whether the file hides pixels by a mask of its own."""
    from rasterio.enums import MaskFlags

    with opened(path, **ALONE) as dataset:
        flags = dataset.mask_flag_enums[0]
    return MaskFlags.per_dataset in flags and MaskFlags.alpha not in flags


def check_whole(path: Path) -> None:
    """Raises an OSError unless all blocks of a TIFF that GDAL has written are in it: of a disk that
    fills up as it closes a file, GDAL tells nothing. Their place on the disk is then reserved."""
    with path.open("r+b") as file, opened(path) as dataset:
        (rows, cols), size = dataset.block_shapes[0], os.fstat(file.fileno()).st_size
        blocks = product(range(-(-dataset.height // rows)), range(-(-dataset.width // cols)))
        for (i, j), band in product(blocks, dataset.indexes):
            place, length = (
                int(dataset.get_tag_item(f"BLOCK_{what}_{j}_{i}", "TIFF", bidx=band) or 0)
                for what in ("OFFSET", "SIZE")
            )
            if not length or place + length > size:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        if hasattr(os, "posix_fallocate"):
            os.posix_fallocate(file.fileno(), 0, size)


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


def alpha_bands(dataset: Any, each: list[dict[str, str]]) -> tuple[list[int], list[int]]:
    """The bands, from 1, that are marked as transparency: those that are, and those that hold other
    values than transparent and opaque (GDAL marks the fourth of four 8-bit bands unless it is told
    not to). `each`: the tags of every band; one with a wavelength is none."""
    from rasterio.enums import ColorInterp
    from rasterio.windows import Window

    said = [
        band
        for band, (kind, tags) in enumerate(zip(dataset.colorinterp, each), 1)
        if kind is ColorInterp.alpha and "wavelength" not in tags and dataset.count > 1
    ]
    real = []
    rows = min(dataset.height, dataset.block_shapes[0][0], 64)
    starts = np.unique(np.linspace(0, dataset.height - rows, STRIPS).astype(int))
    for band in said:
        parts = [Window(0, int(row), dataset.width, rows) for row in starts]
        values = np.concatenate([dataset.read(band, window=part).ravel() for part in parts])
        most = values.max()  # partly transparent pixels lie along borders
        if most > 0 and np.isin(values, [0, most]).mean() > 0.5:
            real.append(band)
    return real, [band for band in said if band not in real]
