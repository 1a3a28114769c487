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


def test_views_hold_the_same_image():
    """Mixtures have deviation 1 and are told their own noise; their mean is the image again."""
    clean, noisy = spectra(0.0), spectra(0.05).astype(np.float32)
    found = components.basis(noisy, 6)
    images = np.asarray(found.images(noisy))
    noise = np.asarray(found.images(clean.astype(np.float32))) - images
    for number in (1, 2, 4):
        look = components.views(found, 6, number)
        assert look.forth.shape == (number, 6, 6)
        for forth, told in zip(look.forth, look.noise):
            np.testing.assert_allclose((images @ forth).std(0)[:4], 1, rtol=1e-3)
            np.testing.assert_allclose((noise @ forth).std(0)[:3], told[:3], rtol=0.1)
        whole = sum(images @ forth @ back for forth, back in zip(look.forth, look.back))
        np.testing.assert_allclose(whole, images, atol=1e-4)


def test_each_view_turns_the_components_of_another_range_of_bands():
    """Bands that vary alone are the first mixture of a view whose window they lie in."""
    rng = np.random.default_rng(0)
    low, high = rng.standard_normal((2, 4000, 1))
    seen = np.concatenate([low * np.ones(8), 0.9 * high * np.ones(8)], 1)
    found = components.basis(seen, 4)
    look = components.views(found, 2, 4)
    images = np.asarray(found.images(seen.astype(np.float32)))
    for forth, mostly in zip(look.forth, (high, high, low, low)):
        first = (images @ forth)[:, 0]
        assert abs(np.corrcoef(first, mostly[:, 0])[0, 1]) > 0.7


def test_constant_bands_do_not_move_the_views_of_the_others():
    seen = spectra(0.01)
    more = np.insert(seen, [5, 5, 20], 7.0, axis=1)
    alone, among = (components.views(components.basis(x, 4), 3, 4) for x in (seen, more))
    np.testing.assert_allclose(among.forth, alone.forth, atol=1e-3)


def test_views_of_few_or_constant_bands_are_finite():
    one = np.random.default_rng(0).random((500, 1)) * np.linspace(1, 2, 3)
    shares = components.views(components.basis(one[:, :1], 5), 1, 4).back[:, 0, 0]
    np.testing.assert_allclose(shares, 0.25, atol=1e-5)  # one band is in the middle of all
    for seen in (one, np.ones((500, 3)), one[:, :1]):
        found = components.basis(seen, 5)
        look = components.views(found, 5, 4)
        images = np.asarray(found.images(seen.astype(np.float32)))
        assert all(np.isfinite(x).all() for x in look)
        whole = sum(images @ forth @ back for forth, back in zip(look.forth, look.back))
        np.testing.assert_allclose(whole, images, atol=1e-3)
