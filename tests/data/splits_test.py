"""Split definitions: the papers' own counts of patches, and no test pixel in training."""

import json
from dataclasses import replace

import numpy as np
import pytest
from golden import ROOT
from leaks import leaks

from hsisr_jax.data import builder
from hsisr_jax.data import normalise as data_normalise
from hsisr_jax.data.scenes import Dataset, Scene
from hsisr_jax.data.splits import (
    FirstScenes,
    Fractions,
    Normaliser,
    Region,
    SplitDefinition,
    held_out,
    patch_origins,
    tile_origins,
)
from hsisr_jax.errors import UserError

SIZES = {
    "pavia_centre": (1096, 715),
    "pavia_university": (610, 340),
    "chikusei": (2517, 2335),
    "washington_dc": (1280, 307),
    "paris": (72, 72),
    "jasper_ridge": (100, 100),
    "samson": (95, 95),
    "indian_pines": (145, 145),
    "urban": (307, 307),
    "houston_2013": (349, 1905),
    "houston_2018": (1202, 4172),
    "synthetic": (128, 192),
}
CAVE = 32


def sizes_of(name: str, config) -> dict:
    if config.smoke or isinstance(config.options.get("domains"), tuple):
        named = {region.scene for region in config.split.regions} or {"synthetic"}
        return dict.fromkeys(named, config.shape[:2])
    if name == "aerial":
        return {region.scene: (128, 128) for region in config.split.regions}
    if name == "cave":
        module = __import__("sys").modules[builder.builder_class("cave").__module__]
        return {scene: (512, 512) for scene in module.SCENES}
    if name == "harvard":
        return {f"img{i:02d}": (1040, 1392) for i in range(50)}
    if name == "synthetic":
        return {"synthetic_0": config.shape[:2]}
    return SIZES


def definitions():
    for name in builder.names():
        for key, config in builder.builder_class(name).builder_configs.items():
            if name not in ("swir_park", "hyspecnet"):  # whole tiles, listed by files
                yield pytest.param(name, config, id=f"{name}/{key}")


@pytest.mark.parametrize(("name", "config"), definitions())
def test_no_test_pixel_is_trained_on(name, config):
    sizes = sizes_of(name, config)
    split = config.split
    if split.rule is None:
        wanted = {region.scene for region in split.regions}
    else:
        shown = {"2013": "houston_2013", "2018": "houston_2018", "university": "pavia_university"}
        wanted = {shown[split.name]} if split.name in shown else set(sizes)
    resolved = split.resolve({scene: sizes[scene] for scene in wanted})
    assert not leaks(resolved.regions)
    seen = {scene: np.zeros(size, np.uint8) for scene, size in sizes.items() if scene in wanted}
    for region in resolved.regions:
        part = seen[region.scene][slice(*region.rows), slice(*region.cols)]
        assert part.size
        part |= 2 if region.role == "test" else 1
    assert max(int(mask.max()) for mask in seen.values()) <= 2  # 3 would be both
    assert resolved.role("train")
    assert resolved.role("test")


@pytest.mark.parametrize(
    ("name", "config", "scale", "patches", "tests"),
    [
        ("chikusei", "sspsr", 4, 3465, 4),
        ("chikusei", "srlsgat", 2, 3465, 217),
        ("chikusei", "srlsgat", 8, 837, 217),
        ("washington_dc", "srlsgat", 4, 248, 9),
        ("washington_dc", "srlsgat", 8, 45, 9),
        ("pavia", "srlsgat", 2, 495, 32),
        ("pavia", "srlsgat", 8, 112, 32),
        ("pavia", "ssran", 4, 58_879, 152 * 60),
        ("paris", "ssran", 4, 2277, 162),
        ("unmixing", "jasper_ridge", 4, 45, 3),
    ],
)
def test_counts_of_patches_are_the_papers(name, config, scale, patches, tests):
    split = builder.builder_class(name).builder_configs[config].split
    split = split.resolve({r.scene: SIZES[r.scene] for r in split.regions})
    train, validation = split.patches(scale)
    assert len(train) + len(validation) == patches
    assert sum(len(split.test_tiles(region.shape)) for region in split.role("test")) == tests
    if split.validation and split.validation[0] == "patches":
        assert len(validation) == round(0.1 * patches)
        together = np.concatenate([train, validation])
        assert len(np.unique(together, axis=0)) == patches


def test_chikusei_crop_is_matlabs():
    """chikusei(107:2410, 144:2191, :), and bands 50:80."""
    configs = builder.builder_class("chikusei").builder_configs
    window = configs["sspsr"].split.window
    matlab = np.arange(1, 2518)[slice(*window[0])], np.arange(1, 2336)[slice(*window[1])]
    assert (matlab[0][0], matlab[0][-1]) == (107, 2410)
    assert (matlab[1][0], matlab[1][-1]) == (144, 2191)
    bands = np.arange(1, 129)[slice(*configs["srlsgat"].split.bands)]
    assert (bands[0], bands[-1]) == (50, 80)


def test_held_out_patches_depend_on_the_seed_alone():
    patches = np.arange(60).reshape(20, 3)
    first = held_out(patches, ("patches", 0.1, 7))
    np.testing.assert_array_equal(first[1], held_out(patches, ("patches", 0.1, 7))[1])
    assert any((held_out(patches, ("patches", 0.1, s))[1] != first[1]).any() for s in range(5))
    assert len(held_out(patches, ("regions",))[1]) == 0


