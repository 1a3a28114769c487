"""Training patches as component images: their level, their sensors, their noise."""

import jax
import numpy as np
import pytest

from hsisr_jax import degrade, resize
from hsisr_jax.data import component_images
from hsisr_jax.errors import UserError
from hsisr_jax.layers import sensor

SCALE, COUNT = 2, 64
HR = np.random.default_rng(0).random((COUNT, 16, 24, 3)).astype(np.float32)
HR = np.asarray(resize.imresize(HR[:, ::4, ::4], 4)).clip(0, 1)


def made(**options):
    return jax.jit(component_images.create(SCALE, **options))(HR, jax.random.key(1))


def test_patches_have_mean_0_and_a_level_between_the_ends():
    batch = made(level=(-1.0, 0.5), objects=0.0)
    assert batch["hr"].shape == (COUNT, 16, 24, 1)
    np.testing.assert_allclose(batch["hr"].mean((1, 2, 3)), 0, atol=1e-5)
    level = np.log(batch["hr"].std((1, 2, 3)))
    assert -1.001 < level.min() < -0.8 and 0.3 < level.max() < 0.501
    level = made(level=(0.0, 0.0), objects=0.0)["hr"].std((1, 2, 3))
    assert level == pytest.approx(np.ones(COUNT), abs=1e-3)


def test_without_a_tone_curve_it_is_a_mixture_of_the_bands():
    """Least squares on the three bands and a constant leave nothing."""
    for principal in (0.0, 1.0):
        for image, bands in zip(made(tone=0.0, principal=principal, objects=0.0)["hr"][:8], HR):
            terms = np.c_[bands.reshape(-1, 3), np.ones(16 * 24)].astype(float)
            rest = np.linalg.lstsq(terms, np.ravel(image), rcond=None)[1]
            assert rest.sum() < 1e-6
    rest = []
    for image, bands in zip(made(tone=0.5, principal=0.0, objects=0.0)["hr"][:8], HR):
        terms = np.c_[bands.reshape(-1, 3), np.ones(16 * 24)]
        rest.append(np.linalg.lstsq(terms, np.ravel(image), rcond=None)[1].sum())
    assert max(rest) > 1e-3


def test_the_input_is_what_the_numbered_sensor_sees():
    batch = made(noisy=0.0)
    assert not np.any(batch["noise"])
    assert len(set(np.asarray(batch["sensor"]).tolist())) > 6
    for i in range(24):
        name, mtf = sensor.FAMILY[int(batch["sensor"][i])]
        options = {"mtf": mtf} if name == "mtf" else {}
        seen = degrade.create(name, scale=SCALE, **options)(batch["hr"][i : i + 1])
        for key in ("lr", "lms"):
            np.testing.assert_allclose(batch[key][i], seen[key][0], atol=1e-5)


def test_noise_is_as_told():
    plain, noisy = made(noisy=0.0), made(noisy=0.5, noise=0.3)
    added = np.asarray(noisy["lr"] - plain["lr"]).std((1, 2, 3))
    told = np.asarray(noisy["noise"])
    np.testing.assert_allclose(added, told, rtol=0.25, atol=1e-6)
    assert 0.3 < (told > 0).mean() < 0.7 and 0.2 < told.max() <= 0.3


def test_some_patches_get_small_bright_and_dark_rectangles():
    plain, dotted = made(objects=0.0, level=(0.0, 0.0)), made(objects=0.5, level=(0.0, 0.0))
    added = np.asarray(dotted["hr"] - plain["hr"])[..., 0]
    has = np.abs(added).max((1, 2)) > 1e-3
    assert 0.3 < has.mean() < 0.7
    highest = np.abs(added[has]).max((1, 2))
    assert highest.min() > 0.2 and 10 < highest.max() < 48  # where rectangles meet, they add up
    assert {-1, 1} == {int(np.sign(x.flat[np.abs(x).argmax()])) for x in added[has]}
    assert np.all((np.abs(added[has]) > 1e-3).mean((1, 2)) <= 3 * 7 * 7 / added[0].size)


def test_a_rectangle_covers_pixels_by_their_area(monkeypatch):
    for name, value in (("RECTANGLES", 1), ("SIDES", (2.3, 2.3)), ("HEIGHTS", (4.0, 4.0))):
        monkeypatch.setattr(component_images, name, value)
    images = np.asarray(component_images.rectangles((99, 40, 30, 1), jax.random.key(3), 1.0))
    inside = [x for x in images if not (x[-1].any() or x[:, -1].any())]
    assert len(inside) > 70
    np.testing.assert_allclose([abs(x.sum()) for x in inside], 4 * 2.3**2, rtol=1e-4)
    assert {round(float(x.max())) for x in inside} == {0, 4}  # bright and dark ones


def test_sensors_come_by_their_weights():
    numbers = np.asarray(made(sensors=(0.0, 1.0, 0.0))["sensor"])
    assert set(numbers.tolist()) == {1}
    numbers = np.asarray(made(sensors=(1.0, 0.0, 1.0))["sensor"])
    assert 1 not in numbers and 0.25 < (numbers == 0).mean() < 0.75


def test_a_patch_without_contrast_stays_finite():
    make = jax.jit(component_images.create(SCALE))
    flat = make(np.full_like(HR, 0.5), jax.random.key(0))
    assert all(np.isfinite(x).all() for x in flat.values())
    assert np.abs(flat["hr"]).max() < 1e-2


@pytest.mark.parametrize("options", [{"gamma": 2.0}, {"sensors": (1.0,)}, {"level": (1.0,)}])
def test_mistakes_are_told(options):
    with pytest.raises(UserError, match=r"config\.data\.components"):
        component_images.create(SCALE, **options)
