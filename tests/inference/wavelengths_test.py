"""Bands of scenes against bands of models."""

import numpy as np
import pytest

from hsisr_jax.errors import UserError
from hsisr_jax.inference.wavelengths import alike, assumed, band_map, resampling, shown

NM = np.linspace(400, 1000, 31)


def test_equal_bands_need_no_map():
    assert band_map(NM, 31, scene=NM + 3, scene_bands=31) is None
    assert band_map(None, 31, scene=NM, scene_bands=31) is None
    assert band_map(NM, 31, scene=None, scene_bands=31) is None


@pytest.mark.parametrize("scene", [NM + 12, NM[::-1], NM * 1.02])
def test_shifted_bands_are_refused(scene):
    with pytest.raises(UserError, match="not the model's"):
        band_map(NM, 31, scene=scene, scene_bands=31)


def test_assumed_centres_are_compared_with_tolerance():
    table = NM + 9 * np.sin(np.linspace(0, 3, 31))  # a sensor's own
    assert band_map(NM, 31, scene=table, scene_bands=31) is None
    assert band_map(table, 31, scene=NM, scene_bands=31) is None
    for other in (table + 14, table[::-1]):
        with pytest.raises(UserError, match="not the model's"):
            band_map(NM, 31, scene=other, scene_bands=31)
    with pytest.raises(UserError, match="not the model's"):
        band_map(table + 9, 31, scene=table, scene_bands=31)  # both are measured


def test_assumed_centres_without_the_bands_of_water_vapour_are_still_assumed():
    """As of the Jasper Ridge that is built in: 198 of 224 channels at even distances."""
    kept = np.r_[3:107, 112:153, 166:219]
    drawn = np.linspace(380, 2500, 224)[kept]
    measured = drawn + 5 * np.sin(kept / 9) - 4
    assert assumed(drawn) and not assumed(measured)
    assert alike(drawn, measured) and not alike(drawn, drawn + 4)


def test_a_permuted_scene_is_put_in_order():
    found = band_map(NM, 31, scene=NM[::-1], scene_bands=31, resample=True)
    np.testing.assert_allclose(found, np.eye(31)[::-1], atol=1e-6)


def test_coarse_bands_are_interpolated():
    source = np.array([400.0, 500, 600])
    found = resampling(source, np.array([450.0, 500, 575]))
    np.testing.assert_allclose(found, [[0.5, 0, 0], [0.5, 1, 0.25], [0, 0, 0.75]], atol=1e-6)


def test_fine_bands_are_averaged_as_a_sensor_would():
    source = np.arange(400, 801, 2.0)
    target = np.arange(450, 751, 50.0)
    found = resampling(source, target)
    np.testing.assert_allclose(found.sum(0), 1, atol=1e-6)
    np.testing.assert_allclose((source @ found)[1:-1], target[1:-1], rtol=1e-5)
    np.testing.assert_allclose(source @ found, target, atol=0.5)  # cut off at the range's ends
    half = found[:, 3] >= found[:, 3].max() / 2
    assert np.ptp(source[half]) == pytest.approx(50, abs=4)  # full width at half maximum


def test_what_a_scene_lacks_is_not_made_up():
    with pytest.raises(UserError, match="needs 820 nm and the scene covers 400-800"):
        band_map(NM, 31, scene=np.linspace(400, 800, 50), scene_bands=50, resample=True)
    with pytest.raises(UserError, match="the scene has none"):
        band_map(NM, 31, scene=None, scene_bands=31, resample=True)


def test_bad_bands_give_nothing_to_their_neighbours():
    bad = np.zeros(61, bool)
    bad[20:30] = True
    scene = np.linspace(400, 1000, 61)
    found = band_map(NM, 31, scene=scene, scene_bands=61, bad=bad, resample=True)
    assert (found[bad] == 0).all()
    np.testing.assert_allclose(found.sum(0), 1, atol=1e-6)


def test_lists_are_short():
    assert shown(NM, 31) == "31 bands, 400-1000 nm (400, 420, 440 ... 980, 1000)"
    assert shown(None, 7) == "7 bands of unknown wavelengths"
