"""Small scenes of one's own: the patch fits what there is to train on."""

import numpy as np
import pytest

from hsisr_jax.data import builder


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
