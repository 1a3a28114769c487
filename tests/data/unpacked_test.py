"""Placement `disk`: the same scenes, identities and batches as in memory, bit for bit."""

import errno
import json

import jax
import numpy as np
import pytest
from ml_collections import ConfigDict

from configs import common
from hsisr_jax import formats
from hsisr_jax.data import batches, cubes, disk, scenes, unpacked
from hsisr_jax.data.pixel_file import StoredCube
from hsisr_jax.errors import UserError
from hsisr_jax.formats import SceneMeta
from hsisr_jax.training import setup

OPTIONS = {"height": 64, "width": 96, "bands": 6, "fractions": (0.5, 0.25, 0.25)}


@pytest.fixture
def config(tmp_path, monkeypatch):
    """A synthetic dataset whose regions are stored in several blocks each."""
    monkeypatch.setattr(cubes, "BLOCK_BYTES", 10_000)
    made = common.base().data
    made.dir, made.options = str(tmp_path / "data"), ConfigDict(OPTIONS)
    return made


def both(config):
    found = {}
    for placement in ("host", "disk"):
        config.placement = placement
        found[placement] = scenes.load(config)
    return found["host"], found["disk"]


def pixels_folder(config):
    return next(scenes.folder(config).rglob("pixels"))


def test_scenes_batches_and_identities_are_those_in_memory(config):
    memory, stored = both(config)
    assert all(isinstance(scene.hr, StoredCube) for scene in stored.scenes)
    for ours, theirs in zip(stored.scenes, memory.scenes, strict=True):
        np.testing.assert_array_equal(ours.hr, theirs.hr)
        assert ours.hr.dtype == theirs.hr.dtype
        assert (ours.name, ours.normaliser, ours.scale) == (
            theirs.name, theirs.normaliser, theirs.scale)  # fmt: skip
        np.testing.assert_array_equal(ours.wavelengths, theirs.wavelengths)
    assert stored.identity() == memory.identity()
    assert (stored.mean, stored.nbytes()) == (memory.mean, memory.nbytes())
    assert stored.describe() == memory.describe()
    for ours, theirs in zip(stored.test_images(4), memory.test_images(4), strict=True):
        drawn = [batches.of_image(s.cubes, s.normaliser) for s in (ours, theirs)]
        jax.tree.map(np.testing.assert_array_equal, *drawn)
    patching = {"patch": 16, "stride": 8}
    for step, part in ((0, slice(None)), (7, slice(0, 2)), (7, slice(2, 4)), (1000, slice(1, 3))):
        drawn = [
            batches.draw_on_host(x.patches(2, **patching), 3, step, 4, augment=True, part=part)
            for x in (stored, memory)
        ]
        jax.tree.map(np.testing.assert_array_equal, *drawn)
        assert drawn[0].pixels["hr"].dtype == drawn[1].pixels["hr"].dtype


def test_it_is_unpacked_once_and_again_when_damaged(config):
    stored = both(config)[1]
    image = pixels_folder(config) / "image.npy"
    before = image.stat().st_mtime_ns
    scenes.load(config)
    assert image.stat().st_mtime_ns == before
    whole = np.load(image)
    assert len(whole) == sum(np.prod(scene.hr.shape[:2]) for scene in stored.scenes)
    with image.open("r+b") as file:
        file.truncate(1000)
    scenes.load(config)
    np.testing.assert_array_equal(np.load(image), whole)
    index = pixels_folder(config) / "index.json"
    index.write_text("{" + index.read_text())
    scenes.load(config)
    assert json.loads(index.read_text())["format"] == 1


def test_without_room_nothing_is_left_behind(config, monkeypatch):
    both(config)
    folder = pixels_folder(config)
    (folder / "index.json").unlink()
    monkeypatch.setattr(disk, "free_space", lambda folder: 1000)
    with pytest.raises(UserError, match=r"placement 'disk' needs 0 MiB .* 0 MiB are free"):
        scenes.load(config)
    assert not list(folder.parent.glob("*.partial"))


def test_a_failure_leaves_nothing_behind(config, monkeypatch):
    both(config)
    folder = pixels_folder(config)
    (folder / "index.json").unlink()
    monkeypatch.setattr(unpacked, "write_text", full)
    with pytest.raises(UserError, match=r"the disk of .* is full"):
        scenes.load(config)
    assert not list(folder.parent.glob("*.partial"))


def full(path, text):
    raise OSError(errno.ENOSPC, "no space")


def test_pixels_without_data_and_sensor_images_are_kept(config, tmp_path):
    cube = np.random.default_rng(0).random((48, 40, 4), np.float32)
    cube[5:9, 7:20] = -1
    formats.write_scene(tmp_path / "mine.tif", cube, SceneMeta(nodata=-1.0))
    config.name, config.path = "scene", str(tmp_path / "mine.tif")
    config.options = ConfigDict({"fractions": (0.5, 0.0, 0.5), "axis": "rows"})
    memory, stored = both(config)
    assert memory.train[0].hidden.any()
    np.testing.assert_array_equal(stored.train[0].hidden, memory.train[0].hidden)
    assert stored.mean == memory.mean
    one, other = (x.patches(2, patch=8, stride=4) for x in (stored, memory))
    np.testing.assert_array_equal(one.start, other.start)

    config.name, config.config, config.path = "swir_park", "single_smoke", ""
    config.options = ConfigDict()
    memory, stored = both(config)
    np.testing.assert_array_equal(stored.extras["psf"], memory.extras["psf"])
    np.testing.assert_array_equal(stored.test[0].cubes["msi"], memory.test[0].cubes["msi"])
    assert stored.identity() == memory.identity()


def test_images_made_in_memory_are_refused(config):
    whole = common.base()
    whole.data = config
    config.placement, config.train_on = "disk", "both"
    with pytest.raises(UserError, match="train_on 'both' makes its images in memory"):
        setup.training_data(whole, None, None)
