"""Components of scenes whose structure and noise are known."""

import numpy as np

from hsisr_jax.ops import components


def spectra(noise: np.ndarray | float, count: int = 2000, bands: int = 40) -> np.ndarray:
    rng = np.random.default_rng(0)
    ground = rng.random((count, 3)) * [3, 1, 0.3]
    mixed = ground @ rng.random((3, bands))
    return mixed + noise * rng.standard_normal((count, bands))


def test_the_noise_of_a_component_is_what_the_bands_have():
    """Also where it differs from band to band, by which the faint components would be misled."""
    noise = np.geomspace(0.003, 0.1, 40)
    clean, noisy = spectra(0.0), spectra(noise)
    found = components.basis(noisy, 6)
    true = ((noisy - clean) @ found.vectors).std(0) / found.deviations
    np.testing.assert_allclose(found.noise[:3], true[:3], rtol=0.15)
    assert (found.noise[3:] > 0.8).all() and (found.noise <= 1).all()


def test_constant_bands_have_no_part_in_any_component():
    seen = spectra(0.01)
    alone = components.basis(seen, 4)
    seen = np.insert(seen, [5, 20], 7.0, axis=1)
    found = components.basis(seen, 4)
    varied = np.ptp(seen, 0) > 0
    np.testing.assert_allclose(found.vectors[varied], alone.vectors, atol=1e-6)
    assert (found.vectors[~varied] == 0).all() and (found.mean[~varied] == 7).all()
    np.testing.assert_allclose(found.noise, alone.noise, atol=1e-6)


def test_images_and_spectra_are_inverses():
    seen = spectra(0.0).astype(np.float32)
    found = components.basis(seen, 5)
    images = np.asarray(found.images(seen))
    np.testing.assert_allclose(images[:, :3].std(0), 1, rtol=1e-3)
    np.testing.assert_allclose(found.mean + found.spectra(images), seen, atol=1e-4)


def test_turned_components_hold_the_same_image():
    """Mixtures have deviation 1, are told their own noise, and are mapped back exactly."""
    clean, noisy = spectra(0.0), spectra(0.05).astype(np.float32)
    found = components.basis(noisy, 6)
    images = np.asarray(found.images(noisy))[:, :4]
    noise = np.asarray(found.images(clean.astype(np.float32)))[:, :4] - images
    turn = components.turns(found, 4, 4)
    for forth, back, told in zip(turn.forth, turn.back, turn.noise):
        mixed = images @ forth
        assert np.abs(mixed - images).max() > 0.2
        np.testing.assert_allclose(mixed.std(0), 1, rtol=1e-3)
        np.testing.assert_allclose(mixed @ back, images, atol=1e-4)
        np.testing.assert_allclose((noise @ forth).std(0)[:3], told[:3], rtol=0.1)
    few = components.turns(found, 4, 2)
    np.testing.assert_array_equal(few.forth, turn.forth[:2])


def test_components_without_detail_are_not_turned():
    one = np.random.default_rng(0).random((500, 1)) * np.linspace(1, 2, 3)
    turn = components.turns(components.basis(one, 5), 5, 4)
    for matrix in (turn.forth, turn.back):
        np.testing.assert_allclose(matrix[:, 0, 0], 1, atol=1e-6)
        assert np.isfinite(matrix).all() and (np.abs(matrix[:, 0, 1:]) < 1e-6).all()
