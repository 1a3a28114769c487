"""A writer of TensorBoard's event files for scalars.

The usual writers import PyTorch or TensorFlow where these are installed, for seconds at every
start. A file is a row of records, length and data with a checksum each; the data is a protocol
buffer, `tensorflow.Event` (https://www.tensorflow.org/api_docs/python/tf/compat/v1/Event).
"""

import os
import socket
import struct
import time
from collections.abc import Mapping
from pathlib import Path

CASTAGNOLI = 0x82F63B78  # the polynomial of CRC-32C, bits reversed
VARINT, DOUBLE, BYTES, FLOAT = 0, 1, 2, 5  # kinds of fields in a protocol buffer
START = 1  # a session's first event: later events of older files are void


class EventFile:
    """Appends scalars. Without a thread: it would die on a full disk, and the run wait for ever."""

    def __init__(self, folder: Path, start_step: int):
        name = f"events.out.tfevents.{int(time.time()):010}.{socket.gethostname()}.{os.getpid()}"
        self._file = (folder / name).open("ab")
        self._event(0, field(3, BYTES, b"brain.Event:2"))
        self._event(start_step, field(7, BYTES, field(1, VARINT, START)))

    def write(self, kind: str, step: int, values: Mapping[str, float]) -> None:
        """Writes the numbers of a step, under names such as `train/loss`."""
        named = ((f"{kind}/{name}".encode(), x) for name, x in values.items())
        pairs = (field(1, BYTES, name) + field(2, FLOAT, x) for name, x in named)
        self._event(step, field(5, BYTES, b"".join(field(1, BYTES, pair) for pair in pairs)))
        self._file.flush()

    def close(self) -> None:
        self._file.close()

    def _event(self, step: int, content: bytes) -> None:
        data = field(1, DOUBLE, time.time()) + field(2, VARINT, step) + content
        length = struct.pack("<Q", len(data))
        parts = (length, struct.pack("<I", masked_crc(length)), data)
        self._file.write(b"".join((*parts, struct.pack("<I", masked_crc(data)))))


def field(number: int, kind: int, value: float | bytes) -> bytes:
    """One field of a protocol buffer."""
    key = _varint(number << 3 | kind)
    if isinstance(value, bytes):
        return key + _varint(len(value)) + value
    if kind == VARINT:
        return key + _varint(int(value))
    return key + struct.pack("<d" if kind == DOUBLE else "<f", _single(value, kind))


def _single(value: float, kind: int) -> float:
    """Packs a float32; values out of its range become infinite instead of an error."""
    return value if kind == DOUBLE or abs(value) < 3.4e38 or value != value else value * 1e300


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*out, value])


def _table() -> tuple[int, ...]:
    table = []
    for byte in range(256):
        for _ in range(8):
            byte = byte >> 1 ^ (CASTAGNOLI if byte & 1 else 0)
        table.append(byte)
    return tuple(table)


TABLE = _table()


def masked_crc(data: bytes) -> int:
    """CRC-32C, rotated and shifted as the format asks."""
    crc = 0xFFFFFFFF
    for byte in data:
        crc = TABLE[(crc ^ byte) & 0xFF] ^ crc >> 8
    crc ^= 0xFFFFFFFF
    return ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF
