"""Cubes that lie as plain values at an offset of a file: ENVI, npy, uncompressed MATLAB v5.

Reading maps the file for one window at a time, so that pages of the rest never count as resident.
Writing goes through `pwrite`, not through a map: on a full disk a map kills the process, `pwrite`
raises.
"""

import os
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np

from hsisr_jax.errors import UserError
from hsisr_jax.formats.scene import SceneMeta, SceneReader, SceneWriter, check_size

ORDERS = {"bsq": "bhw", "bil": "hbw", "bip": "hwb", "matlab": "bwh"}

SLAB = 32 << 20  # bytes in work at a time


@dataclass(frozen=True)
class RawLayout:
    """Layout of values in a file: `axes` is the stored order of h, w and b, slowest first."""

    height: int
    width: int
    bands: int
    dtype: np.dtype  # with the file's byte order
    axes: str = "hwb"
    offset: int = 0

    @property
    def shape(self) -> tuple[int, ...]:
        """The stored shape."""
        sizes = {"h": self.height, "w": self.width, "b": self.bands}
        return tuple(sizes[axis] for axis in self.axes)

    @property
    def nbytes(self) -> int:
        """Bytes of the values, without what lies before them (Python integers: no overflow)."""
        return self.height * self.width * self.bands * self.dtype.itemsize

    def check(self, path: Path) -> "RawLayout":
        """The same layout, once the file is known to be long enough for it."""
        if min(self.height, self.width, self.bands, self.offset + 1) < 1:
            raise UserError(
                f"{path}: a cube of {self.height} x {self.width} x {self.bands} values at byte "
                f"{self.offset} makes no sense; correct its header"
            )
        check_size(path, self.offset + self.nbytes, os.stat(path).st_size)
        return self


