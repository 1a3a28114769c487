"""Scenes of any size through a network: seams, formats, georeference, resuming, refusals."""

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import jax
import numpy as np
import pytest
import workdirs

from configs import common
from hsisr_jax import degrade, formats, predict, resize, train
from hsisr_jax.checkpoints import Checkpoints
from hsisr_jax.data.normalise import Normaliser
from hsisr_jax.errors import UserError
from hsisr_jax.formats import SceneMeta
from hsisr_jax.inference import trained
from hsisr_jax.models.spec import describe
from hsisr_jax.predict import Options

WAVELENGTHS = np.linspace(450, 700, 4)
UTM = (20.0, 0.0, 500000.0, 0.0, -20.0, 5400000.0)
META = SceneMeta(wavelengths=WAVELENGTHS, fwhm=np.full(4, 9.0), transform=UTM, nodata=-1.0)
PLAIN = {"quicklook": False, "limits": "none"}  # exactly what the network gives
QUIET = Options(**PLAIN)


@pytest.fixture(scope="module")
def bicubic(tmp_path_factory):
    return workdirs.make(tmp_path_factory.mktemp("runs") / "bicubic")


@pytest.fixture(scope="module")
def rcam(tmp_path_factory):
    return workdirs.make(tmp_path_factory.mktemp("runs") / "rcam", "rcam")


def predicted(workdir, cube, folder, options=QUIET, *, meta=META, name="in.npy", out="out.npy"):
    formats.write_scene(folder / name, cube, meta)
    predict.predict(workdir, folder / name, folder / out, options)
    return formats.read_scene(folder / out)


def whole(workdir, cube):
    """The network on the whole image, without any of the streaming."""
    card, weights = trained.load(workdir)
    variables, _ = weights()
    lr = cube[None]
    batch = {"lr": lr, "lms": resize.imresize(lr, card.scale)}
    run = jax.jit(lambda batch: card.module().apply(variables, batch, train=False)["sr"])
    return np.asarray(run(batch)[0])


@pytest.mark.parametrize("shape", [(40, 56), (5, 70), (16, 16), (3, 3)])
def test_tiles_of_a_local_network_have_no_seams(bicubic, tmp_path, shape):
    cube = workdirs.scene(*shape)
    found, _ = predicted(bicubic, cube, tmp_path, Options(tile=16, overlap=8, **PLAIN))
    np.testing.assert_allclose(found, resize.imresize(cube, 2), atol=2e-6)


def test_a_network_that_looks_at_whole_images_is_tiled_as_in_training(rcam, tmp_path, capsys):
    cube = workdirs.scene()
    found, _ = predicted(rcam, cube, tmp_path)
    said = capsys.readouterr().err
    assert "tiles of 8 x 8" in said and "looks at whole images (channel attention)" in said
    reference = whole(rcam, cube)
    errors = {8: np.abs(found - reference).max()}
    for tile in (32, 64):
        options = Options(tile=tile, overlap=8, **PLAIN)
        errors[tile] = np.abs(predicted(rcam, cube, tmp_path, options)[0] - reference).max()
    # attention sees other means in every tile, the less so the larger they are
    assert errors[64] < 1e-6 < errors[32] < errors[8]


def test_every_device_takes_part_and_gives_the_same(rcam, tmp_path, monkeypatch, capsys):
    cube = workdirs.scene(24, 40)
    many, _ = predicted(rcam, cube, tmp_path)
    assert "on 8 x cpu" in capsys.readouterr().err
    one_device = predict.mesh.make(1)
    monkeypatch.setattr(predict.mesh, "make", lambda *args: one_device)
    alone, _ = predicted(rcam, cube, tmp_path)
    np.testing.assert_allclose(many, alone, atol=1e-6)


@pytest.mark.parametrize(
    ("source", "target"),
    [("a.hdr", "b.tif"), ("a.tif", "b.hdr"), ("a.mat", "b.h5"), ("a.nc", "b.mat"),
     ("a.npy", "b.npz"), ("a.npz", "b.npy"), ("a.h5", "b.nc"), ("a.img", "b.bil")],
)  # fmt: skip
def test_any_format_becomes_any_other(bicubic, tmp_path, source, target):
    cube = workdirs.scene(20, 24)
    found, meta = predicted(bicubic, cube, tmp_path, name=source, out=target)
    np.testing.assert_allclose(found, resize.imresize(cube, 2), atol=2e-6)
    np.testing.assert_allclose(meta.wavelengths, WAVELENGTHS)
    np.testing.assert_allclose(meta.fwhm, META.fwhm)
    assert meta.transform == (10.0, 0.0, 500000.0, 0.0, -10.0, 5400000.0)
    assert meta.nodata == -1
    assert not list(tmp_path.glob("*.partial"))


