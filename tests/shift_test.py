"""No half-pixel shift: what is made, averaged to the input's grid, lies on it."""

import numpy as np
import pytest
import rasterio
import workdirs

import hsisr_jax
from hsisr_jax import formats, predict

MOST = 0.02  # of an input pixel
MAP = (30.0, 0.0, 500000.0, 0.0, -30.0, 4000000.0)


def ground(height: int, width: int) -> np.ndarray:
    """Four bands with detail of all sizes, 0.2 .. 0.8."""
    rng = np.random.default_rng(0)
    f = np.hypot(np.fft.fftfreq(height)[:, None], np.fft.rfftfreq(width)[None])
    waves = np.fft.rfft2(rng.standard_normal((2, height, width))) / np.maximum(f, 0.02)
    images = np.fft.irfft2(waves, s=(height, width)).transpose(1, 2, 0)
    return (0.5 + 0.05 * images / images.std() @ rng.random((2, 4))).astype(np.float32)


def shift(seen: np.ndarray, made: np.ndarray) -> np.ndarray:
    """How many pixels `made` lies below and to the right of `seen`: the slope of the phase of their
    cross power, at low frequencies and weighted by it (phase correlation)."""
    window = np.outer(*(np.hanning(n + 2)[1:-1] for n in seen.shape))
    a, b = (np.fft.fft2((x - x.mean()) * window) for x in (seen, made))
    cross = b * a.conj()
    down, across = (np.fft.fftfreq(n) for n in seen.shape)
    radius = np.hypot(down[:, None], across[None])
    low = (radius > 0.06) & (radius < 0.2)  # below it is the window's own phase
    weight, phase = np.abs(cross)[low], np.angle(cross)[low]
    waves = np.stack(np.broadcast_arrays(down[:, None], across[None]), -1)[low]
    root = np.sqrt(weight)[:, None]
    return np.linalg.lstsq(-2 * np.pi * waves * root, phase * root[:, 0], rcond=None)[0]


def averaged(cube: np.ndarray, scale: int) -> np.ndarray:
    h, w, _ = cube.shape
    return cube.reshape(h // scale, scale, w // scale, scale, -1).mean((1, 3, 4))


def test_a_known_shift_is_found():
    image = ground(49, 57)[..., 0]
    np.testing.assert_allclose(shift(image[:-1, :-1], image[1:, :-1]), [-1, 0], atol=0.1)
    half = (image[:-1, :-1] + image[:-1, 1:]) / 2
    np.testing.assert_allclose(shift(image[:-1, :-1], half), [0, -0.5], atol=0.05)


@pytest.mark.parametrize("scale", [2, 3, 4, 8])
@pytest.mark.parametrize("mtf", ["", "0.3"])
def test_no_shift_at_any_scale(scale, mtf, tmp_path):
    cube = ground(48, 56)
    formats.write_scene(tmp_path / "in.npy", cube)
    workdir = workdirs.make(tmp_path / "run", scale=scale, wavelengths=None)
    options = predict.Options(mtf=mtf, quicklook=False)
    predict.predict(workdir, tmp_path / "in.npy", tmp_path / "out.npy", options)
    found = averaged(np.load(tmp_path / "out.npy"), scale)
    assert np.abs(shift(cube.mean(-1), found)).max() < MOST


@pytest.mark.parametrize("name", ["in.hdr", "in.tif", "in.nc", "in.h5", "in.mat"])
def test_no_shift_in_any_format(name, tmp_path):
    cube = ground(48, 56)
    meta = formats.SceneMeta(wavelengths=np.linspace(450, 700, 4), transform=MAP)
    formats.write_scene(tmp_path / name, cube, meta)
    workdir = workdirs.make(tmp_path / "run")
    predict.predict(workdir, tmp_path / name, tmp_path / "out.tif", predict.Options())
    with rasterio.open(tmp_path / "out.tif") as image:  # somebody else's reader
        made, transform = image.read().transpose(1, 2, 0), tuple(image.transform)[:6]
    assert np.abs(shift(cube.mean(-1), averaged(made, 2))).max() < MOST
    assert transform == (15.0, 0.0, 500000.0, 0.0, -15.0, 4000000.0)


@pytest.mark.parametrize("scale", [4, 2, 3, 8])
def test_no_shift_by_the_packaged_network(scale):
    cube = ground(40, 48)
    found = averaged(hsisr_jax.sharpen(cube, scale), scale)
    assert np.abs(shift(cube.mean(-1), found)).max() < MOST
