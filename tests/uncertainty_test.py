"""Standard deviations of a prediction: `--uncertainty`."""

import json

import numpy as np
import pytest
import workdirs
from command import hsisr

from hsisr_jax import degrade, formats, predict, uncertainty
from hsisr_jax.errors import UserError
from hsisr_jax.formats import SceneMeta
from hsisr_jax.inference import calibration, trained
from hsisr_jax.inference.options import Options

UTM = (20.0, 0.0, 500000.0, 0.0, -20.0, 5400000.0)
SENSOR = Options(mtf="0.3", quicklook=False)


def textured(side=128, bands=3, seed=0) -> np.ndarray:
    """A scene that looks alike at every scale (amplitude 1 / frequency), 0.1 .. 0.9."""
    rng = np.random.default_rng(seed)
    frequency = np.hypot(np.fft.fftfreq(side)[:, None], np.fft.rfftfreq(side))
    frequency[0, 0] = np.inf
    waves = np.fft.rfft2(rng.normal(size=(bands, side, side))) / frequency
    cube = np.moveaxis(np.fft.irfft2(waves, (side, side)), 0, -1)
    low, high = cube.min((0, 1)), cube.max((0, 1))
    return (0.1 + 0.8 * (cube - low) / (high - low)).astype(np.float32)


@pytest.fixture(scope="module")
def workdir(tmp_path_factory):
    """Bicubic upsampling, which `--mtf` projects back: it adds detail."""
    return workdirs.make(tmp_path_factory.mktemp("runs") / "bicubic", "bicubic", bands=3)


def test_a_table_holds_what_it_should_hold():
    """Normal errors of a known size: the table is that size, and all intervals are right."""
    rng = np.random.default_rng(0)
    added = rng.uniform(1, 4, (200, 200, 2))
    error = rng.normal(size=added.shape) * added * (1, 3)
    table = calibration.fit(added.reshape(-1, 2), error.reshape(-1, 2))
    assert table(np.full((1, 2), 2.5))[0] == pytest.approx([2.5, 7.5], rel=0.1)
    assert np.isnan(table(np.full((1, 2), np.nan))).all()
    assert (np.diff(table(np.linspace(0, 9, 30)[:, None] * [1, 1]), axis=0) >= 0).all()
    found = calibration.reliability(added, error, rng.random((200, 200)) < 0.9)
    assert found["observed"] == pytest.approx(found["nominal"], abs=0.03)
    assert found["by_band"] == pytest.approx([0.6827] * 2, abs=0.03)
    assert json.loads(json.dumps(found))["within"] == found["within"]


@pytest.mark.parametrize("finer", [4, 1])
def test_intervals_hold_on_a_scene_that_was_not_used(workdir, tmp_path, finer):
    """68 % of the errors lie within one standard deviation, 6 points more or less.

    The truth is what the same sensor would see with half the pixel size, or, with `finer` at 1, an
    image that was degraded itself.
    """
    if finer > 1:
        scene = textured(256 * finer)
        lr, truth = (np.asarray(degrade.mtf_downsample(scene, n, 0.3)) for n in (2 * finer, finer))
    else:
        truth = np.asarray(degrade.mtf_downsample(textured(512), 2, 0.3))
        lr = np.asarray(degrade.mtf_downsample(truth, 2, 0.3))
    formats.write_scene(tmp_path / "lr.npy", lr)
    predict.predict(workdir, tmp_path / "lr.npy", tmp_path / "sr.npy", SENSOR)
    given = {"workdir": workdir, "options": SENSOR}
    found = uncertainty.write(tmp_path / "lr.npy", tmp_path / "std.npy", **given)
    sr, std = (formats.read_scene(tmp_path / f"{name}.npy")[0] for name in ("sr", "std"))
    assert std.shape == truth.shape and (std > 0).all()
    held = np.mean(np.abs(sr - truth) <= std)
    assert held == pytest.approx(0.6827, abs=0.06)
    assert found["within"] == pytest.approx(0.6827, abs=0.05)
    assert found["carried"] == pytest.approx(0.6827, abs=0.08)  # by the table of a scale before


def test_errors_of_a_small_scene_shrink_as_on_usual_ground(workdir, tmp_path, capsys):
    """The table of one scale coarser takes 32 pixels a side at x2."""
    formats.write_scene(tmp_path / "lr.npy", textured(24))
    given = {"workdir": workdir, "options": SENSOR}
    found = uncertainty.write(tmp_path / "lr.npy", tmp_path / "std.npy", **given)
    assert found["carried"] is None
    assert "shrink by 13 % as on usual ground, since the scene" in capsys.readouterr().err
    assert calibration.usual_shrink(2) == pytest.approx(2**-0.2)


