"""Metadata, and what every reader and writer promises."""

import errno
import os
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pytest

from hsisr_jax.errors import UserError
from hsisr_jax.formats import (
    SceneMeta,
    check_target,
    create_scene,
    open_scene,
    raw,
    read_scene,
    write_scene,
)

FILES = {
    "bsq.hdr": {"interleave": "bsq"},
    "bil.hdr": {"interleave": "bil"},
    "bip.hdr": {"interleave": "bip"},
    "cube.bil": {},
    "cube.tif": {},
    "v5.mat": {"version": "5"},
    "v73.mat": {"version": "7.3"},
    "cube.h5": {},
    "cube.nc": {},
    "cube.npy": {},
    "cube.npz": {},
}
every_file = pytest.mark.parametrize("name", FILES)


def create(path, meta=None, dtype="u2", **options):
    options = {**FILES[path.name], **options}
    return create_scene(path, height=7, width=9, bands=5, dtype=dtype, meta=meta, **options)


@every_file
def test_blocks_and_metadata_come_back(name, tmp_path, cube, meta):
    with create(tmp_path / name, meta) as out:
        out.write(4, 3, cube[4:, 3:])
        out.write(0, 0, cube[:4])
        out.write(4, 0, cube[4:, :3])
    with open_scene(tmp_path / name) as scene:
        assert (scene.height, scene.width, scene.bands) == cube.shape
        assert scene.dtype == np.uint16
        np.testing.assert_array_equal(scene.read(), cube)
        np.testing.assert_array_equal(scene.read(slice(2, 5), slice(3, -1)), cube[2:5, 3:-1])
        assert scene.read(slice(6, None)).flags.c_contiguous
        assert scene.read(slice(3, 3)).shape == (0, 9, 5)
        assert scene.meta == meta


@every_file
def test_reading_and_writing_in_other_threads(name, tmp_path, cube):
    """Prediction reads, computes and writes at the same time."""
    write_scene(tmp_path / name, cube, **FILES[name])
    (tmp_path / "out").mkdir()
    with (
        ThreadPoolExecutor(1) as reading,
        ThreadPoolExecutor(1) as writing,
        open_scene(tmp_path / name) as scene,
        create(tmp_path / "out" / name) as out,
    ):
        for row in range(7):
            block = reading.submit(scene.read, slice(row, row + 1)).result()
            writing.submit(out.write, row, 0, block).result()
    np.testing.assert_array_equal(read_scene(tmp_path / "out" / name)[0], cube)


@every_file
@pytest.mark.parametrize("factor", [2, 4])
def test_the_finer_grid_keeps_its_corners(name, factor, tmp_path, cube, meta):
    fine = np.repeat(np.repeat(cube, factor, 0), factor, 1)
    write_scene(tmp_path / name, fine, meta.scaled(factor), **FILES[name])
    a, b, c, d, e, f = read_scene(tmp_path / name)[1].transform
    assert (a, b, d, e) == (30 / factor, 0, 0, -30 / factor)
    assert (c, f) == (500000.5, 4000000.25)
    height, width = fine.shape[:2]
    assert (a * width + c, e * height + f) == (500000.5 + 30 * 9, 4000000.25 - 30 * 7)


@every_file
@pytest.mark.parametrize("dtype", ["u1", "i2", "i4", "f4", "f8"])
def test_every_common_dtype(name, dtype, tmp_path, cube):
    values = (cube.astype("f8") - 1100).astype(dtype)
    write_scene(tmp_path / name, values, **FILES[name])
    found, meta = read_scene(tmp_path / name)
    assert found.dtype == np.dtype(dtype)
    np.testing.assert_array_equal(found, values)
    assert meta == SceneMeta()


@every_file
def test_nothing_looks_finished_before_it_is(name, tmp_path, cube):
    with create(tmp_path / name) as out:
        out.write(0, 0, cube)
        assert all(file.name.endswith(".partial") for file in tmp_path.iterdir())
    assert not any(file.name.endswith(".partial") for file in tmp_path.iterdir())


@every_file
def test_an_exception_leaves_nothing(name, tmp_path, cube):
    with pytest.raises(ZeroDivisionError), create(tmp_path / name) as out:
        out.write(0, 0, cube)
        raise ZeroDivisionError
    assert list(tmp_path.iterdir()) == []


@every_file
def test_an_old_file_stays_until_the_new_one_is_finished(name, tmp_path, cube):
    write_scene(tmp_path / name, cube, **FILES[name])
    with create(tmp_path / name, dtype="u2") as out:
        out.write(0, 0, cube + 1)
        np.testing.assert_array_equal(read_scene(tmp_path / name)[0], cube)
    np.testing.assert_array_equal(read_scene(tmp_path / name)[0], cube + 1)


