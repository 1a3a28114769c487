"""Aerial photographs: the published archive, folders of any images, classes that are held out."""

import shutil
import sys
from dataclasses import replace

import numpy as np
import pytest
from golden import ROOT
from PIL import Image

from hsisr_jax.data import builder, scenes
from hsisr_jax.errors import UserError

SHARED = ROOT.parent / "data"
RNG = np.random.default_rng(0)


def picture(path, height=100, width=100):
    path.parent.mkdir(parents=True, exist_ok=True)
    values = RNG.integers(0, 256, (height, width, 3), np.uint8)
    Image.fromarray(values).save(path)
    return values


def run(config, tmp_path, manual=None):
    folder = tmp_path / "data"
    builder.prepare("aerial", config, data_dir=folder, manual_dir=manual)
    return builder.load("aerial", config, data_dir=folder)


def roles(found):
    return {one["scene"]: one["role"] for one in found}


@pytest.mark.parametrize("form", ["zip", "folder"])
def test_uc_merced(form, tmp_path):
    """Tiles of 256 pixels (one has fewer) by class, in a zip archive."""
    full = builder.builder_class("aerial").builder_configs["uc_merced"]
    names = [f"{c}{i:02d}" for c in ("beach", "overpass", "harbor", "river") for i in (0, 99)]
    kept = tuple(r for r in full.split.regions if r.scene in names)
    config = replace(full, name="small", split=replace(full.split, regions=kept))
    manual = tmp_path / "manual"
    tiles = {
        name: picture(manual / f"UCMerced_LandUse/Images/{name[:-2]}/{name}.tif", 256, 253 + i // 2)
        for i, name in enumerate(names)
    }
    if form == "zip":
        shutil.make_archive(manual / "UCMerced_LandUse", "zip", manual, "UCMerced_LandUse")
        shutil.rmtree(manual / "UCMerced_LandUse")
    found = run(config, tmp_path, manual)
    assert roles(found) == {
        "beach00": "train", "beach99": "train", "overpass00": "validation", "river00": "validation",
        "harbor00": "test",
    }  # fmt: skip
    for one in found:
        tile = tiles[one["scene"]].astype(float)
        half = tile.shape[1] // 2
        expected = tile[:, : 2 * half].reshape(128, 2, half, 2, 3).mean((1, 3))
        np.testing.assert_allclose(one["image"], expected, atol=0.5)
        assert one["divisor"] == 255


def test_the_published_set_holds_out_whole_classes():
    split = builder.builder_class("aerial").builder_configs["uc_merced"].split
    train = {region.scene[:-2] for region in split.role("train")}
    held = {region.scene[:-2] for r in ("validation", "test") for region in split.role(r)}
    assert len(train) == 17 and len(held) == 4 and not train & held
    assert len(split.role("train")) == 1700 and len(split.role("test")) == 24


def test_a_missing_tile_is_told(tmp_path):
    picture(tmp_path / "manual" / "Images" / "beach" / "beach00.tif")
    with pytest.raises(UserError, match="1747 of 1748 tiles are missing"):
        run("uc_merced", tmp_path, tmp_path / "manual")


def test_classes_are_held_out_across_folders(tmp_path, capsys):
    """Two folders, as in `../shared/data`: one image a name and folder; other files are skipped."""
    for name in ("river01", "harbor_2", "road1", "road2"):
        picture(tmp_path / "full" / f"{name}.png", 192, 200)
        picture(tmp_path / "half" / f"{name}.jpg")
    picture(tmp_path / "half" / "overpass3.tif")
    picture(tmp_path / "half" / "road9.png", 95, 120)
    (tmp_path / "half" / "README.md").write_text("# no image")
    options = {"path": [str(tmp_path / "full"), str(tmp_path / "half")]}
    found = run(options, tmp_path)
    assert roles(found) == {
        "full_road1": "train", "full_road2": "train", "half_road1": "train", "half_road2": "train",
        "full_river01": "validation", "half_river01": "validation", "half_overpass3": "validation",
        "full_harbor_2": "test", "half_harbor_2": "test",
    }  # fmt: skip
    sizes = {one["scene"]: one["image"].shape for one in found}
    assert sizes["full_road1"] == (96, 100, 3) and sizes["half_road1"] == (100, 100, 3)
    assert "1 images have fewer than 96 pixels" in capsys.readouterr().err
    own = run(options | {"validation": ["road"], "test": ["overpass"], "reduce": 1}, tmp_path)
    assert roles(own)["full_road1"] == "validation" and roles(own)["full_harbor_2"] == "train"
    assert {one["image"].shape for one in own if "full" in one["scene"]} == {(192, 200, 3)}


def test_without_such_classes_the_last_images_are_held_out(tmp_path):
    for i in range(5):
        picture(tmp_path / "photos" / f"{i}.png")
    options = {"path": str(tmp_path / "photos")}
    assert list(roles(run(options, tmp_path)).values()) == ["train"] * 3 + ["validation", "test"]
    data = scenes.load(
        {"name": "aerial", "config": "", "path": options["path"], "options": {},
         "dir": str(tmp_path / "data"), "manual_dir": "", "placement": "auto"}
    )  # fmt: skip
    assert data.bands == 3 and len(data.validation_scenes(4)) == 1
    assert data.patches(4).size == 96
    assert data.validation_scenes(3)[0].hr.shape == (99, 99, 3)  # whole low-resolution pixels
    picture(tmp_path / "photos" / "0.png")  # another image of that name: another dataset
    before = data.train[0].hr
    assert not np.array_equal(run(options, tmp_path)[0]["image"], before)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"size": 3}, "'size' is unknown; they are path"),
        ({"test": ["a"]}, "give the folder"),
        ({"path": "/no/such"}, "there is no folder /no/such"),
        ({"path": "EMPTY"}, "0 images of 96 pixels"),
        ({"path": "HERE", "test": ["sea"]}, "no image of the class 'sea'; classes: a, b"),
        ({"path": "HERE", "reduce": 0}, "a whole number above 0"),
        ({"path": "HERE", "validation": ["a"], "test": ["b"]}, "every class is held out"),
    ],
)
def test_mistakes_are_told(options, words, tmp_path):
    for name in ("a1", "a2", "b1"):
        picture(tmp_path / "here" / f"{name}.png")
    (tmp_path / "empty").mkdir()
    places = {"HERE": str(tmp_path / "here"), "EMPTY": str(tmp_path / "empty")}
    options = {k: places.get(v, v) if k == "path" else v for k, v in options.items()}
    with pytest.raises(UserError, match=words):
        run(options, tmp_path)


@pytest.mark.skipif(not (SHARED / "aerial_half").is_dir(), reason="no images beside golden data")
def test_shared_tiles_divide_as_said():
    """No file is decoded: the definition alone."""
    folders = [str(SHARED / name) for name in ("aerial", "aerial_half")]
    split = builder.builder_class("aerial").config_from(path=folders).split
    module = sys.modules[builder.builder_class("aerial").__module__]
    assert len(split.role("train")) == 1501 - 70 - 94 - 63 - 73
    for role, classes in module.HELD_OUT.items():
        assert len(split.role(role)) == 12 * len(classes)
        assert all(any(c in region.scene for c in classes) for region in split.role(role))
