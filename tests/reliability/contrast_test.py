"""Scenes whose signal a narrower type would lose: refused, or brought through."""

import numpy as np
import pytest
import workdirs

from hsisr_jax import formats, predict, resize
from hsisr_jax.data import builder
from hsisr_jax.errors import UserError
from hsisr_jax.formats import SceneMeta
from hsisr_jax.predict import Options

RNG = np.random.default_rng(0)
NOISE = RNG.random((40, 48, 3))


def prepared(tmp_path, cube, **meta):
    formats.write_scene(tmp_path / "x.hdr", cube, SceneMeta(**meta))
    options = {"path": str(tmp_path / "x.hdr")}
    builder.prepare("scene", options, data_dir=tmp_path / "d")
    return builder.load("scene", options, data_dir=tmp_path / "d")


@pytest.mark.parametrize(
    "cube",
    [1e6 + NOISE, 300 + NOISE * 1e-5, (2**53 - 9 + NOISE * 9).astype("i8"), 1e9 + NOISE,
     (2**30 + NOISE * 100).astype("i4")],
)  # fmt: skip
def test_a_scene_that_is_constant_in_float32_is_refused(tmp_path, cube):
    with pytest.raises(UserError, match="the same in float32: subtract the smallest"):
        prepared(tmp_path, cube)
    assert len(prepared(tmp_path, cube - cube.min())) == 2  # as it says


@pytest.mark.parametrize("cube", [NOISE * 1e9, NOISE * 1e-9, 300 + NOISE, 1e6 + NOISE * 1e5])
def test_any_other_scene_is_not(tmp_path, cube):
    image = prepared(tmp_path, cube)[0]["image"]
    assert len(np.unique(image)) > 1000


@pytest.mark.parametrize("value", [0.0, 5.0])
def test_a_constant_scene_is_refused(tmp_path, value):
    for dtype in ("f4", "u2", "f8"):
        with pytest.raises(UserError, match="'x' has no contrast .every value is"):
            prepared(tmp_path, np.full((40, 48, 3), value).astype(dtype))


@pytest.mark.parametrize(
    ("dtype", "base"), [("i4", 2**24), ("i4", 10**9), ("i8", 2**40), ("f8", 1e9)]
)
def test_values_far_from_0_keep_their_differences(tmp_path, dtype, base):
    """Physical values are stored * scale + offset, and the offset takes the base away again."""
    workdir = workdirs.make(tmp_path / "run")
    cube = workdirs.scene(20, 24).astype("f8")  # 0.1 .. 0.9
    stored = (base + np.rint(cube * 10_000)).astype(dtype)
    wavelengths = np.linspace(450, 700, 4)
    meta = SceneMeta(wavelengths=wavelengths, scale=1e-4, offset=-base * 1e-4, nodata=base - 1)
    stored[3, 4] = base - 1
    formats.write_scene(tmp_path / "in.npy", stored, meta)
    options = Options(dtype=np.dtype(dtype).name, quicklook=False, limits="none")
    predict.predict(workdir, tmp_path / "in.npy", tmp_path / "out.npy", options)
    found, after = formats.read_scene(tmp_path / "out.npy")
    hidden = found == after.nodata
    assert hidden.sum() == 4 * 4  # one pixel at x2, of four bands
    physical = (found.astype("f8") - base) * 1e-4
    far = np.ones((40, 48), bool)
    far[2:14, 4:16] = False  # what is hidden is filled in before
    reference = resize.imresize(np.rint(cube * 10_000) / 10_000, 2)
    np.testing.assert_allclose(physical[far], np.asarray(reference)[far], atol=2e-4)
