"""HDF5 and NetCDF-4 as h5py and other sensors' software write them."""

import struct
import time

import h5py
import numpy as np
import pytest

from hsisr_jax.errors import UserError
from hsisr_jax.formats import SceneMeta, open_scene, read_scene, write_scene


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 0, 1), (0, 2, 1)])
@pytest.mark.parametrize("hint", ["dataset", "attribute", "root", "scale", "label", "axis"])
@pytest.mark.parametrize("options", [{}, {"chunks": (3, 4, 2), "compression": "lzf"}])
def test_the_axis_of_the_bands(order, hint, options, tmp_path, cube):
    centres, axis = np.linspace(0.4, 0.8, 5), order.index(2)
    with h5py.File(tmp_path / "a.h5", "w") as file:
        data = file.create_dataset("g/values", data=cube.transpose(order), **options)
        if hint == "dataset":
            file["g/Wavelengths"] = centres
        elif hint == "attribute":
            data.attrs["wavelength"] = centres
        elif hint == "root":
            file.attrs["wavelengths"] = centres
        elif hint == "scale":
            file["g/bands"] = np.arange(5)
            file["g/bands"].make_scale("bands")
            data.dims[axis].attach_scale(file["g/bands"])
        elif hint == "label":
            data.dims[axis].label = "Band"
        else:
            data.attrs["band_axis"] = axis
    with open_scene(tmp_path / "a.h5") as scene:
        np.testing.assert_array_equal(scene.read(), cube)
        np.testing.assert_array_equal(scene.read(slice(2, 4), slice(1, 8)), cube[2:4, 1:8])
        if hint in ("dataset", "attribute", "root"):
            np.testing.assert_allclose(scene.meta.wavelengths, [400, 500, 600, 700, 800])
        else:
            assert scene.meta.wavelengths is None


def by_xarray(path, values, dims, coords, **encoding):
    xarray = pytest.importorskip("xarray")
    scene = xarray.Dataset({"rfl": (dims, values)}, {d: coords[d] for d in dims if d in coords})
    scene.to_netcdf(path, engine="h5netcdf", encoding={"rfl": encoding})
    return path


COORDS = {
    "y": 4e6 - 10 * np.arange(7),
    "x": 5e5 + 20 * np.arange(9),
    "band": np.linspace(450, 650, 5),
    "time": [0],
}
PLACE = (20, 0, 5e5 - 10, 0, -10, 4e6 + 5)


@pytest.mark.parametrize("options", [{}, {"zlib": True}])
@pytest.mark.parametrize(
    "dims", ["y x band", "x y band", "band x y", "x band y", "time band y x", "x y time band"]
)
def test_axes_in_any_order_and_a_time_of_one(dims, options, tmp_path, cube):
    values = cube.transpose([["y", "x", "band"].index(d) for d in dims.split() if d != "time"])
    if "time" in dims:
        values = np.expand_dims(values, dims.split().index("time"))
    path = by_xarray(tmp_path / "a.nc", values, dims.split(), COORDS, **options)
    with open_scene(path) as scene:
        np.testing.assert_array_equal(scene.read(), cube)
        np.testing.assert_array_equal(scene.read(slice(2, 4), slice(1, 8)), cube[2:4, 1:8])
        np.testing.assert_allclose(scene.meta.wavelengths, COORDS["band"])
        np.testing.assert_allclose(scene.meta.transform, PLACE)
    places = {name: COORDS[name] for name in "yx"}  # nothing but their names says which are bands
    path = by_xarray(tmp_path / "b.nc", values, dims.replace("band", "z").split(), places)
    np.testing.assert_array_equal(read_scene(path)[0], cube)


def test_two_times_are_two_scenes(tmp_path, cube):
    path = by_xarray(tmp_path / "a.nc", np.stack([cube, cube]), ["time", "y", "x", "band"], {})
    with pytest.raises(UserError, match=r"no array with three axes.*rfl \(2x7x9x5\)"):
        open_scene(path)


def test_one_band_without_an_axis_of_its_own(tmp_path, cube):
    path = by_xarray(tmp_path / "a.nc", cube[..., 0].T, ["x", "y"], COORDS)
    found, meta = read_scene(path, variable="rfl")
    np.testing.assert_array_equal(found[..., 0], cube[..., 0])
    np.testing.assert_allclose(meta.transform, PLACE)


