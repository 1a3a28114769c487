"""The MTF of scenes that were blurred by a known one."""

import numpy as np
import pytest

from hsisr_jax.errors import UserError
from hsisr_jax.ops import sharpness
from hsisr_jax.resize import gaussian_weights


def ground(exponent, side, seed=0, scale=4):
    """An image whose power falls with a power of the frequency, at `scale` times the resolution."""
    rng = np.random.default_rng(seed)
    f = np.hypot(np.fft.fftfreq(side * scale)[:, None], np.fft.rfftfreq(side * scale)[None])
    f[0, 0] = np.inf
    waves = np.fft.rfft2(rng.standard_normal((side * scale,) * 2)) * f ** (-exponent / 2)
    return np.fft.irfft2(waves)


def seen(image, mtf, scale=4):
    deviation = scale / np.pi * np.sqrt(-2 * np.log(mtf))
    matrix = gaussian_weights(len(image), scale, deviation)
    found = matrix @ image @ matrix.T
    return (found - found.mean()) / found.std()


@pytest.mark.parametrize("mtf", [0.08, 0.2, 0.3, 0.5])
@pytest.mark.parametrize("exponent", [2.1, 2.4, 2.8])
def test_a_known_mtf_lies_in_the_interval(mtf, exponent):
    image = seen(ground(exponent, 96), mtf)
    found = sharpness.estimate([image[..., None]], np.zeros(1))
    assert found.low < mtf < found.high and found.high < 2.2 * found.low
    assert abs(np.log(found.mtf / mtf)) < 0.35


def test_noise_that_is_known_does_not_look_like_sharpness():
    image = seen(ground(2.4, 96), 0.15)
    noisy = image + 0.1 * np.random.default_rng(1).standard_normal(image.shape)
    told = sharpness.estimate([noisy[..., None]], np.array([0.1])).mtf
    not_told = sharpness.estimate([noisy[..., None]], np.zeros(1)).mtf
    assert abs(np.log(told / 0.15)) < 0.3 < np.log(not_told / 0.15)


def test_gaps_are_left_out_and_too_little_is_refused():
    image = seen(ground(2.4, 96), 0.3)[..., None]
    whole = sharpness.estimate([image], np.zeros(1)).mtf
    image[40:44, 10:60] = np.nan
    assert abs(np.log(sharpness.estimate([image], np.zeros(1)).mtf / whole)) < 0.2
    with pytest.raises(UserError, match="blocks of 16 x 16 pixels"):
        sharpness.estimate([image[:20, :20]], np.zeros(1))
    with pytest.raises(UserError, match="mostly noise"):
        sharpness.estimate([image], np.ones(1))


def test_sensors_have_names():
    assert sharpness.named("EnMAP") == 0.2 and sharpness.named("0.31") == 0.31
    for wrong in ("spot", "1.2", 0.0):
        with pytest.raises(UserError, match="prisma"):
            sharpness.named(wrong)
