"""Maps and figures against independent computations."""

import io

import numpy as np
import pytest

from hsisr_jax.report import pictures


def test_true_colour_where_the_visible_is():
    rgb, true_colour = pictures.colour_bands(100, np.linspace(400, 1000, 100))
    waves = np.linspace(400, 1000, 100)[list(rgb)]
    assert true_colour and np.abs(waves - [640, 550, 460]).max() < 4


@pytest.mark.parametrize(
    "bands,wavelengths,expected",
    [
        (30, np.linspace(1000, 1700, 30), (25, 15, 5)),
        (30, np.linspace(1700, 1000, 30), (4, 14, 24)),  # listed from long to short
        (30, None, (25, 15, 5)),
        (4, np.array([460.0, 550, 640, 850]), (2, 1, 0)),
        (4, np.array([490.0, 560, 665, 842]), (2, 1, 0)),  # Sentinel-2
        (3, None, (0, 1, 2)),  # a picture
        (2, None, (1, 1, 0)),
        (1, None, (0, 0, 0)),
    ],
)
def test_colour_bands(bands, wavelengths, expected):
    rgb, true_colour = pictures.colour_bands(bands, wavelengths)
    assert rgb == expected
    assert true_colour == (bands == 4)


def test_stretch_is_two_to_ninety_eight_percent():
    cube = np.stack([np.linspace(0, 1, 101), np.full(101, 3.0)], -1)[None]
    low, high = pictures.stretch(cube)
    np.testing.assert_allclose([low[0], high[0]], [0.02, 0.98], atol=1e-6)
    assert high[1] > low[1] == 3.0


def test_maps_against_float64():
    rng = np.random.default_rng(0)
    a, b = rng.random((2, 70, 9, 12))
    maps = pictures.compare(a, b, 2.0)
    np.testing.assert_allclose(maps["error"], np.sqrt(np.mean((a - b) ** 2, -1)), rtol=1e-5)
    cosine = (a * b).sum(-1) / np.linalg.norm(a, axis=-1) / np.linalg.norm(b, axis=-1)
    np.testing.assert_allclose(maps["angle"], np.degrees(np.arccos(cosine)), rtol=1e-4)
    metrics = pytest.importorskip("skimage.metrics")
    expected = [
        metrics.peak_signal_noise_ratio(a[..., c], b[..., c], data_range=2.0) for c in range(12)
    ]
    np.testing.assert_allclose(maps["psnr"], expected, rtol=1e-5)


def test_angles_of_degenerate_spectra():
    zero, one = np.zeros((1, 1, 3)), np.array([[[1.0, 2, 3]]])
    assert pictures.compare(zero, zero, 1.0)["angle"] == 0
    assert pictures.compare(zero, one, 1.0)["angle"] == 90
    assert pictures.compare(one, -one, 1.0)["angle"] == pytest.approx(180, abs=1e-3)
    tiny = pictures.compare(one, one + np.array([0, 0, 1e-4]), 1.0)["angle"][0, 0]
    assert tiny == pytest.approx(np.degrees(1e-4 * 5**0.5 / 14), rel=1e-2)  # lost by an arc cosine
    assert np.isinf(pictures.compare(one, one, 1.0)["psnr"]).all()


def test_histograms_share_bins_and_hold_every_pixel():
    rng = np.random.default_rng(0)
    edges, shares = pictures.histogram({"a": rng.random((20, 20)), "b": 5 * rng.random((20, 20))})
    assert len(edges) == 65
    assert [sum(share) for share in shares.values()] == pytest.approx([100, 100])
    assert shares["a"][-1] == 0 and shares["b"][-1] > 0


def test_notable_places():
    angle = np.arange(20.0).reshape(4, 5)
    error = np.zeros((4, 5))
    error[2, 1] = 1
    places = pictures.notable(angle, error)
    assert places == {"typical angle": (2, 0), "largest angle": (3, 4), "largest error": (2, 1)}


def test_png_is_read_by_another_library():
    image = pytest.importorskip("PIL.Image")
    plane = np.linspace(0, 1, 400 * 300).reshape(400, 300)
    opened = image.open(io.BytesIO(pictures.png(plane)))
    assert opened.size == (100, 134)  # every third pixel, 192 at most
    indices = np.asarray(opened)
    np.testing.assert_array_equal(indices, np.rint(plane[::3, ::3] * 255))
    colours = np.asarray(opened.convert("RGB"))
    assert tuple(colours[0, 0]) == (0x44, 0x01, 0x54)
    assert tuple(colours[-1, -1]) == (0xFC, 0xE6, 0x26) or colours[-1, -1][0] > 0xF5
