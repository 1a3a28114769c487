"""A workdir belongs to one config and one process; its logs survive a killed run."""

import io
import json
import math
import os
import shutil
import signal
import subprocess
import sys
import time

import defaults
import numpy as np
import pytest

from hsisr_jax import identity
from hsisr_jax.errors import UserError
from hsisr_jax.report.runs import flat
from hsisr_jax.training import hooks
from hsisr_jax.training.hooks import Means, MetricsLog, Progress, clock
from hsisr_jax.training.patience import Patience
from hsisr_jax.training.stopping import Signals
from hsisr_jax.training.workdir import Workdir, read_config

CONFIG = {"model": {"name": "sspsr", "features": 8}, "steps": 10, "data": {"dir": ""}}


def test_it_records_config_and_environment(tmp_path):
    with Workdir(tmp_path / "a", CONFIG):
        pass
    assert read_config(tmp_path / "a") == CONFIG
    facts = json.loads((tmp_path / "a" / "environment.json").read_text())
    assert facts["versions"]["jax"] and facts["hardware"] and facts["commit"]


def test_another_config_is_refused_but_more_steps_are_not(tmp_path):
    with Workdir(tmp_path, CONFIG):
        pass
    with Workdir(tmp_path, CONFIG | {"steps": 20, "data": {"dir": "elsewhere"}}):
        pass
    other = CONFIG | {"model": {"name": "sspsr", "features": 9}}
    with pytest.raises(UserError, match=r"model.features \(8 there, 9 now\)"):
        Workdir(tmp_path, other).__enter__()


RUN = {
    "seed": 1, "scale": 2, "batch_size": 8, "precision": "float32", "ema": 0.9, "members": 1,
    "training": "supervised", "select": "best", "select_metric": "MPSNR", "base": {"kind": "none"},
    "deterministic": True, "init_from": "", "loss": {"name": "l1"}, "model": {"name": "rcam"},
    "optimizer": defaults.optimizer(schedule="", freeze="encoder"),  # a text each, to be changed
    "data": {"name": "pavia", "patch": 32, "stride": 8, "augment": True, "path": "", "dir": ""},
}  # fmt: skip


@pytest.mark.parametrize("key", [k for k in flat(RUN) if k != "data.dir"])
def test_no_setting_that_makes_another_run_may_change(tmp_path, key):
    """All that steps depend on: with another batch size or another average it is another run."""
    with Workdir(tmp_path, RUN):
        pass
    other = json.loads(json.dumps(RUN))
    part, _, name = key.rpartition(".")
    owner = other[part] if part else other
    value = owner[name]
    if isinstance(value, bool):
        owner[name] = not value
    else:
        owner[name] = value + ("x" if isinstance(value, str) else 1)
    with pytest.raises(UserError, match=f"another config: {key} "):
        Workdir(tmp_path, other).__enter__()


@pytest.mark.parametrize("error", [UserError, TypeError, ZeroDivisionError])
def test_an_error_before_the_first_step_leaves_the_workdir_free(tmp_path, error):
    with pytest.raises(error), Workdir(tmp_path / "a", CONFIG) as folder:
        folder.write_json("model.json", {})
        raise error
    assert not (tmp_path / "a").exists()
    with pytest.raises(error), Workdir(tmp_path / "runs" / "a", CONFIG):
        raise error
    assert not (tmp_path / "runs").exists()
    with pytest.raises(error), Workdir(tmp_path / "runs" / "a", CONFIG):
        (tmp_path / "runs" / "b").mkdir()  # another run's
        raise error
    assert [path.name for path in (tmp_path / "runs").iterdir()] == ["b"]
    with pytest.raises(error), Workdir(tmp_path / "a", CONFIG) as folder:
        (folder.path / "metrics.jsonl").write_text("{}")
        raise error
    assert read_config(tmp_path / "a") == CONFIG


def test_a_workdir_that_was_removed_under_a_run_ends_it_with_a_line(tmp_path):
    with pytest.raises(UserError, match="cannot write"), Workdir(tmp_path / "a", CONFIG) as folder:
        shutil.rmtree(folder.path)
        folder.write_json("model.json", {})


