"""What carries over from the reduced resolution to the output, on numbers that are known."""

import numpy as np
import pytest

from hsisr_jax import degrade, resize
from hsisr_jax.inference import calibration
from hsisr_jax.inference.calibration import Table

OBSERVERS = {
    "bicubic": (degrade.create("bicubic", scale=2).observe, 2),
    "area": (degrade.create("area", scale=4).observe, 4),
    "mtf": (degrade.create("mtf", scale=4, mtf=0.3).observe, 4),
}


@pytest.mark.parametrize("name", OBSERVERS)
def test_how_much_noise_larger_pixels_have(name):
    """White noise, degraded; the mean of 4 x 4 pixels has a quarter."""
    observe, scale = OBSERVERS[name]
    noise = np.random.default_rng(0).standard_normal((1, 256, 256, 1)).astype(np.float32)
    left = calibration.noise_left(observe, scale)
    assert left == pytest.approx(np.std(np.asarray(observe(noise)["lr"])), rel=0.06)
    assert name != "area" or left == pytest.approx(0.25, rel=1e-5)


def test_noise_of_smaller_pixels():
    """Three materials in 32 bands, with noise of a known size: 15 times that variance more."""
    rng = np.random.default_rng(0)
    known = np.linspace(0.005, 0.02, 32)
    spectra = rng.random((2500, 3)) @ rng.random((3, 32)) + known * rng.standard_normal((2500, 32))
    found = calibration.smaller_pixels(spectra, *OBSERVERS["area"])
    assert found == pytest.approx(np.sqrt(15) * known, rel=0.2)
    assert calibration.smaller_pixels(spectra[:, :4], *OBSERVERS["area"]) == 0


def test_a_table_shrinks_as_from_the_scale_before_and_never_grows():
    rng = np.random.default_rng(0)
    added = rng.uniform(1, 2, (5000, 3))
    error = 0.8 * added * rng.standard_normal(added.shape)
    sigma = np.array([[1.0] * 3, [2.0] * 3])
    coarser = Table(sigma, sigma)
    finer = calibration.shrunk(calibration.fit(added, error), coarser, added, error)
    assert finer.shrink == pytest.approx(0.8, rel=0.02)
    for times, limit in ((99, 1.0), (0.01, calibration.SHRUNK)):
        assert calibration.shrunk(coarser, coarser, added, times * error).shrink == limit
    both = Table(sigma, sigma, noise=np.array([0.0, 3.0, 4.0]), shrink=2.0)
    assert both(np.full((1, 3), 2.0))[0] == pytest.approx([4, 5, np.sqrt(32)])
    assert both.to_json()["noise"] == [0, 3, 4] and both.to_json()["shrink"] == 2


def test_intervals_hold_for_a_noisy_truth():
    """A scene with white noise, by bicubic upsampling: the truth is noisier than what is left at
    reduced resolution, which the table alone does not know."""
    rng = np.random.default_rng(1)
    y, x = np.mgrid[:96, :96] / 5
    shapes = [np.sin(x) * np.cos(y), np.sin(0.7 * y + x), np.cos(1.3 * x)]
    clean = np.stack(shapes, -1) @ rng.random((3, 32))
    truth = (clean + 0.3 * rng.standard_normal(clean.shape)).astype(np.float32)
    observe, scale = OBSERVERS["bicubic"]

    def level(fine):
        lr = np.asarray(observe(fine[None])["lr"])[0]
        error = np.asarray(resize.imresize(lr, scale)) - fine
        return lr, np.ones_like(error).reshape(-1, 32), error.reshape(-1, 32)

    lr, added, error = level(truth)
    _, below, smaller = level(lr)
    table = calibration.fit(below, smaller)
    noise = calibration.smaller_pixels(lr.reshape(-1, 32), observe, scale)
    held = [
        np.mean(np.abs(error) <= Table(table.added, table.sigma, n)(added)) for n in (0.0, noise)
    ]
    assert held[0] < 0.6 and held[1] == pytest.approx(0.68, abs=0.06)


def test_what_rises_is_kept_and_what_falls_is_averaged():
    given = np.array([[1.0, 3], [2, 2], [4, 1], [3, 5]])
    expected = [[1, 2], [2, 2], [3.5, 2], [3.5, 5]]
    np.testing.assert_allclose(calibration.rising(given), expected)
