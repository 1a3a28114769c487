"""Many scenes to a folder, by one process and by several of which one is killed."""

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

from hsisr_jax import formats, locks, many
from hsisr_jax.errors import UserError
from hsisr_jax.formats import SceneMeta

ROOT = Path(__file__).parents[1]
META = SceneMeta(wavelengths=np.linspace(450, 700, 4), transform=(2.0, 0, 9, 0, -2, 8))


@pytest.fixture(scope="module")
def bicubic(tmp_path_factory):
    return workdirs.make(tmp_path_factory.mktemp("runs") / "bicubic")


def scenes(folder: Path, count: int, ending=".hdr", *, side=12) -> Path:
    folder.mkdir()
    for i in range(count):
        cube = workdirs.scene(side, side + 3, seed=i)
        formats.write_scene(folder / f"s{i}{ending}", cube, META)
    return folder


def test_one_that_fails_does_not_stop_the_others(bicubic, tmp_path):
    folder, out = scenes(tmp_path / "in", 3), tmp_path / "out"
    (folder / "s1.img").write_bytes(b"short")
    command = ["--mode=predict", "--noreport", f"--workdir={bicubic}", f"--input={folder}/*.hdr"]
    code, said, _ = hsisr(*command, f"--output={out}/")
    assert code == 2 and "2 of 3 scenes are there" in said
    assert "s1.hdr: failed:" in said and "s0.hdr: done" in said and "Traceback" not in said
    made = formats.read_scene(out / "s2_x2.hdr")[0]
    np.testing.assert_array_equal(made.shape, (24, 30, 4))
    before = (out / "s2_x2.img").stat().st_mtime_ns
    formats.write_scene(folder / "s1.hdr", workdirs.scene(12, 15, seed=7), META)
    formats.write_scene(folder / "s0.hdr", workdirs.scene(12, 15, seed=8), META)
    first = (out / "s0_x2.img").read_bytes()
    code, said, _ = hsisr(*command, f"--output={out}/")
    assert code == 0 and "3 of 3 scenes are there" in said
    assert said.count("was finished") == 1 and "s2.hdr: was finished" in said
    assert (out / "s2_x2.img").stat().st_mtime_ns == before
    assert (out / "s0_x2.img").read_bytes() != first  # of another scene now
    code, said, _ = hsisr(*command, f"--output={out}/", "--dtype=uint16")
    assert said.count(": done") == 3  # of other settings


def test_a_list_and_a_pattern_for_the_output(bicubic, tmp_path):
    folder = scenes(tmp_path / "in", 2, ".npy")
    code, said, _ = hsisr(
        "--mode=predict", f"--workdir={bicubic}", "--noquicklook",
        f"--input={folder}/s0.npy,{folder}/s1.npy", f"--output={tmp_path}/fine/*_sharp.zarr",
    )  # fmt: skip
    assert code == 0, said
    assert len(list((tmp_path / "fine").glob("*.html"))) == 2  # a page of each
    found, meta = formats.read_scene(tmp_path / "fine" / "s1_sharp.zarr")
    assert found.shape == (24, 30, 4) and meta.transform == (1, 0, 9, 0, -1, 8)


def test_which_files_a_pattern_names(tmp_path):
    scenes(tmp_path / "in", 1)
    for name in ("a.tif", "a.tif.aux.xml", "a_quicklook.png", "b.img.partial", "c.he5"):
        (tmp_path / "in" / name).touch()
    found = [Path(name).name for name in many.inputs(f"{tmp_path}/in/*")]
    assert found == ["a.tif", "c.he5", "s0.hdr"]
    made = many.targets(["x/a.tif", "x/c.he5", "x/d.hdr", "x/e.zarr"], "out", 4)
    assert [t.name for t in made] == ["a_x4.tif", "c_x4.tif", "d_x4.hdr", "e_x4.zarr"]
    with pytest.raises(UserError, match="several inputs"):
        many.targets(["x/a.tif", "y/a.tif"], "out", 4)
    assert many.inputs("s3://bucket/a,b.zarr") == ["s3://bucket/a,b.zarr"]
    (tmp_path / "in" / "a.tif.work.json").touch()  # made by an earlier call
    assert [Path(n).name for n in many.inputs(f"{tmp_path}/in/*")] == ["c.he5", "s0.hdr"]
    assert not many.several("a.tif", "b.tif") and many.several("a.tif", "out/")


def test_nothing_found_is_told(bicubic, tmp_path):
    command = ["--mode=predict", f"--workdir={bicubic}", f"--input={tmp_path}/*.hdr"]
    code, _, said = hsisr(*command, f"--output={tmp_path}/")
    assert code == 2 and "no file has such a name" in said
    code, _, said = hsisr(*command, f"--output={tmp_path}/", "--parts=2")
    assert code == 2 and "for one scene" in said


def test_what_another_process_makes_is_waited_for(bicubic, tmp_path, monkeypatch):
    folder = scenes(tmp_path / "in", 1)
    target = tmp_path / "s0_x2.hdr"
    other = locks.output(*formats.written_files(target))
    other.__enter__()
    waited = []

    def leave(seconds):
        waited.append(seconds)
        other.__exit__(None, None, None)

    monkeypatch.setattr(many.time, "sleep", leave)
    command = ["--mode=predict", "--noreport", f"--workdir={bicubic}", f"--input={folder}/*.hdr"]
    code, said, _ = hsisr(*command, f"--output={tmp_path}")
    assert code == 0 and len(waited) == 1 and "s0.hdr: done" in said


def test_two_processes_of_which_one_is_killed(bicubic, tmp_path):
    folder = scenes(tmp_path / "in", 4, side=40)
    command = [sys.executable, "main.py", "--mode=predict", f"--workdir={bicubic}",
               f"--input={folder}/*.hdr", "--noreport"]  # fmt: skip

    def start(out):
        where = {"cwd": ROOT, "stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
        return subprocess.Popen([*command, f"--output={out}/"], **where)

    two = [start(tmp_path / "two") for _ in range(2)]
    while not list(tmp_path.glob("two/*.lock.partial")) and two[0].poll() is None:
        time.sleep(0.01)
    os.kill(two[0].pid, signal.SIGKILL)
    said, _ = two[1].communicate(timeout=300)
    assert two[1].returncode == 0, said
    assert start(tmp_path / "one").wait(timeout=300) == 0
    for path in (tmp_path / "one").glob("*.img"):
        assert (tmp_path / "two" / path.name).read_bytes() == path.read_bytes()
    assert len(list((tmp_path / "two").glob("*.img"))) == 4
