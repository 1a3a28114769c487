"""Files that would be read as something that they are not, or that cost more than they may."""

import json
import os
import subprocess
import sys
import time

import h5py
import numpy as np
import pytest
import rasterio

from hsisr_jax import formats
from hsisr_jax.errors import UserError

CUBE = np.arange(4 * 5 * 3).reshape(4, 5, 3)


def hdf5(path, cube=CUBE, *, chunks=None, **attributes):
    with h5py.File(path, "w") as file:
        data = file.create_dataset("cube", data=cube, chunks=chunks)
        for name, value in attributes.items():
            data.attrs[name] = value
    return path


# -- links ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("mapping", ["ext/crs", "soft/crs", "ext", "/ext/crs", "group/ext/crs"])
def test_no_link_out_of_an_hdf5_file_is_followed(tmp_path, mapping):
    with h5py.File(tmp_path / "secret.h5", "w") as file:
        for owner in (file.create_dataset("crs", data=0), file):
            owner.attrs["crs_wkt"] = "a secret"
            owner.attrs["GeoTransform"] = "1 2 3 4 5 6"
    path = hdf5(tmp_path / "in.h5", grid_mapping=mapping)
    with h5py.File(path, "a") as file:
        file["ext"] = h5py.ExternalLink("secret.h5", "/")
        file["soft"] = h5py.SoftLink("/ext")
        file.create_group("group")["ext"] = h5py.ExternalLink("secret.h5", "/")
    with formats.open_scene(path) as scene:
        assert (scene.meta.crs, scene.meta.transform) == ("", None)


def test_a_link_to_a_pipe_does_not_wait_for_it(tmp_path):
    os.mkfifo(tmp_path / "pipe.h5")
    path = hdf5(tmp_path / "in.h5", grid_mapping="ext/crs")
    with h5py.File(path, "a") as file:
        file["ext"] = h5py.ExternalLink("pipe.h5", "/")
    began = time.process_time()
    with formats.open_scene(path) as scene:
        assert scene.meta.crs == ""
    assert time.process_time() - began < 5


def test_a_grid_mapping_of_the_file_itself_is_read(tmp_path):
    with h5py.File(tmp_path / "in.h5", "w") as file:
        group = file.create_group("a/b")
        group.create_dataset("cube", data=CUBE).attrs["grid_mapping"] = "crs"
        group.create_dataset("crs", data=0).attrs["crs_wkt"] = "LOCAL"
    with formats.open_scene(tmp_path / "in.h5") as scene:
        assert scene.meta.crs == "LOCAL"


# -- scale and offset ----------------------------------------------------------------------------

UNITS = [("scale", v) for v in (np.nan, np.inf, 0.0, 1e300, 1e-40)]
UNITS += [("offset", v) for v in (np.nan, -np.inf, 1e300)]


@pytest.mark.parametrize(("key", "value"), UNITS)
@pytest.mark.parametrize(
    "name",
    ["in.npy", "in.npz", "in.tif", "in.nc", "in.hdr", "in.mat", "in.h5", "in.zarr", "old.zarr"],
)
def test_units_that_no_values_can_have_are_refused(tmp_path, name, key, value):
    path = tmp_path / name
    meta = formats.SceneMeta(**{key: 0.3125})
    if name.endswith("zarr"):
        formats.write_scene(path, CUBE.astype("f4"), meta, zarr_format=2 if "old" in name else 3)
        for file in path.rglob("*.z*"):
            file.write_text(file.read_text().replace("0.3125", json.dumps(value)))
        for file in path.rglob("zarr.json"):
            file.write_text(file.read_text().replace("0.3125", json.dumps(value)))
    elif name == "in.nc":
        hdf5(path, scale_factor=value if key == "scale" else 1.0,
             add_offset=value if key == "offset" else 0.0)  # fmt: skip
    elif name == "in.hdr" and key == "scale":
        formats.write_scene(path, CUBE.astype("f4"))
        factor = np.inf if value == 0 else 1 / value
        path.write_text(f"{path.read_text()}reflectance scale factor = {factor}\n")
    else:
        object.__setattr__(meta, key, value)
        formats.write_scene(path, CUBE.astype("f4"), meta)
    words = "(which no values can have|is 0; correct it|Invalid JSON)"
    with pytest.raises(UserError, match=rf"{name}: .*{words}"):
        formats.open_scene(path)


