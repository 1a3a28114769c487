"""One PNG a band, as CAVE is published, written by Pillow."""

import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from hsisr_jax.errors import UserError
from hsisr_jax.formats.png import read_png_bands


def test_sixteen_bits(tmp_path, cube):
    files = []
    for band in range(5):
        files.append(tmp_path / f"scene_ms_{band + 1:02}.png")
        Image.fromarray(cube[..., band] * 40).save(files[-1])
    found = read_png_bands(files)
    assert found.dtype == np.uint16
    np.testing.assert_array_equal(found, cube * 40)
    np.testing.assert_array_equal(read_png_bands(files[::-1]), (cube * 40)[..., ::-1])


@pytest.mark.parametrize("mode", ["L", "LA", "RGB", "RGBA"])
def test_eight_bits_and_grey_saved_as_colours(mode, tmp_path, cube):
    grey = (cube[..., 0] % 256).astype("u1")
    Image.fromarray(grey).convert(mode).save(tmp_path / "a.png")
    found = read_png_bands([tmp_path / "a.png"] * 2)
    assert found.dtype == np.uint8
    np.testing.assert_array_equal(found, np.stack([grey, grey], -1))


def test_what_is_no_band(tmp_path, cube):
    Image.fromarray((cube[..., :3] % 256).astype("u1")).save(tmp_path / "colour.png")
    Image.fromarray(cube[..., 0]).save(tmp_path / "a.png")
    Image.fromarray(cube[:3, :, 0]).save(tmp_path / "small.png")
    Image.fromarray((cube[..., 0] % 256).astype("u1")).save(tmp_path / "b.jpg")
    (tmp_path / "b.jpg").rename(tmp_path / "jpeg.png")
    for names, message in (
        (["colour.png"], "a colour picture, not one band"),
        (["a.png", "small.png"], "the bands of a cube are alike"),
        (["jpeg.png"], "cannot be read as a PNG"),
        (["missing.png"], "no such file"),
        ([], "no PNG files"),
    ):
        with pytest.raises(UserError, match=message):
            read_png_bands([tmp_path / name for name in names])


def test_a_picture_larger_than_its_file_can_hold(tmp_path, cube):
    Image.fromarray(cube[..., 0]).save(tmp_path / "a.png")
    data = (tmp_path / "a.png").read_bytes()
    head = b"IHDR" + struct.pack(">2I", 8000, 8000) + data[24:29]
    wrong = data[:12] + head + struct.pack(">I", zlib.crc32(head)) + data[33:]
    (tmp_path / "a.png").write_bytes(wrong)
    with pytest.raises(UserError, match="promises"):
        read_png_bands([tmp_path / "a.png"])
