"""A user's own data: two spectral domains, patch files, a multispectral partner."""

from pathlib import Path

import h5py
import numpy as np
import pytest
from command import hsisr
from scipy.io import savemat

from hsisr_jax import resize
from hsisr_jax.data import builder
from hsisr_jax.data.patch_files import arrays_of
from hsisr_jax.data.ranges import RANGES, even_bands
from hsisr_jax.data.synthetic import generate
from hsisr_jax.errors import UserError
from hsisr_jax.formats import SceneMeta, write_scene
from hsisr_jax.training.workdir import as_dict

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def scene(tmp_path_factory):
    """32 x 48 pixels of 80 bands, 400 to 2500 nm; one band is marked bad."""
    wavelengths = np.linspace(400, 2500, 80)
    cube = generate(32, 48, 80, seed=1, wavelengths=wavelengths)[0].astype(np.float32)
    path = tmp_path_factory.mktemp("scene") / "mine.tif"
    write_scene(path, cube, SceneMeta(wavelengths=wavelengths, bad_bands=np.arange(80) == 30))
    return path, cube, wavelengths


def load(name, options, folder):
    builder.prepare(name, options, data_dir=folder)
    return builder.load(name, options, data_dir=folder)


def test_one_cube_cut_by_wavelength(scene, tmp_path):
    path, cube, wavelengths = scene
    found = load("domains", {"path": str(path), "domains": ["VNIR", "SWIR1"]}, tmp_path)
    assert [(s["role"], s["domain"]) for s in found] == [("train", 0), ("train", 1), ("test", 1)]
    bands = found[0]["image"].shape[2]
    assert bands == found[1]["image"].shape[2] > 10
    for one in found:
        low, high = (450, 1000) if one["domain"] == 0 else (1000, 1700)
        assert low <= one["wavelengths"].min() < one["wavelengths"].max() <= high
        assert not ((one["wavelengths"] > 1340) & (one["wavelengths"] < 1520)).any()
    # a spectrum that is a straight line of the wavelength stays one
    row, col = found[2]["row"], found[2]["col"]
    assert (row, col) == (0, 32)
    kept = RANGES["SWIR1"].holds(wavelengths) & (np.arange(80) != 30)
    weights, centres = even_bands(wavelengths[kept], RANGES["SWIR1"], bands)
    np.testing.assert_allclose(weights.sum(0), 1)
    np.testing.assert_allclose(found[2]["wavelengths"], centres)
    np.testing.assert_allclose(found[2]["image"], cube[:, 32:48][..., kept] @ weights, rtol=1e-5)


def test_two_cubes(scene, tmp_path):
    path, cube, wavelengths = scene
    other = tmp_path / "other.tif"
    write_scene(other, cube[:24, :40], SceneMeta(wavelengths=wavelengths))
    options = {"path": [str(path), str(other)], "domains": ["VNIR", [1000, 1300]], "bands": 6}
    found = load("domains", options, tmp_path / "data")
    shapes = [(s["role"], s["domain"], s["image"].shape) for s in found]
    assert shapes == [
        ("train", 0, (32, 48, 6)),
        ("train", 1, (24, 24, 6)),
        ("test", 1, (24, 16, 6)),
    ]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"domains": ["VNIR", "SWIR3"]}, "'SWIR3' is unknown: use VNIR, SWIR, SWIR1, SWIR2"),
        ({"domains": ["SWIR", "SWIR1"]}, "SWIR .1000 to 2500 nm. and SWIR1 .* overlap"),
        ({"domains": [[2600, 2900], "VNIR"]}, "0 good bands .* covers .400 to 2500"),
        ({"domains": ["VNIR", "SWIR1"], "bands": 60}, "60 bands are asked for"),
        ({"domains": ["VNIR"]}, "give two names"),
        ({"domans": ["VNIR", "SWIR"]}, "'domans' is unknown"),
    ],
)
def test_domains_that_cannot_be(scene, options, words, tmp_path):
    with pytest.raises(UserError, match=words):
        builder.prepare("domains", {"path": str(scene[0]), **options}, data_dir=tmp_path)


def test_a_scene_without_wavelengths_has_no_domains(tmp_path):
    np.save(tmp_path / "plain.npy", np.ones((16, 16, 40), np.float32))
    with pytest.raises(UserError, match="has no wavelengths, so VNIR cannot be cut out"):
        builder.prepare("domains", {"path": str(tmp_path / "plain.npy")}, data_dir=tmp_path)