@pytest.mark.parametrize("value", [np.nan, -np.inf, 1e300])
@pytest.mark.parametrize("key", ["data gain values", "data offset values"])
@pytest.mark.parametrize("name", ["in.hdr", "in.tif", "ENMAP01-L1C-SPECTRAL_IMAGE.TIF"])
def test_units_of_one_band_are_no_less_refused(tmp_path, name, key, value):
    path, listed = tmp_path / name, [1.0, value, 2.0]
    formats.write_scene(path, CUBE.astype("f4"))
    if name == "in.hdr":
        path.write_text(f"{path.read_text()}{key} = {{1, {value}, 2}}\n")
    elif name == "in.tif":
        with rasterio.open(path, "r+") as image:
            setattr(image, "scales" if "gain" in key else "offsets", listed)
    else:
        gains, shifts = (listed if word in key else [1, 2, 3] for word in ("gain", "offset"))
        bands = "".join(
            f"<wavelengthCenterOfBand>{500 + i}</wavelengthCenterOfBand><GainOfBand>{gain}"
            f"</GainOfBand><OffsetOfBand>{shift}</OffsetOfBand>"
            for i, (gain, shift) in enumerate(zip(gains, shifts))
        )
        (tmp_path / "ENMAP01-L1C-METADATA.XML").write_text(f"<level_X>{bands}</level_X>")
    with pytest.raises(UserError, match=f"{name}: '{key}' of band 2 is .*no values can have"):
        formats.open_scene(path)


# -- CF and NetCDF -------------------------------------------------------------------------------


def read(path):
    with formats.open_scene(path) as scene:
        return scene.read(), scene.meta


@pytest.mark.parametrize("chunks", [None, (2, 5, 3)])
def test_unsigned_values_in_a_signed_type(tmp_path, chunks):
    cube = CUBE.astype("<u2") + 65000
    path = hdf5(tmp_path / "in.nc", cube.view("<i2"), chunks=chunks, _Unsigned="true",
                _FillValue=np.int16(-1))  # fmt: skip
    found, meta = read(path)
    assert found.dtype == np.uint16 and meta.nodata == 65535
    np.testing.assert_array_equal(found, cube)
    with formats.open_scene(path) as scene:
        assert scene.dtype == np.uint16
        np.testing.assert_array_equal(scene.read(slice(1, 3), slice(2, 4)), cube[1:3, 2:4])


@pytest.mark.parametrize("chunks", [None, (2, 5, 3)])
def test_every_missing_value_is_missing(tmp_path, chunks):
    attributes = {"missing_value": [3, 50], "valid_range": [1, 55], "_FillValue": 7}
    attributes = {key: np.array(value, "i2") for key, value in attributes.items()}
    path = hdf5(tmp_path / "in.nc", CUBE.astype("i2"), chunks=chunks, **attributes)
    found, meta = read(path)
    assert meta.nodata == 7
    hidden = np.isin(CUBE, [0, 3, 7, 50, 56, 57, 58, 59])
    np.testing.assert_array_equal(found == 7, hidden)
    np.testing.assert_array_equal(found[~hidden], CUBE[~hidden])


@pytest.mark.parametrize(
    ("dtype", "limits", "nodata"),
    [("u2", {"valid_max": 40}, 65535), ("u2", {"valid_min": 9}, 8), ("f4", {"valid_max": 40}, None),
     ("i2", {"valid_min": 9}, -32768), ("u1", {"valid_range": [0, 255]}, "none")],
)  # fmt: skip
def test_what_lies_outside_the_valid_range_is_missing(tmp_path, dtype, limits, nodata):
    found, meta = read(hdf5(tmp_path / "in.nc", CUBE.astype(dtype), **limits))
    if nodata == "none":
        assert meta.nodata is None
        return
    outside = (limits.get("valid_max", 99) < CUBE) | (limits.get("valid_min", 0) > CUBE)
    hidden = np.isnan(found) if nodata is None else found == nodata
    assert np.isnan(meta.nodata) if nodata is None else meta.nodata == nodata
    np.testing.assert_array_equal(hidden, outside)
    np.testing.assert_array_equal(found[~outside], CUBE[~outside])


def test_a_scale_in_words_or_one_a_band(tmp_path):
    assert read(hdf5(tmp_path / "a.nc", scale_factor="0.5"))[1].scale == 0.5
    assert read(hdf5(tmp_path / "b.nc", scale_factor=np.array([0.5])))[1].scale == 0.5
    assert read(hdf5(tmp_path / "c.nc", add_offset=np.array([2.0, 2.0, 2.0])))[1].offset == 2
    for value, problem in (("half", "'half', not a number"), ([1.0, 2.0, 3.0], "has 3 values")):
        with pytest.raises(UserError, match=problem):
            formats.open_scene(hdf5(tmp_path / "d.nc", scale_factor=value))


