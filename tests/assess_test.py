"""Scores of a scene without its truth: `hsisr_jax.assess`."""

import csv
import json

import numpy as np
import pytest
import workdirs
from command import hsisr

from hsisr_jax import assess, degrade, formats, metrics, predict, resize
from hsisr_jax.errors import UserError
from hsisr_jax.formats import SceneMeta
from hsisr_jax.inference import trained, without_truth
from hsisr_jax.inference.options import Options
from hsisr_jax.layers.back_projection import back_projected

WAVELENGTHS = np.linspace(450, 700, 4)
BICUBIC = degrade.create("bicubic", scale=2).observe


@pytest.fixture(scope="module")
def bicubic(tmp_path_factory):
    return workdirs.make(tmp_path_factory.mktemp("runs") / "bicubic", "bicubic")


@pytest.fixture(scope="module")
def rcam(tmp_path_factory):
    return workdirs.make(tmp_path_factory.mktemp("runs") / "rcam", "rcam")


def opened(path, cube, **meta):
    formats.write_scene(path, cube, SceneMeta(**meta))
    return formats.open_scene(path)


def test_scores_equal_those_of_the_protocol(tmp_path, bicubic):
    """On a scene without no-data they are sspsr's own, for cubes divided by their maximum."""
    cube = workdirs.scene(40, 56)
    with opened(tmp_path / "a.npy", cube) as scene:
        found = assess.assess(trained.load(bicubic), scene)
    made = np.asarray(resize.imresize(np.asarray(resize.imresize(cube, 0.5)), 2))
    top = cube.max()
    expected = metrics.evaluate(cube / top, made / top, protocol="sspsr", ratio=2)
    for method in ("bicubic", "network"):
        scores = found.reduced[method]
        limit = 5e-3 if method == "network" else 1e-3  # which keeps to the input's range
        assert scores.psnr == pytest.approx(float(expected["MPSNR"]), abs=limit)
        assert scores.sam == pytest.approx(float(expected["SAM"]), abs=limit)
        assert scores.ergas == pytest.approx(float(expected["ERGAS"]), rel=limit)
        assert scores.rmse / top == pytest.approx(float(expected["RMSE"]), rel=limit)
        assert np.mean(scores.psnr_by_band) == pytest.approx(scores.psnr)
    assert found.reduced["back_projected"].psnr > found.reduced["bicubic"].psnr + 0.05
    assert found.gain["psnr"] == pytest.approx(0, abs=5e-3)
    assert found.part == (0, 40, 0, 56) and found.facts["degradation_assumed"]


def test_consistency_of_an_output_that_is_known(tmp_path):
    """A constant added to one band is its error; the sensor's view of the truth has none."""
    rng = np.random.default_rng(0)
    truth = rng.uniform(100, 3000, (64, 48, 3)).astype(np.float32)
    lr = np.asarray(BICUBIC(truth[None])["lr"][0])
    off = truth.copy()
    off[..., 1] += 5
    with opened(tmp_path / "lr.npy", lr) as scene, opened(tmp_path / "t.npy", truth) as right:
        found = without_truth.consistency(scene, right, BICUBIC, scale=2)
        assert found.rmse < 1e-2 and found.psnr > 100 and found.sam < 1e-3
        with opened(tmp_path / "off.npy", off) as wrong:
            found = without_truth.consistency(scene, wrong, BICUBIC, scale=2)
    assert found.rmse_by_band == pytest.approx([0, 5, 0], abs=1e-2)
    assert found.psnr_by_band[1] == pytest.approx(20 * np.log10(lr.max() / 5), abs=1e-2)


def test_blocks_change_nothing(tmp_path, monkeypatch):
    rng = np.random.default_rng(1)
    truth = rng.random((160, 32, 2), np.float32)
    lr = np.asarray(BICUBIC(truth[None])["lr"][0]) + rng.normal(0, 0.01, (80, 16, 2))
    with (
        opened(tmp_path / "lr.npy", lr.astype("f4")) as scene,
        opened(tmp_path / "t.npy", truth) as output,
    ):
        whole = without_truth.consistency(scene, output, BICUBIC, scale=2)
        monkeypatch.setattr(without_truth, "VALUES", 1)
        blocks = without_truth.consistency(scene, output, BICUBIC, scale=2)
    assert blocks.pixels == whole.pixels == 80 * 16
    assert blocks.rmse_by_band == pytest.approx(whole.rmse_by_band, rel=1e-4)