def test_pixel_corners_keep_their_map_coordinates(bicubic, tmp_path):
    rasterio = pytest.importorskip("rasterio")
    spectral = pytest.importorskip("spectral")
    cube = workdirs.scene(20, 24)
    crs = rasterio.crs.CRS.from_epsg(32632).to_wkt()
    meta = SceneMeta(wavelengths=WAVELENGTHS, transform=UTM, crs=crs)
    predicted(bicubic, cube, tmp_path, meta=meta, name="in.tif", out="out.tif")
    predicted(bicubic, cube, tmp_path, meta=meta, name="in.hdr", out="out.hdr")
    with rasterio.open(tmp_path / "in.tif") as before, rasterio.open(tmp_path / "out.tif") as after:
        assert after.crs == before.crs
        assert after.bounds == before.bounds
        matrices = [np.array(file.transform).reshape(3, 3) for file in (before, after)]
        for row, col in ((0, 0), (20, 24), (7, 11)):
            corners = [m @ (f * col, f * row, 1) for m, f in zip(matrices, (1, 2))]
            np.testing.assert_array_equal(*corners)
    image = spectral.open_image(str(tmp_path / "out.hdr"))
    assert image.shape == (40, 48, 4)
    assert [float(x) for x in image.metadata["map info"][3:7]] == [500000, 5400000, 10, 10]
    np.testing.assert_allclose(np.array(image.open_memmap()), resize.imresize(cube, 2), atol=2e-6)


def test_prediction_gives_what_the_evaluation_scored(tmp_path):
    """All of it: averaged weights, two networks, the base and its level, normalisation."""
    config = common.base()
    config.model = {"name": "rcam", **workdirs.TINY["rcam"]}
    config.data.options = {"height": 64, "width": 64, "bands": 5}
    config.data.patch = config.data.stride = 16
    config.data.dir = str(tmp_path / "data")
    config.steps, config.batch_size, config.checkpoint_every = 3, 8, 3
    config.optimizer.learning_rate = 1e-2
    config.ema, config.eval.projection, config.members = 0.5, 1, 2
    config.base.kind, config.base.rounds, config.base.radius = "filters", 2, 4
    config.eval.images_kept = 1
    train.train_and_evaluate(config, tmp_path / "run")
    with np.load(next((tmp_path / "run" / "eval").glob("*.npz"))) as kept:
        cubes = {name: kept[name].astype(np.float32) for name in ("lr", "lms", "sr", "wavelengths")}
    assert np.abs(cubes["sr"] - cubes["lms"]).max() > 0.01  # float16 keeps three digits
    meta = SceneMeta(wavelengths=cubes["wavelengths"])
    options = Options(tile=64, **PLAIN)
    found, _ = predicted(tmp_path / "run", cubes["lr"], tmp_path, options, meta=meta)
    np.testing.assert_allclose(found, cubes["sr"], atol=2e-3)


def test_integers_keep_their_units_and_no_data(bicubic, tmp_path):
    cube = np.rint(workdirs.scene(20, 24) * 1e4).astype(np.uint16)
    cube[3:5, 6] = 0
    meta = SceneMeta(wavelengths=WAVELENGTHS, scale=1e-4, nodata=0)
    options = Options(dtype="int16", output_scale=1e-3, **PLAIN)
    found, after = predicted(bicubic, cube, tmp_path, options, meta=meta, name="in.tif")
    assert found.dtype == np.int16 and after.scale == 1e-3 and after.nodata == 0
    hidden = np.zeros((40, 48), bool)
    hidden[6:10, 12:14] = True
    assert ((found == 0).all(-1) == hidden).all()
    far = np.s_[20:, 24:]
    expected = np.asarray(resize.imresize(cube.astype(np.float32) * 1e-4, 2))
    np.testing.assert_allclose(found[far] * 1e-3, expected[far], atol=6e-4)
    same, unchanged = predicted(bicubic, cube, tmp_path, meta=meta, name="in.tif")
    assert same.dtype == np.float32 and unchanged.scale == 1e-4
    np.testing.assert_allclose(same[far] * 1e-4, expected[far], atol=2e-6)


def test_nan_stays_where_it_was(bicubic, tmp_path):
    cube = workdirs.scene(20, 24)
    cube[2, 3, 1] = np.nan
    found, _ = predicted(bicubic, cube, tmp_path, meta=SceneMeta(wavelengths=WAVELENGTHS))
    assert np.isnan(found).sum() == 4 and np.isnan(found[4:6, 6:8, 1]).all()


