"""Bad input and bad disks: a clear message, nothing half-prepared, a second run that succeeds."""

import errno
import multiprocessing
import os
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

import numpy as np
import pytest
import tifffile
from command import unmeasured
from scipy.io import savemat

from hsisr_jax.data import builder, cubes, plan
from hsisr_jax.errors import UserError

RNG = np.random.default_rng(1)
OPTIONS = {"height": 40, "width": 48, "bands": 6, "patch": 16, "fractions": (0.5, 0.0, 0.5)}


def prepared_folders(data_dir) -> list[str]:
    """Everything under data_dir but locks and empty folders."""
    return [p.name for p in data_dir.rglob("*") if p.is_file() and p.name != ".lock"]


def pavia(tmp_path, write):
    """Prepare Pavia Centre from a file that `write(path)` makes; return the error's text."""
    manual = tmp_path / "manual"
    manual.mkdir(exist_ok=True)
    write(manual / "Pavia.mat")
    with pytest.raises(UserError) as error:
        builder.prepare("pavia", "sspsr", data_dir=tmp_path / "data", manual_dir=manual)
    assert not [n for n in prepared_folders(tmp_path / "data") if "array_record" in n]
    assert str(error.value).count("\n") <= 1
    return str(error.value)


def test_wrong_variable_lists_those_there(tmp_path):
    text = pavia(tmp_path, lambda p: savemat(p, {"cube": np.zeros((4, 5, 102)), "gt": np.eye(3)}))
    assert "'pavia'" in text
    assert "cube (4x5x102)" in text
    assert "gt (3x3)" in text


@pytest.mark.parametrize(
    ("shape", "problem"),
    [
        ((72, 72, 3), "has 3 bands: 72x72x3"),
        ((128, 72, 72), "axes in another order: 128x72x72"),
        ((5, 6, 128), "has another size: 5x6x128"),
    ],
)
def test_wrong_bands_and_orientation(tmp_path, shape, problem):
    cubes_there = {"HSim": np.ones(shape, np.float32), "MSim": np.ones((72, 72, 9))}
    savemat(tmp_path / "paris_data_hs_ms.mat", cubes_there)
    with pytest.raises(UserError) as error:
        builder.prepare("paris", "ssran", data_dir=tmp_path / "data", manual_dir=tmp_path)
    assert problem in str(error.value)
    assert "instead of 72x72x128; use the published file" in str(error.value)


def test_truncated_file(tmp_path):
    def write(path):
        savemat(path, {"pavia": RNG.integers(0, 99, (20, 30, 102)).astype(np.uint16)})
        path.write_bytes(path.read_bytes()[:50_000])

    assert "Pavia.mat" in pavia(tmp_path, write)


def test_no_file_names_file_page_and_folder(tmp_path):
    with pytest.raises(UserError) as error:
        builder.prepare("unmixing", "urban", data_dir=tmp_path / "data")
    for part in ("Urban_R162.mat", "huggingface.co/datasets/danaroth/urban", "--manual_dir"):
        assert part in str(error.value)
    with pytest.raises(UserError, match="manual_dir .* is not a folder"):
        builder.prepare("pavia", "sspsr", data_dir=tmp_path, manual_dir=tmp_path / "absent")


def test_rescaled_copies_are_refused(tmp_path):
    values = RNG.random((100, 100, 198))
    matrix = values.reshape(-1, 198, order="F").T
    savemat(tmp_path / "jasperRidge2_R198.mat", {"Y": matrix, "nRow": 100, "nCol": 100})
    with pytest.raises(UserError, match="not the sensor's whole numbers .uint16."):
        builder.prepare("unmixing", "jasper_ridge", data_dir=tmp_path / "d", manual_dir=tmp_path)
    # Whole numbers in another type are the published values.
    savemat(tmp_path / "jasperRidge2_R198.mat", {"Y": np.round(matrix * 5000)})
    builder.prepare("unmixing", "jasper_ridge", data_dir=tmp_path / "d", manual_dir=tmp_path)
    train = builder.load("unmixing", "jasper_ridge", data_dir=tmp_path / "d")[0]["image"]
    np.testing.assert_array_equal(train, np.round(values * 5000)[:, :64].astype(np.uint16))


def test_a_flat_scene_cannot_be_normalised(tmp_path):
    np.save(tmp_path / "flat.npy", np.zeros((32, 40, 3), np.float32))
    with pytest.raises(UserError, match="has no contrast .every value is 0"):
        builder.prepare("scene", {"path": str(tmp_path / "flat.npy")}, data_dir=tmp_path / "d")


def test_a_zip_that_climbs(tmp_path):
    manual = tmp_path / "manual"
    manual.mkdir()
    image = tmp_path / "dc.tif"
    tifffile.imwrite(image, np.zeros((191, 4, 4), np.int16), photometric="minisblack")
    with zipfile.ZipFile(manual / "Hyperspectral_Project.zip", "w") as packed:
        packed.write(image, "dc.tif")
        packed.writestr("../../escaped.txt", "x")
    with pytest.raises(UserError, match="would leave its folder"):
        builder.prepare("washington_dc", "srlsgat", data_dir=tmp_path / "data", manual_dir=manual)
    assert not list(tmp_path.rglob("escaped.txt"))