def test_paths_are_stored_for_any_folder_to_run_in(tmp_path, monkeypatch):
    (tmp_path / "b").mkdir()
    monkeypatch.chdir(tmp_path / "b")
    paths = {
        "path": "../a.hdr",
        "dir": "",
        "manual_dir": "gs://x/y",
        "options": {"path": ["c", "d"]},
    }
    given = CONFIG | {"init_from": "runs/../c", "data": paths}
    with Workdir(tmp_path / "w", given):
        pass
    monkeypatch.chdir(tmp_path)
    found = read_config(tmp_path / "w")
    assert found["init_from"] == str(tmp_path / "b" / "c")
    assert found["data"] == {
        "path": str(tmp_path / "a.hdr"),
        "dir": "",
        "manual_dir": "gs://x/y",
        "options": {"path": [f"{tmp_path}/b/c", f"{tmp_path}/b/d"]},
    }
    with Workdir(tmp_path / "w", found):
        pass
    with pytest.raises(UserError, match="another config: data.options.path .*, data.path"):
        Workdir(tmp_path / "w", found | {"data": paths}).__enter__()


def test_a_second_process_is_refused(tmp_path):
    code = (
        "import sys, time; from hsisr_jax.training.workdir import Workdir\n"
        f"with Workdir({str(tmp_path)!r}, {CONFIG!r}): print('open', flush=True); time.sleep(60)"
    )
    other = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    try:
        assert other.stdout.readline() == "open\n"
        with pytest.raises(UserError, match="another process is using"):
            Workdir(tmp_path, CONFIG).__enter__()
    finally:
        other.kill()
        other.wait()
    with Workdir(tmp_path, CONFIG):
        pass  # a killed process leaves no lock behind


def test_a_file_in_the_way_is_a_clear_error(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="cannot write to the workdir"):
        Workdir(tmp_path / "file" / "run", CONFIG).__enter__()


@pytest.mark.parametrize("text", ["", "{", "[1]", "\x00"])
def test_a_broken_config_is_a_clear_error(tmp_path, text):
    (tmp_path / "config.json").write_text(text)
    with pytest.raises(UserError, match=r"config\.json"):
        read_config(tmp_path)


def test_differences_are_dotted():
    assert identity.changes({"a": {"b": 1, "c": 2}}, {"a": {"b": 1, "c": 3}, "d": 0}) == [
        "a.c",
        "d",
    ]


def test_a_line_holds_the_means_since_the_last_one(tmp_path):
    """Also over a stop: what was added before it is kept beside the checkpoint."""
    nan = float("nan")
    whole = Means(tmp_path, 0)
    for loss, steps in ((1.0, 2), (nan, 1), (4.0, 1)):
        whole.add({"loss": np.float32(loss)}, steps)
    whole.save(4)
    whole.add({"loss": np.float32(nan)}, 1)
    whole.save(5)
    resumed = Means(tmp_path, 4)
    for means in (whole, resumed):
        means.add({"loss": np.float32(7)}, 2)
        assert means.take() == {"loss": (2 * 1 + 4 + 2 * 7) / 5}
        means.add({"loss": np.float32(nan)}, 1)
        assert np.isnan(means.take()["loss"]) and means.take() == {}
    (tmp_path / "unlogged.json").write_text("[3")
    assert Means(tmp_path, 4).take() == {}


def test_metrics_rows_after_the_checkpoint_and_half_lines_go(tmp_path):
    with MetricsLog(tmp_path, 0) as log:
        for step in (1, 2, 3):
            log.write("train", step, {"loss": 1.0 / step})
    path = tmp_path / "metrics.jsonl"
    path.write_text(path.read_text() + '{"kind": "tra')
    with MetricsLog(tmp_path, 2) as log:
        log.write("train", 3, {"loss": 7.0})
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    assert [(r["step"], r["loss"]) for r in rows] == [(1, 1.0), (2, 0.5), (3, 7.0)]
    assert list(tmp_path.glob("events.out.tfevents*"))


