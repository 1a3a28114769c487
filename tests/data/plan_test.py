"""Where a region of a scene lies on the ground."""

import numpy as np
import pytest

from hsisr_jax.data.plan import _moved
from hsisr_jax.data.splits import Region


def test_a_region_lies_where_its_pixels_lie_in_the_scene():
    transform = (3.0, -1.0, 100.0, -0.5, -4.0, 200.0)  # turned
    region = Region("scene", (7, 9), (5, 8), "train")

    def place(numbers, row, col):
        a, b, c, d, e, f = numbers
        return a * col + b * row + c, d * col + e * row + f

    moved = _moved(transform, region)
    for row, col in ((0, 0), (1, 2), (2, 3)):
        assert place(moved, row, col) == pytest.approx(place(transform, 7 + row, 5 + col))
    assert np.isnan(_moved(None, region)).all() and len(_moved(None, region)) == 6
