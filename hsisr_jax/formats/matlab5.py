"""The MATLAB v5 container: finding and reading numeric arrays, and writing them in place.

Own code, not `scipy.io.loadmat`: a window of an uncompressed cube is read without the rest, and
cells, structures and objects, of which a hostile file could nest any number, are never entered. As
in scipy an array has its stored type, which MATLAB makes as small as the values allow.
"""

import struct
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from hsisr_jax.errors import UserError
from hsisr_jax.formats.scene import check_size

STORED = {1: "i1", 2: "u1", 3: "i2", 4: "u2", 5: "i4", 6: "u4", 7: "f4", 9: "f8", 12: "i8",
          13: "u8"}  # fmt: skip
CLASSES = {6: "f8", 7: "f4", 8: "i1", 9: "u1", 10: "i2", 11: "u2", 12: "i4", 13: "u4"}
CLASSES |= {14: "i8", 15: "u8"}
CHAR, MATRIX, COMPRESSED = 4, 14, 15
CELL, STRUCT, SPARSE = 1, 2, 5
UNREAD = {CELL: "a cell array", STRUCT: "a structure", SPARSE: "sparse"}
TEXTS = {1: "latin-1", 2: "latin-1", 4: "utf-16", 16: "utf-8", 17: "utf-16", 18: "utf-32"}
LIMIT = 1 << 31  # bytes of one variable
HEAD = 1 << 16  # as much as flags, sizes and name can take
MAX_VARIABLES = 10_000


@dataclass(frozen=True)
class Variable:
    """One array of a file: what it is and where its values lie."""

    name: str
    shape: tuple[int, ...]
    text: bool
    kind: int  # the stored type's code
    start: int  # of the values: in the file, or in the inflated element
    nbytes: int
    packed: tuple[int, int] | None = None  # where the compressed element lies in the file
    unread: str = ""  # what it is, where it is no array of real numbers or text

    def dtype(self, order: str) -> np.dtype:
        """The stored type."""
        return np.dtype(order + STORED[self.kind])


def byte_order(path: Path, start: bytes) -> str:
    """`<` or `>`; an error for what is no MATLAB v5 file."""
    order = {b"IM": "<", b"MI": ">"}.get(start[126:128])
    if len(start) < 128 or order is None:
        raise UserError(
            f"{path}: not a MATLAB file of version 5 or 7.3; save it with -v7 or -v7.3, or copy it "
            "again if it was one"
        )
    return order


def scan(path: Path) -> tuple[str, list[Variable]]:
    """Byte order, and what lies at the top level of a file: numeric and text arrays, and the names
    of structures, cells and the like."""
    size = path.stat().st_size
    found: list[Variable] = []
    with open(path, "rb") as file:
        order = byte_order(path, file.read(128))
        place = 128
        while place + 8 <= size and len(found) < MAX_VARIABLES:
            file.seek(place)
            kind, nbytes = struct.unpack(order + "II", file.read(8))
            if place + 8 + nbytes > size:
                raise UserError(
                    f"{path}: ends {place + 8 + nbytes - size} bytes too early; copy it again"
                )
            variable = None
            if kind == COMPRESSED:
                variable = _packed(file.read(min(nbytes, HEAD)), order, (place + 8, nbytes))
            elif kind == MATRIX:
                variable = _variable(file.read(min(nbytes, HEAD)), order, place + 8, nbytes)
            if variable is not None:
                found.append(variable)
            place += 8 + nbytes
    return order, found


def _packed(data: bytes, order: str, where: tuple[int, int]) -> Variable | None:
    start = zlib.decompressobj().decompress(data, HEAD)
    kind, nbytes = struct.unpack_from(order + "II", start)
    return _variable(start[8:], order, 8, nbytes, where) if kind == MATRIX else None