def read_window(path: Path, layout: RawLayout, rows: slice, cols: slice) -> np.ndarray:
    """Values `(h, w, c)` of a window, contiguous, in native byte order.

    In slabs of the slowest axis: a window of rows of a column-major file lies in all its pages, and
    all of them would be resident at once.
    """
    layout.check(path)  # again: touching a map beyond the end of a file kills the process
    parts = {"h": rows, "w": cols, "b": slice(0, layout.bands)}
    slowest, inner = parts[layout.axes[0]], layout.shape[1:]
    stride = inner[0] * inner[1] * layout.dtype.itemsize
    shape = [parts[axis].stop - parts[axis].start for axis in "hwb"]
    out = np.empty(shape, layout.dtype.newbyteorder("="))
    stored = out.transpose(["hwb".index(axis) for axis in layout.axes])
    if not out.size:
        return out
    step = max(1, SLAB // stride)
    for first in range(slowest.start, slowest.stop, step):
        last = min(first + step, slowest.stop)
        place = layout.offset + first * stride
        mapped = np.memmap(path, layout.dtype, "r", place, (last - first, *inner))
        middle, fastest = (parts[axis] for axis in layout.axes[1:])
        begin = first - slowest.start
        stored[begin : begin + last - first] = np.asarray(mapped)[:, middle, fastest]
    return out


def write_block(fd: int, layout: RawLayout, row: int, col: int, block: np.ndarray) -> None:
    """Put a block `(h, w, c)` in its place, one `pwrite` for each contiguous run."""
    if not block.size:
        return
    block = block.transpose(["hwb".index(axis) for axis in layout.axes])
    start = [{"h": row, "w": col, "b": 0}[axis] for axis in layout.axes]
    step = max(1, SLAB // (block.shape[1] * block.shape[2] * layout.dtype.itemsize))
    for first in range(0, block.shape[0], step):  # a contiguous copy of a slab, not of the block
        slab = np.ascontiguousarray(block[first : first + step], layout.dtype)
        _write_slab(fd, layout, [start[0] + first, *start[1:]], slab)


def _write_slab(fd: int, layout: RawLayout, start: list[int], slab: np.ndarray) -> None:
    shape, size = layout.shape, layout.dtype.itemsize
    # Axes behind the first that is cut join into one run with it.
    lead = 2
    while lead and slab.shape[lead] == shape[lead]:
        lead -= 1
    strides = (shape[1] * shape[2], shape[2], 1)
    data = memoryview(slab.reshape(-1).view(np.uint8))  # type: ignore[arg-type]
    run = len(data) // int(np.prod(slab.shape[:lead], dtype=int))
    corner = sum(s * stride for s, stride in zip(start, strides))
    for number, index in enumerate(np.ndindex(*slab.shape[:lead])):
        place = corner + sum(i * stride for i, stride in zip(index, strides))
        _write_all(fd, data[number * run : (number + 1) * run], layout.offset + place * size)


def _write_all(fd: int, data: memoryview | bytes, position: int) -> None:
    """`pwrite` until everything is out: it may write less on a disk that fills up."""
    data = memoryview(data)
    while data:
        written = os.pwrite(fd, data, position)
        data, position = data[written:], position + written


class RawReader(SceneReader):
    """A window of plain values in a file."""

    path: Path

    def __init__(self, path: Path, layout: RawLayout, meta: SceneMeta, *, kind: str, data: Path):
        self.path, self.layout, self.meta, self.kind, self.data = path, layout, meta, kind, data
        layout.check(data)
        self.height, self.width, self.bands = layout.height, layout.width, layout.bands
        self.dtype = layout.dtype.newbyteorder("=")

    @property
    def files(self) -> tuple[Path, ...]:
        return self.path, self.data, *self.sidecars

    def _read(self, rows: slice, cols: slice) -> np.ndarray:
        return read_window(self.data, self.layout, rows, cols)


class ArrayReader(SceneReader):
    """A cube that its format allows to read only as a whole; held in memory."""

    def __init__(self, path: Path, cube: np.ndarray, meta: SceneMeta, *, kind: str):
        self.path, self.cube, self.meta, self.kind = path, cube, meta, kind
        self.height, self.width, self.bands = cube.shape
        self.dtype = cube.dtype.newbyteorder("=")

    def _read(self, rows: slice, cols: slice) -> np.ndarray:
        return np.array(self.cube[rows, cols], self.dtype, order="C")


def partial(path: Path) -> Path:
    """The name of a file that is not finished."""
    return path.with_name(path.name + ".partial")


class Staged:
    """Files under their `.partial` names, renamed together at the end, the last one last."""

    def __init__(self, *paths: Path):
        self.paths = paths

    def commit(self) -> None:
        """Flush every file to the disk and give it its name."""
        for path in self.paths:
            flush(partial(path))
        for path in self.paths:
            os.replace(partial(path), path)
        with suppress(OSError):  # not every file system lets a folder be flushed
            flush(self.paths[0].parent)

    def remove(self) -> None:
        """Delete what there is of them."""
        for path in self.paths:
            with suppress(OSError):
                partial(path).unlink()


def flush(path: Path) -> None:
    """Bring a file, or a folder's list of names, to the disk."""
    fd = os.open(path, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def stale(path: Path) -> UserError:
    """The error for a partial file that does not belong to this run."""
    return UserError(
        f"{partial(path)}: is damaged or was begun with another size, dtype or header; "
        "delete it or start without resume"
    )


class RawWriter(SceneWriter):
    """Values in the place that `layout` gives them, in a partial file that has everything else."""

    path: Path

    def __init__(self, path: Path, layout: RawLayout, files: Staged, *, resumed: bool, size: int):
        self.path, self.layout, self.files, self.resumed = path, layout, files, resumed
        self.height, self.width, self.bands = layout.height, layout.width, layout.bands
        self.dtype = layout.dtype
        self.fd = os.open(partial(files.paths[0]), os.O_RDWR)
        try:
            _reserve(self.fd, size)
        except BaseException:
            self._close() if resumed else self._abort()
            raise

    @classmethod
    def begin(
        cls,
        path: Path,
        layout: RawLayout,
        prelude: bytes = b"",
        *,
        data: Path | None = None,
        beside: Mapping[Path, bytes] | None = None,
        padding: int = 0,
        resume: bool = False,
    ) -> Self:
        """Values behind `prelude`, and small companion files, complete from the start."""
        data = data or path
        pieces = {data: prelude, **(beside or {})}
        files = Staged(*pieces)
        size = layout.offset + layout.nbytes + padding
        resumed = resume and partial(data).exists()
        if resumed:
            _check_same(data, pieces, size)
        else:
            try:
                for place, text in pieces.items():
                    partial(place).write_bytes(text)
            except BaseException:
                files.remove()
                raise
        return cls(path, layout, files, resumed=resumed, size=size)

    def _write(self, row: int, col: int, block: np.ndarray) -> None:
        write_block(self.fd, self.layout, row, col, block)

    def _sync(self) -> None:
        os.fsync(self.fd)

    def _close(self) -> None:
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1

    def _leave(self) -> None:
        self._close()

    def _finish(self) -> None:
        self._close()
        self.files.commit()

    def _abort(self) -> None:
        self._close()
        self.files.remove()


def _check_same(data: Path, pieces: Mapping[Path, bytes], size: int) -> None:
    """A partial file is continued only if this run would have begun the same one."""
    if os.stat(partial(data)).st_size != size:
        raise stale(data)
    for place, text in pieces.items():
        with open(partial(place), "rb") as file:
            found = file.read(len(text) if place == data else -1)
        if found != text:
            raise stale(place)


def _reserve(fd: int, size: int) -> None:
    """Take the disk space now, so that a disk too small is known before hours of computing."""
    if hasattr(os, "posix_fallocate"):
        os.posix_fallocate(fd, 0, size)
    else:
        os.ftruncate(fd, size)