# -- ENVI ----------------------------------------------------------------------------------------


def header(tmp_path, more):
    path = tmp_path / "in.hdr"
    formats.write_scene(path, CUBE.astype("i2"))
    path.write_bytes(path.read_bytes().replace(b"byte order = 0\n", b"") + more)
    return path


def test_a_byte_order_is_0_or_1(tmp_path):
    for order in (b"7", b"-1", b"2"):
        with pytest.raises(UserError, match="'byte order' is .*; it is 0 .little. or 1"):
            formats.open_scene(header(tmp_path, b"byte order = " + order + b"\n"))
    assert read(header(tmp_path, b"byte order = 0\n"))[0].max() == CUBE.max()


@pytest.mark.parametrize(
    "mark", ["\x0b", "\x0c", "\x1c", "\x1d", "\x1e", "\x85", "\u2028", "\u2029"]
)
def test_no_mark_but_a_line_feed_begins_a_field(tmp_path, mark):
    words = (
        f"description = {{a{mark}data ignore value = 5{mark}}}\nsensor type = s{mark}lines = 1\n"
    )
    found, meta = read(header(tmp_path, words.encode()))
    assert found.shape == CUBE.shape and meta.nodata is None
    for end in (b"\r\n", b"\r", b"\n"):
        assert read(header(tmp_path, b"data ignore value = 5" + end))[1].nodata == 5


# -- TIFF ----------------------------------------------------------------------------------------


def test_a_tiff_of_very_many_pages_is_refused_soon(tmp_path):
    tifffile = pytest.importorskip("tifffile")
    with tifffile.TiffWriter(tmp_path / "in.tif") as file:
        page = np.zeros((2, 2), np.uint8)
        for _ in range(20_000):
            file.write(page, contiguous=False, metadata=None)
    began = time.process_time()
    with pytest.raises(UserError, match="more than .* pages"):
        formats.open_scene(tmp_path / "in.tif")
    assert time.process_time() - began < 5


def test_a_tiff_of_very_many_bands_is_refused_soon(tmp_path):
    """GDAL takes minutes to read 60,000 of them from some kilobytes."""
    place = {"driver": "GTiff", "height": 1, "width": 2, "dtype": "uint8", "interleave": "pixel"}
    with rasterio.open(tmp_path / "in.tif", "w", count=8193, **place):
        pass
    with pytest.raises(UserError, match="8193 bands; a TIFF is read with up to 8192"):
        formats.open_scene(tmp_path / "in.tif")


def test_a_tiff_whose_warnings_are_no_text_leaves_no_traceback(tmp_path):
    """GDAL quotes the damaged metadata, which is not UTF-8; a program without our settings shows
    what rasterio then prints."""
    path = tmp_path / "a.tif"
    named = formats.SceneMeta(wavelengths=np.array([500.0, 600.0]))
    formats.write_scene(path, np.ones((6, 5, 2), np.float32), named)
    whole = path.read_bytes()
    assert b" name=" in whole
    path.write_bytes(whole.replace(b" name=", b" \xff ame", 1))
    code = (
        "import sys, rasterio; from hsisr_jax import formats; rasterio.open(sys.argv[1]).close()\n"
        "print('then', file=sys.stderr, flush=True); print(formats.open_scene(sys.argv[1]).bands)"
    )
    command = [sys.executable, "-c", code, path]
    ended = subprocess.run(command, capture_output=True, text=True, check=True, timeout=120)
    theirs, ours = ended.stderr.split("then")
    assert "UnicodeDecodeError" in theirs and "Error" not in ours
    assert ended.stdout.strip() == "2"


def test_an_index_of_a_group_that_leads_back_to_itself(tmp_path):
    """Asking the library for the address of such a group never came back, in C."""
    path = tmp_path / "a.h5"
    with h5py.File(path, "w") as file:
        file["group/cube"] = CUBE
    whole = bytearray(path.read_bytes())
    index = b"TREE\x00"  # of a group; its neighbour to the right is 16 bytes after
    places = [i for i in range(len(whole)) if whole.startswith(index, i)]
    assert len(places) == 2
    for place in places:
        whole[place + 16 : place + 24] = place.to_bytes(8, "little")
    path.write_bytes(whole)
    code = "import sys; from hsisr_jax import formats; print(formats.open_scene(sys.argv[1]).bands)"
    command = [sys.executable, "-c", code, path]
    ended = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    assert ended.stdout.strip() == "3"