def _element(data: bytes, place: int, order: str) -> tuple[int, int, int, int]:
    """Type, size, start of the values and start of the next element."""
    kind, nbytes = struct.unpack_from(order + "II", data, place)
    if kind >> 16:  # the small form: size and type share a word
        return kind & 0xFFFF, kind >> 16, place + 4, place + 8
    return kind, nbytes, place + 8, place + 8 + -(-nbytes // 8) * 8


def _variable(
    data: bytes, order: str, base: int, total: int, packed: tuple[int, int] | None = None
) -> Variable | None:
    """The array whose element starts with `data`; none for objects, and only a name for cells,
    structures, sparse and complex arrays."""
    _, nbytes, flags_at, place = _element(data, 0, order)
    flags = struct.unpack_from(order + "I", data, flags_at)[0]
    if flags & 0xFF not in (CHAR, *CLASSES, *UNREAD):
        return None
    unread = UNREAD.get(flags & 0xFF, "complex" if flags & 0x0800 else "")
    _, nbytes, start, place = _element(data, place, order)
    shape = struct.unpack_from(f"{order}{nbytes // 4}i", data, start)
    _, nbytes, start, place = _element(data, place, order)
    name = data[start : start + nbytes].decode("latin-1")
    if unread:
        return Variable(name, shape, False, 0, 0, 0, packed, unread)
    kind, nbytes, start, _ = _element(data, place, order)
    text = flags & 0xFF == CHAR
    count = 1
    for axis in shape:
        count *= axis
    itemsize = None if text or kind not in STORED else np.dtype(STORED[kind]).itemsize
    if not text and (itemsize is None or count * itemsize != nbytes):
        raise ValueError(f"array {name!r}: {nbytes} bytes for {shape} values of type {kind}")
    if start + nbytes > total + 8:
        raise ValueError(f"array {name!r} is longer than the element that holds it")
    return Variable(name, shape, text, kind, base + start, nbytes, packed)


def load_bytes(path: Path, variable: Variable) -> bytes | memoryview:
    """The values of a variable as they are stored, inflated if need be."""
    with open(path, "rb") as file:
        if variable.packed is None:
            check_size(path, variable.start + variable.nbytes, path.stat().st_size)
            file.seek(variable.start)
            return file.read(variable.nbytes)
        place, size = variable.packed
        end = variable.start + variable.nbytes
        check_size(path, end, size, packed=True)
        file.seek(place)
        data = zlib.decompressobj().decompress(file.read(size), end)
    if len(data) < end:
        raise ValueError(f"array {variable.name!r} ends early")
    return memoryview(data)[variable.start :]


def load(path: Path, variable: Variable, order: str) -> np.ndarray:
    """An array with the stored axes reversed: `(c, w, h)` for a cube `(h, w, c)`."""
    values = np.frombuffer(load_bytes(path, variable), variable.dtype(order))
    return values.reshape(variable.shape[::-1])


def load_text(path: Path, variable: Variable, order: str) -> str:
    """A text of one line."""
    data = bytes(load_bytes(path, variable))
    encoding = TEXTS[variable.kind]
    if encoding in ("utf-16", "utf-32"):
        encoding += "-le" if order == "<" else "-be"
    return data.decode(encoding)


def header() -> bytes:
    """The 128 bytes at the start of a file."""
    words = b"MATLAB 5.0 MAT-file, written by hsisr_jax"
    return words.ljust(116) + bytes(8) + struct.pack("<H", 0x0100) + b"IM"


def array_start(name: str, shape: Sequence[int], dtype: np.dtype, *, text: bool = False) -> bytes:
    """Everything of an array before its values."""
    shape = (*shape, 1) if len(shape) == 1 else tuple(shape)
    nbytes = int(np.prod(shape, dtype=object)) * dtype.itemsize
    stored = {np.dtype(code): kind for kind, code in STORED.items()}[dtype]
    kinds = {np.dtype(code): kind for kind, code in CLASSES.items()}
    flags = struct.pack("<II", CHAR if text else kinds[dtype], 0)
    sizes = struct.pack(f"<{len(shape)}i", *shape)
    body = _small(6, flags) + _small(5, sizes) + _small(1, name.encode("ascii"))
    body += struct.pack("<II", stored, nbytes)
    return struct.pack("<II", MATRIX, len(body) + nbytes + padding(nbytes)) + body


def array(name: str, values: np.ndarray, *, text: bool = False) -> bytes:
    """A whole small array."""
    start = array_start(name, values.shape, values.dtype, text=text)
    return start + values.tobytes("F") + bytes(padding(values.nbytes))


def padding(nbytes: int) -> int:
    """Bytes to the next multiple of eight."""
    return -nbytes % 8


def _small(kind: int, data: bytes) -> bytes:
    return struct.pack("<II", kind, len(data)) + data + bytes(padding(len(data)))
