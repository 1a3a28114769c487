"""From runs of `anyband` to a file of weights, and what it gives, as with the packaged one."""

import importlib.util
import json
from pathlib import Path

import numpy as np
import pytest

import hsisr_jax
from hsisr_jax import weights
from hsisr_jax.errors import UserError
from hsisr_jax.inference import trained
from hsisr_jax.models.spec import NetworkSpec
from hsisr_jax.train import train_and_evaluate
from hsisr_jax.weights.__main__ import main

ROOT = Path(__file__).parents[1]
CUBE = np.random.default_rng(0).random((12, 10, 5)).astype(np.float32)


def config(argument: str, folder: Path):
    spec = importlib.util.spec_from_file_location("anyband", ROOT / "configs" / "anyband.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    found = module.get_config(f"{argument},smoke")
    found.data.dir = str(folder / "datasets")
    found.steps, found.eval_every, found.batch_size, found.log_every = 2, 1, 4, 1
    found.tiny, found.model = False, {"name": "anyband", "features": 8, "blocks": 1}
    return found


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """x4 as a whole; from it, x3 in its last layer alone."""
    folder = tmp_path_factory.mktemp("runs")
    first = train_and_evaluate(config("x4", folder), folder / "x4")
    second = config("x3,tail", folder)
    second.init_from = str(folder / "x4")
    found = train_and_evaluate(second, folder / "x3")
    assert np.isfinite([*first["test"].values(), *found["test"].values()]).all()
    rows = [json.loads(row) for row in (folder / "x3" / "metrics.jsonl").read_text().splitlines()]
    assert {row["step"] for row in rows if row["kind"] == "eval"} == {0, 1, 2}  # 0: from the run
    return folder


def test_the_file_gives_what_the_runs_give(runs, monkeypatch, capsys):
    target = runs / "made" / "anyband.npz"
    assert main([str(runs / "x4"), str(runs / "x3"), f"--output={target}"]) == 0
    assert "x3, x4" in capsys.readouterr().out
    assert weights.sizes(target) == {"features": 8, "blocks": 1}
    with np.load(target) as stored:
        assert {x.dtype for x in stored.values()} == {np.dtype(np.float16)}
        assert np.abs(stored["tail_x4/kernel"]).max() > 0
    monkeypatch.setattr(weights, "packaged", lambda: target)
    for scale, sensor in ((3, "bicubic"), (4, "bicubic"), (4, {"name": "mtf", "mtf": 0.1})):
        options = {"degradation": sensor, "limits": False}
        own = hsisr_jax.sharpen(CUBE, scale, workdir=runs / f"x{scale}", **options)
        packed = hsisr_jax.sharpen(CUBE, scale, **options)
        np.testing.assert_allclose(packed, own, atol=2e-3)
    assert np.abs(own - hsisr_jax.sharpen(CUBE, 4, limits=False)).max() > 0.02
    with pytest.raises(UserError, match="no weights for scale 2"):
        hsisr_jax.sharpen(CUBE, 2)


def told(given: list[str], capsys) -> str:
    """The error of the command, which ends with 2."""
    assert main(given) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ") and error.count("\n") == 1
    return error


def test_what_a_file_cannot_hold_is_told(capsys, tmp_path, monkeypatch):
    def loaded(run):
        """Runs by their names: of x2 or x4, with a trunk of ones or of other numbers."""
        name, scale, value = run.name.split("_")
        tail = {f"tail_x{scale}": {"kernel": np.ones(2)}}
        params = {"params": {"trunk": {"head": {"kernel": np.full(3, float(value))}} | tail}}
        spec = NetworkSpec(name, scale=int(scale))
        return trained.Loaded(trained.Trained(spec), lambda: (params, 0))

    output = f"--output={tmp_path}/a.npz"
    assert "no model.json" in told([str(tmp_path / "none"), output], capsys)
    monkeypatch.setattr(trained, "load", loaded)
    assert "anyband_4_2 are of one scale" in told(["anyband_4_2", "anyband_4_2", output], capsys)
    error = told(["runs/anyband_4_2", "anyband_2_1", output], capsys)
    assert "another trunk" in error and "x2,tail --config.init_from=runs/anyband_4_2" in error
    assert "a run of rcam" in told(["rcam_2_1", output], capsys)
    assert "not finite, or too large" in told(["anyband_2_1e9", output], capsys)
    assert "ends in .npz" in told(["anyband_2_1", f"--output={tmp_path}/a.bin"], capsys)
    (tmp_path / "file").write_text("")
    assert "cannot write" in told(["anyband_2_1", f"--output={tmp_path}/file/a.npz"], capsys)
    assert not list(tmp_path.glob("*.npz")) and not list(tmp_path.glob(".*partial"))
    assert main(["anyband_2_1", "anyband_4_1", output]) == 0
    assert "x2, x4, 7 parameters" in capsys.readouterr().out
