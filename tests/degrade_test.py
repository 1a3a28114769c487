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


@pytest.mark.parametrize("factor", [2, 3, 4, 8])
def test_mtf_passes_its_share_at_nyquist_and_keeps_places(factor):
    lines, n = 64 * factor, np.arange(64 * factor)
    shares = [0.2, 0.3, 0.45]
    # black and white low-resolution pixels: a cosine with its crests at their centres
    wave = np.cos(np.pi * (n - (factor - 1) / 2) / factor)[:, None, None] * np.ones((1, factor, 3))
    each = degrade.create("mtf", scale=factor, mtf=shares).observe(wave)["lr"]
    np.testing.assert_allclose(each[8:-8, 0], np.outer((-1.0) ** np.arange(48), shares), atol=2e-3)
    slope = np.broadcast_to((n + 0.5)[:, None, None], (lines, factor, 3)) / factor
    for name in ("mtf", "area"):
        moved = np.asarray(degrade.create(name, scale=factor).observe(slope)["lr"])[:, 0, 0]
        np.testing.assert_allclose(moved[8:-8], np.arange(64)[8:-8] + 0.5, rtol=1e-5)


@pytest.mark.parametrize("factor", [2, 3])
def test_mtf_against_scipy(factor):
    x = random_cube(1, 8 * factor, 6 * factor, 2)
    sigmas = factor / np.pi * np.sqrt(-2 * np.log([0.25, 0.4]))
    first = (factor - 1) / 2  # of the sampled places, between pixels for even factors
    near = np.stack([_blurred(x[0, ..., i], s, factor, first) for i, s in enumerate(sigmas)], -1)
    found = degrade.mtf_downsample(x, factor, [0.25, 0.4])
    np.testing.assert_allclose(found[0], near, atol=2e-4)  # where the Gaussian is cut off
    for band, share in enumerate((0.25, 0.4)):  # one value: by matrices
        same = degrade.mtf_downsample(x[..., [band]], factor, share)[..., 0]
        np.testing.assert_allclose(same, found[..., band], atol=2e-4)


def _blurred(x, sigma, factor, first):
    """A Gaussian of weights at whole distances from the sampled place, on the mirrored image."""
    margin = 8 * factor
    padded = np.pad(x, margin, mode="symmetric")
    for axis in range(2):
        n = padded.shape[axis]
        centres = margin + first + factor * np.arange((n - 2 * margin) // factor)
        weights = np.exp(-0.5 * ((np.arange(n) - centres[:, None]) / sigma) ** 2)
        padded = np.moveaxis(
            np.tensordot(weights / weights.sum(1, keepdims=True), padded, (1, axis)), 0, axis
        )
    return padded


def test_mtf_of_any_size_one_band_or_each_is_jittable_linear_and_has_its_transpose():
    x, y = random_cube(2, 12, 12, 2), random_cube(2, 3, 3, 2, seed=1)
    for mtf in (0.3, [0.3, 0.2]):
        f = jax.jit(lambda x, mtf=mtf: degrade.mtf_downsample(x, 4, mtf))
        value, pull = jax.vjp(f, x)
        np.testing.assert_allclose((value * y).sum(), (pull(y)[0] * x).sum(), rtol=1e-5)
    h, w = jax.export.symbolic_shape("4*h, 4*w", constraints=["h >= 8", "w >= 8"])
    shape = jax.ShapeDtypeStruct((1, h, w, 2), np.float32)
    exported = jax.export.export(jax.jit(lambda x: degrade.mtf_downsample(x, 4, 0.3)))(shape)
    big = random_cube(1, 32, 48, 2)
    assert_near(exported.call(big), degrade.mtf_downsample(big, 4, 0.3))


def test_area_is_the_mean_of_blocks():
    x = random_cube(2, 8, 12, 3)
    entries = degrade.create("area", scale=4)(x)
    assert_near(entries["lr"], x.reshape(2, 2, 4, 3, 4, 3).mean((2, 4)))
    assert_near(entries["lms"], resize.imresize(entries["lr"], 4))


# -- spectrum ------------------------------------------------------------------------------------


@pytest.mark.parametrize("file", cases("degradation_spectral_*.npz"))
def test_responses_are_a_snlsrs(file):
    """Its responses take evenly spaced wavelengths, and name a standard deviation "width"."""
    case = Case(file)
    begin, end = case["domain/begin_end"]
    wavelengths = case["input/wavelengths"]
    inside = (wavelengths >= begin) & (wavelengths <= end)
    grid = even(wavelengths[inside])
    centres = np.linspace(grid[0], grid[-1], case.config["output_bands"])
    response = degrade.gaussian_response(centres, (grid[-1] - grid[0]) / len(centres), grid)
    assert_near(response, case["srf/reduction"])
    x = degrade.apply_response(case["input/cube"][..., inside], response)
    assert_near(x, case["output/reduced_cube"])
    widths = degrade.FWHM * case["domain/msi_std"].item()
    left = case["output/preprocessed_wavelengths"]
    response = degrade.gaussian_response(case["domain/msi_centres"], widths, even(left))
    assert_near(response, case["srf/msi"])
    entries = degrade.create("spectral", scale=1, response=response)(
        case["output/preprocessed_cube"][None]
    )
    assert entries.keys() == {"msi"}
    assert_near(entries["msi"][0], case["output/msi"])


def even(wavelengths):
    return np.linspace(wavelengths[0], wavelengths[-1], len(wavelengths))


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


# -- noise ---------------------------------------------------------------------------------------


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
    assert degrade.names() == ("bicubic", "area", "mtf", "gaussian", "psf", "spectral")
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
        (lambda: degrade.create("mtf", scale=2, mtf=1.2)(np.zeros((4, 4, 1))), "between 0 and 1"),
        (lambda: degrade.create("mtf", scale=2, mtf=[0.3] * 3)(np.zeros((4, 4, 2))), "one a band"),
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
        (lambda: degrade.gaussian_response([1.0], 0, [1.0, 2.0]), "widths are above 0"),
        (lambda: degrade.gaussian_response([1.0], 1.0, [1.0, np.nan]), "finite"),
    ],
)
def test_a_wrong_argument_is_a_clear_error(call, words):
    with pytest.raises(UserError, match=words):
        call()
