"""SWIR Park: the published tiles and splits, and the same tiles made from radiance."""

import dataclasses

import numpy as np
import pytest
import spectral
from scipy.io import savemat

from hsisr_jax.data import builder, swir
from hsisr_jax.errors import UserError

SIDE = 32
PSF = swir.gaussian_psf() * np.linspace(0.9, 1.1, 32)
PSF /= PSF.sum()
SCENES = ("park_a", "park_b", "park_c")
SPLIT = {
    "train": {"SWIR_1": ["park_a_N0_SUBTILE"], "SWIR_2": ["park_b_N1_SUBTILE"]},
    "val": {"SWIR_1": ["park_c_N2_SUBTILE"], "SWIR_2": ["park_c_N0_SUBTILE"]},
}


def small(name: str, **changes):
    full = builder.builder_class("swir_park").builder_configs[name]
    split = dataclasses.replace(full.split, **changes)
    return dataclasses.replace(full, name="small", shape=(SIDE, SIDE, 30), split=split)


@pytest.fixture(scope="module")
def radiance():
    """Three scenes of 32x80 pixels, 300 bands over 1000-2500 nm."""
    rng = np.random.default_rng(0)
    return {name: rng.random((32, 80, 300)).astype(np.float32) * 0.05 for name in SCENES}


@pytest.fixture(scope="module")
def manual(tmp_path_factory, radiance):
    """The authors' share: radiance, tiles made tile by tile from it, splits, and the PSF."""
    folder = tmp_path_factory.mktemp("share")
    wavelengths = np.linspace(1000, 2500, 300)
    (folder / "radiance").mkdir()
    for name, cube in radiance.items():
        spectral.envi.save_image(
            str(folder / "radiance" / f"{name}.hdr"),
            cube,
            ext="img",
            interleave="bil",
            metadata={"wavelength": wavelengths.tolist(), "wavelength units": "nm"},
        )
    for number, domain in enumerate(swir.DOMAINS, 1):
        tiles = folder / "processed_tiles" / f"swir_park_dom{number}_x4"
        tiles.mkdir(parents=True)
        for name, cube in radiance.items():
            for index, col in enumerate((0, 32, 48)):
                write_tile(tiles / f"{name}_N{index}_SUBTILE.mat", cube, col, domain, wavelengths)
    splits = folder / "train_val_splits"
    splits.mkdir()
    np.savez(splits / "swir1_swir2_adversarial_swir2_val.npz", **SPLIT)
    np.savez(splits / "swir1_sisr_swir2_val.npz", train=SPLIT["train"], val=SPLIT["val"])
    savemat(folder / "blur_kernel.mat", {"data": PSF, "param": np.zeros((1, 3))})
    return folder


def write_tile(path, cube, col, domain, wavelengths):
    hr, centres = swir.reduce_bands(cube[:, col : col + SIDE], wavelengths, domain)
    half, quarter = (direct_blur(hr, factor) for factor in (2, 4))
    savemat(
        path,
        {
            "hr_hsi": hr.astype(np.float32),
            "hr_msi": swir.multispectral(hr, centres, domain).astype(np.float32),
            "lr_hsi": quarter,
            "lr_hsi_div2": half,
            "metadata": {
                "scene": path.stem,
                "tile_size": SIDE,
                "start_x": 0,
                "start_y": col,
                "psf_kernel": PSF,
            },
        },
    )


def direct_blur(cube, factor):
    """The paper's formula, pixel by pixel."""
    size, before = len(PSF), (len(PSF) - factor) // 2
    padded = np.pad(cube, [(before, size - factor - before)] * 2 + [(0, 0)])
    side = len(cube) // factor
    result = np.zeros((side, side, cube.shape[2]))
    for i in range(side):
        for j in range(side):
            part = padded[i * factor : i * factor + size, j * factor : j * factor + size]
            result[i, j] = (part * PSF[..., None]).sum(axis=(0, 1))
    return result


@pytest.fixture(scope="module")
def loaded(tmp_path_factory, manual):
    data_dir = tmp_path_factory.mktemp("data")
    found = {}
    for name in ("asnlsr", "asnlsr_radiance", "single", "scenes"):
        config = dataclasses.replace(small(name), name=f"small_{name}")
        builder.prepare("swir_park", config, data_dir=data_dir, manual_dir=manual)
        found[name] = builder.load("swir_park", config, data_dir=data_dir)
    return found


