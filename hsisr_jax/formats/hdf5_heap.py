"""HDF5's global heaps, where texts and references of variable length lie, checked before use.

The library walks a heap object by object and never ends at one that claims the size zero (found by
fuzzing, trial 605457), in C, where no alarm reaches it. So before the first text of variable length
is read, every heap of the file is walked here.
"""

import struct
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import IO

from hsisr_jax.errors import UserError

MARK = b"GCOL\x01"  # signature and version; the library refuses any other
HEADER = 16
OBJECT = struct.Struct("<HHIQ")  # number, references, reserved, size
PIECE = 1 << 24


def check_heaps(path: Path | str) -> None:
    """An error if a heap of the file would keep the library from coming back."""
    state = Path(path).stat()
    if not _sound(str(path), state.st_size, state.st_mtime_ns):
        raise UserError(f"{path}: its texts (global heap) are damaged; copy the file again")


@lru_cache(maxsize=64)
def _sound(path: str, size: int, changed: int) -> bool:
    with open(path, "rb") as file:
        if not _wide(file, size):
            return False
        return all(_walks(file, place) for place in _places(file))


def _wide(file: IO[bytes], size: int) -> bool:
    """Whether sizes have eight bytes, as in every file that is not very odd."""
    place = 0
    while place < size:
        file.seek(place)
        start = file.read(16)
        if start[:8] == b"\x89HDF\r\n\x1a\n" and len(start) == 16:
            widths = start[13:15] if start[8] < 2 else start[9:11]
            return widths == b"\x08\x08"
        place = max(512, 2 * place)
    return False


def _places(file: IO[bytes]) -> Iterator[int]:
    """The positions of all heaps in the file, found by their signature."""
    place, rest = 0, b""
    while True:
        file.seek(place)
        piece = rest + file.read(PIECE)
        if len(piece) == len(rest):
            return
        found = piece.find(MARK)
        while found >= 0:
            yield place - len(rest) + found
            found = piece.find(MARK, found + 1)
        place += len(piece) - len(rest)
        rest = piece[-(len(MARK) - 1) :]


def _walks(file: IO[bytes], place: int) -> bool:
    """Whether the objects of one heap lead to its end."""
    file.seek(place)
    start = file.read(HEADER)
    size = int.from_bytes(start[8:], "little")
    if len(start) < HEADER or size > PIECE:
        # Longer than the file is an error of the library's; heaps grow in steps of 4 kB.
        return len(start) < HEADER or place + size > file.seek(0, 2)
    heap = start + file.read(size - HEADER) if size > HEADER else start
    at = HEADER
    while at + OBJECT.size <= len(heap):
        number, _, _, length = OBJECT.unpack_from(heap, at)
        step = OBJECT.size + -(-length // 8) * 8 if number else length
        if step < 1 or at + step > size:
            return False
        at += step
    return True
