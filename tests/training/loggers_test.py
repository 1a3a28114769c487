"""Loggers: what reaches Weights and Biases, and what is said where it is not installed."""

import importlib
import sys
from types import SimpleNamespace

import pytest

from hsisr_jax import train
from hsisr_jax.errors import UserError
from hsisr_jax.training.hooks import MetricsLog


class Run:
    """A stand-in with the three calls of a wandb run that are used."""

    def __init__(self, **options):
        self.options, self.rows, self.id, self.ended = options, [], options["id"] or "abc", False

    def log(self, values, step):
        self.rows.append((step, values))

    def finish(self):
        self.ended = True


def test_wandb_gets_every_row_and_goes_on_after_a_stop(tmp_path, monkeypatch):
    runs = []

    def init(**options):
        runs.append(Run(**options))
        return runs[-1]

    monkeypatch.setitem(sys.modules, "wandb", SimpleNamespace(init=init))
    for start in (0, 5):
        with MetricsLog(tmp_path, start, ("tensorboard", "wandb")) as log:
            log.write("train", start + 1, {"loss": 0.5})
            log.write("eval", start + 2, {"PSNR": 30.0})
    assert [run.rows for run in runs] == [
        [(1, {"train/loss": 0.5}), (2, {"eval/PSNR": 30.0})],
        [(6, {"train/loss": 0.5}), (7, {"eval/PSNR": 30.0})],
    ]
    assert [run.options["id"] for run in runs] == [None, "abc"]
    assert all(run.ended and run.options["name"] == tmp_path.name for run in runs)
    assert len((tmp_path / "metrics.jsonl").read_text().splitlines()) == 4
    assert list(tmp_path.glob("events.out.tfevents.*"))


def test_without_wandb_a_run_is_refused_before_any_work(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "wandb", None)
    config = importlib.import_module("configs.quickstart").get_config()
    config.loggers = ("tensorboard", "wandb")
    with pytest.raises(UserError, match="pip install wandb"):
        train.train_and_evaluate(config, tmp_path / "run")
    assert not (tmp_path / "run").exists()
