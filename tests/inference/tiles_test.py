"""Tiles cover every pixel, blend without seams, and change nothing that is local."""

import numpy as np
import pytest
from scipy.ndimage import uniform_filter

from hsisr_jax.errors import UserError
from hsisr_jax.inference.tiles import Plan, in_tiles, origins


@pytest.mark.parametrize(
    ("height", "width", "tile", "overlap"),
    [(20, 31, 8, 3), (8, 8, 8, 2), (5, 40, 8, 0), (9, 8, 8, 7)],
)
def test_a_pointwise_function_is_exact(height, width, tile, overlap):
    x = np.random.default_rng(0).random((1, height, width, 2), np.float32)

    def double(cut):
        return np.repeat(np.repeat(cut["lr"] * 3 + 1, 2, 1), 2, 2)

    found = in_tiles(double, {"lr": x}, scale=2, tile=tile, overlap=overlap, batch=3)
    np.testing.assert_allclose(found, double({"lr": x}), rtol=1e-6)


def test_overlap_beyond_the_receptive_field_makes_the_inside_exact():
    x = np.random.default_rng(1).random((1, 32, 40, 1), np.float32)

    def blur(cut):
        return np.stack([uniform_filter(image, (3, 3, 1), mode="nearest") for image in cut["lr"]])

    whole = blur({"lr": x})
    errors = [
        np.abs(in_tiles(blur, {"lr": x}, scale=1, tile=16, overlap=overlap) - whole).max()
        for overlap in (0, 8)
    ]
    assert errors[0] > 0.05 and errors[1] < errors[0] / 4


def test_every_pixel_is_covered():
    for length in range(1, 40):
        for tile in range(1, length + 1):
            for overlap in range(0, tile, 2):
                starts = origins(length, tile, overlap)
                covered = np.zeros(length, bool)
                for start in starts:
                    assert 0 <= start <= length - tile
                    covered[start : start + tile] = True
                assert covered.all()


def test_an_overlap_that_leaves_nothing_new_is_refused():
    with pytest.raises(UserError, match="cannot overlap"):
        Plan(10, 10, 4, 4)
