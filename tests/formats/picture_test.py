"""Ordinary pictures, written by Pillow."""

import numpy as np
import pytest
from PIL import Image

from hsisr_jax.errors import UserError
from hsisr_jax.formats.picture import picture_size, read_picture

RGB = np.random.default_rng(0).integers(0, 256, (6, 9, 3), np.uint8)


@pytest.mark.parametrize("ending", ["png", "tif"])
@pytest.mark.parametrize("mode", ["RGB", "RGBA"])
def test_colours_are_exact(ending, mode, tmp_path):
    Image.fromarray(RGB).convert(mode).save(tmp_path / f"a.{ending}")
    assert picture_size(tmp_path / f"a.{ending}") == (6, 9)
    np.testing.assert_array_equal(read_picture(tmp_path / f"a.{ending}"), RGB)


def test_grey_is_all_three_colours_and_jpeg_is_near(tmp_path):
    smooth = np.repeat(np.arange(0, 250, 5, dtype=np.uint8)[:, None], 40, 1)
    Image.fromarray(smooth).save(tmp_path / "a.jpg", quality=95)
    found = read_picture(tmp_path / "a.jpg")
    assert found.shape == (50, 40, 3) and found.dtype == np.uint8
    assert np.abs(found.astype(int) - smooth[..., None]).max() < 8


def test_what_is_no_picture_of_8_bits_is_told(tmp_path):
    Image.fromarray(np.zeros((4, 4), np.uint16)).save(tmp_path / "deep.png")
    with pytest.raises(UserError, match="8 bits a colour"):
        read_picture(tmp_path / "deep.png")
    (tmp_path / "no.png").write_bytes(b"text")
    for read in (read_picture, picture_size):
        with pytest.raises(UserError, match="cannot be read as a picture"):
            read(tmp_path / "no.png")