def test_beside_a_border_the_result_is_that_of_the_scene_without_it(tmp_path):
    facts = {"projection": 1, "degradation": {"name": "bicubic"}}
    workdir = workdirs.make(tmp_path / "run", **facts)
    cube = np.rint(workdirs.scene(24, 30) * 1e4).astype(np.int16)
    meta = SceneMeta(wavelengths=WAVELENGTHS, scale=1e-4, nodata=-9999)
    options = Options(**PLAIN, tile=64)
    alone, _ = predicted(workdir, cube[6:, 9:], tmp_path, options, meta=meta)
    cube[:6] = cube[:, :9] = -9999
    found, _ = predicted(workdir, cube, tmp_path, options, meta=meta)
    assert (found[:12] == -9999).all() and (found[:, :18] == -9999).all()
    inside = found[12:, 18:]
    assert (inside != -9999).all()
    for edge in (np.s_[:2], np.s_[:, :2]):
        rms = np.sqrt(np.mean((inside[edge] - alone[edge]) ** 2) / np.mean(alone[edge] ** 2))
        assert rms < 1e-3
    np.testing.assert_allclose(inside, alone, atol=20)


def test_a_sensors_mtf_is_what_the_result_agrees_with(bicubic, tmp_path):
    cube = workdirs.scene(24, 30)
    apart = {}
    for mtf in ("", "0.2", "enmap"):
        found, _ = predicted(bicubic, cube, tmp_path, Options(**PLAIN, tile=64, mtf=mtf))
        again = np.asarray(degrade.mtf_downsample(found, 2, 0.2))
        apart[mtf] = np.sqrt(np.mean((again - cube) ** 2))
    assert apart["0.2"] == apart["enmap"] < 0.8 * apart[""]
    for wrong in ("prism", "1.5", "nan"):
        with pytest.raises(UserError, match="--mtf"):
            Options(mtf=wrong)


def test_the_output_keeps_to_the_range_of_each_band(bicubic, tmp_path):
    cube = workdirs.scene(16, 16) * [1, 2, 3, 4]
    cube[:, 8:] = 0
    cube[2, 2] = np.nan
    cube, meta = cube.astype(np.float32), SceneMeta(wavelengths=WAVELENGTHS)
    free, _ = predicted(bicubic, cube, tmp_path, meta=meta)
    assert np.nanmin(free) < -0.02
    found, _ = predicted(bicubic, cube, tmp_path, Options(quicklook=False), meta=meta)
    high = np.nanmax(cube, (0, 1))
    assert np.nanmin(found) == 0 and (np.nanmax(found, (0, 1)) <= 2 * high).all()
    np.testing.assert_allclose(found, np.clip(free, 0, 2 * high), atol=1e-5)
    with pytest.raises(UserError, match="use input or none"):
        Options(limits="all")


def test_gains_of_each_band_are_carried_and_told(bicubic, tmp_path, capsys):
    extra = {"data gain values": "{1, 2, 3, 4}"}
    meta = SceneMeta(wavelengths=WAVELENGTHS, extra=extra)
    cube = workdirs.scene(12, 12)
    for name in ("out.hdr", "out.npy"):
        _, after = predicted(bicubic, cube, tmp_path, meta=meta, name="in.hdr", out=name)
        assert after.extra == extra
        assert "gains differ from band to band" in capsys.readouterr().err
    options = Options(**PLAIN, output_scale=1e-2)  # they were factors of other numbers
    _, after = predicted(bicubic, cube, tmp_path, options, meta=meta)
    assert not after.extra and after.scale == 1e-2


@pytest.mark.parametrize(("dtype", "nodata"), [("uint16", 65535), ("int16", -32768)])
def test_nan_becomes_no_data_in_integers(bicubic, tmp_path, dtype, nodata):
    cube = workdirs.scene(20, 24)
    cube[2, 3, 1] = np.nan
    cube[12:, 12:] = 7  # beyond what the type holds of 1e-4
    meta, options = SceneMeta(wavelengths=WAVELENGTHS), PLAIN | {"output_scale": 1e-4}
    options = Options(dtype=dtype, **options)
    found, after = predicted(bicubic, cube, tmp_path, options, meta=meta, out="out.tif")
    assert after.nodata == nodata and (found == nodata).sum() == 4
    assert (found[4:6, 6:8, 1] == nodata).all()
    assert found[found != nodata].max() == {"uint16": 65534, "int16": 32767}[dtype]
    whole = np.rint(np.nan_to_num(cube) * 1e3).astype(np.uint16)
    _, after = predicted(bicubic, whole, tmp_path, options, meta=meta, out="out.tif")
    assert after.nodata is None  # integers have nothing to hide