def test_a_number_that_is_none_is_null_in_the_log(tmp_path):
    values = {"loss": float("nan"), "a": float("inf"), "b": 1.5}
    with MetricsLog(tmp_path, 0) as log:
        log.write("train", 1, values)
        log.write("eval", 1, {"PSNR": float("nan")})
    first, second = (tmp_path / "metrics.jsonl").read_text().splitlines()
    assert json.loads(first) == {"kind": "train", "step": 1, "loss": None, "a": None, "b": 1.5}
    earlier = MetricsLog(tmp_path, 1).earlier
    patience = Patience(1, 1, "PSNR")
    assert patience.was_over(earlier, 2) and patience.best == -float("inf")
    odd = '{"kind": "eval", "step": 1, "PSNR": "x"}\n{"step": 1}\n[]\n{"step": "1"}\n'
    (tmp_path / "metrics.jsonl").write_text(second + "\n" + odd + "[" * 100_000)
    earlier = MetricsLog(tmp_path, 1).earlier
    assert len(earlier) == 2 and Patience(2, 1, "PSNR").was_over(earlier, 2)


def test_signals_ask_for_a_stop_and_are_given_back():
    before = signal.getsignal(signal.SIGTERM)
    with Signals() as signals:
        assert not signals.asked()
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(0.01)
        assert signals.asked() and signals.received == signal.SIGTERM
    assert signal.getsignal(signal.SIGTERM) is before


def test_progress_is_plain_where_there_is_no_terminal():
    stream = io.StringIO()
    progress = Progress(100, 0, 4, stream)
    progress.update(10, {"loss": 0.5})
    assert stream.getvalue() == ""
    progress.update(100, {"loss": 0.25}, force=True)
    text = stream.getvalue()
    assert (
        "step 100/100" in text and "loss 0.275" in text and "\r" not in text and "\x1b" not in text
    )


def test_a_plain_line_has_the_mean_loss_since_the_one_before(monkeypatch):
    stream = io.StringIO()
    progress = Progress(20, 0, 4, stream)
    for step, loss in ((1, 9.0), (10, 1.0), (15, math.nan)):
        progress.update(step, {"loss": loss, "learning_rate": loss})
    assert stream.getvalue() == ""
    monkeypatch.setattr(hooks, "PLAIN_SECONDS", 0.0)
    progress.update(16, {"loss": 2.0, "learning_rate": 0.5})
    progress.update(20, {"loss": 4.0, "learning_rate": 0.5})
    first, last = stream.getvalue().splitlines()
    assert f"loss {(9 + 9 * 1 + 2) / 11:.4g}  learning_rate 0.5" in first and "loss 4  " in last


def test_a_slow_rate_is_not_shown_as_zero():
    stream = io.StringIO()
    progress = Progress(100, 0, 1, stream, unit="tiles")
    progress.began -= 50.0
    progress.update(20, {}, force=True)
    assert "tiles 20/100  0.4 tiles/s  ETA 3:2" in stream.getvalue()


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.mark.parametrize("stream", [io.StringIO(), Terminal()])
def test_thousands_of_patch_files_do_not_fill_the_screen(stream):
    progress = Progress(0, 0, 1, stream)
    for i in range(500):
        progress.note(f"reading block_{i}", 1, 2)
        progress.note(f"reading block_{i}", 2, 2)
    progress.note("storing patches", 500, 500)
    lines = stream.getvalue().splitlines()
    kept = stream.getvalue().count("\n")
    assert "reading block_0 2/2" in stream.getvalue() and lines[-1].endswith("patches 500/500")
    assert 2 <= kept < 20


def test_progress_is_one_live_line_on_a_terminal():
    stream = Terminal()
    progress = Progress(100, 0, 4, stream)
    progress.update(50, {"loss": 0.5})
    assert stream.getvalue().startswith("\r") and "ETA" in stream.getvalue()
    assert "\n" not in stream.getvalue()


def test_clock():
    assert [clock(5), clock(75), clock(3700)] == ["0:05", "1:15", "1:01:40"]
