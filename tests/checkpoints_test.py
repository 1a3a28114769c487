"""Checkpoints: kept as asked, and never trusted blindly."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from command import unmeasured

from hsisr_jax.checkpoints import Checkpoints, reading, targets
from hsisr_jax.errors import UserError
from hsisr_jax.training.stopping import Interrupted, Signals

PLACE = jax.sharding.SingleDeviceSharding(jax.devices()[0])


def tree(value):
    return {"params": {"w": jnp.full((40, 30), float(value))}, "ema": {}}


def asked():
    abstract = tree(0)
    return targets(abstract, jax.tree.map(lambda _: PLACE, abstract))


def steps_of(folder):
    return sorted(int(p.name) for p in (folder / "checkpoints").iterdir() if p.name.isdigit())


def fill(folder, scores, **options):
    with Checkpoints(folder, metric="PSNR", **options) as checkpoints:
        for step, score in scores.items():
            checkpoints.save(step, tree(step), {"PSNR": score} if score is not None else None)
        checkpoints.wait()
        return checkpoints.best, checkpoints.latest


def test_latest_and_best_are_kept(tmp_path):
    scores = {1: 20.0, 2: 30.0, 3: None, 4: 25.0, 5: None, 6: None}
    assert fill(tmp_path, scores, keep=2) == (2, 6)
    assert steps_of(tmp_path) == [2, 5, 6]
    listed = sorted(p.stem for p in (tmp_path / "checkpoints").glob("*.sha256"))
    assert listed == ["2", "5", "6"]


def test_lower_may_be_better(tmp_path):
    assert fill(tmp_path, {1: 3.0, 2: 1.0, 3: 2.0, 4: 4.0}, higher_is_better=False) == (2, 4)


@pytest.mark.parametrize("higher", [True, False])
def test_of_equal_scores_the_first_is_the_best(tmp_path, higher):
    scores = {1: 1.0, 2: 3.0, 3: 3.0, 4: 2.0} if higher else {1: 3.0, 2: 1.0, 3: 1.0, 4: 2.0}
    assert fill(tmp_path, scores, keep=1, higher_is_better=higher) == (2, 4)
    assert steps_of(tmp_path) == [2, 4]


def test_an_existing_step_is_left_alone(tmp_path):
    with Checkpoints(tmp_path) as checkpoints:
        checkpoints.save(1, tree(1))
        checkpoints.wait()
        checkpoints.save(1, tree(2))
        found = checkpoints.restore(1, asked())
    np.testing.assert_array_equal(found["params"]["w"], tree(1)["params"]["w"])


def largest(folder):
    return max((p for p in folder.rglob("*") if p.is_file()), key=lambda p: p.stat().st_size)


def flip_a_bit(step):
    path = largest(step)
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


@pytest.mark.parametrize(
    "harm", [flip_a_bit, lambda step: largest(step).unlink(),
             lambda step: (step / "_CHECKPOINT_METADATA").unlink()]
)  # fmt: skip
def test_a_damaged_latest_is_set_aside_and_the_user_told(tmp_path, harm):
    fill(tmp_path, {1: 1.0, 2: 2.0})
    harm(tmp_path / "checkpoints" / "2")
    said = []
    with Checkpoints(tmp_path, say=said.append) as checkpoints:
        assert checkpoints.latest == 1
        found = checkpoints.restore(1, asked())
    np.testing.assert_array_equal(found["params"]["w"], tree(1)["params"]["w"])
    assert "checkpoint 2 is damaged" in said[0]
    assert (tmp_path / "checkpoints" / "2.damaged").is_dir()


def test_nothing_of_a_damaged_step_speaks_of_the_next_one_of_its_number(tmp_path):
    fill(tmp_path, {1: 1.0, 2: 2.0})
    folder = tmp_path / "checkpoints"
    (folder / "2.scores").write_text('{"PSNR": 99.0}')
    flip_a_bit(folder / "2")
    with Checkpoints(tmp_path, metric="PSNR", say=str) as checkpoints:
        assert sorted(p.name for p in folder.glob("2.*")) == ["2.damaged"]
        checkpoints.save(2, tree(7))
    with Checkpoints(tmp_path, metric="PSNR", say=str) as checkpoints:
        assert (checkpoints.best, checkpoints.latest) == (1, 2)
        np.testing.assert_array_equal(checkpoints.restore(2, asked())["params"]["w"][0, 0], 7)


def test_a_step_without_its_list_is_trusted(tmp_path):
    fill(tmp_path, {1: 1.0})
    (tmp_path / "checkpoints" / "1.sha256").unlink()
    with Checkpoints(tmp_path) as checkpoints:
        assert checkpoints.latest == 1


def test_sums_are_of_every_file(tmp_path):
    fill(tmp_path, {1: 1.0})
    listed = json.loads((tmp_path / "checkpoints" / "1.sha256").read_text())
    files = [p for p in (tmp_path / "checkpoints" / "1").rglob("*") if p.is_file()]
    assert len(listed) == len(files) > 3


def test_another_shape_is_a_clear_error(tmp_path):
    fill(tmp_path, {1: 1.0})
    other = {"params": {"w": jnp.zeros((4, 3))}}
    wanted = targets(other, jax.tree.map(lambda _: PLACE, other))
    with Checkpoints(tmp_path) as checkpoints, pytest.raises(UserError, match="does not fit"):
        checkpoints.restore(1, wanted)


@pytest.mark.parametrize("reworded", [ValueError, KeyError])
def test_a_signal_while_a_checkpoint_is_read_is_a_stop(tmp_path, monkeypatch, reworded):
    """Orbax reports it as an error of its own, which was told as a misfit of the network."""
    fill(tmp_path, {1: 1.0})

    def load(*_):
        try:
            os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(1)
        except BaseException as error:
            raise reworded(str(error)) from error

    with Checkpoints(tmp_path, metric="PSNR", read_only=True) as checkpoints, Signals() as signals:
        monkeypatch.setattr(type(checkpoints._checkpointer), "load_checkpointables", load)
        with pytest.raises(Interrupted), signals.at_once(nothing_to_save=False):
            checkpoints.restore(1, asked())


def test_another_runs_folder_is_only_read(tmp_path):
    fill(tmp_path, {1: 1.0, 2: 2.0})
    folder = tmp_path / "checkpoints"
    flip_a_bit(folder / "2")
    unfinished = folder / "3.orbax-checkpoint-tmp"
    unfinished.mkdir()
    with Checkpoints(tmp_path, metric="PSNR", read_only=True) as checkpoints:
        assert (checkpoints.latest, checkpoints.best) == (1, 1)
    assert unfinished.is_dir() and (folder / "2").is_dir()
    with Checkpoints(tmp_path, metric="PSNR", say=lambda text: None) as checkpoints:
        assert checkpoints.latest == 1
    assert not unfinished.exists() and (folder / "2.damaged").is_dir()
    with pytest.raises(UserError, match="no checkpoints"):
        Checkpoints(tmp_path / "none", read_only=True)
    assert not (tmp_path / "none").exists()


def test_scores_may_be_added_to_a_step(tmp_path):
    with Checkpoints(tmp_path, metric="PSNR") as checkpoints:
        checkpoints.save(1, tree(1))
        assert not checkpoints.has_scores(1)
        checkpoints.save(1, tree(1), {"PSNR": 3.0})
        checkpoints.wait()
        assert checkpoints.has_scores(1)
    with Checkpoints(tmp_path, metric="PSNR") as checkpoints:
        assert checkpoints.best == 1 and checkpoints.has_scores(1)


def snapshot(folder):
    """Every file of a step, as it lies on the disk: one that is written again is another."""
    stats = {path: path.stat() for path in sorted(folder.rglob("*"))}
    return {str(path): (s.st_ino, s.st_mtime_ns, s.st_size) for path, s in stats.items()}


@pytest.mark.parametrize("keep", [1, 2])
def test_scores_that_come_later_cost_no_checkpoint_even_if_killed(tmp_path, keep, monkeypatch):
    """A step was deleted before it was written again with its scores: a kill lost it."""
    folder = tmp_path / "checkpoints"
    with Checkpoints(tmp_path, metric="PSNR", keep=keep) as checkpoints:
        checkpoints.save(1, tree(1))
        checkpoints.wait()
        before = snapshot(folder / "1")
        with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
            patch.setattr(os, "fsync", killed)  # within the write of the scores
            checkpoints.save(1, tree(1), {"PSNR": 3.0})
        assert snapshot(folder / "1") == before
        checkpoints.save(1, tree(1), {"PSNR": 3.0})
        assert snapshot(folder / "1") == before
    with Checkpoints(tmp_path, metric="PSNR", keep=keep) as checkpoints:
        assert checkpoints.best == 1 and checkpoints.has_scores(1)
        np.testing.assert_array_equal(
            checkpoints.restore(1, asked())["params"]["w"], tree(1)["params"]["w"]
        )


def killed(*_):
    raise KeyboardInterrupt


def test_a_step_whose_scores_came_later_may_be_the_best(tmp_path):
    with Checkpoints(tmp_path, metric="PSNR", keep=1) as checkpoints:
        checkpoints.save(1, tree(1))
        checkpoints.save(1, tree(1), {"PSNR": 30.0})
        for step, score in {2: 20.0, 3: None, 4: 10.0}.items():
            checkpoints.save(step, tree(step), score and {"PSNR": score})
    assert steps_of(tmp_path) == [1, 4]
    assert [p.name for p in (tmp_path / "checkpoints").glob("*.scores")] == ["1.scores"]
    (tmp_path / "checkpoints" / "2.scores").write_text("[]")
    (tmp_path / "checkpoints" / "x.scores").write_text("{")
    with Checkpoints(tmp_path, metric="PSNR", keep=1) as checkpoints:
        assert (checkpoints.best, checkpoints.latest) == (1, 4)
        checkpoints.save(5, tree(5), {"PSNR": 31.0})
    assert steps_of(tmp_path) == [5]
    assert not list((tmp_path / "checkpoints").glob("1.*"))


@pytest.mark.parametrize("text", ["[]", "3", "", "{", "\x00"])
def test_a_list_of_sums_that_is_none_is_damage(tmp_path, text):
    fill(tmp_path, {1: 1.0, 2: 2.0})
    (tmp_path / "checkpoints" / "2.sha256").write_text(text)
    said = []
    with Checkpoints(tmp_path, metric="PSNR", say=said.append) as checkpoints:
        assert checkpoints.latest == 1
    assert said == [
        "checkpoint 2 is damaged (its list of sums is unreadable): set aside as 2.damaged"
    ]


@pytest.mark.parametrize(
    ("scores", "best", "kept"),
    [([31.0, np.nan, 30.0, 29.0, 28.0], 1, [1, 5]), ([np.nan, 30.0, 31.0], 3, [3]),
     ([np.inf, 30.0, 29.0], 2, [2, 3]), ([np.nan, np.nan], 2, [2])],
)  # fmt: skip
def test_a_score_that_is_not_finite_is_never_the_best(tmp_path, scores, best, kept):
    found = fill(tmp_path, dict(enumerate(scores, 1)), keep=1)
    assert found == (best, len(scores))
    assert set(kept) <= set(steps_of(tmp_path))
    with Checkpoints(tmp_path, metric="PSNR", read_only=True) as checkpoints:
        assert checkpoints.best == best


FULL = """
import resource, signal, sys
import jax.numpy as jnp
from hsisr_jax.checkpoints import Checkpoints
from hsisr_jax.errors import UserError
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
trees = {"params": {f"w{i}": jnp.full((40, 40), i) for i in range(8)}}
try:
    with Checkpoints(sys.argv[1], metric="PSNR", keep=9) as checkpoints:
        checkpoints.save(1, trees, {"PSNR": 1.0})
        checkpoints.wait()
        resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[2]),) * 2)
        for step in range(2, 9):
            checkpoints.save(step, trees, {"PSNR": 1.0 * step})
