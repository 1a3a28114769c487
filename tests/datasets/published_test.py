"""Each builder on a small file in exactly the published format, written by other libraries."""

import dataclasses
import io
import shutil
import sys
import tarfile
import zipfile

import h5py
import numpy as np
import pytest
import rasterio
import spectral
import tifffile
from golden import ROOT
from PIL import Image
from scipy.io import loadmat, savemat

from hsisr_jax.data import builder
from hsisr_jax.data.splits import Fractions, Region, SplitDefinition
from hsisr_jax.errors import UserError

SHARED = ROOT.parent / "data"
RNG = np.random.default_rng(0)


def small(name: str, config: str, size: tuple[int, int], regions=(), **split):
    """The config of a paper for a scene of another size."""
    full = builder.builder_class(name).builder_configs[config]
    definition = dataclasses.replace(full.split, **({"regions": regions} | split))
    height, width = size
    return dataclasses.replace(
        full, name="small", shape=(height, width, full.shape[2]), split=definition
    )


def module(name: str):
    return sys.modules[builder.builder_class(name).__module__]


def run(name, config, tmp_path, manual=None):
    manual = manual or tmp_path / "manual"
    builder.prepare(name, config, data_dir=tmp_path / "data", manual_dir=manual)
    return builder.load(name, config, data_dir=tmp_path / "data")


@pytest.fixture
def manual(tmp_path):
    folder = tmp_path / "manual"
    folder.mkdir()
    return folder


def counts(shape, top=8000, dtype=np.uint16):
    return RNG.integers(1, top, shape).astype(dtype)