@pytest.mark.parametrize(
    ("error", "problem"),
    [
        (OSError(errno.ENOSPC, "No space left on device"), "is full; make room"),
        (PermissionError(errno.EACCES, "denied", "/there/x"), "/there/x cannot be written"),
        (OSError(errno.EIO, "Input/output error"), "Input/output error"),
    ],
)
def test_a_failing_disk_leaves_nothing_and_the_second_run_succeeds(
    tmp_path, monkeypatch, error, problem
):
    good = plan.example

    def bad(block, storage):
        if block.region.role == "test":
            raise error
        return good(block, storage)

    monkeypatch.setattr(plan, "example", bad)
    with pytest.raises(UserError, match=problem):
        builder.prepare("synthetic", OPTIONS, data_dir=tmp_path)
    assert not [n for n in prepared_folders(tmp_path) if "array_record" in n]
    monkeypatch.setattr(plan, "example", good)
    builder.prepare("synthetic", OPTIONS, data_dir=tmp_path)
    assert len(builder.load("synthetic", OPTIONS, data_dir=tmp_path)) == 2


def test_other_failures_are_not_reworded(tmp_path, monkeypatch):
    monkeypatch.setattr(plan, "example", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        builder.prepare("synthetic", OPTIONS, data_dir=tmp_path)


def test_too_little_room_is_said_before_writing(tmp_path, monkeypatch):
    monkeypatch.setattr(builder.disk, "free_space", lambda folder: 1000)
    with pytest.raises(UserError, match="0 MiB are free; make room"):
        builder.prepare("synthetic", OPTIONS, data_dir=tmp_path)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_without_permission(tmp_path):
    tmp_path.chmod(0o500)
    with pytest.raises(UserError, match="cannot be written"):
        builder.prepare("synthetic", OPTIONS, data_dir=tmp_path / "data")
    tmp_path.chmod(0o700)


def test_a_data_dir_that_is_a_file(tmp_path):
    (tmp_path / "data").write_text("")
    with pytest.raises(UserError, match="data"):
        builder.prepare("synthetic", OPTIONS, data_dir=tmp_path / "data")


def test_leftovers_of_a_killed_run_are_swept(tmp_path):
    done = builder.make_builder("synthetic", OPTIONS, data_dir=tmp_path)
    left = done.data_path.parent / "incomplete.ABC123_1.0.0"
    left.mkdir(parents=True)
    (left / "half.array_record").write_text("half")
    beside = left.parent.parent / ".config"
    beside.mkdir()
    for name in ("old", "new"):  # of a killed process, and of one that is writing
        (beside / f"incomplete.{name}.metadata.json").write_text("{")
    os.utime(beside / "incomplete.old.metadata.json", (1, 1))
    builder.prepare("synthetic", OPTIONS, data_dir=tmp_path)
    assert not left.exists()
    assert [p.name for p in beside.glob("*old*")] == [] and len(list(beside.glob("*new*"))) == 1


def test_a_dataset_of_an_older_definition_is_replaced_or_kept(tmp_path, monkeypatch):
    first = builder.prepare("synthetic", OPTIONS, data_dir=tmp_path)
    metadata = first.data_path / "metadata.json"
    current = metadata.read_text()
    stamp = metadata.stat().mtime
    builder.prepare("synthetic", OPTIONS, data_dir=tmp_path)
    assert metadata.stat().mtime == stamp  # up to date: left alone
    metadata.write_text(current.replace("requested", "unknown"))
    with monkeypatch.context() as patch:
        patch.setattr(plan, "example", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            builder.prepare("synthetic", OPTIONS, data_dir=tmp_path)
    assert len(builder.load("synthetic", OPTIONS, data_dir=tmp_path)) == 2  # the old one is back
    builder.prepare("synthetic", OPTIONS, data_dir=tmp_path)
    assert metadata.read_text() == current
    assert [p.name for p in first.data_path.parent.iterdir() if p.name != ".lock"] == ["1.0.0"]


def flip(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def cut(path):
    path.write_bytes(path.read_bytes()[:70_000])


@pytest.mark.parametrize("harm", [flip, cut, os.unlink, lambda p: p.write_bytes(b"")])
def test_a_damaged_shard_is_prepared_again(tmp_path, capsys, harm):
    done = builder.prepare("synthetic", OPTIONS, data_dir=tmp_path)
    before = builder.load("synthetic", OPTIONS, data_dir=tmp_path)
    shard = next(tmp_path.rglob("*train.array_record*"))
    harm(shard)
    with pytest.raises(UserError, match="cannot be read .*: delete this folder, and run"):
        builder.load("synthetic", OPTIONS, data_dir=tmp_path)
    builder.prepare("synthetic", OPTIONS, data_dir=tmp_path)
    assert f"{shard.name} is damaged: it is prepared again" in capsys.readouterr().err
    after = builder.load("synthetic", OPTIONS, data_dir=tmp_path)
    for one, other in zip(before, after):
        np.testing.assert_array_equal(one["image"], other["image"])
    builder.prepare("synthetic", OPTIONS, data_dir=tmp_path)
    assert capsys.readouterr().err == ""
    assert [p.name for p in done.data_path.parent.iterdir() if p.name != ".lock"] == ["1.0.0"]


@pytest.mark.parametrize("text", ["", "[]", "{", "3"])
def test_sums_that_are_none_are_damage(tmp_path, text):
    done = builder.prepare("synthetic", OPTIONS, data_dir=tmp_path)
    sums = done.data_path / "sums.json"
    good = sums.read_text()
    sums.write_text(text)
    builder.prepare("synthetic", OPTIONS, data_dir=tmp_path)
    assert sums.read_text() == good
    sums.unlink()  # of before there were any
    stamp = (done.data_path / "metadata.json").stat().mtime
    builder.prepare("synthetic", OPTIONS, data_dir=tmp_path)
    assert (done.data_path / "metadata.json").stat().mtime == stamp


def test_no_temporary_folder_is_left(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "tmp"))
    (tmp_path / "tmp").mkdir()
    builder.prepare("synthetic", OPTIONS, data_dir=tmp_path / "d")
    builder.load("synthetic", OPTIONS, data_dir=tmp_path / "d")
    assert os.listdir(tmp_path / "tmp") == [] and tempfile.gettempdir() == str(tmp_path / "tmp")


FULL = """
import resource, signal, sys
sys.path[:0] = [{root!r}]
from hsisr_jax.data import builder
from hsisr_jax.errors import UserError
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, ({limit}, {limit}))
try:
    builder.prepare("synthetic", {options!r}, data_dir={folder!r})
except UserError as error:
    print("error:", error)
"""


@pytest.mark.parametrize("limit", [100, 20_000, 80_000])
def test_a_disk_that_fills_up_in_a_preparation(tmp_path, limit):
    """At any file: the stored values, which another library writes, or what describes them."""
    root = str(Path(__file__).parents[2])
    given = {"root": root, "limit": limit, "options": OPTIONS, "folder": str(tmp_path)}
    found = subprocess.run([sys.executable, "-c", FULL.format(**given)], text=True,
                           env=unmeasured(), capture_output=True, timeout=300)  # fmt: skip
    assert found.returncode == 0 and found.stdout.startswith("error: "), found.stderr
    assert "File too large" in found.stdout and found.stdout.count("\n") == 1
    assert "Traceback" not in found.stderr, found.stderr
    assert not [n for n in prepared_folders(tmp_path) if "array_record" in n]


def _prepare(folder):
    builder.prepare("synthetic", OPTIONS, data_dir=folder)
    return len(builder.load("synthetic", OPTIONS, data_dir=folder))


def test_two_processes_take_turns(tmp_path):
    with multiprocessing.get_context("spawn").Pool(2) as pool:
        assert pool.map(_prepare, [tmp_path] * 2) == [2, 2]


def test_blocks_and_large_splits_are_joined(tmp_path, monkeypatch):
    """Regions larger than a block, and more blocks than one TFDS split may hold."""
    builder.prepare("synthetic", OPTIONS, data_dir=tmp_path / "whole")
    whole = builder.load("synthetic", OPTIONS, data_dir=tmp_path / "whole")
    row = 24 * 6 * 2
    monkeypatch.setattr(cubes, "BLOCK_BYTES", 7 * row)
    monkeypatch.setattr(plan, "SPLIT_BYTES", 15 * row)
    told = []
    prepared = builder.prepare(
        "synthetic", OPTIONS, data_dir=tmp_path / "cut", progress=lambda *now: told.append(now)
    )
    assert set(prepared.info.splits) == {
        "train", "train_2", "train_3", "test", "test_2", "test_3",
    }  # fmt: skip
    assert told[-1] == ("storing synthetic", 12, 12)
    cut = builder.load("synthetic", OPTIONS, data_dir=tmp_path / "cut")
    assert [scene["blocks"] for scene in cut] == [6, 6]
    for one, two in zip(whole, cut, strict=True):
        np.testing.assert_array_equal(one["image"], two["image"])
        assert one["maximum"] == two["maximum"]
    only = builder.load("synthetic", OPTIONS, data_dir=tmp_path / "cut", roles=("test",))
    assert [scene["role"] for scene in only] == ["test"]


def test_gains_of_each_band_are_told_before_anything_is_trained_on_them(tmp_path, capsys):
    from hsisr_jax.formats import write_scene

    write_scene(tmp_path / "x.hdr", RNG.integers(1, 999, (40, 48, 3)).astype(np.uint16))
    header = tmp_path / "x.hdr"
    header.write_text(header.read_text() + "data gain values = {1, 2, 3}\n")
    builder.prepare("scene", {"path": str(header)}, data_dir=tmp_path / "d")
    assert "warning: x: the scene's gains differ from band to band" in capsys.readouterr().err
