"""What every dataset must do, shown on its synthetic twin."""

import json
import subprocess
import sys

import numpy as np
import pytest
import tensorflow_datasets as tfds
from leaks import leaks

from hsisr_jax.data import builder
from hsisr_jax.data.splits import ROLES, SplitDefinition
from hsisr_jax.errors import UserError

NAMES = builder.names()
SHAPES = {  # bands and dtype of each dataset's first config, as published
    "aerial": (3, "uint8"),
    "cave": (31, "uint16"),
    "chikusei": (128, "uint16"),
    "harvard": (31, "float32"),
    "domains": (30, "float32"),
    "hyspecnet": (202, "uint16"),
    "houston": (144, "uint16"),
    "indian_pines": (200, "uint16"),
    "paris": (128, "float32"),
    "patches": (31, "float32"),
    "pavia": (102, "uint16"),
    "scene": (31, "uint16"),
    "swir_park": (30, "float32"),
    "synthetic": (31, "uint16"),
    "unmixing": (198, "uint16"),
    "washington_dc": (31, "int16"),
}


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory):
    return tmp_path_factory.mktemp("prepared")


@pytest.fixture(scope="module", params=NAMES)
def name(request):
    return request.param


@pytest.fixture(scope="module")
def prepared(name, data_dir):
    return builder.prepare(name, "smoke", data_dir=data_dir)


@pytest.fixture(scope="module")
def scenes(name, prepared, data_dir):
    return builder.load(name, "smoke", data_dir=data_dir)


def test_all_datasets_are_there():
    assert sorted(NAMES) == sorted(SHAPES)


def test_metadata(name, prepared):
    info = prepared.info
    assert info.name == name
    assert len(info.description) > 80
    assert info.citation.startswith("@")
    assert prepared.get_metadata().tags
    assert set(prepared.get_metadata().tags) <= set(
        tag.split(" ")[0] for tag in tfds.core.dataset_metadata.valid_tags()
    )
    assert info.redistribution_info.license
    assert info.file_format.value == "array_record"
    for config in prepared.builder_configs.values():
        assert config.description
        assert config.split.citation


def test_splits_and_definition(name, prepared, data_dir, scenes):
    split = builder.load_definition(name, "smoke", data_dir=data_dir)
    assert split.rule is None
    assert not leaks(split.regions)
    assert {"train", "test"} <= set(prepared.info.splits) <= set(ROLES)
    for role in ROLES:
        found = [s for s in scenes if s["role"] == role]
        assert [s["image"].shape[:2] for s in found] == [r.shape for r in split.role(role)]
        assert [s["domain"] for s in found] == [r.domain for r in split.role(role)]
        if found:
            assert prepared.info.splits[role].num_examples == len(found)
    assert bool(split.role("validation")) == (split.validation == ("regions",))


def test_found_again_from_its_folder_alone(prepared, scenes):
    again = tfds.builder_from_directory(str(prepared.data_path))
    records = list(again.as_data_source(split="train"))
    assert len(records) == sum(s["role"] == "train" for s in scenes)
    first = next(r for r in records if r["index"] == 0)
    np.testing.assert_array_equal(first["image"], scenes[0]["image"])
    metadata = again.info.metadata
    assert SplitDefinition.from_json(metadata["split_definition"]).regions
    statistics = json.loads(metadata["statistics"])
    images = [s["image"] for s in scenes if s["role"] == "train"]
    scale, offset = scenes[0]["scale"], scenes[0]["offset"]
    largest = max(image.max() for image in images) * scale + offset
    mean = np.mean([image.mean(dtype=float) for image in images]) * scale + offset
    assert np.isclose(statistics["train"]["maximum"], largest)
    assert np.isclose(statistics["train"]["mean"], mean)


def test_slices(prepared):
    """TFDS's own slices work, for those who read the records with it."""
    whole = prepared.as_data_source(split="train")
    first, last = (prepared.as_data_source(split=f"train[{s}]") for s in (":1", "-1:"))
    assert len(first) == len(last) == 1
    np.testing.assert_array_equal(first[0]["image"], whole[0]["image"])
    np.testing.assert_array_equal(last[0]["image"], whole[len(whole) - 1]["image"])


def test_keys_and_dtypes(name, scenes):
    bands, dtype = SHAPES[name]
    for scene in scenes:
        assert scene["image"].shape[2] == bands
        assert scene["image"].dtype == dtype
        assert scene["wavelengths"].shape == scene["bad_bands"].shape == (bands,)
        assert (np.diff(scene["wavelengths"]) > 0).all()
        assert scene["bad_bands"].dtype == bool
        assert scene["transform"].shape == (6,)
        for key in ("scale", "offset", "divisor", "minimum", "maximum", "gsd", "floor"):
            assert isinstance(scene[key], float)
        for key in ("row", "col", "index", "domain", "block", "blocks"):
            assert isinstance(scene[key], int)
        for key in ("name", "scene", "sensor", "crs", "normaliser"):
            assert isinstance(scene[key], str)
        assert scene["sensor"]
        assert scene["role"] in ROLES
    assert len({scene["name"] for scene in scenes}) == len(scenes)