@pytest.mark.parametrize(
    ("dtype", "scale", "factor", "said"),
    [("uint16", 0.0, 1, r"as 0.\d+ to 0.\d+, rounded .*use --output_scale=0.0001"),
     ("uint16", 1e-6, 1, "clipped to 0..65535: use --output_scale=0.0001"),
     ("uint8", 0.0, 1e4, "use --output_scale=0.01"),
     ("uint16", 1e-4, -1, "use a signed --dtype"),
     ("int16", 1e-4, 1, ""), ("float32", 0.0, 1, "")],
)  # fmt: skip
def test_an_integer_type_that_loses_the_scene_is_told(
    bicubic, tmp_path, capsys, dtype, scale, factor, said
):
    cube = workdirs.scene(12, 12) * factor
    options = Options(dtype=dtype, output_scale=scale, **PLAIN)
    predicted(bicubic, cube, tmp_path, options, meta=SceneMeta(scale=1 / max(factor, 1)))
    found = [ln for ln in capsys.readouterr().err.splitlines() if "--dtype" in ln]
    assert len(found) == bool(said) and (not said or re.search(said, found[0])), found


def test_the_models_range_is_applied_and_inverted(tmp_path):
    """The network sees what it saw in training, whatever the units of the file."""
    seen = Normaliser(gain=0.5, bias=0.1)
    workdir = workdirs.make(tmp_path / "run", "rcam", normaliser=seen)
    cube = workdirs.scene(8, 8)
    expected = seen.invert(whole(workdir, seen.apply(cube, np)), np)
    found, _ = predicted(workdir, cube, tmp_path)
    np.testing.assert_allclose(found, expected, atol=1e-5)
    stored = (cube - 0.2) / 1e-3
    meta = SceneMeta(wavelengths=WAVELENGTHS, scale=1e-3, offset=0.2)
    found, _ = predicted(workdir, stored, tmp_path, meta=meta)
    np.testing.assert_allclose(found * 1e-3 + 0.2, expected, atol=1e-5)


def test_logarithms_are_undone(tmp_path):
    log = Normaliser(floor=1e-4, low=float(np.log(1e-4)), high=0.0)
    workdir = workdirs.make(tmp_path / "run", normaliser=log)
    cube = workdirs.scene(12, 12)
    found, _ = predicted(workdir, cube, tmp_path)
    expected = log.invert(np.asarray(resize.imresize(log.apply(cube, np), 2)), np)
    np.testing.assert_allclose(found, expected, rtol=1e-4)


def test_a_scene_in_other_units_is_told_or_divided_by_its_maximum(bicubic, tmp_path, capsys):
    cube = workdirs.scene(12, 12) * 5000
    predicted(bicubic, cube, tmp_path)
    assert "check the scene's scale factor" in capsys.readouterr().err
    options = Options(**PLAIN, normalise="scene")
    found, _ = predicted(bicubic, cube, tmp_path, options)
    said = capsys.readouterr().err
    assert f"its own maximum, {cube.max():g}" in said and "scale factor" not in said
    np.testing.assert_allclose(found, resize.imresize(cube, 2), rtol=1e-4)


def test_other_bands_are_refused_with_both_lists(bicubic, tmp_path):
    cube = workdirs.scene(12, 12, 9)
    nm = np.linspace(400, 800, 9)
    with pytest.raises(UserError) as caught:
        predicted(bicubic, cube, tmp_path, meta=SceneMeta(wavelengths=nm))
    assert "model: 4 bands, 450-700 nm (450, 533.33, 616.67, 700)" in str(caught.value)
    assert "scene: 9 bands, 400-800 nm (400, 450, 500 ... 750, 800)" in str(caught.value)
    assert "--resample_bands" in str(caught.value)
    assert not list(tmp_path.glob("out*"))


def test_a_picture_is_not_sent_to_resampling_that_would_refuse_it(bicubic, tmp_path):
    for nm, word in ((None, "the scene has no wavelengths"), ([460, 550, 640], "the model needs")):
        with pytest.raises(UserError, match=f"cannot be resampled .{word}") as caught:
            predicted(bicubic, workdirs.scene(12, 12, 3), tmp_path, meta=SceneMeta(wavelengths=nm))
        assert "--resample_bands" not in str(caught.value)


def test_assumed_wavelengths_are_told(tmp_path, capsys):
    nm = np.linspace(450, 700, 26)
    workdir = workdirs.make(tmp_path / "run", bands=26, wavelengths=nm.tolist())
    table = nm + 6 * np.sin(np.linspace(0, 3, 26))
    cube = workdirs.scene(12, 12, 26)
    found, _ = predicted(workdir, cube, tmp_path, meta=SceneMeta(wavelengths=table))
    assert found.shape == (24, 24, 26)
    assert "the model's wavelengths are evenly spaced" in capsys.readouterr().err
    predicted(workdir, cube, tmp_path, meta=SceneMeta(wavelengths=nm + 1))
    assert "evenly spaced" not in capsys.readouterr().err


