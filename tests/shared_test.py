"""One scene by several processes: parts are shared, a killed one's are done, bytes are equal."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import workdirs
from command import hsisr

from hsisr_jax import formats, locks, predict, shared
from hsisr_jax.formats import SceneMeta
from hsisr_jax.inference import trained
from hsisr_jax.predict import Options

ROOT = Path(__file__).parents[1]
META = SceneMeta(wavelengths=np.linspace(450, 700, 4), nodata=-1)
FLAGS = ("--tile=16", "--overlap=4", "--noreport")


@pytest.fixture(scope="module")
def bicubic(tmp_path_factory):
    return workdirs.make(tmp_path_factory.mktemp("runs") / "bicubic")


@pytest.fixture
def scene(tmp_path):
    formats.write_scene(tmp_path / "in.npy", workdirs.scene(90, 40), META)
    return tmp_path / "in.npy"


def content(target: Path) -> dict[str, bytes]:
    """All bytes of an output, by the names of its files."""
    data = formats.written_files(target)[0]
    files = sorted(data.rglob("*")) if data.is_dir() else [data]
    return {str(f.relative_to(data)): f.read_bytes() for f in files if f.is_file()}


@pytest.mark.parametrize("ending", ["hdr", "zarr"])
def test_two_processes_of_which_one_is_killed(bicubic, scene, tmp_path, ending):
    one, two = tmp_path / f"one.{ending}", tmp_path / f"two.{ending}"
    command = ["--mode=predict", f"--workdir={bicubic}", f"--input={scene}", *FLAGS]
    assert hsisr(*command, f"--output={one}")[0] == 0
    argv = [sys.executable, "main.py", *command, f"--output={two}", "--parts=4"]
    where = {"cwd": ROOT, "stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
    first, second = (subprocess.Popen(argv, **where) for _ in range(2))
    while not list(tmp_path.glob("two*.part*.lock.partial")) and first.poll() is None:
        time.sleep(0.01)
    os.kill(first.pid, signal.SIGKILL)
    said, _ = second.communicate(timeout=300)
    assert second.returncode == 0, said
    assert content(two) == content(one)
    picture = "_quicklook.png"
    ours, theirs = ((tmp_path / f"{name}{picture}").read_bytes() for name in ("two", "one"))
    assert ours == theirs
    assert not list(tmp_path.glob("*.lock.partial"))
    code, _, said = hsisr(*command, f"--output={two}", "--parts=4")
    assert code == 0 and "is finished" in said
    assert not list(tmp_path.glob("*.partial"))


@pytest.mark.parametrize("ending", ["hdr", "zarr"])
def test_a_part_that_another_process_holds_is_left_to_it(
    bicubic, scene, tmp_path, monkeypatch, ending
):
    whole, target = tmp_path / f"whole.{ending}", tmp_path / f"a.{ending}"
    options = Options(tile=16, overlap=4)
    predict.predict(bicubic, scene, whole, options)
    held = locks.held(shared._beside(formats.written_files(target)[0], "part1"), "")
    held.__enter__()
    seen = []

    def release(seconds):  # its holder is killed while we wait
        done = len(list(tmp_path.glob("*.journal.partial"))[0].read_text().splitlines())
        seen.append(done)
        held.__exit__(None, None, None)

    monkeypatch.setattr(shared.time, "sleep", release)
    network = trained.load(bicubic)
    told = []
    given = (lambda *_: network, str(scene), target, options, 3)
    shared.predict(*given, after=lambda job, path: told.append(path))
    assert told == [target]
    assert len(seen) == 1 and content(target) == content(whole)


def test_other_settings_wait_for_those_that_are_writing(bicubic, scene, tmp_path):
    target = tmp_path / "a.zarr"
    command = ["--mode=predict", f"--workdir={bicubic}", f"--input={scene}", *FLAGS, "--parts=2"]
    with locks.held(shared._beside(target), "", shared=True):
        code, _, said = hsisr(*command, f"--output={target}")
    assert code == 2 and "with other settings" in said
    code, _, said = hsisr(*command, f"--output={tmp_path / 'a.tif'}")
    assert code == 2 and "ENVI or Zarr" in said
    with locks.held(shared._beside(target), "", shared=True):  # and who writes it alone
        code, _, said = hsisr(*command[:-1], f"--output={target}")
    assert code == 2 and "another process is writing" in said


def test_no_lock_file_is_left(bicubic, scene, tmp_path):
    """Neither those of a process that was killed nor those of one that finds nothing to do."""
    command = ["--mode=predict", f"--workdir={bicubic}", f"--input={scene}", *FLAGS, "--parts=2"]
    for _ in range(2):
        for name in ("turn", "part1", "part5"):
            shared._beside(tmp_path / "a.img", name).touch()
        code, _, said = hsisr(*command, f"--output={tmp_path / 'a.img'}")
        assert code == 0, said
        assert not list(tmp_path.glob("*.partial"))


def test_locks_that_others_hold_stay(bicubic, scene, tmp_path):
    command = ["--mode=predict", f"--workdir={bicubic}", f"--input={scene}", *FLAGS, "--parts=2"]
    target = tmp_path / "a.img"
    assert hsisr(*command, f"--output={target}")[0] == 0
    with locks.output(target):  # a prediction without --parts
        assert hsisr(*command, f"--output={target}")[0] == 0
        with pytest.raises(locks.Busy), locks.output(target):
            pass


@pytest.mark.parametrize("ending", ["hdr", "zarr"])
def test_a_process_is_killed_while_it_finishes_what_others_wait_for(
    bicubic, scene, tmp_path, monkeypatch, ending
):
    whole, target = tmp_path / f"whole.{ending}", tmp_path / f"a.{ending}"
    options = Options(tile=16, overlap=4)
    predict.predict(bicubic, scene, whole, options)
    data, make, ended = formats.written_files(target)[0], shared.SharedJob._make_parts, []

    def killed(self, *rest):
        make(self, *rest)
        if not ended:  # the data have their name, the header and the journal do not
            ended.append(os.replace(data.with_name(f"{data.name}.partial"), data))

    monkeypatch.setattr(shared.SharedJob, "_make_parts", killed)
    network = trained.load(bicubic)
    shared.predict(lambda *_: network, str(scene), target, options, 3)
    assert content(target) == content(whole)
    assert not list(tmp_path.glob("*.partial"))


def test_an_output_that_others_began_meanwhile_is_left_to_them(
    bicubic, scene, tmp_path, monkeypatch
):
    target, make, begun = tmp_path / "a.img", shared.SharedJob._make_parts, []

    def overtaken(self, *rest):
        make(self, *rest)
        for name in ("a.img.journal.partial", "a.img.partial"):  # of other settings
            (tmp_path / name).write_text("{}\n")
            begun.append(tmp_path / name)

    monkeypatch.setattr(shared.SharedJob, "_make_parts", overtaken)
    network = trained.load(bicubic)
    shared.predict(lambda *_: network, str(scene), target, Options(tile=16, overlap=4), 3)
    assert not target.exists() and all(path.read_text() == "{}\n" for path in begun)