def test_hidden_pixels_and_dead_and_bad_bands_do_not_count(tmp_path, bicubic):
    cube = (workdirs.scene(48, 48, bands=4) * 5000).astype(np.int16)
    holes = cube.copy()
    holes[10:14, 20:30] = -1
    holes[..., 2] = -1
    network = trained.load(bicubic)
    with opened(tmp_path / "a.tif", holes, nodata=-1, scale=1e-4,
                bad_bands=[False, False, False, True]) as scene:  # fmt: skip
        found = assess.assess(network, scene, Options(normalise="model"))
    for scores in (found.consistency, *found.reduced.values()):
        assert np.isnan(scores.psnr_by_band[2]) and np.isnan(scores.psnr_by_band[3])
        assert np.isfinite(scores.psnr_by_band[:2]).all() and np.isfinite(scores.psnr)
        assert scores.rmse < 0.2  # physical units: no -1 * 1e-4 among 0.1 .. 0.9
    pixels = 48 * 48 - 4 * 10
    assert found.reduced["network"].pixels == pixels
    assert found.consistency.pixels == 48 * 48 - 6 * 12
    plain = cube.astype(np.float32) * np.float32(1e-4)
    made = np.asarray(resize.imresize(np.asarray(resize.imresize(plain, 0.5)), 2))
    far = np.ones((48, 48), bool)
    far[0:26, 8:42] = False  # what is farther from the hole is as without it
    expected = np.sqrt(((made - plain)[far][:, 0] ** 2).mean())
    assert found.reduced["bicubic"].rmse_by_band[0] == pytest.approx(expected, rel=0.1)
    assert json.loads(json.dumps(found.to_json()))["consistency"]["psnr_by_band"][2] is None


def test_a_failing_network_has_no_score(tmp_path):
    rng = np.random.default_rng(0)
    with opened(tmp_path / "a.npy", rng.random((32, 32, 2), np.float32)) as scene:
        found = without_truth.reduced_resolution(
            scene, lambda lower: np.full((32, 32, 2), np.nan), BICUBIC, scale=2
        )
    assert np.isnan(found["network"].psnr) and np.isfinite(found["bicubic"].psnr)


def test_a_large_scene_is_scored_in_a_part_with_data(tmp_path):
    cube = np.ones((200, 300, 2), np.float32)
    cube[60:, :] = np.nan
    with opened(tmp_path / "a.npy", cube) as scene:
        rows, cols = without_truth.part_of(scene, 4, values=2 * 40 * 40)
        assert rows.stop <= 120 and rows.start < 60
        assert (rows.stop - rows.start) % 4 == 0 == (cols.stop - cols.start) % 4
        assert 32 <= rows.stop - rows.start <= 40
        with pytest.raises(UserError, match=r"a\.npy is 200 x 300: too small .* by 32"):
            without_truth.part_of(scene, 32)


def test_the_command_with_a_workdir_and_the_sensors_mtf(tmp_path, rcam):
    rng = np.random.default_rng(0)
    formats.write_scene(tmp_path / "s.tif", workdirs.scene(32, 40) + rng.random((32, 40, 4)))
    before = {p: p.read_bytes() for p in rcam.glob("*.json")}
    code, out, err = hsisr("--mode=eval", f"--workdir={rcam}", f"--input={tmp_path / 's.tif'}",
                           "--mtf=0.3")  # fmt: skip
    assert code == 0, err
    mine = tmp_path / "new" / "mine.json"
    assert hsisr("--mode=eval", f"--workdir={rcam}", f"--input={tmp_path / 's.tif'}", "--mtf=0.3",
                 f"--output={mine}")[0] == 0  # fmt: skip
    assert "s.tif, x2 by rcam; sensor: mtf 0.3" in out and "back-projected" in out
    assert {p: p.read_bytes() for p in rcam.glob("*.json")} == before
    (place,) = rcam.glob("eval/s-??????/scores.json")
    found = json.loads(place.read_text())
    assert json.loads(mine.read_text()) == found and mine.with_suffix(".csv").is_file()
    assert found["degradation"] == {"name": "mtf", "mtf": 0.3} and found["scale"] == 2
    rows = list(csv.DictReader(place.with_suffix(".csv").open()))
    assert len(rows) == 4 * 5 and rows[0]["band"] == "all"
    assert float(rows[0]["psnr_db"]) == found["reduced"]["bicubic"]["psnr"]


