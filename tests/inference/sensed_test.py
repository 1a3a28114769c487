"""The MTF and the noise of a scene's file, and of the regions that a run trains on."""

import json
import re

import numpy as np
import pytest
import tiny_config
import workdirs
from command import hsisr

import hsisr_jax
from hsisr_jax import degrade, formats, predict, train
from hsisr_jax.data import synthetic
from hsisr_jax.errors import UserError
from hsisr_jax.inference import sensed
from hsisr_jax.ops import noise

BANDS = 32
CENTRES = np.linspace(450, 900, BANDS)
GOOD = np.delete(CENTRES, 4).tolist()


@pytest.fixture(scope="module")
def blurred():
    """Mixed spectra of a ground with power at all frequencies, seen through an MTF of 0.2."""
    rng = np.random.default_rng(0)
    f = np.hypot(np.fft.fftfreq(256)[:, None], np.fft.rfftfreq(256)[None])
    f[0, 0] = np.inf
    waves = np.fft.rfft2(rng.standard_normal((3, 256, 256))) * f**-1.2
    ground = np.fft.irfft2(waves).transpose(1, 2, 0)
    cube = 0.4 + 0.1 * ground / ground.std() @ rng.random((3, BANDS)) / 3
    seen = np.asarray(degrade.mtf_downsample(cube.astype(np.float32), 2, 0.2))
    return seen + (0.001 * rng.standard_normal(seen.shape)).astype(np.float32)


def written(path, cube, **more):
    meta = formats.SceneMeta(wavelengths=CENTRES, scale=1e-4, **more)
    formats.write_scene(path, np.rint(cube * 1e4).astype(np.int16), meta)
    return path


def test_a_command_tells_the_mtf_and_the_noise(blurred, tmp_path, capsys):
    cube = blurred.copy()
    cube[:5, :9] = -0.0001
    bad = np.arange(BANDS) == 4
    cube[..., 4] = 1e4 * np.random.default_rng(1).random(cube.shape[:2]) / 1e4
    source = written(tmp_path / "in.hdr", cube, nodata=-1, bad_bands=bad)
    options = predict.Options(mtf="auto", quicklook=False)
    workdir = workdirs.make(tmp_path / "run", bands=BANDS - 1, wavelengths=GOOD)
    predict.predict(workdir, source, tmp_path / "out.hdr", options)
    told = capsys.readouterr().err
    found = re.search(r"MTF at .* scene: (\S+) \((\S+) to (\S+) with 90 %\)", told)
    value, low, high = map(float, found.groups())
    assert low < 0.2 < high and abs(np.log(value / 0.2)) < 0.35
    assert re.search(r"noise by band: signal-to-noise ratio 5[12] dB in the median", told)


def test_auto_is_estimated_once_for_all_that_is_made(blurred, tmp_path, monkeypatch):
    """The output, its standard deviations and its page."""
    source, calls, estimate = written(tmp_path / "in.hdr", blurred), [], sensed.mtf
    workdir = workdirs.make(tmp_path / "run", bands=BANDS, wavelengths=CENTRES.tolist())
    monkeypatch.setattr(sensed, "mtf", lambda *given: calls.append(1) or estimate(*given))
    code, _, told = hsisr(
        "--mode=predict", f"--workdir={workdir}", f"--input={source}", "--mtf=auto",
        f"--output={tmp_path / 'out.hdr'}", f"--uncertainty={tmp_path / 'std.hdr'}",
    )  # fmt: skip
    assert code == 0 and len(calls) == 1
    assert told.count("MTF at the Nyquist") == told.count("noise by band") == 1
    assert (tmp_path / "out_report.html").exists() and (tmp_path / "std.hdr").exists()


def test_a_network_for_another_sensor_says_so(blurred, tmp_path, capsys):
    source = written(tmp_path / "in.hdr", blurred)
    for mtf, word in ((0.7, "blurrier"), (0.2, ""), (0.03, "sharper")):
        facts = {"bands": BANDS, "wavelengths": CENTRES.tolist()}
        workdir = workdirs.make(
            tmp_path / f"run{mtf}", degradation={"name": "mtf", "mtf": mtf}, **facts
        )
        predict.predict(workdir, source, tmp_path / f"{mtf}.hdr", predict.Options(quicklook=False))
        told = capsys.readouterr().err
        assert ("than the network assumes" in told) == bool(word) and word in told


def test_a_run_may_take_both_from_its_training_regions(tmp_path):
    size = {"height": 64, "width": 96, "bands": BANDS, "fractions": (0.7, 0.15, 0.15)}
    config = tiny_config.get_config()
    config.data.degradation = {"name": "mtf", "mtf": "auto", "noise_snr": "auto"}
    config.data.options = size
    config.steps = 1
    train.train_and_evaluate(config, tmp_path / "run")
    card = json.loads((tmp_path / "run" / "model.json").read_text())
    found = card["degradation"]
    assert 0.05 < found["mtf"] < 0.95 and len(found["noise_snr"]) == BANDS
    assert 20 < np.median(found["noise_snr"]) < 60


def test_names_and_auto_in_python(blurred):
    given = {"name": "mtf", "mtf": "auto"}
    found, told = sensed.resolved(given, lambda: [blurred])
    assert 0.13 < found["mtf"] < 0.3 and "estimated" in told[0]
    assert sensed.resolved({"name": "mtf", "mtf": "enmap"}, list)[0]["mtf"] == 0.2
    assert sensed.resolved("bicubic", list) == ("bicubic", [])
    few = [blurred[..., :4]]
    found, told = sensed.resolved({"name": "area", "noise_snr": "auto"}, lambda: few)
    assert found["noise_snr"] is None and "not estimated" in told[0]
    degrade.create("mtf", scale=2, mtf="prisma")
    with pytest.raises(UserError, match="estimated from a scene"):
        degrade.create("mtf", scale=2, mtf="auto")


def test_a_cube_is_sharpened_by_its_own_mtf(blurred):
    small, given = blurred[:32, :32], {"name": "mtf", "mtf": "auto"}
    number, _ = sensed.resolved(given, lambda: [small])
    expected = hsisr_jax.sharpen(small, 2, degradation=number)
    np.testing.assert_array_equal(hsisr_jax.sharpen(small, 2, degradation=given), expected)


def test_the_noise_of_a_scene_with_known_noise():
    cube, wavelengths, _, spectra = synthetic.generate(96, 96, 64, seed=0, snr=(30.0, 50.0))
    true = synthetic.noise_level(wavelengths, spectra, (30.0, 50.0))
    found = noise.snr(cube.reshape(-1, 64))
    expected = 10 * np.log10(np.square(cube).mean((0, 1)) / np.broadcast_to(true, 64) ** 2)
    assert np.abs(found - expected).max() < 1.5
    assert re.search(r"30 dB at|3\d dB at", sensed.noise_line(found, wavelengths))
