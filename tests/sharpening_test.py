"""`hsisr_jax.sharpen` and `--mode=predict` without a workdir, as their users call them."""

import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import rasterio
from rasterio.transform import from_origin

import hsisr_jax
from experiments.noise import read
from hsisr_jax import degrade, metrics
from hsisr_jax.errors import UserError
from hsisr_jax.inference import pieces
from hsisr_jax.inference.facts import facts_of
from hsisr_jax.resize import imresize

ROOT = Path(__file__).parents[1]
JASPER = ROOT.parent / "shared" / "data" / "jasperRidge2_R198.mat"


def scene(side: int = 24, bands: int = 12) -> np.ndarray:
    rng = np.random.default_rng(3)
    few = imresize(rng.random((side // 4, side // 4, 3)).astype(np.float32), 4)
    return np.asarray(few @ rng.random((3, bands)) + 0.2, np.float32)


def test_units_types_and_sizes():
    cube = np.rint(1000 * scene()).astype(np.int16)
    sharper = hsisr_jax.sharpen(cube, 2)
    assert sharper.shape == (48, 48, 12) and sharper.dtype == np.float32
    far = hsisr_jax.sharpen(cube.astype(np.float64) + 1e7, 2)
    np.testing.assert_allclose(far - 1e7, sharper, atol=2)
    assert np.corrcoef(sharper.ravel(), np.asarray(imresize(cube, 2)).ravel())[0, 1] > 0.99


def test_no_data_stays_where_it_was_and_touches_no_neighbour():
    cube = scene(32)
    holes = cube.copy()
    holes[:8] = np.nan
    holes[20, 20, 5] = np.nan
    sharper = hsisr_jax.sharpen(holes, 2)
    hidden = np.isnan(holes).repeat(2, 0).repeat(2, 1)
    np.testing.assert_array_equal(np.isnan(sharper), hidden)
    without = hsisr_jax.sharpen(np.delete(cube, np.s_[:8], 0), 2)
    first = sharper[16:18, :30], without[:2, :30]
    error = np.sqrt(np.square(first[0] - first[1]).mean()) / without.mean()
    assert error < 0.01


def test_small_and_odd_cubes():
    for shape in ((1, 1, 4), (3, 2, 40), (5, 7, 1), (4, 4, 3)):
        cube = np.random.default_rng(0).random(shape)
        sharper = hsisr_jax.sharpen(cube, 3)
        assert sharper.shape == (3 * shape[0], 3 * shape[1], shape[2])
        assert np.isfinite(sharper).all()


def test_the_output_keeps_to_the_range_of_the_input():
    cube = scene()
    free = hsisr_jax.sharpen(cube, 4, limits=False)
    kept = hsisr_jax.sharpen(cube, 4)
    low, high = cube.min((0, 1)), cube.max((0, 1))
    room = high - low
    np.testing.assert_allclose(
        facts_of(cube).scene(0).limits(), (np.maximum(low - room, 0), high + room)
    )
    assert (kept >= low - room).all() and (kept <= high + room).all()
    inside = (free > low) & (free < high)
    np.testing.assert_array_equal(free[inside], kept[inside])


def test_tiles_leave_no_seams(monkeypatch):
    cube = scene(120, 2)[:32]  # two tiles
    whole = hsisr_jax.sharpen(cube, 2)
    monkeypatch.setattr(pieces, "VALUES", 1)
    pieces._kept.cache_clear()
    tiled = hsisr_jax.sharpen(cube, 2)
    assert np.sqrt(np.square(whole - tiled).mean()) < 1e-3 * whole.std()


def changed(value: float, place=np.s_[5, 5, 2]) -> np.ndarray:
    cube = 50 + 100 * np.random.default_rng(0).random((12, 12, 6))
    cube[place] = value
    return cube


PLAIN = changed(60)


@pytest.mark.parametrize(
    "cube, options, words",
    [
        (np.zeros((4, 4)), {}, "rows, columns, bands"),
        (np.zeros((1, 4, 4, 2)), {}, "rows, columns, bands"),
        (np.zeros((4, 4, 0)), {}, "rows, columns, bands"),
        ([[[1, 2, 3], [1]]], {}, "one array"),
        (None, {}, "real numbers"),
        ("scene.tif", {}, "an array, not a name: hsisr_jax.predict.sharpen"),
        (SimpleNamespace(dims=("band", "y", "x"), coords={}), {}, "hsisr_jax.xarray.sharpen"),
        (np.full((4, 4, 2), np.nan), {}, "NaN"),
        (np.full((4, 4, 2), np.inf), {}, "NaN"),
        (np.zeros((4, 4, 2), complex), {}, "real numbers"),
        (np.zeros((4, 4, 2), object), {}, "real numbers"),
        (np.full((4, 4, 2), "a"), {}, "real numbers"),
        (np.zeros((4, 4, 2), "M8[s]"), {}, "real numbers"),
        (changed(1e30), {}, "band 3.*90 % of all values lie between"),
        (changed(-9.96921e36), {}, "no data must be NaN"),
        (PLAIN * 1e200, {}, "float32 holds"),
        (PLAIN * 1e-300, {}, "float32 holds"),
        (PLAIN, {"scale": 5}, "2, 3, 4 or 8"),
        (PLAIN, {"scale": 2.5}, "2, 3, 4 or 8"),
        (PLAIN, {"scale": "4"}, "whole number"),
        (PLAIN, {"scale": [4]}, "whole number"),
        (PLAIN, {"scale": True}, "whole number"),
        (PLAIN, {"scale": PLAIN}, "whole number"),
        (PLAIN, {"limits": "none"}, "limits='none': use True or False"),
        (PLAIN, {"limits": PLAIN}, "use True or False"),
        (PLAIN, {"degradation": "lens"}, "bicubic, area or mtf"),
        (PLAIN, {"degradation": None}, "a name, or a mapping"),
        (PLAIN, {"degradation": {"name": "mtf", "mtf": 3}}, "between 0 and 1"),
        (PLAIN, {"degradation": {"name": "mtf", "mtf": [0.3] * 4}}, "4 MTFs for 6 bands"),
        (PLAIN, {"degradation": {"name": "mtf", "mtf": "auto"}}, "0 blocks of 16 x 16"),
        (PLAIN, {"workdir": "/nowhere"}, "model.json"),
    ],
)
def test_bad_input_is_told_in_a_line(cube, options, words):
    with pytest.raises(UserError, match=words) as error:
        hsisr_jax.sharpen(cube, **options)
    assert "\n" not in str(error.value) and len(str(error.value)) < 300


@pytest.mark.parametrize(
    "cube, same",
    [
        (PLAIN.astype(">f4"), PLAIN),
        (np.asfortranarray(PLAIN), PLAIN),
        (jnp.asarray(PLAIN, jnp.bfloat16), np.asarray(PLAIN, jnp.bfloat16).astype(float)),
        (PLAIN[::-1, ::-1].copy()[::-1, ::-1], PLAIN),  # negative strides
        (PLAIN.astype(np.longdouble), PLAIN),
        (np.ma.masked_equal(changed(-1), -1), changed(np.nan)),
        (changed(np.inf), changed(np.nan)),
        (np.ma.masked_equal(np.rint(changed(7)).astype("u2"), 7), np.rint(changed(np.nan))),
        (PLAIN * 2.0**110, PLAIN * 2.0**110),
        (PLAIN > 100, (PLAIN > 100).astype(float)),
    ],
)
def test_however_a_cube_is_stored_the_result_is_the_same(cube, same):
    found, expected = (hsisr_jax.sharpen(x, 2) for x in (cube, same))
    np.testing.assert_allclose(found, expected, rtol=2e-6, atol=1e-6 * np.nanmax(same))
    hidden = ~np.isfinite(np.asarray(same, float)).repeat(2, 0).repeat(2, 1)
    np.testing.assert_array_equal(np.isnan(found), hidden)


@pytest.mark.parametrize(
    "cube",
    [
        changed(7, np.s_[:, :, 3]),
        changed(0, np.s_[:, 4]),
        changed(65535),
        changed(7, ...),
        changed(0, ...),
        np.full((12, 12, 6), 2**64 - 1, np.uint64),
    ],
    ids=["a constant band", "a dead column", "a hot pixel", "constant", "zero", "largest"],
)
def test_odd_values_leave_the_others_alone(cube):
    sharper = hsisr_jax.sharpen(cube, 2)
    low, high = (f(np.asarray(cube, float), (0, 1)) for f in (np.min, np.max))
    room = 1.0001 * (high - low) + 1e-6 * abs(high)
    assert (sharper >= low - room).all() and (sharper <= high + room).all()
    expected = np.asarray(imresize(cube.astype(np.float32), 2))
    far = np.s_[:5, 12:]  # from the odd pixel and column
    spread = max(expected[far].std(), 1e-6 * abs(expected).max())
    assert np.sqrt(np.square(sharper[far] - expected[far]).mean()) <= spread


def test_importing_the_package_is_cheap():
    code = "import sys, hsisr_jax; sys.exit('jax' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == 0


@pytest.mark.skipif(not JASPER.exists(), reason="needs Jasper Ridge")
@pytest.mark.parametrize("scale, least, angle", [(2, 3.6, 1.0), (4, 2.3, 1.8)])
def test_a_real_scene_gains_what_the_card_says(scale, least, angle):
    """Over bicubic, on a scene that was never trained on."""
    from scipy.io import loadmat

    found = loadmat(JASPER)["Y"].T.reshape(100, 100, 198, order="F")[:96, :96] / 5437
    seen = degrade.create("bicubic", scale=scale)(found[None].astype(np.float32))
    sharper = hsisr_jax.sharpen(np.asarray(seen["lr"][0]), scale)
    ours, bicubic = (metrics.evaluate(found, x) for x in (sharper, seen["lms"][0]))
    assert float(ours["MPSNR"] - bicubic["MPSNR"]) > least
    assert float(bicubic["SAM"] - ours["SAM"]) > angle


@pytest.mark.skipif(not JASPER.exists(), reason="needs Jasper Ridge")
@pytest.mark.parametrize("bands", [8, 12])
def test_few_noisy_bands_come_out_no_worse_than_by_bicubic_upsampling(bands):
    hr = read(str(JASPER), bands)[:64, :64]
    see = degrade.create("bicubic", scale=4, noise_snr=20.0)
    seen = see(hr[None], jax.random.key(0))
    sharper = hsisr_jax.sharpen(np.asarray(seen["lr"][0]), 4)
    ours, theirs = (metrics.evaluate(hr, x, ratio=4) for x in (sharper, seen["lms"][0]))
    assert ours["MPSNR"] > theirs["MPSNR"] + 0.5 and ours["SAM"] < theirs["SAM"] - 0.2


def test_a_scene_file_needs_no_workdir(tmp_path):
    noise = np.random.default_rng(1).normal(0, 100, (24, 24, 7))
    cube = np.rint(5000 * scene(24, 7) + noise).astype(np.uint16)
    source, target = tmp_path / "a.tif", tmp_path / "out" / "b.tif"
    profile = {"driver": "GTiff", "height": 24, "width": 24, "count": 7, "dtype": "uint16"}
    place = {"crs": "EPSG:32632", "transform": from_origin(600000, 5000000, 30, 30)}
    with rasterio.open(source, "w", **profile, **place) as file:
        file.write(cube.transpose(2, 0, 1))
    options = ["--mode=predict", "--noreport", f"--input={source}", "--scale=3"]
    command = [sys.executable, "main.py", *options]
    done = subprocess.run(
        [*command, f"--output={target}"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    with rasterio.open(target) as file:
        assert file.shape == (72, 72) and file.crs.to_epsg() == 32632
        assert file.transform == from_origin(600000, 5000000, 10, 10)
        made = file.read().transpose(1, 2, 0)
    expected = hsisr_jax.sharpen(cube, 3)
    assert np.sqrt(np.square(made - expected).mean()) < 0.01 * cube.std()
    bad = subprocess.run(
        [*command[:-1], "--scale=5", f"--output={target}"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert bad.returncode == 2 and "2, 3, 4 or 8" in bad.stderr and "Traceback" not in bad.stderr
