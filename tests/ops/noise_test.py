"""Noise of known deviation in spectra of a few materials."""

import numpy as np

from hsisr_jax.ops import noise


def test_the_noise_of_each_band_is_found():
    rng = np.random.default_rng(0)
    spectra = rng.standard_normal((4000, 5)) @ rng.standard_normal((5, 40)) + 10
    true = np.linspace(0.01, 0.2, 40)
    true[7] = 0
    noisy = spectra + true * rng.standard_normal(spectra.shape)
    noisy[3, 2] = np.nan
    noisy[:, 7] = 3.0
    found = noise.band_noise(noisy)
    np.testing.assert_allclose(found[2:], true[2:], rtol=0.1, atol=1e-9)
    assert (found[:2] < 1.5 * true[:2]).all()  # the cleanest beside much noisier ones
    assert noise.band_noise(noisy[:70]) is None
    assert noise.band_noise(noisy[:, :8]) is None
    assert noise.snr(noisy[:70]) is None and noise.band_noise(noisy[:, :8], noisy[:9, :8]) is None
    ratios = noise.snr(noisy[:, 10:])
    assert abs(ratios[-1] - 10 * np.log10(np.square(noisy[4:, -1]).mean() / 0.04)) < 0.5


def test_the_noise_of_few_bands_is_found_in_differences():
    rng = np.random.default_rng(0)
    rows, columns = np.mgrid[:50, :60] / 9
    ground = np.stack([np.sin(rows), np.cos(columns), np.sin(rows + columns)], -1)
    true = np.linspace(0.02, 0.1, 8)
    cube = ground @ rng.random((3, 8)) + true * rng.standard_normal((50, 60, 8))
    cube[20, 30] = np.nan
    details = noise.differences(cube)
    assert details.shape == (48, 58, 8) and np.isnan(details).all(-1).sum() == 9
    found = noise.band_noise(cube.reshape(-1, 8), details.reshape(-1, 8))
    np.testing.assert_allclose(found, true, rtol=0.15)
    assert noise.band_noise(cube[..., :5].reshape(-1, 5), details[..., :5].reshape(-1, 5)) is None
    assert noise.differences(cube[:2]).shape == (0, 58, 8)
