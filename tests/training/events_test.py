"""Event files as another library reads them."""

import math
import struct

import pytest

from hsisr_jax.training.events import EventFile, masked_crc


def test_checksum_of_the_standard_check_value():
    """CRC-32C of "123456789" is 0xE3069283 (RFC 3720 uses the same polynomial)."""
    crc = 0xE3069283
    expected = ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF
    assert masked_crc(b"123456789") == expected


def records(path):
    data = path.read_bytes()
    while data:
        length = struct.unpack("<Q", data[:8])[0]
        body = data[12 : 12 + length]
        assert struct.unpack("<I", data[8:12])[0] == masked_crc(data[:8])
        assert struct.unpack("<I", data[12 + length : 16 + length])[0] == masked_crc(body)
        yield body
        data = data[16 + length :]


def test_another_library_reads_what_was_written(tmp_path):
    event_pb2 = pytest.importorskip("tensorboardX.proto.event_pb2")
    events = EventFile(tmp_path, 300)
    events.write("train", 5_000_000_000, {"loss": 0.1, "größe": -2.5, "nan": math.nan})
    events.write("train", 301, {"huge": 1e300, "tiny": -1e300})
    events.close()
    (path,) = tmp_path.glob("events.out.tfevents.*")
    first, start, row, huge = map(event_pb2.Event.FromString, records(path))
    assert first.file_version == "brain.Event:2"
    assert (start.step, start.session_log.status) == (300, event_pb2.SessionLog.START)
    assert row.step == 5_000_000_000 and row.wall_time > 1.7e9
    found = {value.tag: value.simple_value for value in row.summary.value}
    assert found["train/loss"] == pytest.approx(0.1) and found["train/größe"] == -2.5
    assert math.isnan(found["train/nan"])
    assert [value.simple_value for value in huge.summary.value] == [math.inf, -math.inf]