@pytest.mark.parametrize("ending", ["nc", "h5"])
def test_what_xarray_has_cut_lies_where_its_coordinates_say(ending, tmp_path, cube, meta):
    """The transform is text to xarray, which it leaves as it was; a value may be another one."""
    xarray = pytest.importorskip("xarray")
    path = tmp_path / f"a.{ending}"
    write_scene(path, cube, meta)
    with xarray.open_dataset(path, engine="h5netcdf", decode_coords="all") as scene:
        part = scene.isel(x=slice(2, 8), y=slice(1, 6))
        part.to_netcdf(tmp_path / "part.nc", engine="h5netcdf")
        part.isel(wavelength=[1, 2]).to_netcdf(tmp_path / "bands.nc", engine="h5netcdf")
        scene["cube"] = 2 * scene["cube"]
        scene.to_netcdf(tmp_path / "twice.nc", engine="h5netcdf")
    a, b, c, d, e, f = meta.transform
    for name, bands in (("part", slice(None)), ("bands", [1, 2])):
        found, after = read_scene(tmp_path / f"{name}.nc")
        np.testing.assert_array_equal(found, cube[1:6, 2:8, bands])
        np.testing.assert_allclose(after.transform, (a, b, c + 2 * a, d, e, f + e))
        assert (after.scale, after.nodata, after.crs) == (meta.scale, meta.nodata, meta.crs)
        np.testing.assert_array_equal(after.wavelengths, meta.wavelengths[bands])
    found, after = read_scene(tmp_path / "twice.nc")
    np.testing.assert_allclose(found * after.scale, 2 * cube * meta.scale)
    assert after.transform == meta.transform and after.sensor == meta.sensor


def test_a_rotated_map_is_not_that_of_its_coordinates(tmp_path, cube, utm):
    meta = SceneMeta(crs=utm, transform=(10, 3, 5e5, 4, -10, 4e6))
    write_scene(tmp_path / "a.nc", cube, meta)
    assert read_scene(tmp_path / "a.nc")[1] == meta
    with h5py.File(tmp_path / "a.nc") as file:  # numbers of pixels: places would be wrong ones
        assert file["x"][:3].tolist() == file["y"][:3].tolist() == [0, 1, 2]


@pytest.mark.parametrize("kind", ["nc", 2, 3])
@pytest.mark.parametrize("how", ["packed", "km"])
def test_coordinates_and_bands_as_cf_packs_them(kind, how, tmp_path, cube, utm):
    """Whole numbers with a scale and an offset, or kilometres on a map in metres."""
    xarray = pytest.importorskip("xarray")
    pytest.importorskip("h5netcdf" if kind == "nc" else "zarr")
    unit = 1e3 if how == "km" else 1.0
    east, north = (500015 + 30.0 * np.arange(9)) / unit, (4e6 - 15 - 30.0 * np.arange(7)) / unit
    facts = {"units": "km" if how == "km" else "m"}
    coords = {"y": ("y", north, facts), "x": ("x", east, facts)}
    coords["wavelength"] = "band", np.linspace(400, 800, 5), {"units": "nm"}
    mapping = {"grid_mapping": "crs"}
    arrays = {"cube": (("band", "y", "x"), cube.transpose(2, 0, 1), mapping)}
    scene = xarray.Dataset(arrays | {"crs": ((), 0, {"crs_wkt": utm})}, coords)
    packed = {"wavelength": {"dtype": "i2", "scale_factor": 0.5, "add_offset": 100.0}}
    if how == "packed":
        packed["x"] = {"dtype": "i2", "scale_factor": 30.0, "add_offset": 500015.0}
        packed["y"] = {"dtype": "i2", "scale_factor": -30.0, "add_offset": 4e6 - 15}
    if kind == "nc":
        scene.to_netcdf(tmp_path / "a.nc", engine="h5netcdf", encoding=packed)
    else:
        scene.to_zarr(tmp_path / "a.zarr", zarr_format=kind, encoding=packed)
    meta = read_scene(tmp_path / ("a.nc" if kind == "nc" else "a.zarr"))[1]
    np.testing.assert_allclose(meta.transform, (30, 0, 5e5, 0, -30, 4e6), atol=1e-6)
    assert meta.wavelengths.tolist() == [400, 500, 600, 700, 800] and meta.crs == utm


def test_without_any_hint_the_bands_are_last(tmp_path, cube):
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["values"] = cube.astype(">i4")
    found, meta = read_scene(tmp_path / "a.h5")
    np.testing.assert_array_equal(found, cube)
    assert found.dtype == np.int32
    assert meta == SceneMeta()


