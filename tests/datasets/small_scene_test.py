"""Small scenes of one's own: the patch fits what there is to train on."""

import numpy as np
import pytest

from hsisr_jax import formats
from hsisr_jax.data import builder, scenes
from hsisr_jax.errors import UserError
from hsisr_jax.formats import SceneMeta


@pytest.mark.parametrize(
    "size, options, patch",
    [((40, 40), {}, 24), ((120, 120), {}, 32), ((40, 40), {"patch": 16}, 16), ((16, 24), {}, 16)],
)
def test_the_patch_fits_the_training_region(tmp_path, size, options, patch):
    cube = np.random.default_rng(0).random((*size, 3), np.float32)
    np.save(tmp_path / "scene.npy", cube)
    options = {"path": str(tmp_path / "scene.npy"), **options}
    builder.prepare("scene", options, data_dir=tmp_path / "data")
    split = builder.load_definition("scene", options, data_dir=tmp_path / "data")
    assert split.patch_at(2) == patch
    assert min(min(region.shape) for region in split.role("train")) >= patch


def loaded(tmp_path, cube, meta, **options):
    formats.write_scene(tmp_path / "scene.tif", cube, meta)
    options = {"patch": 8, "stride": 4, **options}
    config = {
        "name": "scene",
        "path": str(tmp_path / "scene.tif"),
        "config": "",
        "options": options,
        "placement": "auto",
    }
    return scenes.load({**config, "dir": str(tmp_path / "data"), "manual_dir": ""})


def test_an_orthorectified_scene_trains_and_scores_without_its_border(tmp_path):
    rng = np.random.default_rng(0)
    cube = rng.integers(100, 1000, (48, 64, 3)).astype(np.int16)
    footprint = np.zeros(cube.shape[:2], bool)
    footprint[5:40, 4:60] = True
    cube[~footprint] = -9999
    data = loaded(tmp_path, cube, SceneMeta(nodata=-9999))
    train, test = data.train[0], data.test[0]
    np.testing.assert_array_equal(train.hidden, ~footprint[:, : train.hr.shape[1]])
    assert train.hr.min() >= 100 and "without data" in data.describe()
    assert data.mean == pytest.approx(
        cube[:, : train.hr.shape[1]][footprint[:, : train.hr.shape[1]]].mean() / cube.max(),
        rel=1e-6,
    )
    patches = data.patches(2)
    rows, cols = np.divmod(patches.start, train.hr.shape[1])
    assert (rows >= 5).all() and (rows + 8 <= 40).all() and (cols >= 4).all()
    image = data.test_images(2)[0]
    assert image.hr.shape[:2] == (34, (60 - train.hr.shape[1]) // 2 * 2)
    first = train.hr.shape[1]
    np.testing.assert_array_equal(image.hr, cube[5:39, first : first + image.hr.shape[1]])
    assert test.hidden.any() and not image.hidden.any()


def test_only_the_regions_in_use_are_looked_at(tmp_path):
    cube = np.random.default_rng(0).random((32, 48, 2)).astype(np.float32)
    cube[:, 40:] = -50
    regions = [["train", 0, 32, 0, 24], ["test", 0, 32, 24, 40]]
    with pytest.raises(UserError, match="negative values .-50 at row 0, column 40"):
        loaded(tmp_path, cube, SceneMeta())
    data = loaded(tmp_path, cube, SceneMeta(), regions=regions)
    assert data.train[0].normaliser.gain == pytest.approx(1 / cube.max())


def test_bad_bands_are_left_out_and_told(tmp_path):
    cube = np.random.default_rng(0).random((32, 48, 5)).astype(np.float32)
    meta = SceneMeta(bad_bands=[0, 1, 0, 0, 1], wavelengths=[400, 500, 600, 700, 800])
    data = loaded(tmp_path, cube, meta)
    assert data.bands == 3 and data.wavelengths.tolist() == [400, 600, 700]
    np.testing.assert_array_equal(data.train[0].hr, cube[:, :32, [0, 2, 3]])
    assert "2 bands flagged as bad are left out: 2, 5" in data.describe()


@pytest.mark.parametrize("seed", range(5))
def test_the_largest_rectangle(seed):
    valid = np.random.default_rng(seed).random((7, 9)) < 0.8
    areas = {
        (r, c, h, w): h * w
        for r in range(7) for c in range(9) for h in range(1, 8 - r) for w in range(1, 10 - c)
        if valid[r : r + h, c : c + w].all()
    }  # fmt: skip
    found = scenes.largest_rectangle(valid)
    assert areas[found] == max(areas.values())
