"""`hsisr_jax.xarray.sharpen`: maps stay right, lazy equals eager, a cluster loses a worker."""

import json
import os
import pickle
import signal
import time
from pathlib import Path

import numpy as np
import pytest
import rasterio
import workdirs
from rasterio.transform import from_origin

import hsisr_jax
from hsisr_jax.errors import UserError
from hsisr_jax.inference import packaged, pieces, sensed

xarray = pytest.importorskip("xarray")
rioxarray = pytest.importorskip("rioxarray")
da = pytest.importorskip("dask.array")

from hsisr_jax.xarray import scene_facts, sharpen  # noqa: E402

WAVELENGTHS = np.linspace(450, 700, 4)
MAP = from_origin(600000, 5000000, 30, 20)


@pytest.fixture(scope="module")
def rcam(tmp_path_factory):
    return workdirs.make(tmp_path_factory.mktemp("runs") / "rcam", "rcam")


@pytest.fixture(scope="module")
def bicubic(tmp_path_factory):
    return workdirs.make(tmp_path_factory.mktemp("runs") / "bicubic")


def scene(height=30, width=44, *, holes=True) -> np.ndarray:
    cube = workdirs.scene(height, width)
    if holes:
        cube[:9, 20:] = np.nan
        cube[20, 20, 1] = np.nan
    return cube


def opened(folder: Path, cube: np.ndarray, **facts):
    """The DataArray that rioxarray opens of a GeoTIFF, with wavelengths."""
    profile = {"driver": "GTiff", "count": cube.shape[2], "dtype": cube.dtype.name,
               "height": cube.shape[0], "width": cube.shape[1]}  # fmt: skip
    place = {"crs": "EPSG:32632", "transform": MAP}
    with rasterio.open(folder / "in.tif", "w", **profile, **place, **facts) as file:
        file.write(cube.transpose(2, 0, 1))
    found = rioxarray.open_rasterio(folder / "in.tif").load()
    return found.assign_coords(wavelength=("band", WAVELENGTHS))


def test_a_map_becomes_a_finer_map_that_gdal_reads(tmp_path, bicubic):
    counts = np.rint(np.nan_to_num(1000 * scene(), nan=-99)).astype(np.int16)
    found = opened(tmp_path, counts, nodata=-99)
    found.attrs["long_name"] = "reflectance"
    made = sharpen(found, 2, bicubic)
    assert made.dims == ("band", "y", "x") and made.dtype == np.float32
    np.testing.assert_array_equal(made.wavelength, WAVELENGTHS)
    np.testing.assert_array_equal(made.x, 600000 + 15 * (np.arange(88) + 0.5))
    np.testing.assert_array_equal(made.y, 5000000 - 10 * (np.arange(60) + 0.5))
    assert made.attrs["long_name"] == "reflectance"
    made.rio.to_raster(tmp_path / "out.tif")
    with rasterio.open(tmp_path / "out.tif") as file:
        assert file.transform == from_origin(600000, 5000000, 15, 10)
        assert file.crs.to_epsg() == 32632 and file.nodata == -99
        values = file.read(masked=True)
    hidden = (counts == -99).repeat(2, 0).repeat(2, 1).transpose(2, 0, 1)
    np.testing.assert_array_equal(values.mask, hidden)
    expected = hsisr_jax.sharpen(np.where(counts == -99, np.nan, counts), workdir=bicubic, scale=2)
    np.testing.assert_array_equal(values.data[~hidden], expected.transpose(2, 0, 1)[~hidden])


def test_without_a_stored_transform_the_coordinates_say_it(tmp_path, bicubic):
    found = opened(tmp_path, scene()).drop_vars("spatial_ref").rio.write_crs("EPSG:32632")
    made = sharpen(found.rename(x="easting", y="northing"), 2, bicubic)
    made = made.rename(easting="x", northing="y")
    assert made.rio.transform(recalc=True).almost_equals(from_origin(600000, 5000000, 15, 10))
    assert made.rio.crs.to_epsg() == 32632


