"""`--mode=predict` from and to an S3: the whole command, stops, and what two processes do."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from hsisr_jax import formats, predict
from hsisr_jax.errors import UserError
from hsisr_jax.formats import SceneMeta
from hsisr_jax.formats.places import Url
from hsisr_jax.inference import remote
from hsisr_jax.inference.options import Options
from tests.helpers import workdirs
from tests.helpers.command import hsisr, unmeasured

pytest.importorskip("moto.server")
pytest.importorskip("flask_cors")
from tests.helpers import buckets  # noqa: E402

META = SceneMeta(wavelengths=np.linspace(450, 700, 4), nodata=-1)
INPUT, OUTPUT = "s3://scenes/in.zarr", "s3://scenes/sharp/out.zarr"
TILES = ("--tile=16", "--overlap=4")
OPTIONS = Options(tile=16, overlap=4)


@pytest.fixture(scope="module")
def bicubic(tmp_path_factory):
    return workdirs.make(tmp_path_factory.mktemp("runs") / "bicubic")


@pytest.fixture(scope="module")
def server():
    with buckets.served() as found:
        yield found


@pytest.fixture
def bucket(server):
    formats.write_scene(INPUT, workdirs.scene(90, 40), META)
    yield server
    server.clear()


def unfinished(bucket) -> list[str]:
    return [name for name in bucket.names() if ".unfinished" in name]


def test_from_a_bucket_to_a_bucket(bicubic, bucket, tmp_path, monkeypatch):
    """As from a file to a file, with the picture and the page beside the store."""
    xarray = pytest.importorskip("xarray")
    pytest.importorskip("zarr")
    monkeypatch.chdir(tmp_path)
    command = ("--mode=predict", f"--workdir={bicubic}", f"--input={INPUT}", f"--output={OUTPUT}")
    code, said, wrong = hsisr(*command)
    assert code == 0, wrong
    assert "report: s3://scenes/sharp/out_report.html" in said + wrong
    assert not list(tmp_path.iterdir())
    formats.write_scene(tmp_path / "in.npy", workdirs.scene(90, 40), META)
    predict.predict(bicubic, tmp_path / "in.npy", tmp_path / "out.zarr")
    copy = bucket.download("sharp", tmp_path / "copy")
    with xarray.open_zarr(copy / "out.zarr", chunks=None) as found:
        cube = found["cube"].load()
        assert cube.shape == (4, 180, 80)
        np.testing.assert_array_equal(cube.wavelength, META.wavelengths)
    local, _ = formats.read_scene(tmp_path / "out.zarr")
    np.testing.assert_array_equal(cube.transpose("y", "x", "band"), local)
    assert sorted(p.name for p in copy.iterdir()) == [
        "out.zarr", "out_quicklook.png", "out_report.html",
    ]  # fmt: skip
    assert (copy / "out_report.html").read_bytes().lower().startswith(b"<!doctype html")
    picture = (tmp_path / "out_quicklook.png").read_bytes()
    assert (copy / "out_quicklook.png").read_bytes() == picture
    assert not unfinished(bucket)
    code, _, wrong = hsisr(*command)
    assert code == 2 and "a store is there" in wrong and len(wrong.splitlines()) == 1


def test_a_killed_run_is_continued_by_the_same_command(bicubic, bucket, tmp_path):
    command = ["--mode=predict", f"--workdir={bicubic}", f"--input={INPUT}", *TILES]
    program = (
        "import os, signal\n"
        "from hsisr_jax import cli\n"
        "from hsisr_jax.inference import remote\n"
        "add, made = remote.UrlJournal.add, []\n"
        "def killed(self, unit):\n"
        "    add(self, unit)\n"
        "    made.append(unit)\n"
        "    if len(made) == 2: os.kill(os.getpid(), signal.SIGKILL)\n"
        "remote.UrlJournal.add = killed\n"
        "cli.run()\n"
    )
    argv = [sys.executable, "-c", program, *command, f"--output={OUTPUT}"]
    root = Path(__file__).parents[1]
    env = {**unmeasured(), "PYTHONPATH": os.pathsep.join([str(root), *sys.path])}
    assert subprocess.run(argv, cwd=root, env=env).returncode == -signal.SIGKILL
    kept = unfinished(bucket)
    assert sum("/units/" in name for name in kept) == 2
    assert sum("/quicklook/" in name for name in kept) >= 2
    with pytest.raises(UserError, match="an unfinished one is"):
        formats.open_scene(OUTPUT)
    code, _, wrong = hsisr(*command, f"--output={OUTPUT}", "--limits=none")
    assert code == 2 and "unfinished, with another options.limits" in wrong
    assert unfinished(bucket) == kept
    code, _, wrong = hsisr(*command, f"--output={OUTPUT}")
    assert code == 0, wrong
    assert "resuming out.zarr" in wrong and not unfinished(bucket)
    code, _, wrong = hsisr(*command, f"--output={tmp_path}/whole.zarr")
    assert code == 0, wrong
    whole, _ = formats.read_scene(tmp_path / "whole.zarr")
    np.testing.assert_array_equal(formats.read_scene(OUTPUT)[0], whole)
    picture = (tmp_path / "whole_quicklook.png").read_bytes()
    assert bucket.get("sharp/out_quicklook.png") == picture


def test_a_run_that_another_one_continues_stops(bicubic, bucket, monkeypatch):
    """And whoever finds the store finished does not begin it again."""
    add, began = remote.UrlJournal.add, []

    def overtaken(self, unit):
        if not began:
            began.append(unit)
            monkeypatch.setattr(remote.UrlJournal, "add", add)
            predict.predict(bicubic, INPUT, OUTPUT, OPTIONS)
        add(self, unit)

    monkeypatch.setattr(remote.UrlJournal, "add", overtaken)
    with pytest.raises(UserError, match="another process continues or has finished it"):
        predict.predict(bicubic, INPUT, OUTPUT, OPTIONS)
    made, _ = formats.read_scene(OUTPUT)
    assert np.isfinite(made).all() and not unfinished(bucket)


def test_of_two_that_begin_at_once_one_waits(bicubic, bucket, monkeypatch):
    put = remote.objects.Objects.put

    def late(self, name, content, *, instead_of=None):
        if name == remote.WORK:
            put(self, name, b"{}")
        return put(self, name, content, instead_of=instead_of)

    monkeypatch.setattr(remote.objects.Objects, "put", late)
    with pytest.raises(UserError, match="another process has just begun it"):
        predict.predict(bicubic, INPUT, OUTPUT, OPTIONS)
    monkeypatch.undo()
    with pytest.raises(UserError, match="unfinished, with another work"):
        predict.predict(bicubic, INPUT, OUTPUT, OPTIONS)


def test_what_a_bucket_cannot_do_is_refused_before_the_work(bicubic, bucket, tmp_path):
    command = ["--mode=predict", f"--workdir={bicubic}", f"--input={INPUT}", *TILES]
    remote.objects.put(Url("s3://scenes/sharp/taken_report.html"), b"dear")
    for flags, message in (
        ([f"--output={OUTPUT}", "--parts=2"], "parts are shared out by locks"),
        (["--output=s3://scenes/out.tif"], "ends in .zarr"),
        (["--output=s3://nonesuch/out.zarr"], "no bucket 'nonesuch'"),
        (["--output=s3://scenes/sharp/taken.zarr"], "is no HTML page"),
        ([f"--output={INPUT}"], "a store is there"),
        ([f"--input={tmp_path}/a.tif,{tmp_path}/b.tif", f"--output={OUTPUT}"], "several scenes"),
        ([f"--output={OUTPUT}", f"--uncertainty={OUTPUT}"], "is the file of --output"),
    ):
        code, _, wrong = hsisr(*command, *flags)
        assert code == 2 and message in wrong, (flags, wrong)
        assert len(wrong.splitlines()) == 1 and not unfinished(bucket)


def test_standard_deviations_in_a_bucket(bicubic, bucket):
    code, _, wrong = hsisr("--mode=predict", f"--workdir={bicubic}", f"--input={INPUT}",
                           f"--output={OUTPUT}", *TILES,
                           "--uncertainty=s3://scenes/sharp/std.zarr")  # fmt: skip
    assert code == 0, wrong
    assert (formats.read_scene("s3://scenes/sharp/std.zarr")[0] > 0).all()
    assert b"standard deviation" in bucket.get("sharp/out_report.html")
