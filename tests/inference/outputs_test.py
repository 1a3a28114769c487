"""All test outputs of a run, in every format, score as the run says."""

import json
import shutil

import numpy as np
import pytest
import tiny_config
from scipy.io import loadmat

from hsisr_jax import metrics
from hsisr_jax.errors import UserError
from hsisr_jax.formats import read_scene
from hsisr_jax.train import evaluate_only, train_and_evaluate


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A run of two steps that validates by its loss every half epoch, with saved outputs."""
    folder = tmp_path_factory.mktemp("saved")
    config = tiny_config.get_config()
    config.steps, config.data.dir = 2, str(folder / "data")
    config.eval.save, config.eval_every_epochs = "mat", 1e-6
    config.select, config.select_metric, config.loggers = "best", "loss", ()
    train_and_evaluate(config, folder / "run")
    return config, folder / "run"


def read(folder, kind):
    """`(name, pred, gt)` of every image."""
    if kind == "mat":
        for path in sorted(folder.glob("*.mat")):
            found = loadmat(path)
            assert found["ms_bicubic"].shape == found["gt"].shape
            yield path.stem, found["pred"], found["gt"]
    ending = {"npy": ".npy", "envi": ".hdr"}.get(kind, ".none")
    load = np.load if kind == "npy" else lambda path: read_scene(path)[0]
    for path in sorted(folder.glob(f"*_pred{ending}")):
        name = path.name.removesuffix(f"_pred{ending}")
        yield name, load(path), load(folder / f"{name}_gt{ending}")


@pytest.mark.parametrize("kind", ["mat", "npy", "envi"])
def test_other_peoples_scripts_can_score_them(trained, kind, tmp_path):
    config, run = trained
    place = run
    if kind != "mat":
        config, run = config.copy_and_resolve_references(), shutil.copytree(run, tmp_path / "run")
        config.eval.save = kind
        evaluate_only(config, run)
        place = run / "eval" / f"save-{kind}"
    results = json.loads((trained[1] / "metrics.json").read_text())
    found = {name: (pred, gt) for name, pred, gt in read(place / "outputs", kind)}
    assert len(found) == len(results["images"]) > 0
    for image in results["images"]:
        pred, gt = found[image["name"]]
        assert pred.dtype == gt.dtype == np.float32
        psnr = float(metrics.evaluate(gt, pred, protocol="sspsr", ratio=2)["MPSNR"])
        assert psnr == pytest.approx(image["test"]["MPSNR"], abs=1e-4)


def test_periods_in_epochs_and_selection_by_the_loss(trained):
    _, run = trained
    rows = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    scores = {row["step"]: row["loss"] for row in rows if row["kind"] == "eval"}
    assert list(scores) == [1, 2] and all(value > 0 for value in scores.values())
    best = min(scores, key=scores.get)
    assert json.loads((run / "metrics.json").read_text())["steps"] == best
    assert not list(run.glob("events.*"))  # no logger was asked for


@pytest.mark.parametrize(
    ("key", "value", "words"),
    [("eval.save", "tiff", "use mat, npy, envi"), ("loggers", ("wandbb",), "tensorboard, wandb")],
)
def test_unknown_ones_are_found_before_the_first_step(key, value, words, tmp_path):
    config = tiny_config.get_config()
    config.update_from_flattened_dict({key: value})
    with pytest.raises(UserError, match=words):
        train_and_evaluate(config, tmp_path / "run")
    assert not (tmp_path / "run").exists()