def patch_folder(folder, cube, v73=False):
    """Two training patches, and a stack of two tests, as the published scripts write them."""
    for name in ("trains", "tests"):
        (folder / name).mkdir(parents=True)

    def arrays(gt):
        ms = np.asarray(resize.imresize(gt, 0.5))
        return {"gt": gt, "ms": ms, "ms_bicubic": np.asarray(resize.imresize(ms, 2))}

    parts = [cube[:16, :16], cube[16:, :16]]
    tests = arrays(np.stack([cube[:16, 16:32], cube[16:, 16:32]]))
    if v73:
        files = {f"trains/block_{i}.mat": arrays(p) for i, p in enumerate(parts, 9)}
        for name, values in {**files, "tests/all.mat": tests}.items():
            with h5py.File(folder / name, "w", userblock_size=512) as file:
                for key, value in values.items():
                    file[key] = value.T
    else:
        for i, part in enumerate(parts, 9):  # block_9 and block_10
            savemat(folder / "trains" / f"block_{i}.mat", arrays(part), do_compression=i == 9)
        savemat(folder / "tests" / "all.mat", tests)


@pytest.mark.parametrize("v73", [False, True], ids=["v5", "v7.3"])
def test_patch_files(scene, v73, tmp_path):
    cube = scene[1][..., :5]
    patch_folder(tmp_path / "field", cube, v73)
    found = load("patches", {"path": str(tmp_path / "field")}, tmp_path / "data")
    assert [s["role"] for s in found] == ["train", "train", "test", "test"]
    expected = [cube[:16, :16], cube[16:, :16], cube[:16, 16:32], cube[16:, 16:32]]
    for one, image in zip(found, expected):
        np.testing.assert_array_equal(one["image"], image)


def test_patch_files_that_are_no_pairs(scene, tmp_path):
    cube, folder = scene[1][..., :5], tmp_path / "field"
    options = {"path": str(folder)}
    with pytest.raises(UserError, match="there is no folder"):
        builder.prepare("patches", options, data_dir=tmp_path)
    folder.mkdir()
    with pytest.raises(UserError, match="no trains/.*mat: patch files lie in the folders"):
        builder.prepare("patches", options, data_dir=tmp_path)
    patch_folder(folder / "a", cube)
    options = {"path": str(folder / "a")}
    block = folder / "a" / "trains" / "block_9.mat"
    savemat(block, {"gt": cube[:16, :16], "ms": cube[:8, :8]})
    with pytest.raises(UserError, match="ms is not the bicubic reduction of gt"):
        builder.prepare("patches", options, data_dir=tmp_path)
    assert load("patches", {**options, "check": False}, tmp_path / "data")
    savemat(block, {"gt": cube[:16, :16], "ms": cube[:7, :8]})
    with pytest.raises(UserError, match="block_9.mat: gt is .16, 16, 5. and ms .7, 8, 5."):
        builder.prepare("patches", options, data_dir=tmp_path)
    savemat(block, {"gt": cube[:12, :12]})
    with pytest.raises(UserError, match="squares of one size"):
        builder.prepare("patches", options, data_dir=tmp_path)
    savemat(block, {"gt": cube[:16, :16, :3]})
    with pytest.raises(UserError, match=r"differ: \[3, 5\] bands"):
        builder.prepare("patches", options, data_dir=tmp_path)


def test_a_multispectral_partner(scene, tmp_path):
    path, cube, _ = scene
    partner = tmp_path / "msi.tif"
    write_scene(partner, (1000 * cube[..., ::20]).astype(np.uint16), SceneMeta(scale=1e-3))
    options = {"path": str(path), "msi": str(partner)}
    found = load("scene", options, tmp_path / "data")
    for one in found:
        rows, cols = (slice(one[a], one[a] + n) for a, n in zip(("row", "col"), one["msi"].shape))
        np.testing.assert_allclose(one["msi"], cube[rows, cols, ::20], atol=1.1e-3)
    small = tmp_path / "small.tif"
    write_scene(small, cube[:16, :16, :4])
    with pytest.raises(UserError, match="small.tif has 16x16 pixels and its scene 32x48"):
        builder.prepare("scene", {**options, "msi": str(small)}, data_dir=tmp_path)
    with pytest.raises(UserError, match="1 scenes and 2 multispectral images"):
        builder.prepare("scene", {**options, "msi": [str(partner)] * 2}, data_dir=tmp_path)


