"""A workdir that an older version made: trained as a correction, by the mean of two networks."""

import json
import zipfile
from pathlib import Path

import numpy as np
import pytest

from hsisr_jax import formats, predict, train
from hsisr_jax.formats import SceneMeta
from hsisr_jax.inference import older, trained
from hsisr_jax.training import optimizers
from hsisr_jax.training.workdir import read_config

FILE = Path(__file__).parents[1] / "data" / "old_workdir.zip"


@pytest.fixture
def workdir(tmp_path):
    with zipfile.ZipFile(FILE) as file:
        file.extractall(tmp_path / "run")
    return tmp_path / "run"


def test_it_is_evaluated_and_trained_on(workdir, tmp_path):
    before = json.loads((workdir / "metrics.json").read_text())
    config = read_config(workdir)
    config["data"]["dir"] = str(tmp_path / "data")
    found = train.evaluate_only(config, workdir)
    for name, value in before["test"].items():
        assert found["test"][name] == pytest.approx(value, rel=1e-3)
    assert (found["parameters"], found["steps"]) == (before["parameters"], 3)
    assert "spec" in json.loads((workdir / "model.json").read_text())
    config["steps"] = 4
    assert train.train_and_evaluate(config, workdir)["steps"] == 4


def test_it_predicts(workdir, tmp_path):
    with np.load(next((workdir / "eval").glob("*.npz"))) as kept:
        cubes = {name: kept[name].astype(np.float32) for name in ("lr", "sr", "wavelengths")}
    meta = SceneMeta(wavelengths=cubes["wavelengths"])
    formats.write_scene(tmp_path / "in.npy", cubes["lr"], meta)
    options = predict.Options(tile=64, limits="none", quicklook=False)
    predict.predict(workdir, tmp_path / "in.npy", tmp_path / "out.npy", options)
    np.testing.assert_allclose(np.load(tmp_path / "out.npy"), cubes["sr"], atol=2e-3)


def test_every_base_of_before_has_its_kind():
    card = {"network": {"name": "ssran", "bands": 5, "msi_bands": 2}, "scale": 1, "bands": 5,
            "msi_bands": 2, "wrapper": "LeastSquaresResidual"}  # fmt: skip
    found = trained.Trained.from_json(card)
    assert found.spec.base == {"kind": "least_squares"} and found.inputs == 2
    model = {"name": "rcam"}
    for given, kind in (
        ({"residual": False, "base_projection": 3}, "none"),
        ({"residual": True}, "bicubic"),
        ({"residual": True, "base_projection": 2}, "back_projected"),
        ({"residual": True, "base_filters": 4}, "filters"),
        ({"residual": True, "model": {"name": "ssran"}}, "least_squares"),
    ):
        config = older.config({"model": model, **given})
        assert config["base"]["kind"] == kind and not set(older.GONE) & set(config)


def test_an_optimizer_that_left_out_what_was_usual():
    given = {"learning_rate": 1e-3, "clip": 1.0}
    found = older.config({"optimizer": given})["optimizer"]
    assert set(found) == set(optimizers.KEYS) and found == older.OPTIMIZER | given
    pair = {"generator": given, "discriminator": {"learning_rate": 1e-4, "skip_unused": True}}
    found = older.config({"optimizer": pair})["optimizer"]
    assert found["generator"] == older.OPTIMIZER | given
    assert found["discriminator"]["skip_unused"] and found["discriminator"]["accumulate"] == 1