def test_normalised_values_are_in_range(scenes):
    """What a network sees, by the formula that `load` documents."""
    for scene in scenes:
        values = scene["image"] * scene["scale"] + scene["offset"]
        if scene["normaliser"] == "log_minmax":
            values = np.log(np.maximum(values, scene["floor"]))
        low, high = scene["minimum"], scene["maximum"]
        values = (values - low) / (high - low)
        assert high - low == pytest.approx(scene["divisor"])
        assert -0.01 < values.min() < values.max() < 1.1
        assert values.std() > 0.03
        if scene["normaliser"] == "max_of_region":
            assert values.max() == pytest.approx(1)


def test_the_twin_is_the_same_every_time(name, scenes, tmp_path):
    builder.prepare(name, "smoke", data_dir=tmp_path)
    for one, two in zip(scenes, builder.load(name, "smoke", data_dir=tmp_path)):
        np.testing.assert_array_equal(one["image"], two["image"])


def test_patches_fit_every_scale(name, data_dir, scenes):
    split = builder.load_definition(name, "smoke", data_dir=data_dir)
    train_scenes = [s for s in scenes if s["role"] == "train"]
    for scale in (2, 4):
        train, validation = split.patches(scale)
        assert len(train) > len(validation)
        side = split.patch_at(scale)
        for index, row, col in train.tolist():
            height, width, _ = train_scenes[index]["image"].shape
            assert row + side <= height
            assert col + side <= width
        assert split.validation is None or split.validation[0] != "patches" or len(validation)


@pytest.mark.parametrize(
    ("dataset", "config", "bands", "msi"),
    [
        ("pavia", "srlsgat_smoke", 31, None),
        ("pavia", "ssran93_smoke", 93, 4),
        ("chikusei", "srlsgat_smoke", 31, None),
        ("washington_dc", "ssran_smoke", 191, 4),
        ("paris", "ssran_smoke", 128, 9),
    ],
)
def test_every_paper_has_a_twin(data_dir, dataset, config, bands, msi):
    builder.prepare(dataset, config, data_dir=data_dir)
    scene = builder.load(dataset, config, data_dir=data_dir)[0]
    assert scene["image"].shape[2] == bands
    assert ("msi" in scene) == bool(msi)
    if msi:
        assert scene["msi"].shape == (*scene["image"].shape[:2], msi)
        assert scene["msi"].min() < scene["image"].mean() < scene["msi"].max()


def test_two_domains_show_one_ground(data_dir):
    builder.prepare("swir_park", "smoke", data_dir=data_dir)
    scenes = builder.load("swir_park", "smoke", data_dir=data_dir)
    assert {s["domain"] for s in scenes if s["role"] == "train"} == {0, 1}
    assert {s["domain"] for s in scenes if s["role"] == "test"} == {1}
    places = [(s["row"], s["col"]) for s in scenes]
    assert len(set(places)) == len(places)  # no ground is both trained on and tested
    for scene in scenes:
        first, last = (1000, 1700) if scene["domain"] == 0 else (1700, 2500)
        assert first <= scene["wavelengths"].min() < scene["wavelengths"].max() <= last
        side = scene["image"].shape[0]
        assert scene["lr"].shape == (side // 4, side // 4, 30)
        assert scene["lr_div2"].shape == (side // 2, side // 2, 30)
        assert scene["psf"].shape == (32, 32)


def test_names_that_are_not_there(data_dir):
    with pytest.raises(UserError, match="'pavai' is unknown; the datasets are aerial, cave"):
        builder.prepare("pavai", data_dir=data_dir)
    with pytest.raises(UserError, match="no config 'sspr'; it has sspsr, srlsgat"):
        builder.prepare("pavia", "sspr", data_dir=data_dir)
    with pytest.raises(UserError, match="takes no options"):
        builder.prepare("pavia", {"bands": 3}, data_dir=data_dir)
    for read in (builder.load, builder.load_definition):
        with pytest.raises(UserError, match="run --mode=prepare"):
            read("pavia", "sspsr", data_dir=data_dir)


def test_options_of_a_synthetic_scene(data_dir):
    options = {"height": 48, "width": 64, "bands": 5, "seed": 3, "domains": 2, "dtype": "float32"}
    options |= {"patch": 16, "stride": 8}
    builder.prepare("synthetic", options, data_dir=data_dir)
    scenes = builder.load("synthetic", options, data_dir=data_dir)
    assert [(s["role"], s["domain"]) for s in scenes] == [
        ("train", 0),
        ("train", 1),
        ("validation", 1),
        ("test", 1),
    ]
    assert scenes[0]["image"].shape == (48, 40, 5)
    assert scenes[0]["image"].dtype == np.float32
    assert scenes[0]["wavelengths"].max() <= scenes[1]["wavelengths"].min()
    with pytest.raises(UserError, match="options of 'synthetic' are height, width"):
        builder.prepare("synthetic", {"size": 3}, data_dir=data_dir)
    with pytest.raises(UserError, match="not int8"):
        builder.prepare("synthetic", {"dtype": "int8"}, data_dir=data_dir)


def test_neither_tensorflow_nor_jax_nor_torch_is_imported():
    code = (
        "import sys\nfrom hsisr_jax.data import builder\n"
        "[builder.builder_class(n) for n in builder.names()]\n"
        "print([m for m in ('tensorflow', 'jax', 'torch') if m in sys.modules])"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "[]"