except UserError as error:
    print("error:", error)
"""


@pytest.mark.parametrize("size", [0, 150, 700])
def test_a_full_disk_is_told_of_in_a_line(tmp_path, size):
    """Whichever of Orbax's threads meets it first: each used to log a traceback or two."""
    command = [sys.executable, "-c", FULL, str(tmp_path), str(size)]
    root = Path(__file__).parents[1]
    found = subprocess.run(
        command, cwd=root, env=unmeasured(), text=True, capture_output=True, timeout=300
    )
    assert found.stdout.startswith("error: cannot write a checkpoint to"), found.stderr
    assert "ERROR:absl" not in found.stderr, found.stderr
    with Checkpoints(tmp_path, metric="PSNR") as checkpoints:
        assert checkpoints.latest >= 1


SAVE = """
import sys
import jax.numpy as jnp
from hsisr_jax.checkpoints import Checkpoints
with Checkpoints(sys.argv[1], metric="PSNR", keep=1) as checkpoints:
    for step in range(1, 100_000):
        checkpoints.save(step, {"params": {"w": jnp.full((40, 30), float(step))}}, {"PSNR": step})
        if step == 2:
            print("saving", flush=True)
"""


def test_weights_are_read_while_a_run_replaces_them(tmp_path):
    """A step that is listed may be gone when it is read: then there is a newer one."""

    @reading
    def newest(workdir):
        with Checkpoints(workdir, metric="PSNR", read_only=True) as found:
            step = found.latest
            return step, found.restore(step, asked())["params"]["w"]

    command = [sys.executable, "-c", SAVE, str(tmp_path)]
    run = subprocess.Popen(
        command, cwd=Path(__file__).parents[1], stdout=subprocess.PIPE, text=True
    )
    try:
        assert run.stdout.readline() == "saving\n"
        steps = []
        for _ in range(10):
            step, found = newest(tmp_path)
            np.testing.assert_array_equal(found, float(step))
            steps.append(step)
        assert run.poll() is None and len(set(steps)) > 1
    finally:
        run.kill()
        run.communicate()


def test_an_error_of_another_kind_is_not_tried_again(tmp_path):
    fill(tmp_path, {1: 1.0})
    calls = []

    @reading
    def broken(workdir):
        calls.append(workdir)
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        broken(tmp_path)
    assert len(calls) == 1

    @reading
    def never(workdir):
        (tmp_path / "checkpoints" / str(len(calls) + 5)).mkdir()
        calls.append(workdir)
        raise FileNotFoundError

    with pytest.raises(UserError, match="change faster than they can be read"):
        never(tmp_path)
    assert len(calls) == 6
