"""The output file of a prediction: units, types, a journal for resuming, and a quicklook.

All files have names that end in `.partial` until everything is done; at a URL see `remote`. The
journal begins with the identity of the work (see `hsisr_jax.identity`): the digests of the weights
and of all files of the scene, and the settings. It has one line for each finished band of rows,
written once its pixels are on the disk. Rows of another identity are never continued.
"""

import io
import json
import os
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from hsisr_jax import identity
from hsisr_jax.data.normalise import Normaliser
from hsisr_jax.errors import UserError
from hsisr_jax.files import on_disk, written
from hsisr_jax.formats import SceneMeta, SceneWriter, carried, create_scene
from hsisr_jax.formats.places import Place
from hsisr_jax.formats.scene import no_data_of
from hsisr_jax.inference.grid import Unit

SLAB = 16 << 20  # bytes that are converted at a time
QUICKLOOK = 2048  # pixels on its longer side at most


class Journal:
    """The list of units that are on the disk: `<output>.journal.partial`."""

    resumes = False  # an output without finished units too, instead of beginning it anew

    def __init__(self, output: Place, work: Mapping[str, Any]):
        self.output, self.path = output, output.with_name(f"{output.name}.journal.partial")
        self.head = json.dumps(work, sort_keys=True)
        self.changes: list[str] = []  # why what is there was not continued
        self.same = False  # whether what is there was begun by the same work

    def claim(self) -> None:
        """Takes the output for this process, where no lock does."""

    def read(self) -> set[tuple[int, int]]:
        """Finished units of an interrupted run with the same identity."""
        self.same = False
        try:
            head, *lines = self.path.read_text().splitlines()
            before = json.loads(head)
        except (OSError, ValueError, RecursionError):
            return set()
        done = set()
        self.changes = identity.changes(before, json.loads(self.head))
        self.same = not self.changes
        if self.same:
            for line in lines:
                with suppress(ValueError, TypeError):  # the half line of a killed process
                    strip, band = json.loads(line)
                    done.add((strip, band))
        return done

    def start(self, done: set[tuple[int, int]]) -> None:
        lines = [self.head, *(json.dumps(unit) for unit in sorted(done))]
        with on_disk(self.path):
            self.path.write_text("".join(f"{line}\n" for line in lines))

    def add(self, unit: tuple[int, int]) -> None:
        with on_disk(self.path), self.path.open("a") as file:
            file.write(f"{json.dumps(unit)}\n")
            file.flush()
            os.fsync(file.fileno())

    def remove(self) -> None:
        self.path.unlink(missing_ok=True)