def test_patches_follow_matlabs_ranges():
    """1:stride:(H - p + 1) in both directions, the columns running fastest."""
    expected = [(r, c) for r in range(0, 11 - 4 + 1, 3) for c in range(0, 9 - 4 + 1, 3)]
    assert [tuple(o) for o in patch_origins(11, 9, 4, 3).tolist()] == expected
    with pytest.raises(UserError, match="do not fit"):
        patch_origins(10, 3, 4, 1)


def test_json_keeps_everything():
    split = SplitDefinition(
        name="a",
        citation="b",
        regions=(Region("s", (0, None), (3, 9), "test", 1),),
        window=((0, 5), (1, 9)),
        bands=(2, 7),
        patch={2: 8, 4: 16},
        normaliser=Normaliser("divide", {"divisor": 2.0}),
        validation=("patches", 0.1, 3),
    )
    assert SplitDefinition.from_json(split.to_json()) == split
    for rule in (Fractions(0.5, 0.2, 0.3, axis="rows"), FirstScenes(3, 100)):
        split = SplitDefinition(name="a", citation="b", rule=rule)
        assert SplitDefinition.from_json(json.dumps(json.loads(split.to_json()))) == split


@pytest.mark.parametrize("axis", ["rows", "cols"])
def test_fractions_cut_in_whole_steps(axis):
    regions = Fractions(0.6, 0.1, 0.3, axis=axis)({"s": (101, 203)})
    assert [r.role for r in regions] == ["train", "validation", "test"]
    long, across = ("rows", "cols") if axis == "rows" else ("cols", "rows")
    ends = [0]
    for region in regions:
        start, end = getattr(region, long)
        assert start == ends[-1]
        assert (end - start) % 8 == 0
        assert getattr(region, across) == (0, (203 if axis == "rows" else 101) // 8 * 8)
        ends.append(end)
    assert ends[-1] <= (101 if axis == "rows" else 203)


def test_a_validation_part_is_large_enough_to_be_scored():
    """48 columns have six steps: training gives one of its three up."""
    rule = Fractions(0.49, 0.18, 0.33, scored=16)
    ends = [r.cols for r in rule({"s": (64, 48)})]
    assert ends == [(0, 16), (16, 32), (32, 48)]
    assert [r.cols[1] for r in rule({"s": (100, 100)})] == [48, 64, 96]
    assert [r.role for r in Fractions(0.6, 0, 0.4, scored=16)({"s": (64, 64)})] == ["train", "test"]


def test_fractions_refuse_what_cannot_be():
    with pytest.raises(UserError, match="too small"):
        Fractions()({"s": (20, 15)})
    with pytest.raises(UserError, match="axis 'bands'"):
        Fractions(axis="bands")({"s": (64, 64)})
    with pytest.raises(UserError, match="sum to at most 1"):
        Fractions(0.9, 0.1, 0.2)({"s": (64, 64)})


def test_regions_must_lie_inside():
    with pytest.raises(UserError, match="does not fit"):
        Region("s", (0, 11), (0, 5), "train").resolve(10, 10)
    split = SplitDefinition("a", "b", regions=(Region("s", (0, 1), (0, 1), "train"),))
    with pytest.raises(UserError, match="wants scene 's'"):
        split.resolve({"t": (3, 3)})


def test_patch_of_a_scale_without_entry():
    split = SplitDefinition("a", "b", patch={2: 64, 8: 128}, stride=3)
    assert [split.patch_at(s) for s in (2, 3, 4, 8, 16)] == [64, 64, 64, 128, 128]
    assert split.stride_at(4) == 3


def test_normaliser_names_are_known():
    with pytest.raises(UserError, match="'softmax' is unknown"):
        Normaliser("softmax")


GOLDEN_TILES = ROOT / "degradation_tiles.npz"


@pytest.mark.skipif(not GOLDEN_TILES.exists(), reason="no golden data; set HSISR_GOLDEN")
def test_tiles_are_asnlsrs():
    golden = np.load(GOLDEN_TILES)
    for height, width, tile, threshold in json.loads(str(golden["config"]))["scenes"]:
        expected = golden[f"output/{height}x{width}_tile{tile}_thr{threshold}"]
        if min(height, width) < tile:  # the original gives negative origins
            with pytest.raises(UserError, match="smaller than one tile"):
                tile_origins(height, width, tile, threshold)
        else:
            np.testing.assert_array_equal(tile_origins(height, width, tile, threshold), expected)


def test_tiles_of_a_swir_park_scene():
    origins = tile_origins(5809, 620)
    assert len(origins) == 225
    assert origins[:, 0].max() == 44 * 128  # a 46th row would be covered to more than a half
    assert origins[:, 1].max() == 620 - 128


def test_test_tiles_are_scored_one_by_one_or_put_together():
    """17 x 22 pixels in tiles of 4: the last row and two columns are left out either way."""
    scene = Scene("s", {"hr": np.zeros((17, 22, 3), np.float32)}, data_normalise.Normaliser())
    split = SplitDefinition(name="s", citation="", test_tile=4)
    apart = Dataset("d", split, [], [], [scene]).test_images(1)
    assert len(apart) == 20 and {image.hr.shape for image in apart} == {(4, 4, 3)}
    (whole,) = Dataset("d", replace(split, stitched=True), [], [], [scene]).test_images(1)
    assert whole.hr.shape == (16, 20, 3)