def test_resampled_bands_are_the_models(bicubic, tmp_path):
    nm = np.linspace(400, 800, 9)
    cube = np.broadcast_to(nm.astype(np.float32) / 1000, (12, 12, 9))
    options = Options(**PLAIN, resample_bands=True)
    extra = {"spectra names": "{a, b, c, d, e, f, g, h, i}", "default bands": "{5, 3, 1}"}
    before = SceneMeta(wavelengths=nm, extra=extra | {"flight": "f12"})
    found, meta = predicted(bicubic, cube, tmp_path, options, meta=before)
    np.testing.assert_allclose(meta.wavelengths, WAVELENGTHS)
    assert meta.extra == {"flight": "f12"}
    assert found.shape == (24, 24, 4)
    expected = np.broadcast_to(WAVELENGTHS / 1000, found.shape)
    np.testing.assert_allclose(found, expected, atol=0.01)  # a spectrum that is a straight line


def test_bad_bands_are_left_out(bicubic, tmp_path, capsys):
    cube = workdirs.scene(12, 12, 5)
    bad = np.array([False, True, False, False, False])
    nm = np.insert(WAVELENGTHS, 1, 490)
    extra = {"data gain values": "{1, 2, 3, 4, 5}", "default bands": "{5, 3, 1}"}
    before = SceneMeta(wavelengths=nm, bad_bands=bad, fwhm=np.arange(5), band_names="abcde",
                       extra=extra)  # fmt: skip
    found, meta = predicted(bicubic, cube, tmp_path, meta=before)
    assert "bands flagged as bad, which are left out: 1\n" in capsys.readouterr().err
    np.testing.assert_allclose(found, resize.imresize(cube[..., ~bad], 2), atol=2e-6)
    np.testing.assert_allclose(meta.wavelengths, WAVELENGTHS)
    assert meta.fwhm.tolist() == [0, 2, 3, 4] and "".join(meta.band_names) == "acde"
    assert meta.extra == {"data gain values": "{1, 3, 4, 5}", "default bands": "{4, 2, 1}"}


def test_self_ensemble_and_bfloat16(rcam, tmp_path):
    cube = workdirs.scene(16, 24)
    plain, _ = predicted(rcam, cube, tmp_path)
    half, _ = predicted(rcam, cube, tmp_path, Options(**PLAIN, precision="bfloat16"))
    assert 0 < np.abs(half - plain).max() < 0.02 * np.abs(plain).max()
    options = Options(**PLAIN, self_ensemble=True, tile=64)
    averaged, _ = predicted(rcam, cube, tmp_path, options)
    turned = []
    for k in range(4):
        for flip in (slice(None), slice(None, None, -1)):
            out = whole(rcam, np.rot90(cube, k)[:, flip])
            turned.append(np.rot90(out[:, flip], -k))
    np.testing.assert_allclose(averaged, np.mean(turned, 0), atol=1e-5)


def test_spectral_super_resolution_has_the_models_wavelengths(tmp_path):
    workdir = workdirs.make(tmp_path / "run", "ssran", bands=7, msi=3)
    cube = workdirs.scene(8, 8, 3)
    meta = SceneMeta(wavelengths=(480, 560, 660), transform=UTM, band_names=("b", "g", "r"))
    found, after = predicted(workdir, cube, tmp_path, Options(), meta=meta)
    assert found.shape == (8, 8, 7) and after.transform == UTM and not after.band_names
    np.testing.assert_allclose(after.wavelengths, np.linspace(450, 700, 7))
    assert (tmp_path / "out_quicklook.png").exists()
    with pytest.raises(UserError, match="5 bands and the model reads 3"):
        predicted(workdir, workdirs.scene(8, 8, 5), tmp_path, meta=SceneMeta())


def test_multispectral_bands_are_those_of_training_in_their_order(tmp_path):
    degradation = {"name": "spectral", "centres": [480.0, 560.0, 660.0]}
    workdir = workdirs.make(tmp_path / "run", "ssran", bands=7, msi=3, degradation=degradation)
    cube = workdirs.scene(8, 8, 3)
    for nm in ([485, 555, 665], None):
        predicted(workdir, cube, tmp_path, meta=SceneMeta(wavelengths=nm))
    for nm in ([660, 560, 480], [480, 560, 830]):
        with pytest.raises(UserError, match="in that order") as caught:
            predicted(workdir, cube, tmp_path, meta=SceneMeta(wavelengths=nm))
        assert "model: 3 bands, 480-660 nm (480, 560, 660)" in str(caught.value)
    spec = describe("ssran", {}, scale=1, bands=7, msi_bands=2)
    assert trained.Trained(spec, degradation={"centres": [0.5, 2]}).msi_centres == [500, 2000]