def halves(scene: str, height: int, width: int) -> tuple[Region, ...]:
    return (
        Region(scene, (0, height), (0, width // 2), "train"),
        Region(scene, (0, height), (width // 2, width), "test"),
    )


def test_pavia_centre(tmp_path, manual):
    cube = counts((20, 30, 102))
    savemat(manual / "Pavia_centre.mat", {"pavia": cube, "other": np.zeros((3, 3))})
    config = small("pavia", "srlsgat", (20, 30), halves("pavia_centre", 20, 30))
    train, test = run("pavia", config, tmp_path)
    np.testing.assert_array_equal(train["image"], cube[:, :15, 34:65])
    np.testing.assert_array_equal(test["image"], cube[:, 15:, 34:65])
    assert (train["maximum"], test["maximum"]) == (train["image"].max(), test["image"].max())
    assert (test["row"], test["col"], test["sensor"], test["gsd"]) == (0, 15, "ROSIS", 1.3)
    np.testing.assert_allclose(train["wavelengths"], np.linspace(430, 860, 102)[34:65])


def test_pavia_university_with_ikonos_bands(tmp_path, manual):
    cube = counts((9, 12, 103))
    savemat(manual / "PaviaU.mat", {"paviaU": cube}, do_compression=True)
    config = small("pavia", "ssran93", (9, 12), halves("pavia_university", 9, 12))
    train, test = run("pavia", config, tmp_path)
    np.testing.assert_array_equal(train["image"], cube[:, :6, 10:])
    response = np.zeros((4, 103))  # D_103 of the authors: MATLAB's 4:20, 19:39, 49:64, 79:101
    for row, (first, last) in enumerate(((4, 20), (19, 39), (49, 64), (79, 101))):
        response[row, first - 1 : last] = 1 / (last - first + 1)
    np.testing.assert_allclose(test["msi"], cube[:, 6:] @ response.T, rtol=1e-6)
    # The divisor is the maximum of the bands in use.
    assert train["divisor"] == test["divisor"] == cube[..., 10:].max()


@pytest.mark.parametrize("form", ["zip", "mat", "envi"])
def test_chikusei(tmp_path, manual, form):
    """MATLAB 7.3 with reversed axes and float64 counts in a zip; or the ENVI copy."""
    cube = counts((22, 26, 128), 15133)
    stem = "HyperspecVNIR_Chikusei_20140729"
    if form == "envi":
        spectral.envi.save_image(
            str(manual / f"{stem}.hdr"),
            cube.astype(np.int16),
            ext="bsq",
            interleave="bsq",
            metadata={
                "data ignore value": int(cube[12, 5, 0])
            },  # papers use the value all the same
        )
    else:
        with h5py.File(manual / f"{stem}.mat", "w", userblock_size=512) as file:
            stored = cube.transpose(2, 1, 0).astype(float)
            file.create_dataset("chikusei", data=stored, chunks=(4, 13, 11), compression="gzip")
            file["chikusei"].attrs["MATLAB_class"] = np.bytes_("double")
    if form == "zip":
        with zipfile.ZipFile(manual / "Hyperspec_Chikusei_MATLAB.zip", "w") as packed:
            packed.write(manual / f"{stem}.mat", f"Chikusei_MATLAB/{stem}.mat")
        (manual / f"{stem}.mat").unlink()
    window = ((2, 20), (3, 25))
    regions = (
        Region("chikusei", (10, 20), (3, 25), "train"),
        Region("chikusei", (2, 10), (3, 14), "test"),
    )
    config = small("chikusei", "sspsr", (22, 26), regions, window=window)
    train, test = run("chikusei", config, tmp_path)
    np.testing.assert_array_equal(train["image"], cube[10:20, 3:25])
    np.testing.assert_array_equal(test["image"], cube[2:10, 3:14])
    assert train["image"].dtype == np.uint16
    assert train["divisor"] == test["divisor"] == cube[2:20, 3:25].max()


@pytest.mark.parametrize("paper", ["srlsgat", "ssran"])
def test_washington_dc(tmp_path, manual, paper):
    """Band-first int16 with negatives in a zip, a table of wavelengths beside it."""
    cube = counts((14, 10, 191), 9000, np.int16) - 300
    nm = np.linspace(401, 2473, 191)
    table = "Band  Wavelength (um)\n" + "".join(f"{i + 1}  {w:.3f}\n" for i, w in enumerate(nm))
    image = io.BytesIO()
    tifffile.imwrite(
        image, cube.transpose(2, 0, 1), photometric="minisblack", planarconfig="separate"
    )
    with zipfile.ZipFile(manual / "Hyperspectral_Project.zip", "w") as packed:
        packed.writestr("Hyperspectral_Project/dc.tif", image.getvalue())
        packed.writestr("Hyperspectral_Project/wavelengths.txt", table)
    config = small("washington_dc", paper, (14, 10), halves("washington_dc", 14, 10))
    train, test = run("washington_dc", config, tmp_path)
    if paper == "srlsgat":
        np.testing.assert_array_equal(train["image"], cube[:, :5, 80:111])
        np.testing.assert_array_equal(train["wavelengths"], np.round(nm[80:111], 3))
        double = (cube[:, 5:, 80:111].astype(float) + 32768) / 65535  # MATLAB's im2double
        physical = test["image"] * test["scale"] + test["offset"]
        np.testing.assert_allclose(physical / test["divisor"], double / double.max(), rtol=1e-12)
    else:
        np.testing.assert_array_equal(test["image"], cube[:, 5:])
        for band, (first, last) in enumerate(((443, 510), (506, 590), (632, 696), (759, 852))):
            inside = (nm >= first) & (nm < last)
            expected = cube[:, 5:, inside].mean(axis=-1)
            np.testing.assert_allclose(test["msi"][..., band], expected, rtol=1e-6)


def test_washington_dc_without_its_table(tmp_path, manual):
    image = counts((191, 6, 8), dtype=np.int16)
    tifffile.imwrite(manual / "dc.tif", image, photometric="minisblack", planarconfig="separate")
    config = small("washington_dc", "ssran", (6, 8), halves("washington_dc", 6, 8))
    with pytest.raises(UserError, match="needs wavelengths"):
        run("washington_dc", config, tmp_path)
    config = small("washington_dc", "srlsgat", (6, 8), halves("washington_dc", 6, 8))
    assert np.isnan(run("washington_dc", config, tmp_path)[0]["wavelengths"]).all()


@pytest.mark.parametrize("form", ["zip", "folder"])
def test_cave(tmp_path, manual, form, monkeypatch):
    """16-bit PNG files in folders nested twice; one scene is 8-bit RGBA."""
    builder.builder_class("cave")
    monkeypatch.setattr(module("cave"), "SCENES", ("balloons", "beads", "watercolors"))
    cubes = {name: counts((8, 8, 31), 65535) for name in ("balloons", "beads")}
    cubes["watercolors"] = counts((8, 8, 31), 256, np.uint8)
    for scene, cube in cubes.items():
        folder = manual / "complete_ms_data" / f"{scene}_ms" / f"{scene}_ms"
        folder.mkdir(parents=True)
        (folder / "Thumbs.db").write_bytes(b"junk")
        for band in range(31):
            values = cube[..., band]
            if scene == "watercolors":
                opaque = np.full_like(values, 255)
                values = np.stack([values, values, values, opaque], axis=-1)
            Image.fromarray(values).save(folder / f"{scene}_ms_{band + 1:02d}.png")
    if form == "zip":
        shutil.make_archive(str(manual / "complete_ms_data"), "zip", manual / "complete_ms_data")
        shutil.rmtree(manual / "complete_ms_data")
    rule = dataclasses.replace(module("cave").SSPSR.rule, train=2)
    scenes = run("cave", small("cave", "sspsr", (None, None), rule=rule), tmp_path)
    assert [(s["scene"], s["role"]) for s in scenes] == [
        ("balloons", "train"),
        ("beads", "train"),
        ("watercolors", "test"),
    ]
    for scene in scenes[:2]:
        np.testing.assert_array_equal(scene["image"], cubes[scene["scene"]])
    seen = scenes[2]["image"] / scenes[2]["divisor"]
    np.testing.assert_allclose(seen, cubes["watercolors"] / 255, rtol=1e-12)
    np.testing.assert_allclose(scenes[0]["wavelengths"], np.arange(400, 701, 10))


def test_cave_with_a_missing_band(tmp_path, manual):
    (manual / "complete_ms_data").mkdir()
    with pytest.raises(UserError, match="scene 'balloons' has 0 of 31 files"):
        run("cave", "sspsr", tmp_path)


def test_harvard(tmp_path, manual, monkeypatch):
    """MATLAB files of `ref` and `lbl` in a tar archive; scenes of different sizes."""
    builder.builder_class("harvard")
    monkeypatch.setattr(module("harvard"), "SCENES", {"daylight": 3})
    cubes = {f"img{i}": RNG.random((10 + i, 12, 31)) for i in range(3)}
    with tarfile.open(manual / "CZ_hsdb.tgz", "w:gz") as packed:
        for name, cube in cubes.items():
            file = io.BytesIO()
            savemat(file, {"ref": cube, "lbl": np.ones(cube.shape[:2])}, do_compression=True)
            item = tarfile.TarInfo(f"CZ_hsdb/{name}.mat")
            item.size = len(file.getvalue())
            packed.addfile(item, io.BytesIO(file.getvalue()))
    full = builder.builder_class("harvard").builder_configs["daylight"]
    rule = dataclasses.replace(full.split.rule, train=2, test=5)
    scenes = run("harvard", small("harvard", "daylight", (None, None), rule=rule), tmp_path)
    assert [s["role"] for s in scenes] == ["train", "train", "test"]
    np.testing.assert_array_equal(scenes[1]["image"], cubes["img1"].astype(np.float32))
    np.testing.assert_array_equal(scenes[2]["image"], cubes["img2"][:5, :5].astype(np.float32))
    assert scenes[2]["divisor"] == pytest.approx(cubes["img2"].max())


@pytest.fixture
def hyspecnet(manual, monkeypatch):
    """Four patches of 16 x 16 pixels as published, of two scenes; -32768 is no data."""
    builder.builder_class("hyspecnet")
    monkeypatch.setattr(module("hyspecnet"), "SIDE", 16)
    cubes, lines = {}, []
    for i, scene in enumerate(("ENMAP01-A", "ENMAP01-A", "ENMAP01-A", "ENMAP01-B")):
        name = f"{scene}-Y000{i}_X0001"
        cube = cubes[name] = RNG.integers(-50, 10500, (16, 16, 224)).astype(np.int16)
        cube[3, 4] = -32768
        folder = manual / "hyspecnet-11k" / "patches" / scene / name
        folder.mkdir(parents=True)
        options = {"width": 16, "height": 16, "count": 224, "dtype": "int16", "nodata": -32768}
        with rasterio.open(folder / f"{name}-SPECTRAL_IMAGE.TIF", "w", "GTiff", **options) as file:
            file.write(cube.transpose(2, 0, 1))
        lines.append(f"{scene}/{name}/{name}-DATA.npy\n")
    splits = manual / "hyspecnet-11k" / "splits" / "easy"
    splits.mkdir(parents=True)
    for part, own in {"train": lines[2:0:-1], "val": lines[:1], "test": lines[3:]}.items():
        (splits / f"{part}.csv").write_text("".join(own))
    return cubes


def test_hyspecnet(hyspecnet, tmp_path, manual):
    scenes = run("hyspecnet", small("hyspecnet", "easy", (16, 16)), tmp_path)
    assert [s["role"] for s in scenes] == ["train", "train", "validation", "test"]
    names = list(hyspecnet)
    assert [s["scene"] for s in scenes] == [names[2], names[1], names[0], names[3]]
    valid = [*range(126), *range(141, 160), *range(167, 224)]
    for scene in scenes:
        expected = hyspecnet[scene["scene"]][..., valid].clip(0, 10000)
        np.testing.assert_array_equal(scene["image"], expected)
        assert (scene["divisor"], scene["gsd"], scene["sensor"]) == (10000, 30, "EnMAP")
        assert np.isnan(scene["wavelengths"]).all()


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("../../secret/a-DATA.npy", "which is not in"),
        ("ENMAP01-C/x/x-DATA.npy", "unpack all parts"),
        ("", "names no patch"),
        (
            "ENMAP01-B/ENMAP01-B-Y0003_X0001/ENMAP01-B-Y0003_X0001-DATA.npy",
            "name the patch .* twice",
        ),
    ],
)
def test_hyspecnet_with_a_wrong_split(hyspecnet, tmp_path, manual, line, words):
    (manual / "hyspecnet-11k" / "splits" / "easy" / "val.csv").write_text(line + "\n")
    with pytest.raises(UserError, match=words):
        run("hyspecnet", small("hyspecnet", "easy", (16, 16)), tmp_path)


@pytest.mark.parametrize("form", ["zip", "tif"])
def test_houston_2013(tmp_path, manual, form):
    cube = counts((32, 40, 144), 60000)
    path = manual / "2013_IEEE_GRSS_DF_Contest_CASI.tif"
    transform = rasterio.transform.from_origin(271000.3, 3290000.7, 2.5, 2.5)
    with rasterio.open(
        path, "w", driver="GTiff", height=32, width=40, count=144, dtype="uint16",
        crs="EPSG:26915", transform=transform,
    ) as file:  # fmt: skip
        file.write(cube.transpose(2, 0, 1))
    if form == "zip":
        with zipfile.ZipFile(manual / "2013_DFTC.zip", "w") as packed:
            packed.write(path, f"2013_DFTC/{path.name}")
        path.unlink()
    train, validation, test = run("houston", small("houston", "2013", (32, 40)), tmp_path)
    np.testing.assert_array_equal(test["image"], cube[:, 32:40])
    assert test["col"] == 32
    assert test["transform"].tolist() == [2.5, 0, 271000.3 + 32 * 2.5, 0, -2.5, 3290000.7]
    assert rasterio.crs.CRS.from_wkt(test["crs"]).to_epsg() == 26915


def test_houston_2018_has_two_layers_too_many(tmp_path, manual):
    cube = counts((32, 40, 50), 60000)
    path = manual / "20170218_UH_CASI_S4_NAD83.pix"
    with rasterio.open(
        path, "w", driver="PCIDSK", height=32, width=40, count=50, dtype="uint16"
    ) as file:
        file.write(cube.transpose(2, 0, 1))
    train, _, test = run("houston", small("houston", "2018", (32, 40)), tmp_path)
    np.testing.assert_array_equal(train["image"], cube[:, : train["image"].shape[1], :48])
    np.testing.assert_array_equal(test["image"], cube[:, test["col"] :, :48])
    with pytest.raises(UserError, match="is 32x40, not 33x40"):
        run("houston", dataclasses.replace(small("houston", "2018", (33, 40)), name="b"), tmp_path)
    whole = path.read_bytes()
    for damaged in (b"PCIDSK", whole[: len(whole) // 2]):
        path.write_bytes(damaged)
        with pytest.raises(UserError, match="not a readable PCIDSK|is truncated"):
            config = dataclasses.replace(small("houston", "2018", (32, 40)), name="c")
            run("houston", config, tmp_path)
    with rasterio.open(
        path, "w", driver="PCIDSK", height=32, width=40, count=2, dtype="uint16"
    ) as file:
        file.write(cube[..., :2].transpose(2, 0, 1))
    with pytest.raises(UserError, match="has 2 layers; 48 bands are expected"):
        run("houston", config, tmp_path)


def test_paris_written_as_published(tmp_path, manual):
    hs, ms = RNG.random((72, 72, 128)), RNG.random((72, 72, 9))
    kept = np.zeros((1, 128), np.uint8)
    savemat(manual / "paris_hs_ms.mat", {"HSim": hs, "MSim": ms, "non_del_bands": kept})
    train, test = run("paris", "ssran", tmp_path)
    np.testing.assert_array_equal(train["image"], hs[:, :36].astype(np.float32))
    np.testing.assert_array_equal(test["msi"], ms[:, 36:].astype(np.float32))
    assert (train["minimum"], train["maximum"]) == (0, 1)


def test_unmixing_matrix_runs_down_the_columns(tmp_path, manual):
    cube = counts((307, 307, 162), 1000)
    matrix = cube.reshape(-1, 162, order="F").T  # MATLAB: column by column
    sizes = {"nRow": 307, "nCol": 307, "nBand": 162, "maxValue": 1000}
    savemat(manual / "Urban_R162.mat", {"Y": matrix, **sizes})
    train, *tests = run("unmixing", "urban", tmp_path)
    np.testing.assert_array_equal(train["image"], cube[:, :224])
    np.testing.assert_array_equal(tests[2]["image"], cube[128:192, 224:288])
    assert train["sensor"] == "HYDICE"


@pytest.mark.skipif(not SHARED.is_dir(), reason="no scenes beside the golden data")
def test_jasper_ridge_as_it_is(tmp_path):
    train, *tests = run("unmixing", "jasper_ridge", tmp_path, SHARED)
    raw = loadmat(SHARED / "jasperRidge2_R198.mat")["Y"]
    cube = raw.T.reshape(100, 100, 198, order="F")
    np.testing.assert_array_equal(train["image"], cube[:, :64])
    assert [t["row"] for t in tests] == [0, 32, 64]
    for tile in tests:
        row = tile["row"]
        np.testing.assert_array_equal(tile["image"], cube[row : row + 32, 64:96])
        assert tile["divisor"] == 5437
    colours = np.abs(train["wavelengths"][[25, 15, 4]] - [646, 551, 447])
    assert colours.max() < 1


@pytest.mark.skipif(not SHARED.is_dir(), reason="no scenes beside the golden data")
def test_paris_as_it_is(tmp_path):
    train, test = run("paris", "ssran", tmp_path, SHARED)
    raw = loadmat(SHARED / "paris_hs_ms.mat")
    np.testing.assert_array_equal(test["image"], raw["HSim"][:, 36:].astype(np.float32))
    np.testing.assert_array_equal(train["msi"], raw["MSim"][:, :36].astype(np.float32))
    # Bands of both instruments at one wavelength look alike: the orders of the bands agree.
    for nm, band in ((565, 2), (868, 5), (2215, 8)):
        near = np.abs(train["wavelengths"] - nm).argmin()
        pair = train["image"][..., near].ravel(), train["msi"][..., band].ravel()
        assert np.corrcoef(*pair)[0, 1] > 0.8


def test_the_users_own_scenes(tmp_path, manual):
    """ENVI with wavelengths, several files at once, options, holes filled."""
    spectral.envi.save_image(
        str(manual / "a.hdr"),
        counts((40, 48, 5)),
        metadata={"wavelength": [400, 500, 600, 700, 800], "wavelength units": "Nanometers"},
    )
    options = {"path": str(manual / "a.hdr"), "fractions": (0.5, 0.25, 0.25), "axis": "rows"}
    train, validation, test = run("scene", options, tmp_path)
    whole = np.asarray(spectral.open_image(str(manual / "a.hdr")).load(dtype=np.uint16))
    assert train["image"].dtype == np.uint16
    np.testing.assert_array_equal(train["image"], whole[:16])  # 16 validate, at the least
    np.testing.assert_allclose(train["wavelengths"], [400, 500, 600, 700, 800])

    for name in ("b", "c"):
        values = RNG.random((32, 32, 4))
        values[0, 0, 0] = np.nan
        np.save(manual / f"{name}.npy", values)
    paths = [str(manual / f"{name}.npy") for name in ("b", "c")]
    marked = run("scene", {"path": paths}, tmp_path)[0]
    assert np.isfinite(marked["image"]).all() and np.argwhere(marked["hidden"]).tolist() == [
        [0] * 3
    ]
    scenes = run("scene", {"path": paths, "fill": 0.0, "bands": (0, 3)}, tmp_path)
    assert [(s["scene"], s["role"]) for s in scenes] == [
        ("b", "train"), ("c", "train"), ("b", "test"), ("c", "test"),
    ]  # fmt: skip
    assert scenes[0]["image"].shape == (32, 24, 3)
    assert scenes[0]["image"].dtype == np.float32
    assert scenes[0]["image"][0, 0, 0] == 0


def test_a_changed_file_is_another_dataset(tmp_path, manual):
    path = manual / "x.npy"
    np.save(path, RNG.random((32, 40, 3)))
    first = run("scene", {"path": str(path)}, tmp_path)[0]["image"]
    np.save(path, RNG.random((32, 40, 3)) + 1)
    assert run("scene", {"path": str(path)}, tmp_path)[0]["image"].min() > first.max()


def test_negative_values_are_the_users_choice(tmp_path, manual):
    values = RNG.random((32, 40, 3)).astype(np.float32)
    values[3, 4, 1] = -0.25
    np.save(manual / "x.npy", values)
    options = {"path": str(manual / "x.npy"), "patch": 16}
    with pytest.raises(UserError, match="negative values .-0.25 at row 3, column 4, band 1"):
        run("scene", options, tmp_path)
    with pytest.raises(UserError, match="negative values"):
        run("scene", {**options, "negative": "error"}, tmp_path)
    assert run("scene", {**options, "negative": "keep"}, tmp_path)[0]["image"].min() == -0.25
    assert run("scene", {**options, "negative": "clip"}, tmp_path)[0]["image"].min() == 0
    with pytest.raises(UserError, match="one of noise, error, keep, clip"):
        run("scene", {**options, "negative": "ignore"}, tmp_path)


@pytest.mark.parametrize(("dtype", "nodata"), [(np.uint16, 0), (np.int16, -9999), ("f4", -3.4e38)])
def test_declared_no_data_is_left_out_or_filled(tmp_path, manual, dtype, nodata):
    """Before the negative check: what is no value cannot be kept as one."""
    values = counts((32, 40, 3), dtype=dtype)
    values[5:9, 6] = nodata
    options = {"path": str(manual / "x.tif"), "negative": "keep"}
    shape = {"height": 32, "width": 40, "count": 3, "dtype": values.dtype}
    with rasterio.open(options["path"], "w", driver="GTiff", nodata=nodata, **shape) as file:
        file.write(values.transpose(2, 0, 1))
    found = run("scene", options, tmp_path)[0]
    assert (found["hidden"][5:9, 6] == 1).all() and found["hidden"].sum() == 4
    known = values[:, :24].astype(float)[found["hidden"][..., 0] == 0]
    assert found["image"].min() >= known.min() and found["maximum"] <= float(values.max())
    image = run("scene", {**options, "fill": 7}, tmp_path)[0]["image"]
    assert (image[5:9, 6] == 7).all() and image.min() > 0
    if values.dtype.kind in "iu":
        with pytest.raises(UserError, match=f"holds {values.dtype} values and .*fill is -70000.5"):
            run("scene", {**options, "fill": -70000.5}, tmp_path)


def test_regions_and_normaliser_of_the_users(tmp_path, manual):
    values = RNG.random((40, 40, 3)).astype(np.float32) + 1
    np.save(manual / "x.npy", values)
    options = {
        "path": str(manual / "x.npy"),
        "regions": [["train", 0, 40, 0, 16], ["test", 8, 24, 16, 40]],
        "normaliser": "unit",
        "validation_patches": 0.1,
    }
    train, test = run("scene", options, tmp_path)
    np.testing.assert_array_equal(test["image"], values[8:24, 16:40])
    assert (train["minimum"], train["maximum"]) == (values.min(), values.max())
    for key, value, problem in (
        ("regions", [["train", 0, 40, 0, 16]], "needs training and test regions"),
        ("normaliser", "sigmoid", "'sigmoid' is unknown"),
        ("bands", (0, 4), "do not lie within the scene's 3"),
        ("size", 3, "'size' is unknown; they are path, variable"),
        ("path", str(manual / "y.npy"), "there is no scene"),
    ):
        with pytest.raises(UserError, match=problem):
            run("scene", {**options, key: value}, tmp_path)
    with pytest.raises(UserError, match="'path' is missing"):
        run("scene", None, tmp_path)


def test_definition_of_a_users_scene_is_kept(tmp_path, manual):
    np.save(manual / "x.npy", RNG.random((32, 40, 3)))
    options = {"path": str(manual / "x.npy"), "fractions": (0.6, 0.2, 0.2)}
    run("scene", options, tmp_path)
    split = builder.load_definition("scene", options, data_dir=tmp_path / "data")
    assert isinstance(split, SplitDefinition)
    assert split.regions == Fractions(0.6, 0.2, 0.2, scored=16)({"x": (32, 40)})
