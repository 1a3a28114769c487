"""The package's network as the base of a correction, from the first step to prediction."""

import jax
import numpy as np
import pytest
import tiny_config

import hsisr_jax
from hsisr_jax import degrade, formats, predict, train
from hsisr_jax.errors import UserError
from hsisr_jax.inference import packaged, trained
from hsisr_jax.models.anyband import SCENE
from hsisr_jax.models.bases import FROZEN
from hsisr_jax.training import experiment

NOTHING_LEARNT = 1e-12  # a learning rate


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("run")
    config = tiny_config.get_config()
    config.data.dir = str(folder / "data")
    config.base.update({"kind": "pretrained", "source": packaged.NAME})
    config.steps, config.eval_every, config.optimizer.learning_rate = 2, 0, NOTHING_LEARNT
    scores = train.train_and_evaluate(config, folder / "run")
    return config, folder / "run", scores


def test_it_starts_at_the_packaged_networks_estimate(run):
    """On a test image: what `sharpen` makes of it, with the image's own components."""
    config, _, scores = run
    data = experiment.describe(config).data
    hr = np.asarray(data.train[0].normaliser.apply(data.test[0].hr[None], np))
    lr = np.asarray(degrade.create("bicubic", scale=2)(hr.astype(np.float32))["lr"][0])
    sharper = hsisr_jax.sharpen(lr, 2, limits=False)
    psnr = -10 * np.log10(np.mean((sharper - hr[0]) ** 2, (0, 1))).mean()
    assert psnr == pytest.approx(scores["test"]["MPSNR"], abs=0.02)
    assert psnr > scores["bicubic"]["MPSNR"] + 0.1


def test_a_scene_is_predicted_with_its_own_components(run, tmp_path):
    """A run that has learnt nothing gives what `sharpen` gives, also where the spectra have
    nothing in common with those that it was trained on."""
    _, folder, _ = run
    rng = np.random.default_rng(3)
    rows, columns = np.indices((24, 20))
    fields = np.stack([np.sin(rows / a + columns / b) > 0 for a, b in ((3, 4), (5, -3), (-4, 7))])
    spectra = rng.uniform(0.2, 0.8, (3, 6))
    scene = np.tensordot(fields.transpose(1, 2, 0), spectra, 1).astype(np.float32) / 3 + 0.1
    formats.write_scene(tmp_path / "in.npy", scene)
    options = predict.Options(limits="none")
    predict.predict(folder, tmp_path / "in.npy", tmp_path / "out.npy", options)
    by_file, wanted = np.load(tmp_path / "out.npy"), hsisr_jax.sharpen(scene, 2, limits=False)
    in_memory = hsisr_jax.sharpen(scene, 2, workdir=folder, limits=False)
    for made in (by_file, in_memory):
        assert np.sqrt(np.mean((made - wanted) ** 2)) < 2e-3 * scene.std()
    lazy = lazily(scene, scale=2, workdir=folder)
    assert lazy.chunks is not None
    wanted = hsisr_jax.sharpen(scene, 2, workdir=folder)
    np.testing.assert_allclose(lazy.values.transpose(1, 2, 0), wanted, atol=1e-6)


def lazily(scene, **options):
    """In blocks of rows, by Dask."""
    xarray = pytest.importorskip("xarray")
    pytest.importorskip("rioxarray")
    from hsisr_jax.xarray import sharpen

    array = xarray.DataArray(scene.transpose(2, 0, 1), dims=("band", "y", "x"))
    return sharpen(array.chunk({"y": 9}), **options)


def test_prediction_and_export_need_the_workdir_alone(run, tmp_path, monkeypatch):
    """Its weights and, for an exported program, the components of the training scene are stored
    with the run's: both are closer to the truth than bicubic upsampling."""
    _, folder, _ = run
    rows, columns, bands = np.indices((48, 32, 6))
    fields = np.sign(np.sin(rows / 3.1 + 0.4) * np.cos(columns / 4.3))  # with sharp borders
    truth = (0.5 + (0.2 + bands / 50) * fields).astype(np.float32)
    seen = {
        name: np.asarray(x[0])
        for name, x in degrade.create("bicubic", scale=2)(truth[None]).items()
    }
    monkeypatch.setattr(packaged.weights, "anyband", None)
    formats.write_scene(tmp_path / "in.npy", seen["lr"])
    predict.predict(folder, tmp_path / "in.npy", tmp_path / "out.npy", predict.Options())
    bicubic = np.abs(seen["lms"] - truth).mean()
    assert np.abs(np.load(tmp_path / "out.npy") - truth).mean() < 0.95 * bicubic
    predict.export(folder, tmp_path / "model")
    exported = jax.export.deserialize((tmp_path / "model").read_bytes())
    h, w = seen["lr"].shape[:2]
    rows, columns = exported.in_avals[0].shape[1:3]
    around = ((0, max(rows - h, 0)), (0, max(columns - w, 0)), (0, 0))
    given = np.pad(seen["lr"], around, mode="symmetric")[None, :rows, :columns]
    made = np.asarray(exported.call(given))[0]
    inner = slice(4, 2 * min(rows, h) - 4), slice(4, 2 * min(columns, w) - 4)
    errors = [np.abs(x[inner] - truth[inner]).mean() for x in (made, seen["lms"])]
    assert errors[0] < 0.95 * errors[1]


def test_a_resumed_run_keeps_its_base(run):
    _, folder, scores = run
    network = trained.load(folder)
    stored = network.weights()[0][FROZEN]["variables"]
    assert stored[SCENE]["vectors"].shape == (6, 32) and np.abs(stored[SCENE]["mean"]).min() > 0
    config = run[0].copy_and_resolve_references()
    config.steps = 3
    again = train.train_and_evaluate(config, folder)
    assert again["steps"] == 3
    assert again["test"]["MPSNR"] == pytest.approx(scores["test"]["MPSNR"], abs=1e-4)


def test_a_scale_without_weights_is_refused(tmp_path):
    config = tiny_config.get_config()
    config.scale, config.data.dir = 5, str(tmp_path)
    config.base.update({"kind": "pretrained", "source": packaged.NAME})
    with pytest.raises(UserError, match="no weights for scale 5: use 2, 3, 4 or 8"):
        experiment.describe(config)


@pytest.mark.parametrize(
    "degradation, expected",
    [
        ({"name": "area", "noise_snr": 30.0}, {"name": "area"}),
        ({"name": "mtf", "mtf": (0.2, 0.4)}, {"name": "mtf", "mtf": (0.2, 0.4)}),
        ({"name": "spectral"}, {"name": "bicubic"}),
    ],
)
def test_what_the_network_is_told_of_a_degradation(degradation, expected):
    assert packaged.nearest(degradation, 4) == expected


def test_the_mtf_of_a_measured_blur_is_told():
    """A Gaussian by its name and as a kernel is the same."""
    kernel = degrade.gaussian_kernel(16, 1.7).tolist()
    measured = packaged.nearest({"name": "psf", "kernel": kernel}, 4)["mtf"]
    named = packaged.nearest({"name": "gaussian", "sigma": 1.7}, 4)["mtf"]
    assert measured == pytest.approx(named, abs=1e-3)
    assert named == pytest.approx(np.exp(-2 * (np.pi * 1.7 / 8) ** 2))