def test_the_packaged_network_gains_and_agrees(tmp_path, monkeypatch):
    """No workdir: the command, JSON and CSV in the folder where it is called."""
    monkeypatch.chdir(tmp_path)
    fine = np.kron(np.random.default_rng(0).random((6, 6, 3)), np.ones((6, 6, 1)))
    formats.write_scene("blocks.npy", fine.astype(np.float32))
    code, out, err = hsisr("--mode=eval", "--input=blocks.npy", "--scale=2", "--tile=16")
    assert code == 0, err
    found = json.loads((tmp_path / "blocks_x2_scores.json").read_text())
    assert (tmp_path / "blocks_x2_scores.csv").is_file()
    assert found["gain"]["psnr"] > 0.5 and found["consistency"]["psnr"] > 35
    assert f"{found['gain']['psnr']:+.2f}" in out


def test_the_file_of_a_prediction_is_what_is_looked_at(tmp_path, bicubic):
    cube = workdirs.scene(32, 32)
    formats.write_scene(tmp_path / "a.npy", cube)
    predict.predict(bicubic, tmp_path / "a.npy", tmp_path / "sr.npy", Options(quicklook=False))
    made, _ = formats.read_scene(tmp_path / "sr.npy")
    again = np.asarray(BICUBIC(made[None])["lr"][0])
    with formats.open_scene(tmp_path / "a.npy") as scene:
        network = trained.load(bicubic)
        found = assess.assess(network, scene, output=tmp_path / "sr.npy")
        assert found.consistency.rmse == pytest.approx(
            np.sqrt(((again - cube) ** 2).mean()), rel=1e-4
        )
        with pytest.raises(UserError, match="is 32 x 32: .* times 2 is 64 x 64"):
            assess.assess(network, scene, output=tmp_path / "a.npy")


def test_a_network_that_makes_bands_is_refused(tmp_path):
    ssran = workdirs.make(tmp_path / "run", "ssran", bands=6, msi=3)
    formats.write_scene(tmp_path / "a.npy", workdirs.scene(bands=3))
    with pytest.raises(UserError, match="ssran makes bands"):
        assess.evaluate_scene(tmp_path / "a.npy", workdir=ssran)


def test_a_pair_is_scored_by_every_protocol(rcam, tmp_path, capsys):
    hr = workdirs.scene(40, 48)
    lr = np.asarray(resize.imresize(hr, 0.5))
    formats.write_scene(tmp_path / "lr.tif", lr, SceneMeta(wavelengths=WAVELENGTHS))
    formats.write_scene(tmp_path / "hr.npy", hr, SceneMeta(wavelengths=WAVELENGTHS))
    config = json.loads((rcam / "config.json").read_text())
    found = assess.evaluate_pair(config, rcam, tmp_path / "lr.tif", tmp_path / "hr.npy")
    bicubic = np.asarray(resize.imresize(lr, 2))
    mse = np.mean((bicubic - hr) ** 2, axis=(0, 1))
    assert found["bicubic"]["MPSNR"] == pytest.approx(np.mean(10 * np.log10(1 / mse)), abs=1e-3)
    projected = back_projected(bicubic[None], lr[None], BICUBIC, scale=2, rounds=3)[0]
    mse = np.mean((np.asarray(projected) - hr) ** 2, axis=(0, 1))
    psnr = found["baselines"]["back_projected"]["MPSNR"]
    assert psnr == pytest.approx(np.mean(10 * np.log10(1 / mse)), abs=1e-3)
    assert set(found["protocols"]) == {"sspsr", "asnlsr", "ssran"}
    predict.predict(rcam, tmp_path / "lr.tif", tmp_path / "sr.npy", Options(quicklook=False))
    estimate = np.load(tmp_path / "sr.npy")
    rmse = np.sqrt(np.mean((estimate - hr) ** 2))
    assert found["protocols"]["asnlsr"]["test"]["RMSE"] == pytest.approx(rmse, rel=1e-4)
    folder = next((rcam / "pairs").glob("lr-??????"))
    assert json.loads((folder / "metrics.json").read_text()) == found
    assert set(found["identity"]) == {"weights", "scene", "jax", "reference"}
    assert list(found["identity"]["scene"]) == ["lr.tif"]
    rows = (folder / "metrics.csv").read_text().splitlines()
    assert rows[0] == "protocol,image,method,metric,value" and len(rows) > 40
    methods = {row.split(",")[2] for row in rows[1:]}  # named as on the page
    assert methods == {"rcam", "bicubic", "back_projected"}
    assert "<h1>rcam ×2" in (folder / "report" / "index.html").read_text()
    assert (folder / "report" / "index.html").stat().st_size > 10_000
    assert "asnlsr\n" in capsys.readouterr().out
    assert not list(folder.glob("estimate*"))