def test_the_quicklook_is_in_true_colour(tmp_path):
    from PIL import Image

    nm = [460.0, 500.0, 550.0, 640.0]
    workdir = workdirs.make(tmp_path / "run", wavelengths=nm)
    cube = workdirs.scene(20, 30)
    predicted(workdir, cube, tmp_path, Options(), meta=SceneMeta(wavelengths=nm), out="out.tif")
    picture = np.asarray(Image.open(tmp_path / "out_quicklook.png"))
    assert picture.shape == (40, 60, 4) and (picture[..., 3] == 255).all()
    picture = picture[..., :3]
    fine = np.asarray(resize.imresize(cube, 2))[..., [3, 2, 0]]
    low, high = np.percentile(cube.reshape(-1, 4)[:, [3, 2, 0]], [2, 98], axis=0)
    expected = np.clip((fine - low) / (high - low), 0, 1) * 255
    assert np.abs(picture - expected).mean() < 3  # the stretch is of a sample of the input


def test_hidden_pixels_are_transparent_in_the_quicklook(bicubic, tmp_path):
    from PIL import Image

    cube = workdirs.scene(20, 30)
    cube[:, :10] = np.nan
    predicted(bicubic, cube, tmp_path, Options(), out="new/folder/out.tif")  # which is made
    picture = np.asarray(Image.open(tmp_path / "new/folder/out_quicklook.png"))
    assert (picture[:, :20, 3] == 0).all() and (picture[:, 20:, 3] == 255).all()


def test_the_scale_of_a_scene_can_be_given(bicubic, tmp_path, capsys):
    cube = np.rint(workdirs.scene(12, 12) * 1e4).astype(np.uint16)
    meta = SceneMeta(wavelengths=WAVELENGTHS)
    predicted(bicubic, cube, tmp_path, meta=meta)
    assert "--input_scale=1e-4" in capsys.readouterr().err
    options = Options(**PLAIN, input_scale=1e-4)
    found, after = predicted(bicubic, cube, tmp_path, options, meta=meta)
    assert after.scale == 1e-4 and "--input_scale" not in capsys.readouterr().err
    np.testing.assert_allclose(found, resize.imresize(cube.astype(np.float32), 2), rtol=1e-4)


def test_a_scene_without_a_map_is_told(bicubic, tmp_path, capsys):
    predicted(bicubic, workdirs.scene(12, 12), tmp_path, meta=SceneMeta())
    assert "no map coordinates" in capsys.readouterr().err
    predicted(bicubic, workdirs.scene(12, 12), tmp_path)
    assert "no map coordinates" not in capsys.readouterr().err
    known = pytest.importorskip("rasterio").crs.CRS.from_epsg(32610).to_wkt()
    for system in ("", "+proj=utm +zone=10", known):  # CF may describe one without WKT
        meta = SceneMeta(transform=(30, 0, 5e5, 0, -30, 4e6), crs=system)
        predicted(bicubic, workdirs.scene(12, 12), tmp_path, meta=meta)
        told = "no reference system that is known here" in capsys.readouterr().err
        assert told == (system != known)


KILLED = """
import os, signal, sys
from pathlib import Path
sys.path[:0] = [{root!r}, {tests!r}]
from hsisr_jax import predict
from hsisr_jax.inference.output import Journal
add, replace, count = Journal.add, os.replace, []
def add_and_die(self, unit):
    add(self, unit)
    count.append(unit)
    if len(count) == {units}:
        os.kill(os.getpid(), signal.SIGKILL)
def die_or_replace(source, target):
    if Path(source).name in ("out.tif.partial", "out.img.partial"):
        os.kill(os.getpid(), signal.SIGKILL)
    replace(source, target)
Journal.add, os.replace = add_and_die, die_or_replace
predict.predict({workdir!r}, {source!r}, {target!r}, predict.Options(tile=16, overlap=4))
"""