def test_grid_mapping(tmp_path, cube, utm):
    with h5py.File(tmp_path / "a.nc", "w") as file:
        file["cube"] = cube
        file["cube"].attrs["grid_mapping"] = "utm"
        file["cube"].attrs["scale_factor"] = 0.5
        file["utm"] = 0
        file["utm"].attrs["GeoTransform"] = "500000 30 0 4000000 0 -30"
        file["utm"].attrs["crs_wkt"] = utm
    meta = open_scene(tmp_path / "a.nc").meta
    assert meta.transform == (30, 0, 500000, 0, -30, 4000000)
    assert (meta.crs, meta.scale) == (utm, 0.5)


@pytest.mark.parametrize("code", ["EPSG:32631", "epsg:32631", "urn:ogc:def:crs:EPSG::32631"])
def test_a_reference_system_by_its_code(code, tmp_path, cube, utm):
    with h5py.File(tmp_path / "a.nc", "w") as file:
        file["cube"], file["crs"] = cube, 0
        file["cube"].attrs["grid_mapping"] = "crs"
        file["crs"].attrs["spatial_ref"] = code
    assert open_scene(tmp_path / "a.nc").meta.crs == utm


@pytest.mark.parametrize("ending", ["h5", "nc"])
def test_h5py_reads_ours(ending, tmp_path, cube, meta):
    path = tmp_path / f"a.{ending}"
    write_scene(path, cube, meta.scaled(2), variable="radiance")
    with h5py.File(path) as file:
        data = file["radiance"]
        names = [data.dims[axis][0].name for axis in range(3)]
        bands_first = ["/wavelength", "/y", "/x"]
        assert names == (bands_first if ending == "nc" else ["/y", "/x", "/wavelength"])
        values = data[()] if ending == "h5" else data[()].transpose(1, 2, 0)
        np.testing.assert_array_equal(values, cube)
        np.testing.assert_array_equal(file["wavelength"], meta.wavelengths)
        assert file["wavelength"].attrs["units"] == b"nm"
        np.testing.assert_allclose(file["x"][:2], [500008, 500023])
        np.testing.assert_allclose(file["y"][:2], [3999992.75, 3999977.75])
        assert (data.attrs["scale_factor"], data.attrs["_FillValue"][0]) == (1e-4, 65535)
        assert file["crs"].attrs["crs_wkt"].decode() == meta.crs


def test_gdal_reads_our_netcdf(tmp_path, cube, meta):
    rasterio = pytest.importorskip("rasterio")
    if "netCDF" not in rasterio.drivers.raster_driver_extensions().values():
        pytest.skip("this GDAL has no NetCDF")
    write_scene(tmp_path / "a.nc", cube, meta)
    with rasterio.open(f"netcdf:{tmp_path}/a.nc:cube") as image:
        np.testing.assert_array_equal(image.read().transpose(1, 2, 0), cube)
        assert tuple(image.transform)[:6] == meta.transform
        assert image.crs.to_epsg() == 32631


def test_a_long_list_of_names_fits(tmp_path):
    """An attribute of HDF5 holds 64 KiB; our metadata are not in one."""
    names = ["a very long name of a band " * 10] * 400
    meta = SceneMeta(band_names=names, wavelengths=np.arange(400) + 0.5)
    write_scene(tmp_path / "a.h5", np.zeros((1, 1, 400), "u1"), meta)
    assert open_scene(tmp_path / "a.h5").meta == meta


def outside(folder, kind, cube):
    """A file whose cube lies in another file."""
    with h5py.File(folder / "secret.h5", "w") as file:
        file["cube"] = cube
        offset = file["cube"].id.get_offset()
    with h5py.File(folder / "a.h5", "w") as file:
        if kind == "link":
            file["cube"] = h5py.ExternalLink("secret.h5", "/cube")
        elif kind == "soft":
            file["other"] = h5py.ExternalLink("secret.h5", "/")
            file["cube"] = h5py.SoftLink("/other/cube")
        elif kind == "storage":
            external = [(str(folder / "secret.h5"), offset, cube.nbytes)]
            file.create_dataset("cube", cube.shape, cube.dtype, external=external)
        else:
            layout = h5py.VirtualLayout(cube.shape, cube.dtype)
            layout[:] = h5py.VirtualSource(folder / "secret.h5", "cube", cube.shape)
            file.create_virtual_dataset("cube", layout)


@pytest.mark.parametrize("kind", ["link", "soft", "storage", "virtual"])
def test_other_files_are_never_followed(kind, tmp_path, cube):
    outside(tmp_path, kind, cube)
    with pytest.raises(UserError, match="no array"):
        open_scene(tmp_path / "a.h5")
    with pytest.raises(UserError, match="no array"):
        open_scene(tmp_path / "a.h5", variable="cube")