def test_published_tiles_by_the_published_split(loaded, radiance):
    scenes = loaded["asnlsr"]
    assert [(s["scene"], s["role"], s["domain"], s["col"]) for s in scenes] == [
        ("SWIR_1_park_a_N0_SUBTILE", "train", 0, 0),
        ("SWIR_2_park_b_N1_SUBTILE", "train", 1, 32),
        ("SWIR_2_park_c_N0_SUBTILE", "test", 1, 0),
    ]
    for scene in scenes:
        assert scene["image"].shape == (32, 32, 30)
        assert scene["lr"].shape == (8, 8, 30)
        assert scene["lr_div2"].shape == (16, 16, 30)
        np.testing.assert_allclose(scene["psf"], PSF, rtol=1e-6)
        assert (scene["minimum"], scene["maximum"]) == (-9.2103405, 0.6931473)
        assert scene["floor"] == 1e-4


def test_radiance_gives_the_very_tiles(loaded):
    for ours, theirs in zip(loaded["asnlsr_radiance"], loaded["asnlsr"], strict=True):
        assert ours["scene"] == theirs["scene"]
        assert (ours["row"], ours["col"]) == (theirs["row"], theirs["col"])
        for key in ("image", "lr", "lr_div2", "msi", "wavelengths"):
            np.testing.assert_allclose(ours[key], theirs[key], rtol=1e-5)


def test_single_domain_takes_its_range_from_the_training_tiles(loaded):
    scenes = loaded["single"]
    train = [s for s in scenes if s["role"] == "train"]
    assert [s["domain"] for s in train] == [0]  # the target is tested, never trained on
    source = np.log(np.maximum(train[0]["image"], 1e-4))
    assert train[0]["minimum"] == pytest.approx(source.min())
    assert train[0]["maximum"] == pytest.approx(source.max())
    assert [(s["domain"], s["maximum"]) for s in scenes if s["role"] == "test"] == [
        (1, train[0]["maximum"])
    ]


def test_split_by_scenes_shares_nothing(loaded):
    places = {(s["scene"].split("_N")[0][7:], s["domain"], s["role"]) for s in loaded["scenes"]}
    assert places == {("park_a", 0, "train"), ("park_b", 1, "train"), ("park_c", 1, "test")}
    # 80 columns: tiles at 0, 32 and, sharing half its columns, none at 48.
    assert sorted({s["col"] for s in loaded["scenes"]}) == [0, 32]


def test_twin_of_a_single_domain(tmp_path):
    builder.prepare("swir_park", "single_smoke", data_dir=tmp_path)
    scenes = builder.load("swir_park", "single_smoke", data_dir=tmp_path)
    assert {(s["role"], s["domain"]) for s in scenes} == {("train", 0), ("test", 1)}


def prepare(tmp_path, manual, name="asnlsr"):
    return builder.prepare("swir_park", small(name), data_dir=tmp_path / "data", manual_dir=manual)


def copied(manual, tmp_path):
    """The share, as links that a test may replace."""
    for path in manual.rglob("*"):
        target = tmp_path / "share" / path.relative_to(manual)
        target.parent.mkdir(parents=True, exist_ok=True)
        if path.is_file():
            target.symlink_to(path)
    return tmp_path / "share"


def test_what_can_be_missing(tmp_path, manual):
    with pytest.raises(UserError, match="swir_park_dom1_x4 is needed(.|\n)*nextcloud"):
        (tmp_path / "empty").mkdir()
        prepare(tmp_path, tmp_path / "empty")
    share = copied(manual, tmp_path)
    (share / "processed_tiles/swir_park_dom2_x4/park_b_N1_SUBTILE.mat").unlink()
    with pytest.raises(UserError, match="has no park_b_N1_SUBTILE.mat, which the split names"):
        prepare(tmp_path, share)


def test_a_split_that_leaks_is_refused(tmp_path, manual):
    share = copied(manual, tmp_path)
    path = share / "train_val_splits/swir1_swir2_adversarial_swir2_val.npz"
    path.unlink()
    np.savez(path, train={"SWIR_2": ["t"]}, val={"SWIR_2": ["t"]})
    with pytest.raises(UserError, match="trains and validates on tile t"):
        prepare(tmp_path, share)


def test_a_psf_that_is_none(tmp_path, manual):
    share = copied(manual, tmp_path)
    (share / "blur_kernel.mat").unlink()
    savemat(share / "blur_kernel.mat", {"data": np.ones((3, 3))})
    with pytest.raises(UserError, match="the PSF is .3, 3. with sum 9"):
        prepare(tmp_path, share)