@pytest.mark.parametrize("chunks", [(30, 44), (13, 17), (5, 40)])
def test_lazy_equals_eager_to_the_bit(rcam, chunks):
    found = xarray.DataArray(scene(), dims=("y", "x", "band"), attrs={"units": "1"})
    eager = sharpen(found, 2, rcam)
    lazy = sharpen(found.chunk(y=chunks[0], x=chunks[1], band=3), 2, rcam)
    assert isinstance(lazy.data, da.Array) and lazy.shape == eager.shape
    np.testing.assert_array_equal(lazy.compute(scheduler="threads"), eager)
    part = lazy[10:20, 70:80].compute(scheduler="sync")
    np.testing.assert_array_equal(part, eager[10:20, 70:80])
    known = scene_facts(found.chunk(y=chunks[0], x=chunks[1]))
    part = sharpen(found.chunk(y=10, x=10), 2, rcam, facts=known)[-10:, :20]
    np.testing.assert_array_equal(part.compute(scheduler="sync"), eager[-10:, :20])
    assert lazy.attrs == eager.attrs == {"units": "1"} and lazy.name is eager.name is None


def test_the_packaged_network_shares_one_basis_between_blocks(monkeypatch):
    monkeypatch.setattr(pieces, "VALUES", 1)
    monkeypatch.setattr(packaged, "TILE", 18)
    pieces._kept.cache_clear()
    found = xarray.DataArray(scene(20, 26, holes=False), dims=("y", "x", "band"))
    eager = sharpen(found, 2)
    np.testing.assert_array_equal(eager, hsisr_jax.sharpen(found.values, 2))
    lazy = sharpen(found.chunk(y=7, x=11), 2)
    np.testing.assert_array_equal(lazy.compute(scheduler="sync"), eager)
    pieces._kept.cache_clear()


def test_nothing_is_read_before_it_is_asked_for(rcam):
    def fail(block):
        raise OSError("read")

    source = da.zeros((16, 16, 4), chunks=8).map_blocks(fail, dtype=np.float32, meta=np.zeros(0))
    lazy = sharpen(xarray.DataArray(source, dims=("y", "x", "band")), 2, rcam)
    with pytest.raises(OSError, match="read"):
        lazy.compute(scheduler="sync")


def test_coordinates_of_a_swath_and_of_one_pixel(bicubic):
    lat, lon = np.mgrid[40:41:4j, 5:8:3j]
    coords = {"lat": (("line", "sample"), lat), "lon": (("line", "sample"), lon),
              "flag": (("line", "sample"), np.arange(12).reshape(4, 3)),
              "time": ("line", np.arange(4).astype("datetime64[s]"))}  # fmt: skip
    found = xarray.DataArray(scene(4, 3, holes=False), dims=("line", "sample", "b"), coords=coords)
    made = sharpen(found, 2, bicubic)
    first, last = lon[0, 0], lon[0, -1]
    np.testing.assert_allclose(made.lon[0], np.linspace(first - 0.375, last + 0.375, 6))
    np.testing.assert_array_equal(made.flag, np.arange(12).reshape(4, 3).repeat(2, 0).repeat(2, 1))
    assert made.time.size == 8 and made.time[1] == made.time[0]
    one = found[:1, :1].rename(line="y", sample="x").assign_coords(y=[10.0], x=[20.0])
    assert "x" not in sharpen(one, 2, bicubic).coords  # nobody knows the pixel's size
    one = one.assign_coords(spatial_ref=((), 0, {"GeoTransform": "18 4 0 12 0 -4"}))
    made = sharpen(one, 2, bicubic)
    np.testing.assert_array_equal(made.x, [19, 21])
    np.testing.assert_array_equal(made.y, [11, 9])
    assert made.spatial_ref.attrs["GeoTransform"] == "18.0 2.0 0.0 12.0 0.0 -2.0"


def test_control_points_and_pixel_sizes_follow():
    from hsisr_jax.xarray import _finer

    points = '{"features": [{"properties": {"row": 1.0, "col": 2.5}}]}'
    found = _finer({"gcps": points, "res": (30.0, 20.0), "transform": (3, 0, 9, 0, -3, 8)}, 3)
    assert '"row": 3.0, "col": 7.5' in found["gcps"] and found["res"] == (10, 20 / 3)
    assert found["transform"] == (1, 0, 9, 0, -1, 8)