def test_grid_units_and_hidden_pixels_are_those_of_the_output(workdir, tmp_path):
    cube = (workdirs.scene(40, 48, bands=3) * 10000).astype(np.int16)
    cube[5:9, 10:20] = -9999
    waves = np.linspace(450, 700, 3)
    meta = SceneMeta(wavelengths=waves, nodata=-9999, scale=1e-4, transform=UTM)
    formats.write_scene(tmp_path / "in.tif", cube, meta)
    code, out, err = hsisr(
        "--mode=predict", f"--workdir={workdir}", f"--input={tmp_path / 'in.tif'}", "--mtf=0.3",
        f"--output={tmp_path / 'sr.tif'}", f"--uncertainty={tmp_path / 'std.tif'}",
        "--dtype=int16", "--noquicklook",
    )  # fmt: skip
    assert code == 0, err
    assert "std.tif: standard deviations; at reduced resolution" in err
    sr, made = formats.read_scene(tmp_path / "sr.tif")
    std, about = formats.read_scene(tmp_path / "std.tif")
    assert std.dtype == np.float32 and std.shape == sr.shape == (80, 96, 3)
    assert (about.transform, about.scale, about.nodata) == (made.transform, 1e-4, -9999)
    assert about.wavelengths == pytest.approx(waves)
    hidden = sr == -9999
    assert hidden[10:18, 20:40].all() and (hidden == (std == -9999)).all()
    assert 1 < np.median(std[~hidden]) < 1000  # as many units as the output's own errors
    page = (tmp_path / "sr_report.html").read_text()
    assert "Reliability of the uncertainty" in page and "standard deviation" in page


def test_a_scale_factor_changes_nothing(workdir, tmp_path):
    cube = textured(40)
    network = trained.load(workdir)
    formats.write_scene(tmp_path / "a.npy", cube)
    formats.write_scene(tmp_path / "b.npy", cube * 1e4, SceneMeta(scale=1e-4, offset=0.0))
    tables = []
    for name in ("a", "b"):
        with formats.open_scene(tmp_path / f"{name}.npy") as scene:
            tables.append(uncertainty.calibrated(network, scene, SENSOR)[0])
    np.testing.assert_allclose(tables[0].sigma, tables[1].sigma, rtol=1e-3)


def test_what_cannot_be_done_is_refused_before_any_work(workdir, tmp_path, monkeypatch):
    formats.write_scene(tmp_path / "in.npy", textured(40))
    formats.write_scene(tmp_path / "msi.npy", textured(40))
    given = ["--mode=predict", f"--workdir={workdir}", f"--input={tmp_path / 'in.npy'}",
             f"--output={tmp_path / 'sr.npy'}"]  # fmt: skip
    for target, word in (("sr.npy", "is the file of --output"), ("in.npy", "in.npy"),
                         ("a.jpg", "unknown ending")):  # fmt: skip
        code, _, err = hsisr(*given, f"--uncertainty={tmp_path / target}")
        assert code == 2 and word in err, err
        assert not (tmp_path / "sr.npy").exists()
    code, _, err = hsisr(*given, f"--uncertainty={tmp_path / 'std.npy'}", "--parts=2")
    assert code == 2 and "--uncertainty is for one scene, without --parts" in err
    formats.write_scene(tmp_path / "in.npy", textured(12))
    code, _, err = hsisr(*given, f"--uncertainty={tmp_path / 'std.npy'}")
    assert code == 2 and "too small to be degraded by 2" in err and "tiles" not in err
    assert not (tmp_path / "sr.npy").exists()
    ssran = workdirs.make(tmp_path / "run", "ssran", bands=6, msi=3)
    given = [*given[:1], f"--workdir={ssran}", f"--input={tmp_path / 'msi.npy'}", given[-1]]
    code, _, err = hsisr(*given, f"--uncertainty={tmp_path / 'std.npy'}")
    assert code == 2 and "ssran makes bands" in err and "tiles" not in err
    assert not (tmp_path / "sr.npy").exists()
    with pytest.raises(UserError, match="ssran makes bands"):
        uncertainty.write(tmp_path / "msi.npy", tmp_path / "std.npy", workdir=ssran)
    assert not (tmp_path / "std.npy").exists()