class Quicklook:
    """A false-colour picture beside the output, filled while the scene is made."""

    def __init__(
        self,
        output: Place,
        shape: tuple[int, int],
        bands: tuple[int, int, int],
        low: np.ndarray,
        high: np.ndarray,
        *,
        keep: bool,
    ):
        self.output, self.path = output, output.with_name(f"{output.stem}_quicklook.png")
        self.raw = output.with_name(f"{output.name}.quicklook.partial")  # what it is made in
        self.bands, self.low, self.high = list(bands), low, high
        self.every = max(-(-max(shape) // QUICKLOOK), 1)
        height, width = (-(-n // self.every) for n in shape)
        self.pixels = np.zeros((height, width, 4), np.uint8)  # not made yet: transparent
        self.start(keep=keep)

    def start(self, *, keep: bool) -> None:
        """Goes on with what an interrupted run has made (`keep`), or begins."""
        with on_disk(self.raw):
            if not (keep and self.read()):
                self.raw.write_bytes(self.pixels.tobytes())

    def read(self) -> bool:
        """Takes what was made before, or by others; False where there is nothing of this size."""
        earlier = self.raw.read_bytes() if self.raw.exists() else b""
        if len(earlier) != self.pixels.size:
            return False
        self.pixels.flat = np.frombuffer(earlier, np.uint8)
        return True

    def add(self, row: int, col: int, stored: np.ndarray) -> None:
        """Every n-th pixel of a block."""
        n = self.every
        rows, cols = -row % n, -col % n
        some = stored[rows::n, cols::n][..., self.bands]
        if some.size:
            top, left = (row + rows) // n, (col + cols) // n
            with np.errstate(invalid="ignore"):
                grey = (some - self.low) / (self.high - self.low)
            grey = np.clip(np.nan_to_num(grey), 0, 1) * 255
            seen = np.isfinite(some).any(-1, keepdims=True) * 255
            inside = np.s_[top : top + some.shape[0], left : left + some.shape[1]]
            self.pixels[inside] = np.concatenate([grey.round(), seen], -1)
            self.keep(*inside)

    def keep(self, rows: slice, cols: slice) -> None:
        """Keeps a window for a resumed run, here whole rows; not by a memory map, which would crash
        on a full disk."""
        top, bottom = rows.start, rows.stop
        with on_disk(self.raw), self.raw.open("r+b") as file:
            file.seek(self.pixels[:top].size)
            file.write(self.pixels[top:bottom].tobytes())

    def png(self) -> bytes:
        """The picture."""
        from PIL import Image

        content = io.BytesIO()
        Image.fromarray(self.pixels).save(content, format="PNG")
        return content.getvalue()

    def finish(self) -> None:
        """Writes the picture; what it is made from stays until the scene has its name too."""
        with written(self.path) as file:
            file.write(self.png())

    def remove(self) -> None:
        """Removes what the picture was made from."""
        self.raw.unlink(missing_ok=True)


@dataclass
class Output:
    """Takes units of the stream in the network's range and writes them in stored units."""

    writer: SceneWriter
    journal: Journal
    normaliser: Normaliser  # of the output's stored units
    nodata: float | None
    quicklook: Quicklook | None
    limits: tuple[np.ndarray, np.ndarray] | None = None  # of each band, in stored units

    def __call__(self, unit: Unit, row: int, values: np.ndarray) -> None:
        step = max(SLAB // max(values[:1].nbytes, 1), 1)
        for first in range(0, len(values), step):
            stored = self.normaliser.invert(values[first : first + step], np)
            if self.limits:
                stored = np.clip(stored, *self.limits)
            if self.quicklook:
                self.quicklook.add(row + first, unit.left, stored)
            block = as_type(stored, self.writer.dtype, self.nodata)
            self.writer.write(row + first, unit.left, block)
        self.writer.sync()
        self.journal.add(unit.key)

    def finish(self) -> None:
        """Renames all files to their final names; the scene last. A run that is killed in between
        is completed by the next one."""
        if self.quicklook:
            self.quicklook.finish()
        self.writer.finish()
        if self.quicklook:
            self.quicklook.remove()
        self.journal.remove()


def as_type(stored: np.ndarray, dtype: np.dtype, nodata: float | None) -> np.ndarray:
    """Rounded and clipped for integers; hidden values become `nodata`, which no other one is."""
    dtype = np.dtype(dtype)
    hidden = np.isnan(stored)
    if dtype.kind in "iu":
        limits = np.iinfo(dtype)
        stored = np.clip(np.rint(np.where(hidden, 0, stored).astype(np.float64)),
                         limits.min, limits.max)  # fmt: skip
        if nodata is not None:
            step = -1 if nodata == limits.max else 1
            stored = np.where(stored == nodata, nodata + step, stored)
    if nodata is not None and not np.isnan(nodata):
        stored = np.where(hidden, dtype.type(nodata), stored.astype(dtype))
    return stored.astype(dtype)


def output_meta(
    meta: SceneMeta,
    *,
    scale: int,
    wavelengths: list[float] | None,
    bands: np.ndarray | None,
    msi_bands: int,
    before: np.dtype,
    dtype: np.dtype,
    output_scale: float | None,
) -> SceneMeta:
    """The input's metadata on the finer grid, and of the model's bands where it is seen through
    `bands` or has `msi_bands` of its own.

    Integers have no NaN: a file of them that is made from floats (`before`) has a no-data value.
    """
    meta = meta.scaled(scale)
    count = msi_bands or (0 if bands is None else len(bands))
    if bands is not None and np.isin(bands, (0, 1)).all():  # some of the scene's own bands
        meta = meta.select(bands.argmax(0))
    elif count:
        meta = replace(meta, wavelengths=wavelengths, fwhm=None, band_names=(), bad_bands=None,
                       extra=carried.of_bands(meta.extra, None, count))  # fmt: skip
    if output_scale:
        extra = {key: text for key, text in meta.extra.items() if key not in carried.GAINS}
        meta = replace(meta, scale=output_scale, offset=0.0, extra=extra)
    dtype, nodata = np.dtype(dtype), meta.nodata
    if nodata is None and np.dtype(before).kind == "f":
        nodata = np.nan if dtype.kind in "iu" else None
    if nodata is not None and dtype.kind in "iu":
        limits = np.iinfo(dtype)
        if not (limits.min <= nodata <= limits.max and nodata == round(nodata)):
            nodata = no_data_of(dtype)
    if nodata is not None and dtype.kind == "f":
        with np.errstate(over="ignore"):  # -3.4e38 in float16
            nodata = float(dtype.type(nodata))
        nodata = nodata if np.isfinite(nodata) else np.nan
    return replace(meta, nodata=nodata)


def begin(
    path: Place,
    journal: Journal,
    *,
    shape: tuple[int, int, int],
    dtype: np.dtype,
    meta: SceneMeta,
    compress: str = "none",
    zarr_format: int = 3,
    join: bool = False,
) -> tuple[SceneWriter, set[tuple[int, int]]]:
    """A writer, and the units that an interrupted run with the same settings has finished.

    With `join` other processes may be writing the same file: what they began is not begun anew.
    """
    journal.claim()
    done = journal.read()
    goes_on = bool(done) or ((join or journal.resumes) and journal.same)
    height, width, bands = shape
    size = {"height": height, "width": width, "bands": bands, "dtype": dtype, "meta": meta}
    if path.suffix.lower() in (".tif", ".tiff", ".gtiff"):
        size["compress"] = compress
    if path.suffix.lower() == ".zarr":
        size["zarr_format"] = zarr_format
    try:
        writer = create_scene(path, **size, resume=goes_on)
    except UserError:
        if join or journal.resumes or not done:
            raise
        writer, done = create_scene(path, **size), set()
    if not writer.resumed:
        done = set()
    if not (join and writer.resumed):
        journal.start(done)
    return writer, done