def test_files_of_one_name_have_scores_of_their_own(bicubic, tmp_path):
    hr, config = workdirs.scene(32, 32), json.loads((bicubic / "config.json").read_text())
    formats.write_scene(tmp_path / "hr.npy", hr)
    for number, place in enumerate(("x", "y"), 1):
        (tmp_path / place).mkdir()
        formats.write_scene(tmp_path / place / "=in.npy", hr + number / 10)
        assess.evaluate_pair(config, bicubic, tmp_path / place / "=in.npy", tmp_path / "hr.npy")
    folders = list((bicubic / "pairs").glob("_in-*"))
    scores = [json.loads((f / "metrics.json").read_text())["test"]["RMSE"] for f in folders]
    assert sorted(scores) == pytest.approx([0.1, 0.2], rel=1e-4)
    assert ",'=in,'=in," in (folders[0] / "metrics.csv").read_text()  # no formula


def test_an_output_that_nothing_is_written_to_is_refused(rcam, tmp_path):
    given = [f"--workdir={rcam}", f"--output={tmp_path / 'a.json'}"]
    for more in ([], [f"--input={tmp_path / 'a.npy'}", f"--reference={tmp_path / 'b.npy'}"]):
        code, _, err = hsisr("--mode=eval", *given, *more)
        assert code == 2 and "--output is for --input without --reference" in err


def test_an_estimate_of_another_method_is_scored_as_it_is(rcam, tmp_path):
    hr = workdirs.scene(32, 32)
    formats.write_scene(tmp_path / "hr.npy", hr)
    formats.write_scene(tmp_path / "sr.npy", hr + 0.1)
    config = json.loads((rcam / "config.json").read_text())
    found = assess.evaluate_pair(config, rcam, tmp_path / "sr.npy", tmp_path / "hr.npy")
    assert found["test"]["RMSE"] == pytest.approx(0.1, rel=1e-4) and "bicubic" not in found
    broken = hr.copy()
    broken[3, 4, 1] = np.nan  # no no-data value says so: the method failed there
    formats.write_scene(tmp_path / "sr.npy", broken)
    found = assess.evaluate_pair(config, rcam, tmp_path / "sr.npy", tmp_path / "hr.npy")
    assert all(np.isnan(v) for part in found["protocols"].values() for v in part["test"].values())
    formats.write_scene(tmp_path / "sr.npy", broken, SceneMeta(nodata=np.nan))
    found = assess.evaluate_pair(config, rcam, tmp_path / "sr.npy", tmp_path / "hr.npy")
    assert found["test"]["RMSE"] == 0 and found["protocol"]["pixels_left_out"] == 1
    formats.write_scene(tmp_path / "odd.npy", hr[:20])
    with pytest.raises(UserError, match="give the reference of this input"):
        assess.evaluate_pair(config, rcam, tmp_path / "odd.npy", tmp_path / "hr.npy")
    with pytest.raises(UserError, match="both --input and --reference"):
        assess.evaluate_pair(config, rcam, tmp_path / "odd.npy", None)
