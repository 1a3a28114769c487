"""Every degradation against A-SNLSR's own numbers or a second implementation, and the factory."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from golden import Case, cases
from scipy.signal import correlate2d

from hsisr_jax import degrade, resize
from hsisr_jax.errors import UserError


def random_cube(*shape, seed=0):
    return np.random.default_rng(seed).random(shape, dtype=np.float32)


def assert_near(actual, expected, tolerance=2e-6):
    scale = max(1e-12, np.abs(expected).max())
    np.testing.assert_allclose(actual, expected, rtol=0, atol=tolerance * scale)


# -- space ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("file", cases("degradation_spatial_*.npz"))
def test_psf_is_a_snlsrs(file):
    case = Case(file)
    hr, kernel = case["input/cube"], case["kernel/psf_float64"]
    for factor in case.config["factors"]:
        expected = case.group(f"output/factor{factor}")
        entries = {"lr": degrade.psf_downsample(hr, kernel, factor)}
        if hr.shape[0] % factor == 0 and hr.shape[1] % factor == 0:
            degradation = degrade.create("psf", scale=factor, kernel=kernel, intermediate=True)
            entries = degradation(hr[None])
            assert entries.keys() == {"lms", *(k.replace("partial", "lr") for k in expected)}
            assert_near(entries["lms"], resize.imresize(entries["lr"], factor))
            entries = {k: v[0] for k, v in entries.items()}
        for key, value in expected.items():
            ours = entries.get(key.replace("partial", "lr"))
            if ours is None:  # odd sizes: the factory refuses them, the function does not
                ours = degrade.psf_downsample(hr, kernel, int(key.removeprefix("partial_div")))
            assert_near(ours, value)


@pytest.mark.parametrize("size, factor", [(5, 2), (6, 3), (4, 4), (8, 1)])
def test_psf_against_scipy(size, factor):
    x, kernel = random_cube(2, 11, 13, 2), random_cube(size, size, seed=1)
    before = (size - factor) // 2
    margin = (before, size - factor - before)
    h, w = 11 // factor, 13 // factor
    expected = np.empty((2, h, w, 2))
    for index in np.ndindex(2, 2):
        image = np.pad(x[index[0], :, :, index[1]], (margin, margin))
        full = correlate2d(image, kernel, mode="valid")
        expected[index[0], :, :, index[1]] = full[::factor, ::factor][:h, :w]
    assert_near(degrade.psf_downsample(x, kernel, factor), expected)


def test_psf_is_linear_and_its_gradient_is_the_transpose():
    x, kernel = random_cube(6, 6, 1), random_cube(4, 4, seed=1)
    f = jax.jit(lambda x, kernel: degrade.psf_downsample(x, kernel, 2))
    y = random_cube(3, 3, 1, seed=2)
    _, pull = jax.vjp(f, x, kernel)
    gradient_x, gradient_kernel = pull(jnp.asarray(y))
    np.testing.assert_allclose((f(x, kernel) * y).sum(), (gradient_x * x).sum(), rtol=1e-5)
    np.testing.assert_allclose(
        (f(x, kernel) * y).sum(), (gradient_kernel * kernel).sum(), rtol=1e-5
    )


def test_gaussian_blur():
    kernel = degrade.gaussian_kernel(8, 2.0)
    assert kernel.shape == (8, 8) and kernel.sum() == pytest.approx(1)
    assert kernel[3, 3] / kernel[3, 5] == pytest.approx(np.exp((1.5**2 + 0.5**2 - 0.5) / 8))
    x = random_cube(16, 16, 2)
    y = degrade.gaussian_blur_downsample(x, 4, sigma=2.0, size=8)
    assert_near(y, degrade.psf_downsample(x, kernel, 4))
    default = degrade.gaussian_blur_downsample(x, 4)
    assert_near(default, degrade.psf_downsample(x, degrade.gaussian_kernel(16, 2.0), 4))
    # the promise about contrast: exp(-pi^2 / 8) at the low-resolution Nyquist frequency
    n = np.arange(512)
    wave = np.cos(2 * np.pi * (n - 1.5) / 8)[:, None, None] * np.ones((1, 32, 1))
    y = np.asarray(degrade.gaussian_blur_downsample(wave, 4))[8:-8, 4, 0]
    assert np.abs(y).max() == pytest.approx(np.exp(-(np.pi**2) / 8), rel=1e-3)


# -- spectrum ------------------------------------------------------------------------------------


@pytest.mark.parametrize("file", cases("degradation_spectral_*.npz"))
def test_spectral_chain_is_a_snlsrs(file):
    case = Case(file)
    wavelengths = case["input/wavelengths"]
    mask = degrade.selected_bands(wavelengths, *case["domain/begin_end"])
    x, wavelengths = case["input/cube"][..., mask], wavelengths[mask]
    np.testing.assert_array_equal(wavelengths, case["output/selected_wavelengths"])
    ranges = case["domain/cutoffs"]
    cut, kept = degrade.cutoff_bands(x, wavelengths, ranges, rule="nearest")
    expected = case["output/linear_srf_band_cutoff_wavelengths"]
    np.testing.assert_allclose(kept, expected, rtol=1e-14)
    np.testing.assert_array_equal(cut, case["output/linear_srf_band_cutoff_cube"])

    response, centres = degrade.band_reduction_response(wavelengths, case.config["output_bands"])
    assert_near(response, case["srf/reduction"])
    np.testing.assert_allclose(centres, case["output/reduced_wavelengths"], rtol=1e-14)
    x = degrade.apply_response(x, response)
    assert_near(x, case["output/reduced_cube"])
    x, wavelengths = degrade.cutoff_bands(x, centres, ranges)
    assert_near(x, case["output/preprocessed_cube"])
    np.testing.assert_array_equal(wavelengths, case["output/preprocessed_wavelengths"])

    response = degrade.msi_response(
        wavelengths, case["domain/msi_centres"], case["domain/msi_std"].item()
    )
    assert_near(response, case["srf/msi"])
    entries = degrade.create("spectral", scale=1, response=response)(x[None])
    assert entries.keys() == {"msi"}
    assert_near(entries["msi"][0], case["output/msi"])


def test_gaussian_response_has_its_width_and_survives_anything():
    grid = np.linspace(400, 1000, 601)
    response = np.asarray(degrade.gaussian_response([600, 700], [50, 20], grid))
    assert response.shape == (601, 2)
    np.testing.assert_allclose(response.sum(axis=0), 1, rtol=1e-6)
    np.testing.assert_allclose(response[[175, 225], 0] / response[200, 0], 0.5, rtol=1e-6)
    np.testing.assert_allclose(response[[290, 310], 1] / response[300, 1], 0.5, rtol=1e-6)
    one_width = degrade.gaussian_response([600, 700], 50, grid)
    np.testing.assert_allclose(one_width[:, 0], response[:, 0], rtol=1e-6)
    far = np.asarray(degrade.gaussian_response([5000.0], [1.0], grid))  # exp underflows everywhere
    assert far[-1, 0] == 1 and far.sum() == 1


def test_gaussian_response_under_jit_has_a_gradient():
    grid = jnp.linspace(400.0, 1000.0, 61)
    f = jax.jit(lambda c, w: degrade.gaussian_response(c, w, grid))
    centres, widths = jnp.array([600.0, 755.0]), jnp.array([50.0, 80.0])
    exact = degrade.gaussian_response(*(np.asarray(v) for v in (centres, widths, grid)))
    np.testing.assert_allclose(f(centres, widths), exact, atol=1e-5)
    mean = lambda c: (grid[:, None] * f(c, widths)).sum()  # noqa: E731
    np.testing.assert_allclose(jax.grad(mean)(centres), 1, atol=1e-2)  # the mean moves with c


def test_create_spectral_from_gaussians():
    grid = np.linspace(400, 1000, 20)
    options = {"centres": [500, 800], "widths": [100, 200], "wavelengths": grid}
    x = random_cube(1, 4, 4, 20)
    entries = degrade.create("spectral", scale=1, **options)(x)
    assert_near(entries["msi"], x @ np.asarray(degrade.gaussian_response(**options)))


# -- radiometry, tiles, noise --------------------------------------------------------------------


@pytest.mark.parametrize("file", cases("normalisation.npz"))
def test_normalisation_is_a_snlsrs(file):
    case = Case(file)
    for name, function in (
        ("sisr_train_log", degrade.log_normalise),
        ("sisr_val_log", degrade.log_normalise),
        ("sisr_train_clip", degrade.clip_normalise),
    ):
        low, high = case[f"output/{name}/min_max"]
        for key in ("hr_hsi", "lr_hsi", "hr_msi"):
            raw = np.stack([case[f"input/{key}_{i}"] for i in (0, 2)])
            expected = np.moveaxis(case[f"output/{name}/{key}"], 1, -1)
            assert_near(function(raw, low, high), expected)
    training = np.stack([case[f"input/hr_hsi_{i}"] for i in (0, 2)])
    np.testing.assert_allclose(
        degrade.log_range(training), case["output/sisr_train_log/min_max"], rtol=1e-6
    )
    others = np.stack([case[f"input/hr_hsi_{i}"] for i in (1, 3)])
    np.testing.assert_allclose(
        degrade.log_range(others), case["output/sisr_val_log/min_max"], rtol=1e-6
    )


def test_log_scaling_inverts_from_its_floor():
    x = np.array([-1.0, 0.0, 1e-4, 0.02, 3.0], np.float32)
    y = degrade.log_normalise(x, -9.2, 1.0)
    np.testing.assert_allclose(
        degrade.log_denormalise(y, -9.2, 1.0), np.maximum(x, 1e-4), rtol=1e-5
    )


@pytest.mark.parametrize("file", cases("degradation_tiles.npz"))
def test_tiles_are_a_snlsrs(file):
    case = Case(file)
    for h, w, tile, threshold in case.config["scenes"]:
        origins = degrade.subdivide_patches(h, w, tile=tile, overlap_threshold=threshold)
        np.testing.assert_array_equal(origins, case[f"output/{h}x{w}_tile{tile}_thr{threshold}"])


def test_noise_has_the_ratio_asked_for_in_each_band():
    x = random_cube(2, 128, 128, 3) * np.array([1.0, 10.0, 0.01], np.float32)
    key = jax.random.key(0)
    noisy = degrade.add_noise(key, x, jnp.array([10.0, 20.0, 30.0]))
    power = np.square(x).mean((1, 2)) / np.square(noisy - x).mean((1, 2))
    np.testing.assert_allclose(10 * np.log10(power), [[10, 20, 30]] * 2, atol=0.15)
    np.testing.assert_array_equal(noisy, degrade.add_noise(key, x, jnp.array([10.0, 20.0, 30.0])))
    assert not np.array_equal(noisy, degrade.add_noise(jax.random.key(1), x, 10.0))


# -- the factory ---------------------------------------------------------------------------------


def test_bicubic_and_gaussian_by_name():
    assert degrade.names() == ("bicubic", "gaussian", "psf", "spectral")
    hr = random_cube(2, 8, 12, 3)
    entries = jax.jit(degrade.create("bicubic", scale=4))(hr)
    assert_near(entries["lr"], resize.imresize(hr, 0.25))
    assert_near(entries["lms"], resize.imresize(entries["lr"], 4))
    entries = degrade.create("gaussian", scale=2, sigma=0.7, size=6)(hr)
    assert_near(entries["lr"], degrade.gaussian_blur_downsample(hr, 2, sigma=0.7, size=6))
    assert entries["lms"].shape == hr.shape


def test_noise_falls_on_the_observation_and_lms_follows_it():
    hr, key = random_cube(1, 8, 8, 2), jax.random.key(3)
    clean = degrade.create("bicubic", scale=2)(hr)
    noisy = degrade.create("bicubic", scale=2, noise_snr=20)(hr, key)
    assert_near(noisy["lr"], degrade.add_noise(key, clean["lr"], 20.0))
    assert np.abs(noisy["lr"] - clean["lr"]).max() > 1e-3
    assert_near(noisy["lms"], resize.imresize(noisy["lr"], 2))


@pytest.mark.parametrize(
    "call, words",
    [
        (lambda: degrade.create("blur", scale=2), "known: bicubic"),
        (lambda: degrade.create("gaussian", scale=2, sgima=1), "sgima.*sigma"),
        (lambda: degrade.create("psf", scale=2), "kernel"),
        (lambda: degrade.create("bicubic", scale=0.5), "whole number"),
        (lambda: degrade.create("spectral", scale=2, response=np.eye(3)), "scale is 1"),
        (lambda: degrade.create("spectral", scale=1, centres=[1]), "wavelengths"),
        (lambda: degrade.create("bicubic", scale=3)(np.zeros((1, 8, 9, 2))), "multiple"),
        (lambda: degrade.create("bicubic", scale=2, noise_snr=9)(np.zeros((1, 8, 8, 2))), "key"),
        (
            lambda: degrade.create("psf", scale=6, kernel=np.eye(8), intermediate=True),
            "power of 2",
        ),
        (lambda: degrade.psf_downsample(np.zeros((8, 8, 1)), np.zeros((3, 4)), 2), "square"),
        (lambda: degrade.psf_downsample(np.zeros((8, 8, 1)), np.zeros((3, 3)), 4), "at least"),
        (lambda: degrade.psf_downsample(np.zeros((1, 8, 1)), np.zeros((3, 3)), 2), "too few"),
        (lambda: degrade.apply_response(np.zeros((2, 2, 5)), np.zeros((4, 2))), "5 bands"),
        (lambda: degrade.gaussian_response([[1.0]], 1.0, [1.0]), "list of centres"),
        (lambda: degrade.cutoff_bands(np.zeros(3), [1, 2, 3], [], rule="all"), "inclusive"),
    ],
)
def test_a_wrong_argument_is_a_clear_error(call, words):
    with pytest.raises(UserError, match=words):
        call()
