"""Augmentations: what each changes, and what it must not."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.ndimage

from hsisr_jax import degrade, resize
from hsisr_jax.data import augment
from hsisr_jax.data.batches import Recipe, of_image
from hsisr_jax.data.normalise import Normaliser
from hsisr_jax.errors import UserError

KEY = jax.random.key(3)


@pytest.fixture(scope="module")
def hr():
    return jnp.asarray(np.random.default_rng(0).uniform(0.1, 1, (4, 16, 12, 5)), jnp.float32)


def test_gain_scales_whole_samples(hr):
    ratio = np.asarray(augment.create("gain", spread=0.2)(hr, KEY) / hr)
    per_sample = ratio[:, :1, :1, :1]
    np.testing.assert_allclose(ratio, np.broadcast_to(per_sample, ratio.shape), rtol=1e-5)
    assert (abs(per_sample - 1) <= 0.2).all() and len(np.unique(per_sample.round(5))) == 4


def test_band_gain_is_one_factor_a_band(hr):
    ratio = np.asarray(augment.create("band_gain", spread=0.05)(hr, KEY) / hr)
    per_band = ratio[:, :1, :1]
    np.testing.assert_allclose(ratio, np.broadcast_to(per_band, ratio.shape), rtol=1e-5)
    assert 0.01 < per_band.std() < 0.1


def test_mix_is_a_convex_sum_of_neighbours(hr):
    mixed = np.asarray(augment.create("mix", share=1.0)(hr, KEY))
    hr = np.asarray(hr)
    other = np.roll(hr, 1, 0)
    part = ((mixed - hr) * (other - hr)).sum((1, 2, 3)) / np.square(other - hr).sum((1, 2, 3))
    np.testing.assert_allclose(mixed, hr + part[:, None, None, None] * (other - hr), atol=1e-5)
    assert (part >= 0).all() and (part <= 0.501).all()
    np.testing.assert_array_equal(augment.create("mix", share=0.0)(jnp.asarray(hr), KEY), hr)


def test_occlude_lays_other_samples_over_each(hr):
    """Every pixel is a sample's own, another one's, or on an edge: a mixture of two at most."""
    whole = jnp.broadcast_to(jnp.eye(4)[:, None, None], (4, 32, 32, 4))  # b H W c: who is who
    seen = np.asarray(augment.create("occlude", share=1.0, shapes=1)(whole, KEY))
    np.testing.assert_allclose(seen.sum(-1), 1, atol=1e-6)
    own, other = (np.stack([seen[i, ..., (i + n) % 4] for i in range(4)]) for n in (0, -1))
    np.testing.assert_allclose(own + other, 1, atol=1e-6)
    edge = (own > 0.01) & (own < 0.99)
    assert 0.02 < other.mean() < 0.9 and 0 < edge.mean() < 0.2
    steps = np.abs(np.diff(own, axis=1)).max()
    assert 0.4 < steps <= 1  # edges are as sharp as a pixel
    unchanged = augment.create("occlude", share=0.0)(hr, KEY)
    np.testing.assert_array_equal(unchanged, hr)


def test_zoom_of_one_without_shift_changes_nothing(hr):
    np.testing.assert_allclose(augment.create("zoom", most=1.0, shift=0.0)(hr, KEY), hr, atol=1e-5)


def test_zoom_keeps_spectra_in_their_span_and_brightness():
    """Each band is resampled by the same weights: a scene of one spectrum keeps that spectrum."""
    shape = jnp.asarray(np.random.default_rng(1).random((3, 16, 16, 1)), jnp.float32)
    spectrum = jnp.array([0.2, 0.5, 0.9])
    seen = np.asarray(augment.create("zoom", most=2.0)(shape * spectrum[None, None, None], KEY))
    np.testing.assert_allclose(seen / seen[..., :1], np.broadcast_to(spectrum / 0.2, seen.shape),
                               rtol=1e-3)  # fmt: skip
    flat = augment.create("zoom", most=2.0)(jnp.full((2, 16, 16, 3), 0.4), KEY)
    np.testing.assert_allclose(flat, 0.4, rtol=1e-4)


def test_zoom_shrinks_about_the_centre():
    """A smooth blob seen from twice as far is close to the antialiased half of it."""
    i, j = np.indices((32, 32)) - 15.5
    blob = jnp.asarray(np.exp(-(i**2 + j**2) / 60), jnp.float32)[None, ..., None]
    widths = []
    for most in (1.0, 1.999):
        seen = np.asarray(augment.create("zoom", most=most, shift=0.0)(blob, KEY))[0, ..., 0]
        widths.append(np.sqrt((seen * (i**2 + j**2)).sum() / seen.sum()))
        np.testing.assert_allclose((seen * i).sum() / seen.sum(), 0, atol=0.05)
    assert 0.5 * widths[0] < widths[1] < widths[0]


def test_unknown_names_and_options_are_named():
    with pytest.raises(UserError, match="known are"):
        augment.create("blur")
    with pytest.raises(UserError, match="config.data.augmentations.gain"):
        augment.create("gain", amount=1)
    with pytest.raises(UserError, match="zoom"):
        augment.create("zoom", most=0.5)


def test_both_images_of_a_pair_change_alike():
    """Spectral super-resolution: what brightens the target brightens the input as much."""
    rng = np.random.default_rng(2)
    image = {"hr": rng.random((8, 8, 6), np.float32), "msi": rng.random((8, 8, 2), np.float32)}
    recipe = Recipe(degrade=None, augmentations=(augment.create("gain", spread=0.5),))
    batch = recipe(of_image(image, Normaliser()), KEY)
    factors = [np.asarray(batch[name][0]) / image[name] for name in image]
    np.testing.assert_allclose(factors[0], factors[1].mean(), rtol=1e-5)
    np.testing.assert_allclose(factors[1], factors[1].mean(), rtol=1e-5)
    assert abs(factors[1].mean() - 1) > 1e-3


def test_a_blurred_input_keeps_its_target():
    """Half of the inputs, as torchvision blurs them; the upsampled input follows."""
    hr = jnp.asarray(np.random.default_rng(0).random((64, 12, 12, 3)), jnp.float32)
    draw = of_image({"hr": np.asarray(hr[0])}, Normaliser())
    draw = draw.replace(pixels={"hr": hr}, gain=jnp.ones((64, 1)), bias=jnp.zeros((64, 1)))
    plain = Recipe(degrade=degrade.create("bicubic", scale=2), scale=2)
    recipe = replace(plain, on_inputs=(augment.create("blur_input", share=0.5),))
    key = jax.random.key(1)
    before, after = plain(draw, key), recipe(draw, key)
    np.testing.assert_array_equal(after["hr"], hr)
    lr = np.asarray(before["lr"])
    soft = scipy.ndimage.gaussian_filter(lr, (0, 0.8, 0.8, 0), mode="mirror", radius=(0, 1, 1, 0))
    blurred = np.abs(np.asarray(after["lr"]) - lr).max((1, 2, 3)) > 0
    assert 20 < blurred.sum() < 44
    np.testing.assert_allclose(after["lr"][blurred], soft[blurred], atol=1e-5)
    np.testing.assert_allclose(after["lms"], resize.imresize(after["lr"], 2), atol=1e-5)
    np.testing.assert_array_equal(recipe(draw, None)["lr"], before["lr"])  # not in a test