KILLED = """
import os, signal, sys
import numpy as np
sys.path[:0] = [{tests!r}, {root!r}]
from scene_test import FILES, create
from pathlib import Path
for name in FILES:
    folder = Path(sys.argv[1], name)
    folder.mkdir()
    out = create(folder / name, None)
    out.write(0, 0, np.load(sys.argv[2])[:4])
    out.sync()
    out.write(4, 0, np.zeros((1, 9, 5), "u2"))
os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.fixture(scope="module")
def killed(tmp_path_factory, cube):
    """Partial files of a process that was killed after it wrote and synced four of seven rows."""
    folder = tmp_path_factory.mktemp("killed")
    np.save(folder / "values.npy", cube)
    root, tests = os.getcwd(), os.path.dirname(__file__)
    code = KILLED.format(tests=tests, root=root)
    done = subprocess.run([sys.executable, "-c", code, folder, folder / "values.npy"])
    assert done.returncode == -signal.SIGKILL
    return folder


@every_file
def test_a_killed_run_is_resumed(name, killed, cube):
    path = killed / name / name
    with pytest.raises(UserError):
        open_scene(path)
    with pytest.raises(UserError, match="begun with another size, dtype or header"):
        create(path, dtype="f4", resume=True)
    with create(path, resume=True) as out:
        assert out.resumed
        out.write(4, 0, cube[4:])
    np.testing.assert_array_equal(read_scene(path)[0], cube)


@every_file
def test_resume_without_a_partial_file_starts_anew(name, tmp_path, cube):
    with create(tmp_path / name, resume=True) as out:
        assert not out.resumed
        out.write(0, 0, cube)
    np.testing.assert_array_equal(read_scene(tmp_path / name)[0], cube)


@every_file
def test_resume_refuses_a_damaged_partial_file(name, tmp_path, cube):
    out = create(tmp_path / name)
    for file in tmp_path.iterdir():
        file.write_bytes(b"damaged")
    with pytest.raises(UserError, match="damaged or was begun"):
        create(tmp_path / name, resume=True)
    out.abort()
    assert list(tmp_path.iterdir()) == []


@every_file
def test_a_missing_folder_is_one_clear_line(name, tmp_path):
    with pytest.raises(UserError, match="cannot be written"):
        create(tmp_path / "missing" / name)


@pytest.mark.parametrize("name", [name for name in FILES if name != "cube.tif"])
def test_a_full_disk_is_one_clear_line(name, tmp_path, cube, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "posix_fallocate", full)
        with pytest.raises(UserError, match="No space left on device"):
            create(tmp_path / name)
    assert list(tmp_path.iterdir()) == []
    monkeypatch.setattr(os, "pwrite", full)
    with pytest.raises(UserError, match="No space left"), create(tmp_path / name) as out:
        out.write(0, 0, cube)
    assert list(tmp_path.iterdir()) == []


@every_file
def test_a_truncated_file_is_refused(name, tmp_path, cube):
    path = tmp_path / name
    write_scene(path, cube, **FILES[name])
    data = path.with_suffix(".img") if path.suffix == ".hdr" else path
    os.truncate(data, data.stat().st_size * 2 // 3)
    with pytest.raises(UserError, match=path.name.split(".")[0]):
        read_scene(path)


def test_a_file_that_shrinks_while_open_is_refused(tmp_path, cube):
    write_scene(tmp_path / "cube.npy", cube)
    scene = open_scene(tmp_path / "cube.npy")
    os.truncate(tmp_path / "cube.npy", 300)
    with pytest.raises(UserError, match="promises"):
        scene.read()


@every_file
def test_blocks_outside_the_scene_are_refused(name, tmp_path, cube):
    with create(tmp_path / name) as out:
        for row, col in ((1, 0), (0, 1), (-1, 0)):
            with pytest.raises(UserError, match="outside"):
                out.write(row, col, cube)
        with pytest.raises(UserError, match=r"\(h, w, 5\)"):
            out.write(0, 0, cube[..., :4])
        out.write(0, 0, cube)


def test_lists_of_the_wrong_length_are_refused(tmp_path, cube):
    with pytest.raises(UserError, match="3 wavelengths for 5 bands"):
        write_scene(tmp_path / "a.tif", cube, SceneMeta(wavelengths=[1, 2, 3]))


@pytest.mark.parametrize(
    "name, content, message",
    [
        ("a.xyz", b"hello", "known endings"),
        ("a.tif", b"hello", "cannot be read as a GeoTIFF"),
        ("a.mat", b"hello", "not a MATLAB file"),
        ("a.h5", b"hello", "cannot be read"),
        ("a.npz", b"PKhello", "cannot be read"),
        ("a.npy", b"", "cannot be read"),
        ("a.hdr", b"hello", "not an ENVI header"),
        ("a.img", b"hello", "no ENVI header a.hdr beside it"),
        ("a.nc", b"CDF\x01....", "nccopy"),
    ],
)
def test_files_that_are_something_else(name, content, message, tmp_path):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(UserError, match=message):
        open_scene(tmp_path / name)


def test_missing_files_and_folders(tmp_path):
    with pytest.raises(UserError, match="no such file"):
        open_scene(tmp_path / "a.tif")
    with pytest.raises(UserError, match="is a folder"):
        open_scene(tmp_path)
    with pytest.raises(UserError, match="unknown ending"):
        create_scene(tmp_path / "a.jpg", height=1, width=1, bands=1)
    with pytest.raises(UserError, match="is empty"):
        create_scene(tmp_path / "a.tif", height=0, width=1, bands=1)


def test_content_goes_before_a_wrong_ending(tmp_path, cube):
    write_scene(tmp_path / "a.tif", cube)
    (tmp_path / "a.tif").rename(tmp_path / "b.h5")
    np.testing.assert_array_equal(read_scene(tmp_path / "b.h5")[0], cube)


def test_select_and_json(meta):
    part = meta.select([3, 0])
    assert part.band_names == ("edge", "blue")
    np.testing.assert_array_equal(part.wavelengths, [775.125, 400.125])
    assert part == meta.select(np.array([3, 0]))
    assert meta.select(np.array([1, 0, 0, 0, 1], bool)).fwhm.tolist() == [9.5, 12]
    assert meta.select(slice(1, 3)).bad_bands.tolist() == [True, False]
    assert SceneMeta.from_json(meta.to_json()) == meta
    assert meta != replace(meta, nodata=None)
    assert SceneMeta().scaled(2) == SceneMeta()


def test_carried_fields_follow_the_grid_and_the_bands():
    extra = {
        "x start": "11",
        "Y Start": "1",
        "pixel size": "{4, 3.5, units=Meters}",
        "geo points": "{1.0, 1.0, 40.0, 15.0,\n 73, 1, 40, 15.1}",
        "rpc info": "{1, 2, 3, 4, 5}",
        "data gain values": "{1, 2, 3, 4, 5}",
        "projection info": "{3, 1, 2, 3, NAD83}",
        "default bands": "{5, 3, 1}",
        "flight": "f12",
    }
    meta = SceneMeta(wavelengths=[1, 2, 3, 4, 5], extra=extra)
    fine = meta.scaled(2).extra
    assert fine["x start"] == "21" and fine["Y Start"] == "1"
    assert fine["pixel size"] == "{2, 1.75, units=Meters}"
    assert fine["geo points"] == "{1, 1, 40.0, 15.0, 145, 1, 40, 15.1}"
    assert set(extra) - set(fine) == {"rpc info"}
    some = meta.select([4, 2, 0]).extra
    assert some["data gain values"] == "{5, 3, 1}" and some["default bands"] == "{1, 2, 3}"
    assert some["projection info"] == extra["projection info"] and some["flight"] == "f12"
    assert "default bands" not in meta.select(slice(1, 5)).extra
    assert "x start" not in SceneMeta(extra={"x start": "left"}).scaled(2).extra


@pytest.mark.parametrize("slab", [1, 100, 1 << 20])
@pytest.mark.parametrize("axes", raw.ORDERS.values())
def test_runs_of_every_window_and_order(axes, slab, tmp_path, monkeypatch):
    """Against plain assignment in memory, for windows that cut any of the axes."""
    monkeypatch.setattr(raw, "SLAB", slab)
    rng = np.random.default_rng(1)
    layout = raw.RawLayout(4, 5, 3, np.dtype(">i4"), axes, 7)
    expected = np.zeros((4, 5, 3), "i4")
    path = tmp_path / "values"
    path.write_bytes(bytes(7 + layout.nbytes))
    fd = os.open(path, os.O_RDWR)
    for row, bottom, col, right in (
        (0, 4, 0, 5),
        (1, 3, 0, 5),
        (0, 4, 2, 3),
        (3, 4, 4, 5),
        (1, 2, 1, 1),
    ):
        block = rng.integers(-9999, 9999, (bottom - row, right - col, 3), "i4")
        raw.write_block(fd, layout, row, col, block)
        expected[row:bottom, col:right] = block
        found = raw.read_window(path, layout, slice(0, 4), slice(0, 5))
        np.testing.assert_array_equal(found, expected)
        found = raw.read_window(path, layout, slice(row, bottom), slice(col, right))
        np.testing.assert_array_equal(found, block)
    os.close(fd)
    assert path.read_bytes()[:7] == bytes(7)


@pytest.mark.parametrize("factor", [2, 3, 0.5])
def test_a_finer_grid_keeps_the_place_of_every_corner(factor):
    """Also where the grid is turned: all four of its numbers become smaller."""
    meta = SceneMeta(transform=(3.0, -1.0, 100.0, -0.5, -4.0, 200.0))
    a, b, c, d, e, f = meta.transform
    p, q, r, s, t, u = meta.scaled(factor).transform
    for col, row in ((0, 0), (5, 0), (0, 7), (5, 7)):
        there = a * col + b * row + c, d * col + e * row + f
        x, y = col * factor, row * factor
        assert (p * x + q * y + r, s * x + t * y + u) == pytest.approx(there)


def test_a_folder_that_nothing_can_be_written_to_is_told_before_any_work():
    with pytest.raises(UserError, match="check the folder"):
        check_target("/proc/scene.tif")
