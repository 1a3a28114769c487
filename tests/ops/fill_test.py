"""Hidden pixels filled in: borders as the end of an image, gaps from both sides, band by band."""

import numpy as np
import pytest

from hsisr_jax.ops.fill import filled

CUBE = np.random.default_rng(0).random((12, 15, 4)).astype(np.float32)


def test_nothing_hidden_is_the_same_array():
    assert filled(CUBE, np.zeros(CUBE.shape, bool)) is CUBE


@pytest.mark.parametrize("rows, cols", [((3, 12), (0, 15)), ((0, 8), (4, 11)), ((5, 9), (6, 13))])
def test_a_border_is_the_mirror_of_what_it_borders_on(rows, cols):
    valid = np.zeros(CUBE.shape[:2], bool)
    valid[slice(*rows), slice(*cols)] = True
    holed = np.where(valid[..., None], CUBE, np.nan)
    found = filled(holed, ~valid)
    inside = CUBE[slice(*rows), slice(*cols)]
    pads = [(min(3, first), min(3, size - end))
            for (first, end), size in zip((rows, cols), CUBE.shape)]  # fmt: skip
    mirrored = np.pad(inside, (*pads, (0, 0)), mode="symmetric")
    window = tuple(slice(a - p, b + q) for (a, b), (p, q) in zip((rows, cols), pads))
    np.testing.assert_array_equal(found[window], mirrored)
    assert np.isfinite(found).all()
    np.testing.assert_array_equal(found[valid], CUBE[valid])


def test_a_narrow_gap_is_bridged_and_lines_stay_straight():
    ramp = np.broadcast_to(np.arange(20.0, dtype=np.float32)[None, :, None], (6, 20, 3)).copy()
    hidden = np.zeros(ramp.shape, bool)
    hidden[:, 5:7] = hidden[:, 12:13] = hidden[:, 15] = True
    np.testing.assert_allclose(filled(np.where(hidden, np.nan, ramp), hidden), ramp, atol=1e-5)


def test_each_band_has_its_own_holes_and_integers_stay_integers():
    cube = (CUBE * 1000).astype(np.uint16)
    hidden = np.zeros(cube.shape, bool)
    hidden[4, 5, 1] = hidden[:, 7, 2] = hidden[..., 3] = True
    found = filled(np.where(hidden, 0, cube), hidden, neutral=np.array([0, 0, 0, 77.4]))
    assert found.dtype == np.uint16 and (found[..., 3] == 77).all()
    np.testing.assert_array_equal(found[~hidden], cube[~hidden])
    between = np.rint((cube[:, 6, 2].astype(float) + cube[:, 8, 2]) / 2)
    np.testing.assert_array_equal(found[:, 7, 2], between)
    sides = cube[[3, 5], 5, 1], cube[4, [4, 6], 1]  # above and below, or left and right
    assert found[4, 5, 1] in [np.rint(pair.mean()) for pair in sides]
