"""Synthetic scenes: what is promised of their physics, and that they are the same every time."""

import numpy as np
import pytest

from hsisr_jax.data.synthetic import endmembers, generate, ground, noise_level


@pytest.fixture(scope="module")
def scene():
    return generate(96, 128, 40, seed=5)


def test_shapes_types_and_range(scene):
    cube, wavelengths, abundances, spectra = scene
    assert cube.shape == (96, 128, 40)
    assert cube.dtype == np.float32
    assert wavelengths[0] == 400
    assert wavelengths[-1] == 2500
    assert abundances.shape == (96, 128, 8)
    assert spectra.shape == (8, 40)
    assert cube.min() > 0
    assert cube.max() < 1.5
    np.testing.assert_allclose(abundances.sum(axis=-1), 1, atol=1e-5)
    assert abundances.min() >= 0


def test_same_seed_same_scene_and_another_seed_another(scene):
    np.testing.assert_array_equal(generate(96, 128, 40, seed=5)[0], scene[0])
    other = generate(96, 128, 40, seed=6)[0]
    assert np.abs(other - scene[0]).mean() > 0.02


def test_pixels_are_mixed_linearly(scene):
    """Away from noise, a pixel is its abundances times the spectra times one brightness."""
    cube, _, abundances, spectra = scene
    mixed = abundances @ spectra
    light = (cube * mixed).sum(-1) / (mixed**2).sum(-1)
    residual = cube - mixed * light[..., None]
    assert np.sqrt((residual**2).mean()) < 0.01 * np.sqrt((cube**2).mean())
    assert 0.6 < np.quantile(light, 0.01) < np.quantile(light, 0.99) < 1.5


def test_other_wavelengths_show_the_same_ground():
    first = generate(64, 64, 30, seed=1, wavelengths=np.linspace(1000, 1700, 30))
    second = generate(64, 64, 30, seed=1, wavelengths=np.linspace(1700, 2500, 30), shift=0.1)
    np.testing.assert_array_equal(first[2], second[2])
    assert np.abs(first[3] - second[3]).max() > 0.05


def test_shift_moves_spectra_by_about_what_it_says():
    wavelengths = np.linspace(400, 2500, 100)
    plain = endmembers(wavelengths, 8, seed=2)
    moved = endmembers(wavelengths, 8, seed=2, shift=0.1)
    change = np.std(np.log(moved / plain))
    assert 0.04 < change < 0.2


def test_vegetation_has_a_red_edge():
    grass = endmembers(np.array([550.0, 670.0, 800.0]), 1, seed=0)[0]
    assert grass[2] > 3 * grass[1]
    assert grass[0] > grass[1]


def test_noise_is_worse_at_the_ends_and_in_water_vapour():
    wavelengths = np.array([400.0, 1250.0, 1400.0, 1650.0, 2500.0])
    spectra = np.ones((3, 5), np.float32)
    decibel = -20 * np.log10(noise_level(wavelengths, spectra, (35, 50)))
    assert decibel.argmax() in (1, 3)
    assert decibel.min() >= 35
    assert decibel.max() <= 50
    assert decibel[2] < decibel[3] - 2


def test_structure_is_sharp():
    """Borders, roads and objects: most of the change is in few places, and it is lost by x2."""
    cube = generate(128, 128, 8, seed=0, snr=(60, 60))[0]
    steps = np.abs(np.diff(cube.mean(axis=-1), axis=1))
    assert np.quantile(steps, 0.5) < 0.1 * np.quantile(steps, 0.98)
    halves = cube.reshape(64, 2, 64, 2, 8).mean(axis=(1, 3)).repeat(2, 0).repeat(2, 1)
    assert np.sqrt(((cube - halves) ** 2).mean()) > 0.05 * cube.std()


@pytest.mark.parametrize(
    ("height", "width", "bands", "materials"), [(7, 11, 1, 3), (33, 20, 5, 12)]
)
def test_odd_sizes(height, width, bands, materials):
    cube, wavelengths, abundances, spectra = generate(
        height, width, bands, seed=0, materials=materials
    )
    assert cube.shape == (height, width, bands)
    assert len(wavelengths) == bands
    assert abundances.shape[-1] == len(spectra) == materials
    assert np.isfinite(cube).all()


def test_every_material_is_somewhere_in_a_large_scene():
    abundances, light = ground(256, 256, seed=0, materials=8)
    assert (abundances.reshape(-1, 8).mean(axis=0) > 0.005).all()
    assert light.shape == (256, 256)
