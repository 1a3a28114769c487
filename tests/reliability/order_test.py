"""What is said to be on the disk is there: the order of `fsync` and of renaming."""

import os
from pathlib import Path

import numpy as np
import pytest
import workdirs

from hsisr_jax import files, formats, predict
from hsisr_jax.formats import SceneMeta
from hsisr_jax.predict import Options

CUBE = np.arange(8 * 6 * 3, dtype="u2").reshape(8, 6, 3)


@pytest.fixture
def events(monkeypatch):
    """`("fsync", name)` and `("replace", from, to)`, as they happen."""
    found, fsync, replace = [], os.fsync, os.replace

    def recorded_fsync(fd):
        found.append(("fsync", Path(os.readlink(f"/proc/self/fd/{fd}")).name))
        fsync(fd)

    def recorded_replace(source, target):
        found.append(("replace", Path(source).name, Path(target).name))
        replace(source, target)

    monkeypatch.setattr(os, "fsync", recorded_fsync)
    monkeypatch.setattr(os, "replace", recorded_replace)
    return found


def test_a_text_is_synced_before_it_has_its_name(tmp_path, events):
    files.write_text(tmp_path / "a.json", "text")
    assert events == [("fsync", "a.json.partial"), ("replace", "a.json.partial", "a.json")]
    assert (tmp_path / "a.json").read_text() == "text"


@pytest.mark.parametrize(
    ("name", "files"),
    [("a.hdr", ["a.img", "a.hdr"]), ("a.npy", ["a.npy", "a.npy.json"]), ("a.tif", ["a.tif"]),
     ("a.h5", ["a.h5"]), ("a.mat", ["a.mat"]), ("a.npz", ["a.npz"])],
)  # fmt: skip
def test_a_scene_is_synced_before_it_has_its_name(tmp_path, events, name, files):
    formats.write_scene(tmp_path / name, CUBE, SceneMeta(wavelengths=[1, 2, 3]))
    renamed = [event[1:] for event in events if event[0] == "replace"]
    names = [target for _, target in renamed]
    assert set(files) <= set(names) and names[-1] == files[-1]
    first = events.index(("replace", *renamed[0]))
    assert {("fsync", source) for source, _ in renamed} <= set(events[:first])
    assert events[-1] == ("fsync", tmp_path.name)  # the folder, which holds the names


@pytest.mark.parametrize("name", ["a.img", "a.npy", "a.tif", "a.h5"])
def test_sync_brings_the_values_to_the_disk(tmp_path, events, name):
    size = dict(zip(("height", "width", "bands"), CUBE.shape))
    with formats.create_scene(tmp_path / name, **size, dtype="u2") as writer:
        writer.write(0, 0, CUBE)
        events.clear()
        writer.sync()
        assert ("fsync", f"{name}.partial") in events
        if name == "a.tif":  # GDAL has nothing in memory any more
            import tifffile

            left = tifffile.imread(tmp_path / f"{name}.partial")
            np.testing.assert_array_equal(np.moveaxis(left, 0, -1), CUBE)


@pytest.mark.parametrize("name", ["out.img", "out.tif"])
def test_rows_are_on_the_disk_before_the_journal_says_so(tmp_path, events, name):
    workdir = workdirs.make(tmp_path / "run")
    formats.write_scene(tmp_path / "in.npy", workdirs.scene(40, 12))
    options = Options(tile=16, overlap=4, quicklook=False, normalise="model")
    meta = SceneMeta(wavelengths=np.linspace(450, 700, 4))
    formats.write_scene(tmp_path / "in.npy", workdirs.scene(40, 12), meta)
    events.clear()
    predict.predict(workdir, tmp_path / "in.npy", tmp_path / name, options)
    data, journal = f"{name}.partial", f"{name}.journal.partial"
    order = [n for kind, n, *_ in events if kind == "fsync" and n in (data, journal)]
    units = order.count(journal)
    assert units > 2
    for i, one in enumerate(order):
        assert one != journal or order[:i][-1:] == [data]  # each line after its rows