@pytest.mark.parametrize(("ending", "units"), [("tif", 3), ("hdr", 3), ("hdr", 99)])
def test_a_killed_prediction_is_continued(rcam, tmp_path, capsys, ending, units):
    """Also one that had made all of its units, and its picture, but not given the file its name."""
    source, target = tmp_path / "in.hdr", tmp_path / f"out.{ending}"
    formats.write_scene(source, workdirs.scene(70, 30), META)
    root = Path(__file__).parents[1]
    script = KILLED.format(root=str(root), tests=str(root / "tests"), workdir=str(rcam),
                           units=units, source=str(source), target=str(target))  # fmt: skip
    ended = subprocess.run([sys.executable, "-c", script], env=os.environ, capture_output=True)
    assert ended.returncode == -signal.SIGKILL, ended.stderr.decode()
    left = [path.name for path in tmp_path.glob("out*")]
    done = ["out_quicklook.png"] if units > 3 else []
    assert left and [name for name in left if not name.endswith(".partial")] == done
    options = Options(tile=16, overlap=4)
    capsys.readouterr()
    predict.predict(rcam, source, target, options)
    assert "resuming" in capsys.readouterr().err
    resumed, _ = formats.read_scene(target)
    again = tmp_path / f"again.{ending}"
    predict.predict(rcam, source, again, options)
    np.testing.assert_array_equal(resumed, formats.read_scene(again)[0])
    pictures = [(tmp_path / f"{n}_quicklook.png").read_bytes() for n in ("out", "again")]
    assert pictures[0] == pictures[1]
    assert not list(tmp_path.glob("*.partial"))


def test_other_settings_start_anew(rcam, tmp_path, capsys):
    cube = workdirs.scene(40, 24)
    formats.write_scene(tmp_path / "in.npy", cube, META)
    network = trained.load(rcam)
    with formats.open_scene(tmp_path / "in.npy") as scene:
        job = predict.Job(network, scene, QUIET)
        target = tmp_path / "out.npy"
        grid = predict.choose(network.card, cube.shape[:2], tile=0, overlap=-1, devices=8,
                              compiled=job.compile)  # fmt: skip
        output, done = job.begin(target, grid)
        output.journal.add((0, 0))
        assert not done and output.journal.read() == {(0, 0)}
    found, _ = predicted(rcam, cube, tmp_path, Options(**PLAIN, tile=16))
    assert "resuming" not in capsys.readouterr().err
    options = Options(**PLAIN, tile=16)
    fresh, _ = predicted(rcam, cube, tmp_path, options, out="b.npy")
    np.testing.assert_array_equal(found, fresh)


@pytest.mark.parametrize(
    ("options", "word"),
    [({"precision": "float16"}, "--precision"), ({"dtype": "text"}, "--dtype"),
     ({"normalise": "max"}, "--normalise"), ({"output_scale": -1.0}, "--output_scale"),
     ({"output_scale": 1e300}, "--output_scale=1e"), ({"input_scale": 1e-300}, "--input_scale=1e"),
     ({"input_scale": np.nan}, "--input_scale=nan: use a number from 1e-30 to 1e.30"),
     ({"tile": 4, "overlap": 4}, "cannot overlap"), ({"tile": -8}, "--tile=-8: use")],
)  # fmt: skip
def test_options_that_make_no_sense(bicubic, tmp_path, options, word):
    with pytest.raises(UserError, match=word):
        predicted(bicubic, workdirs.scene(12, 12), tmp_path, Options(**options))


def test_files_that_make_no_sense(bicubic, tmp_path):
    formats.write_scene(tmp_path / "in.npy", workdirs.scene(12, 12))
    with pytest.raises(UserError, match="choose another name"):
        predict.predict(bicubic, tmp_path / "in.npy", tmp_path / "in.npy")
    with pytest.raises(UserError, match="there is no model.json"):
        predict.predict(tmp_path, tmp_path / "in.npy", tmp_path / "out.npy")
    (tmp_path / "model.json").write_text('{"network": 3}')
    with pytest.raises(UserError, match="domains is not a list"):
        predict.predict(tmp_path, tmp_path / "in.npy", tmp_path / "out.npy")
    with pytest.raises(UserError, match="unknown ending"):
        predict.predict(bicubic, tmp_path / "in.npy", tmp_path / "out.jpg")


@pytest.mark.parametrize(
    ("source", "target"),
    [("a.hdr", "a.img"), ("a.img", "a.hdr"), ("a.hdr", "a.bsq"), ("a.img", "a.img"),
     ("link.tif", "a.bil"), ("t.tif", "t.bil")],
)  # fmt: skip
def test_no_file_of_another_scene_is_overwritten(bicubic, tmp_path, source, target):
    for name in ("a.hdr", "t.tif"):
        formats.write_scene(tmp_path / name, workdirs.scene(12, 12), META)
    (tmp_path / "t.hdr").write_text("ENVI\nwavelength = {450, 533.33, 616.67, 700}\n")
    (tmp_path / "link.tif").symlink_to("t.tif")
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    with pytest.raises(UserError, match="choose another name"):
        predict.predict(bicubic, tmp_path / source, tmp_path / target, QUIET)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_an_earlier_result_is_replaced_by_the_same_command(bicubic, tmp_path):
    cube = workdirs.scene(12, 12)
    for target in ("out.hdr", "out.hdr", "two.bil", "two.bil", "a.npy", "a.npy"):
        (tmp_path / target).touch()
        os.utime(tmp_path / target, (1, 1))  # older than what is written now
        sr, _ = predicted(bicubic, cube, tmp_path, name="in.hdr", out=target)
        assert sr.shape == (24, 24, cube.shape[-1]) and (tmp_path / target).stat().st_mtime > 1


