"""Cubes on disk against the same cubes in memory, and the memory that reading them takes."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from hsisr_jax import identity
from hsisr_jax.data import pixel_file
from hsisr_jax.data.pixel_file import PixelFile, StoredCube
from hsisr_jax.errors import UserError

ROOT = Path(__file__).parents[2]


@pytest.fixture
def held(tmp_path):
    """A file of two scenes, the second of which is 9 x 7, and its array."""
    pixels = np.random.default_rng(0).integers(0, 60000, (20 + 63, 5)).astype(np.uint16)
    np.save(tmp_path / "image.npy", pixels)
    return PixelFile(tmp_path / "image.npy"), pixels


@pytest.mark.parametrize("share", [1, 1 << 20])
def test_runs_are_rows_of_the_array(held, share, monkeypatch):
    """By several threads or by one."""
    monkeypatch.setattr(pixel_file, "SHARE", share)
    file, pixels = held
    assert file.shape == pixels.shape and file.dtype == pixels.dtype
    first = np.array([[0, 7, 14], [20, 23, 26], [3, 80, 1]])  # the second follow each other
    expected = pixels[first[..., None] + np.arange(3)]
    np.testing.assert_array_equal(file.runs(first, 3), expected)


def test_a_cube_is_read_by_windows(held):
    file, pixels = held
    cube, scene = pixels[20:].reshape(9, 7, 5), StoredCube(file, 20, 7, (9, 7))
    assert (scene.shape, scene.dtype, scene.nbytes) == (cube.shape, cube.dtype, cube.nbytes)
    np.testing.assert_array_equal(scene, cube)
    np.testing.assert_array_equal(scene[2:5, :], cube[2:5])
    part = scene.window(slice(1, 8), slice(2, 6)).window(slice(2, 4), slice(1, None))
    np.testing.assert_array_equal(part, cube[3:5, 3:6])
    np.testing.assert_array_equal(part.astype(np.float32), cube[3:5, 3:6].astype(np.float32))
    raw = cube.reshape(-1).view(np.uint8)
    np.testing.assert_array_equal(scene.read_bytes(13, 50), raw[13:63])


def test_digests_are_those_of_the_array(held, monkeypatch):
    file, pixels = held
    cube, scene = pixels[20:].reshape(9, 7, 5), StoredCube(file, 20, 7, (9, 7))
    assert identity.of_tree({"hr": scene}) == identity.of_tree({"hr": cube})
    monkeypatch.setattr(identity, "WHOLE", 512)  # of larger ones only some blocks are read
    monkeypatch.setattr(identity, "SAMPLES", 4)
    monkeypatch.setattr(identity, "BLOCK", 32)
    assert identity.of_tree({"hr": scene}) == identity.of_tree({"hr": cube})


def test_what_is_no_whole_file_is_refused(held, tmp_path):
    file, pixels = held
    (tmp_path / "text.npy").write_text("not numbers")
    with pytest.raises(UserError, match=r"text.npy is no file of pixels"):
        PixelFile(tmp_path / "text.npy")
    with (tmp_path / "image.npy").open("r+b") as open_file:
        open_file.truncate(128 + 70 * 10)
    with pytest.raises(UserError, match=r"image.npy ends early"):
        np.asarray(StoredCube(file, 20, 7, (9, 7)))


BATCHES = """
import resource, sys
import numpy as np
from hsisr_jax.data.pixel_file import PixelFile
from hsisr_jax.data.sampler import Patches, choose, gather_on_host

file, size, width = PixelFile(__import__("pathlib").Path(sys.argv[1])), 32, 1000
places = np.arange(0, file.shape[0] - size * width, 4321)
rest = [np.zeros((len(places), 1), np.float32)] * 4
patches = Patches({"hr": file}, places, np.full(len(places), width), np.zeros(len(places), int),
                  *rest, counts=(len(places),), size=size)
used = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
for step in range(60):
    chosen, _ = choose(patches.counts, 0, step, 8, augment=True, xp=np)
    cut = gather_on_host(patches, chosen)["hr"]
    if step == 2:
        before = used()
assert cut.shape == (8, size, size, file.shape[1])
print((used() - before) * 1024)
"""


def test_memory_is_that_of_a_batch_not_of_the_file(tmp_path):
    """1.5 GiB (of nothing: the file has holes), of which 60 batches of 1.6 MB are cut."""
    path, shape = tmp_path / "image.npy", (8_000_000, 100)
    with path.open("wb") as file:
        header = {"descr": "<u2", "fortran_order": False, "shape": shape}
        np.lib.format.write_array_header_1_0(file, header)
        file.truncate(file.tell() + 2 * shape[0] * shape[1])
    command = [sys.executable, "-c", BATCHES, str(path)]
    told = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert told.returncode == 0, told.stderr
    assert int(told.stdout) < 32 << 20