def test_groups_that_hold_each_other(tmp_path, cube):
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["a/cube"] = cube
        file["a/again"] = file["/"]
    np.testing.assert_array_equal(read_scene(tmp_path / "a.h5")[0], cube)


def test_values_that_were_never_written_are_not_allocated(tmp_path):
    """A few kilobytes that declare terabytes."""
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file.create_dataset("cube", (1 << 14, 1 << 14, 1 << 10), "f4", chunks=(8, 8, 8))
    with pytest.raises(UserError, match="promises"):
        open_scene(tmp_path / "a.h5")


@pytest.mark.parametrize("number, size", [(13, 2051), (0, 0), (5, (1 << 64) - 16)])
def test_a_heap_without_end_is_refused(number, size, tmp_path, cube):
    """Found by fuzzing: the library itself does not come back from an object of size zero."""
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["cube"] = cube
        file["cube"].attrs["units"] = "radiance"
        file["cube"].attrs["long_name"] = "a scene"
    assert open_scene(tmp_path / "a.h5").meta.units == "radiance"
    data = bytearray((tmp_path / "a.h5").read_bytes())
    place = data.index(b"GCOL") + 16
    data[place : place + 16] = struct.pack("<HHIQ", number, 0, 0, size)
    (tmp_path / "b.h5").write_bytes(data)
    with pytest.raises(UserError, match="damaged"):
        open_scene(tmp_path / "b.h5")


def test_our_own_texts_are_not_in_a_heap(tmp_path, cube, meta):
    write_scene(tmp_path / "a.h5", cube, meta)
    with h5py.File(tmp_path / "a.h5") as file:
        for owner in (file, file["cube"], file["crs"], file["wavelength"]):
            for name in set(owner.attrs) - {"DIMENSION_LIST", "REFERENCE_LIST"}:
                text = h5py.check_string_dtype(owner.attrs.get_id(name).dtype)
                assert text is None or text.length is not None, name


def test_arrays_that_are_not_numbers(tmp_path, cube):
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["objects"] = np.full((2, 2, 2), "a", h5py.string_dtype())
        file["pairs"] = np.zeros((2, 2, 2), [("a", "f4"), ("b", "i2")])
        file["values"] = cube
        file["values"].attrs["units"] = h5py.Empty("f4")
        file["values"].attrs["_FillValue"] = np.array([1, 2])  # both
    found, meta = read_scene(tmp_path / "a.h5")
    np.testing.assert_array_equal(found, cube)
    assert meta.nodata == 1


def test_what_is_not_written(tmp_path, cube):
    with pytest.raises(UserError, match="complex64 is not written"):
        write_scene(tmp_path / "a.h5", cube.astype("c8"))
    for name in ("", "a/b", "wavelength"):
        with pytest.raises(UserError, match="cannot name the cube"):
            write_scene(tmp_path / "a.h5", cube, variable=name)


def test_xarray_opens_what_is_written_with_its_map_and_writes_what_is_read(tmp_path, cube, meta):
    xarray = pytest.importorskip("xarray")
    pytest.importorskip("rioxarray")
    pytest.importorskip("h5netcdf")
    write_scene(tmp_path / "a.nc", cube, meta)
    options = {"engine": "h5netcdf", "decode_coords": "all"}
    with xarray.open_dataset(tmp_path / "a.nc", **options) as found:
        assert found["cube"].rio.crs.to_epsg() == 32631
        assert tuple(found["cube"].rio.transform())[:6] == meta.transform
        np.testing.assert_allclose(found["cube"].values.transpose(1, 2, 0), cube * meta.scale)
        np.testing.assert_array_equal(found["wavelength"], meta.wavelengths)
    with xarray.open_dataset(tmp_path / "a.nc", **options, mask_and_scale=False) as found:
        found[["cube"]].to_netcdf(tmp_path / "b.nc", engine="h5netcdf")
    values, after = read_scene(tmp_path / "b.nc", variable="cube")
    np.testing.assert_array_equal(values, cube)
    assert (after.transform, after.scale, after.nodata) == (meta.transform, meta.scale, meta.nodata)
    assert "UTM zone 31N" in after.crs


@pytest.mark.parametrize("name", ["a.nc", "a.h5"])
def test_the_same_scene_gives_the_same_bytes_at_any_time(tmp_path, name):
    made = []
    for wait in (1.1, 0):
        write_scene(tmp_path / name, np.ones((3, 4, 2), np.float32), SceneMeta())
        made.append((tmp_path / name).read_bytes())
        time.sleep(wait)  # HDF5 keeps whole seconds
    assert made[0] == made[1]