def test_a_name_that_cannot_be_written_is_told_before_any_work(bicubic, tmp_path, monkeypatch):
    monkeypatch.setattr(predict, "Job", None)
    formats.write_scene(tmp_path / "in.npy", workdirs.scene(12, 12))
    for name, word in (("out.jpg", "unknown ending"),
                       (".", "unknown ending")):  # fmt: skip
        with pytest.raises(UserError, match=word):
            predict.predict(bicubic, tmp_path / "in.npy", tmp_path / name)


@pytest.mark.parametrize(
    "value, options, out, words",
    [
        (None, {"dtype": "float16"}, "out.npy", "float16 ends at 65504.*use float32"),
        (0.5, {"dtype": "float16"}, "out.tif", "GeoTIFF cannot hold float16"),
        (0.5, {"dtype": "float16"}, "out.hdr", "ENVI has no float16"),
        (0.5, {"dtype": "int8"}, "out.hdr", "ENVI has no int8"),
        (1e30, {"limits": "input"}, "out.npy", "in.npy: band 2 has values of .* no-data value"),
        (1e38, {}, "out.npy", "in.npy: band 2 .* float32 holds"),
        (np.nan, {"limits": "input"}, "out.npy", "in.npy: every value is no data"),
    ],
)  # fmt: skip
def test_what_cannot_be_stored_is_told_before_anything_is_compiled(
    bicubic, tmp_path, monkeypatch, value, options, out, words
):
    monkeypatch.setattr(predict, "choose", None)
    cube = workdirs.scene(8, 8)
    if value:
        cube[... if np.isnan(value) else (3, 3, 1)] = value
    else:
        cube *= 1e5
    with pytest.raises(UserError, match=words):
        predicted(bicubic, cube, tmp_path, Options(**{**PLAIN, **options}), out=out)
    assert [path.name for path in tmp_path.iterdir() if "out" in path.name] == []


def test_half_floats_that_hold_the_scene_are_written(bicubic, tmp_path, capsys):
    cube = workdirs.scene(8, 8)
    half, _ = predicted(bicubic, cube, tmp_path, Options(dtype="float16", **PLAIN))
    assert half.dtype == np.float16
    np.testing.assert_allclose(half, resize.imresize(cube, 2), atol=1e-3)
    predicted(bicubic, 1e-4 * cube, tmp_path, Options(dtype="float16", **PLAIN), out="small.npy")
    assert "with few digits" in capsys.readouterr().err


def test_bad_bands_are_upsampled_by_the_packaged_network(tmp_path, capsys):
    """Whatever they hold, the others are as without them."""
    rng = np.random.default_rng(0)
    cube = np.cumsum(rng.random((12, 12, 5)), 0).astype(np.float32)
    bad = np.array([False, False, True, False, False])
    cube[..., 2] = 1e3 * rng.standard_normal((12, 12))
    meta = SceneMeta(bad_bands=bad)
    formats.write_scene(tmp_path / "a.npy", cube, meta)
    formats.write_scene(tmp_path / "b.npy", cube[..., ~bad])
    for name in "ab":
        predict.sharpen(tmp_path / f"{name}.npy", tmp_path / f"{name}_2.npy", 2, QUIET)
    found, after = formats.read_scene(tmp_path / "a_2.npy")
    alone, _ = formats.read_scene(tmp_path / "b_2.npy")
    np.testing.assert_allclose(found[..., ~bad], alone, atol=2e-4)
    np.testing.assert_allclose(found[..., 2], resize.imresize(cube, 2)[..., 2], atol=1e-2)
    assert after.bad_bands.tolist() == bad.tolist()
    assert "upsampled and not sharpened: 1\n" in capsys.readouterr().err


@pytest.mark.parametrize(("metric", "best"), [("SAM", 2), ("MPSNR", 1)])
def test_the_best_step_is_the_one_that_was_selected(tmp_path, metric, best):
    workdir = workdirs.make(tmp_path / "run", "rcam", select="best", select_metric=metric)
    load = trained.load(workdir).weights
    variables, _ = load()
    with Checkpoints(workdir, metric=metric, higher_is_better=metric != "SAM") as checkpoints:
        for step, score in ((1, 5.0), (2, 3.0), (4, 4.0)):
            checkpoints.save(step, {"params": variables["params"]}, {metric: score})
    assert load()[1] == best
