"""Cubes in a `.npy` file, read by windows: training scenes larger than memory.

A `PixelFile` is a sequence of pixels, `p c`, which holds scenes one after the other, row by row. A
`StoredCube` is a scene, or a window of one, in such a file. Neither caches anything: several
threads read what is requested, so a process needs memory only for its batches.
"""

import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np

from hsisr_jax.errors import UserError

READERS = 8  # threads: a disk serves several reads at once
SHARE = 1 << 20  # bytes from which a further thread pays off


class PixelFile:
    """Pixels `p c` of one type."""

    def __init__(self, path: Path):
        self.path = path
        self._file = path.open("rb", buffering=0)
        try:
            if np.lib.format.read_magic(self._file) != (1, 0):
                raise ValueError("another version")
            header = np.lib.format.read_array_header_1_0(self._file)
        except ValueError as error:
            raise UserError(f"{path} is no file of pixels ({error}): delete its folder") from None
        self.shape, _, self.dtype = header
        self.ndim = len(self.shape)
        self._begin = self._file.tell()

    @property
    def pixel_bytes(self) -> int:
        return self.shape[1] * self.dtype.itemsize

    @cached_property
    def _readers(self) -> ThreadPoolExecutor:
        return ThreadPoolExecutor(READERS, thread_name_prefix="pixels")

    def read_into(self, made: np.ndarray, first: int) -> None:
        """Fills contiguous `n c` with the pixels from `first` on."""
        place = self._begin + first * self.pixel_bytes
        done = os.preadv(self._file.fileno(), [made.data], place)
        while done < made.nbytes:  # a read may return fewer bytes than requested
            left = memoryview(made.reshape(-1).view(np.uint8))[done:]
            count = os.preadv(self._file.fileno(), [left], place + done)
            if not count:
                raise UserError(f"{self.path} ends early: delete its folder, and run again")
            done += count

    def runs(self, first: np.ndarray, length: int) -> np.ndarray:
        """`length` pixels from each `first` (`b p`) on: `b p length c`."""
        made = np.empty((*first.shape, length, self.shape[1]), self.dtype)
        together = (np.diff(first, axis=-1) == length).all(-1)  # rows that follow each other

        def read(part: slice) -> None:
            for patch, places, whole in zip(made[part], first[part].tolist(), together[part]):
                if whole:
                    self.read_into(patch, places[0])
                    continue
                for row, place in zip(patch, places):
                    self.read_into(row, place)

        parts = min(READERS, len(first), made.nbytes // SHARE)
        if parts < 2:  # handing over would take longer
            read(slice(None))
        else:
            ends = np.linspace(0, len(first), parts + 1).astype(int).tolist()
            list(self._readers.map(read, map(slice, ends, ends[1:])))
        return made


@dataclass(frozen=True)
class StoredCube:
    """`H W c` in a file of pixels. Used as an array it is read, as a whole."""

    file: PixelFile
    first: int  # its first pixel
    width: int  # pixels from one row to the next
    size: tuple[int, int]

    ndim = 3

    @property
    def shape(self) -> tuple[int, int, int]:
        return *self.size, self.file.shape[1]

    @property
    def dtype(self) -> np.dtype:
        return self.file.dtype

    @property
    def nbytes(self) -> int:
        return self.size[0] * self.size[1] * self.file.pixel_bytes

    def window(self, rows: slice, cols: slice) -> "StoredCube":
        """A part of it, still on disk."""
        top, bottom, _ = rows.indices(self.size[0])
        left, right, _ = cols.indices(self.size[1])
        first = self.first + top * self.width + left
        return replace(self, first=first, size=(bottom - top, right - left))

    def read_bytes(self, place: int, count: int) -> np.ndarray:
        """Reads `count` bytes of the scene from byte `place` on."""
        step = self.file.pixel_bytes
        skipped = place % step
        pixels = np.empty((-(-(skipped + count) // step), self.file.shape[1]), self.dtype)
        self.file.read_into(pixels, self.first + place // step)
        return pixels.reshape(-1).view(np.uint8)[skipped : skipped + count]

    def astype(self, dtype) -> np.ndarray:
        return np.asarray(self).astype(dtype)

    def __array__(self, dtype=None, copy=None) -> np.ndarray:
        first = self.first + self.width * np.arange(self.size[0])
        whole = self.size[1] == self.width
        made = self.file.runs(first[None] if whole else first[:, None], self.size[1])
        made = made.reshape(self.shape)
        return made if dtype is None else made.astype(dtype)

    def __getitem__(self, key) -> np.ndarray:
        rows, cols = key[:2]
        return np.asarray(self.window(rows, cols))