@pytest.mark.parametrize(
    "dims, options, words",
    [
        (("a", "b", "c"), {}, "dims="),
        (("y", "x", "c"), {"dims": ("y", "q")}, "no dimension 'q'"),
        (("y", "x", "c"), {"scale": 3}, "is for scale 2"),
        (("y", "x", "c", "time"), {}, "isel"),
        (("y", "x"), {}, "reads 4 bands"),
        (("y", "x", "c"), {"degradation": "area"}, "trained for one sensor"),
        (("y", "x", "c"), {"dims": ("y",)}, "name rows and columns"),
        (("y", "x", "c"), {"facts": 3}, "facts is 3: use what scene_facts returns"),
    ],
)
def test_what_cannot_be_sharpened_is_told(bicubic, dims, options, words):
    found = xarray.DataArray(np.zeros((4, 4, 4, 1)[: len(dims)]), dims=dims)
    with pytest.raises(UserError, match=words):
        sharpen(found, **{"scale": 2, "workdir": bicubic, **options})
    with pytest.raises(UserError, match="a DataArray"):
        sharpen(np.zeros((4, 4, 4)))


@pytest.mark.parametrize("value", [[-99, -1], "none", "-99", 1j])
def test_a_no_data_value_that_is_not_one_number_is_told(bicubic, value):
    found = xarray.DataArray(
        workdirs.scene(4, 4), dims=("y", "x", "c"), attrs={"missing_value": value}
    )
    with pytest.raises(UserError, match="missing_value is .*, not one number"):
        sharpen(found, 2, bicubic)
    found.attrs["missing_value"] = np.array([-99])
    assert sharpen(found, 2, bicubic).attrs["_FillValue"] == -99


def test_a_dask_array_of_unknown_size_is_told(bicubic):
    cube = da.from_array(workdirs.scene(6, 4))
    found = xarray.DataArray(cube[cube[:, 0, 0] > -1], dims=("y", "x", "c"))
    with pytest.raises(UserError, match="compute_chunk_sizes"):
        sharpen(found, 2, bicubic)


def test_an_mtf_is_estimated_from_an_array_in_memory(monkeypatch):
    seen = []

    def finer(cube, request, facts):
        seen.append(request)
        return cube.repeat(2, 0).repeat(2, 1)

    monkeypatch.setattr("hsisr_jax.xarray.sharpen_request", finer)
    cube = workdirs.scene(48, 32)
    cube[:9, 20:] = -9
    found = xarray.DataArray(cube, dims=("y", "x", "c"), attrs={"_FillValue": -9})
    auto = {"name": "mtf", "mtf": "auto"}
    sharpen(found, 2, degradation=auto)
    expected, _ = sensed.resolved(auto, lambda: [np.where(cube == -9, np.nan, cube)])
    assert json.loads(seen[0].degradation) == expected
    with pytest.raises(UserError, match="give a number"):
        sharpen(found.chunk(), 2, degradation=auto)


def test_rows_and_columns_are_found_by_their_attributes(bicubic):
    found = xarray.DataArray(scene(4, 5, holes=False), dims=("n", "e", "b"))
    found = found.assign_coords(n=("n", np.arange(4.0), {"axis": "Y"}))
    found = found.assign_coords(e=("e", np.arange(5.0), {"standard_name": "longitude"}))
    assert sharpen(found, 2, bicubic).sizes == {"n": 8, "e": 10, "b": 4}


def test_a_cluster_that_loses_a_worker_gives_the_whole_result(rcam, tmp_path):
    distributed = pytest.importorskip("distributed")
    cube, folder = scene(), str(tmp_path)

    def slow(block):  # a file that takes its time; says in which process it was read
        time.sleep(0.1)
        Path(folder, f"{os.getpid()}-{time.time_ns()}").touch()
        return block

    source = da.from_array(cube, chunks=(5, 8, 4)).map_blocks(slow, dtype=cube.dtype)
    lazy = sharpen(xarray.DataArray(source, dims=("y", "x", "band")), 2, rcam)
    with (
        distributed.LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None) as two,
        distributed.Client(two) as client,
    ):
        first, second = client.run(os.getpid).values()
        future = client.compute(lazy.data)
        deadline = time.monotonic() + 600
        while not any(first == int(f.name.split("-")[0]) for f in tmp_path.iterdir()):
            assert time.monotonic() < deadline
            time.sleep(0.05)
        assert not future.done()
        os.kill(first, signal.SIGKILL)
        made = future.result(timeout=600)
    request = pieces.request((4, 4, 1), 2, "bicubic", nodata=-1.0)
    assert pickle.loads(pickle.dumps(request)) == request  # a worker keeps what it has loaded
    readers = {int(f.name.split("-")[0]) for f in tmp_path.iterdir()}
    assert {first, second} <= readers
    np.testing.assert_array_equal(made, sharpen(xarray.DataArray(cube, dims=lazy.dims), 2, rcam))