def test_patch_files_written_and_read_again(tmp_path):
    """Of the synthetic dataset: what was written is a dataset of the same patches."""
    given = [f"--config={ROOT}/tests/helpers/tiny_config.py", f"--config.data.dir={tmp_path}"]
    field = tmp_path / "field"
    code, out, err = hsisr("--mode=prepare", *given, "--format=mat", f"--output={field}")
    assert code == 0, err
    assert "patch files in" in out.splitlines()[-1]
    blocks = sorted((field / "trains").glob("*.mat"))
    first = arrays_of(field / "trains" / "block_1.mat", ("gt", "ms", "ms_bicubic"))
    assert first["gt"].shape == first["ms_bicubic"].shape == (16, 16, 6)
    np.testing.assert_allclose(first["ms"], resize.imresize(first["gt"], 0.5), atol=1e-6)
    found = load("patches", {"path": str(field)}, tmp_path / "data")
    train = [s for s in found if s["role"] == "train"]
    assert len(train) == len(blocks) > 4
    np.testing.assert_array_equal(train[0]["image"], first["gt"])
    assert {s["role"] for s in found} == {"train", "validation", "test"}
    code, _, err = hsisr("--mode=prepare", *given, "--format=mat", f"--output={field}")
    assert code == 2 and "not empty" in err
    code, _, err = hsisr("--mode=prepare", *given, "--format=mat")
    assert code == 2 and "--output=FOLDER" in err


@pytest.mark.parametrize("form", ["{0},{1}", "('{0}', '{1}')"])
def test_several_files_by_one_flag(form, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("a.npy", "c.npy"):
        np.save(name, generate(48, 96, 6, seed=1)[0])
    path = form.format("a.npy", "c.npy")
    given = [f"--config.data.path={path}", f"--config.data.dir={tmp_path}"]
    code, out, err = hsisr("--mode=prepare", "--config=scene:x2", *given)
    assert code == 0 and "a_train_0: hr" in out and "c_train_" in out, err
    stored = as_dict({"data": {"path": path}})  # in a workdir, for any folder
    assert stored == {"data": {"path": [str(tmp_path / "a.npy"), str(tmp_path / "c.npy")]}}
    assert as_dict(stored) == stored


@pytest.mark.slow
def test_a_snlsr_on_two_ranges_of_a_file(scene, tmp_path):
    """The command of docs/datasets.md; ranges by name and by their ends, one file and two."""
    small = ["--config.model.features=8", "--config.model.materials=4", "--config.steps=2",
             f"--config.data.dir={tmp_path}", "--config.data.options.patch=16"]  # fmt: skip
    one = [f"--config.data.path={scene[0]}", "--config.data.domains=('VNIR',(1000,1300))"]
    two = [f"--config.data.path={scene[0]},{scene[0]}"]
    for i, files in enumerate((one, two)):
        run = f"--workdir={tmp_path / str(i)}"
        code, out, err = hsisr("--config=asnlsr_scene", run, *files, *small)
        assert code == 0, err
        assert "SSIM" in out


@pytest.mark.slow
def test_ssran_on_a_pair_of_files(scene, tmp_path):
    path, cube, _ = scene
    write_scene(tmp_path / "msi.tif", np.ascontiguousarray(cube[..., ::20]))
    given = [f"--config.data.path={path}", f"--config.data.options.msi={tmp_path / 'msi.tif'}"]
    small = ["--config.model.features=8", "--config.steps=2", f"--config.data.dir={tmp_path}",
             "--config.data.options.fractions=(0.33,0.0,0.67)"]  # fmt: skip
    run = f"--workdir={tmp_path / 'run'}"
    code, out, err = hsisr("--config=ssran_scene", run, *given, *small)
    assert code == 0, err
    assert "least_squares" in out
    predicted = ["--mode=predict", run, f"--input={tmp_path / 'msi.tif'}"]
    code, _, err = hsisr(*predicted, f"--output={tmp_path / 'out.tif'}")
    assert code == 0, err
