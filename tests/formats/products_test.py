"""Products of sensors, written here in their published layouts, and read in physical units."""

import h5py
import numpy as np
import pytest

from hsisr_jax import formats, predict
from hsisr_jax.errors import UserError
from hsisr_jax.formats import carried, hdf5_meta, open_scene

RNG = np.random.default_rng(0)


def prisma(path, *, level="2D", rows=6, cols=8, seed=0):
    """VNIR of 5 bands (one empty) and SWIR of 4 (one empty), from long to short wavelengths."""
    rng = np.random.default_rng(seed)
    vnir = rng.integers(1, 65535, (rows, 5, cols)).astype(np.uint16)
    swir = rng.integers(1, 65535, (rows, 4, cols)).astype(np.uint16)
    vnir[0, :, :2] = swir[0, :, :2] = 0  # outside the image
    vnir[3, 1, 4] = 0  # dark in one band
    with h5py.File(path, "w") as file:
        place = f"HDFEOS/SWATHS/PRS_L{level}_HCO/"
        file[place + "Data Fields/VNIR_Cube"], file[place + "Data Fields/SWIR_Cube"] = vnir, swir
        pan = rng.integers(1, 65535, (rows * 6, cols * 6)).astype(np.uint16)
        file[f"HDFEOS/SWATHS/PRS_L{level}_PCO/Data Fields/Cube"] = pan
        file.attrs["Processing_Level"] = np.bytes_(level)
        file.attrs["List_Cw_Vnir"] = np.array([970, 800, 600, 450, 0], "f4")
        file.attrs["List_Fwhm_Vnir"] = np.array([13, 12, 11, 10, 0], "f4")
        file.attrs["List_Cw_Swir"] = np.array([2400, 1500, 930, 0], "f4")
        file.attrs["List_Fwhm_Swir"] = np.array([9, 10, 11, 0], "f4")
        if level == "2D":
            for name, low, high in (("Vnir", 0.0, 0.9), ("Swir", 0.1, 0.7), ("Pan", 0.0, 1.0)):
                file.attrs[f"L2Scale{name}Min"] = np.float32(low)
                file.attrs[f"L2Scale{name}Max"] = np.float32(high)
            file.attrs["Epsg_Code"] = np.int64(32632)
            file.attrs["Product_ULcorner_easting"] = 500015.0
            file.attrs["Product_ULcorner_northing"] = 4999985.0
            file.attrs["Product_LRcorner_easting"] = 500015.0 + 30 * (cols - 1)
            file.attrs["Product_LRcorner_northing"] = 4999985.0 - 30 * (rows - 1)
        else:
            for name, scale, offset in (("Vnir", 100.0, 1.0), ("Swir", 50.0, 0.0)):
                file.attrs[f"ScaleFactor_{name}"] = scale
                file.attrs[f"Offset_{name}"] = offset
            lat, lon = np.mgrid[45 : 45 - 0.01 * rows : -0.01, 11 : 11 + 0.01 * cols : 0.01][
                :, :rows, :cols
            ]
            file[place + "Geolocation Fields/Latitude_VNIR"] = lat.astype("f4")
            file[place + "Geolocation Fields/Longitude_VNIR"] = lon.astype("f4")
    return vnir, swir, pan


def test_prisma_is_one_cube_in_reflectance_on_its_map(tmp_path):
    vnir, swir, pan = prisma(tmp_path / "x.bin.he5")
    with open_scene(tmp_path / "x.bin.he5") as scene:
        cube, meta = scene.read(), scene.meta
        np.testing.assert_array_equal(scene.read(slice(2, 4), slice(1, 7)), cube[2:4, 1:7])
        assert "VNIR bands from 930 nm on (1) are left out" in scene.notes[0]
    assert meta.wavelengths.tolist() == [450, 600, 800, 930, 1500, 2400]
    assert meta.fwhm.tolist() == [10, 11, 12, 11, 10, 9] and meta.units == "reflectance"
    expected = np.concatenate(
        [vnir[:, [3, 2, 1]] * (0.9 / 65535), 0.1 + swir[:, [2, 1, 0]] * (0.6 / 65535)], 1
    ).transpose(0, 2, 1)
    outside = np.isnan(cube).all(-1)
    assert outside.sum() == 2 and outside[0, :2].all()
    np.testing.assert_allclose(cube[~outside], expected[~outside], atol=1e-6)
    assert cube[3, 4, 2] == 0  # dark is not missing
    assert meta.transform == (30, 0, 500000, 0, -30, 5000000) and "UTM zone 32N" in meta.crs
    with open_scene(tmp_path / "x.bin.he5", variable="PAN") as scene:
        assert (scene.height, scene.width, scene.bands) == (36, 48, 1)
        np.testing.assert_allclose(scene.read()[..., 0], pan / 65535, atol=1e-6)
    with open_scene(tmp_path / "x.bin.he5", variable="SWIR_Cube") as scene:
        assert scene.bands == 4 and scene.dtype == np.uint16  # as stored


def test_prisma_level_1_has_radiance_and_control_points(tmp_path):
    vnir, _, _ = prisma(tmp_path / "x.he5", level="1")
    with open_scene(tmp_path / "x.he5") as scene:
        cube, meta, notes = scene.read(), scene.meta, scene.notes
    np.testing.assert_allclose(cube[3, 3, 0], vnir[3, 3, 3] / 100 - 1, rtol=1e-6)
    points = carried.points(meta.extra)
    assert points[0][:2] == [0.5, 0.5] and points[0][2:4] == pytest.approx([11, 45], abs=1e-5)
    assert "ground control points" in notes[-1] and "WGS 84" in meta.crs


@pytest.mark.parametrize("lost", ["List_Fwhm_Vnir", "L2ScaleSwirMax", "List_Cw_Swir"])
def test_a_prisma_product_that_lacks_something_says_what(tmp_path, lost):
    prisma(tmp_path / "x.he5")
    with h5py.File(tmp_path / "x.he5", "a") as file:
        del file.attrs[lost]
    with pytest.raises(UserError, match=lost.removesuffix("Max").removesuffix("_Vnir")):
        open_scene(tmp_path / "x.he5")


@pytest.mark.parametrize("value", [np.nan, np.inf, 0.9])
def test_a_prisma_product_of_absurd_units_is_refused(tmp_path, value):
    prisma(tmp_path / "x.he5")
    with h5py.File(tmp_path / "x.he5", "a") as file:
        file.attrs["L2ScaleVnirMin"] = np.float32(value)  # 0.9 is the largest: all values are one
    with pytest.raises(UserError, match="x.he5: .*which no values can have"):
        open_scene(tmp_path / "x.he5")
    prisma(tmp_path / "y.he5", level="1")
    with h5py.File(tmp_path / "y.he5", "a") as file:
        file.attrs["ScaleFactor_Swir"] = value if value != 0.9 else 1e-40
    with pytest.raises(UserError, match="y.he5: .*which no values can have"):
        open_scene(tmp_path / "y.he5")


def emit(path, name="reflectance"):
    cube = RNG.random((9, 7, 4)).astype(np.float32)
    cube[2, 3] = -9999
    glt = np.zeros((2, 12, 11), np.int32)
    rows, cols = np.mgrid[1:11, 2:9]
    glt[0, rows, cols] = np.clip(cols - 1, 1, 7)
    glt[1, rows, cols] = np.clip(rows, 1, 9)
    with h5py.File(path, "w") as file:
        file.create_dataset(name, data=cube, chunks=(3, 7, 4), compression="gzip")
        file[name].attrs["_FillValue"] = np.array([-9999], "f4")
        file["sensor_band_parameters/wavelengths"] = np.array([400, 900, 1400, 2200], "f4")
        file["sensor_band_parameters/fwhm"] = np.full(4, 8.5, "f4")
        file["sensor_band_parameters/good_wavelengths"] = np.array([1, 1, 0, 1], "f4")
        file["location/lat"] = np.broadcast_to(34 - np.arange(9)[:, None] * 5e-4, (9, 7))
        file["location/lon"] = np.broadcast_to(-118 + np.arange(7)[None] * 5e-4, (9, 7))
        file["location/glt_x"], file["location/glt_y"] = glt
        file.attrs["geotransform"] = [-118.0, 5e-4, 0.0, 34.0, 0.0, -5e-4]
        file.attrs["spatial_ref"] = 'GEOGCS["WGS 84"]'
    return cube, glt


def test_emit_as_measured_and_on_its_map(tmp_path):
    cube, glt = emit(tmp_path / "x.nc")
    with open_scene(tmp_path / "x.nc") as scene:
        found, meta = scene.read(), scene.meta
        assert "orthorectified" in scene.notes[0]
    hidden = np.isnan(found)
    assert hidden.sum() == 4 and hidden[2, 3].all()
    np.testing.assert_array_equal(found[~hidden], cube[~hidden])
    assert meta.bad_bands.tolist() == [False, False, True, False] and meta.fwhm[0] == 8.5
    points = np.array(carried.points(meta.extra))
    np.testing.assert_allclose(points[:, 2], -118 + (points[:, 0] - 0.5) * 5e-4)
    np.testing.assert_allclose(points[:, 3], 34 - (points[:, 1] - 0.5) * 5e-4)
    with open_scene(tmp_path / "x.nc", variable="orthorectified") as scene:
        found, meta = scene.read(), scene.meta
        np.testing.assert_array_equal(scene.read(slice(3, 8), slice(2, 5)), found[3:8, 2:5])
    assert found.shape == (12, 11, 4) and meta.transform == (5e-4, 0, -118, 0, -5e-4, 34)
    np.testing.assert_array_equal(found[5, 6], cube[4, 4])
    assert np.isnan(found[0]).all() and np.isnan(found[:, 10]).all()


def test_emits_control_points_lie_on_the_finer_grid_too(tmp_path):
    rasterio = pytest.importorskip("rasterio")
    emit(tmp_path / "x.nc", "radiance")
    with open_scene(tmp_path / "x.nc") as scene:
        meta, cube = scene.meta, scene.read()
    formats.write_scene(tmp_path / "y.tif", cube.repeat(2, 0).repeat(2, 1), meta.scaled(2))
    with rasterio.open(tmp_path / "y.tif") as file:
        points, crs = file.gcps
    assert crs.to_epsg() == 4326
    np.testing.assert_allclose(
        [p.x for p in points], [-118 + (p.col / 2 - 0.5) * 5e-4 for p in points]
    )


def neon(path, lost=""):
    """A reflectance file of NEON's airborne platform: lines, samples, bands."""
    cube = RNG.integers(1, 9000, (7, 5, 6)).astype("i2")
    cube[2, 3] = -9999
    group, place = "SJER/Reflectance/", "SJER/Reflectance/Metadata/Coordinate_System/"
    with h5py.File(path, "w") as file:
        data = file.create_dataset(f"{group}Reflectance_Data", data=cube, chunks=(4, 4, 6))
        data.attrs["Scale_Factor"], data.attrs["Data_Ignore_Value"] = 10000.0, -9999.0
        file[group].attrs["Band_Window_1_Nanometers"] = [1340, 1445]
        file[group].attrs["Band_Window_2_Nanometers"] = [1790, 1955]
        waves = np.array([400, 900, 1400, 1700, 1900, 2200], "f4")
        file[f"{group}Metadata/Spectral_Data/Wavelength"] = waves
        file[f"{group}Metadata/Spectral_Data/FWHM"] = np.full(6, 5.5, "f4")
        file[f"{place}Map_Info"] = (
            b"UTM, 1.000, 1.000, 257000.000, 4113000.000, 1.0, 1.0, 11, North, WGS-84, units=Meters"
        )
        file[f"{place}EPSG Code"] = b"32611"
        file[f"{group}Metadata/Ancillary_Imagery/Haze_Cloud_Water_Map"] = np.ones((7, 5), "u1")
        if lost:
            del file[lost.replace("*", "SJER/Reflectance/Metadata")]
    return cube


def test_neon_is_reflectance_on_its_map(tmp_path):
    """Also after prediction: scale, no-data, map and bad bands are as a user expects them."""
    rasterio = pytest.importorskip("rasterio")
    cube = neon(tmp_path / "NEON_D17_SJER_reflectance.h5")
    with open_scene(tmp_path / "NEON_D17_SJER_reflectance.h5") as scene:
        found, meta, notes = scene.read(), scene.meta, scene.notes
    hidden = np.isnan(found)
    assert hidden.sum() == 6 and hidden[2, 3].all()
    np.testing.assert_allclose(found[~hidden], cube[~hidden] / 1e4, rtol=1e-6)
    assert meta.transform == (1, 0, 257000, 0, -1, 4113000) and "32611" in meta.crs
    assert meta.bad_bands.tolist() == [False, False, True, False, True, False]
    assert meta.wavelengths.tolist() == [400, 900, 1400, 1700, 1900, 2200] and meta.fwhm[0] == 5.5
    assert "Haze_Cloud_Water_Map" in notes[0]
    predict.sharpen(tmp_path / "NEON_D17_SJER_reflectance.h5", tmp_path / "sharp.tif", 2)
    with rasterio.open(tmp_path / "sharp.tif") as file:
        out, crs, bounds = file.read(masked=True), file.crs, file.bounds
    assert crs.to_epsg() == 32611 and bounds[:2] == (257000, 4113000 - 7)
    assert np.ma.getmaskarray(out)[:, 4:6, 6:8].all() and out[0].count() == (35 - 1) * 4
    assert out.min() >= 0 and out.max() < 2


@pytest.mark.parametrize("lost", ["*/Spectral_Data", "*/Coordinate_System", "*/Ancillary_Imagery"])
def test_neon_without_a_part_of_its_metadata(tmp_path, lost):
    neon(tmp_path / "x.h5", lost)
    with open_scene(tmp_path / "x.h5") as scene:
        assert np.nanmax(scene.read()) < 1
        assert (scene.meta.wavelengths is None) == ("Spectral" in lost)
        assert (scene.meta.transform is None) == ("Coordinate" in lost)


def test_neon_texts_are_read_as_all_others_are(tmp_path, monkeypatch):
    """Heaps are checked before a text of variable length; no link out of the file is followed."""
    neon(tmp_path / "x.h5", "*/Coordinate_System")
    place = "SJER/Reflectance/Metadata/Coordinate_System"
    with h5py.File(tmp_path / "x.h5", "a") as file:
        file[f"{place}/Map_Info"] = "UTM, 1, 1, 257000, 4113000, 2, 2, 11, North, WGS-84"
    seen = []
    monkeypatch.setattr(hdf5_meta, "check_heaps", seen.append)
    with open_scene(tmp_path / "x.h5") as scene:
        assert scene.meta.transform == (2, 0, 257000, 0, -2, 4113000) and seen
    neon(tmp_path / "y.h5", "*/Coordinate_System")
    with h5py.File(tmp_path / "y.h5", "a") as file:
        file[place] = h5py.ExternalLink("x.h5", place)
    with open_scene(tmp_path / "y.h5") as scene:
        assert scene.meta.transform is None


@pytest.mark.parametrize("value", [0.0, np.nan, np.inf, 1e-40])
def test_neon_of_an_absurd_scale_is_refused(tmp_path, value):
    neon(tmp_path / "x.h5")
    with h5py.File(tmp_path / "x.h5", "a") as file:
        file["SJER/Reflectance/Reflectance_Data"].attrs["Scale_Factor"] = value
    with pytest.raises(UserError, match=r"x\.h5: .*(Scale_Factor|no values can have)"):
        open_scene(tmp_path / "x.h5")


def test_tanager(tmp_path):
    cube = RNG.random((3, 5, 6)).astype(np.float32)
    place = "HDFEOS/SWATHS/HYP/"
    with h5py.File(tmp_path / "x.h5", "w") as file:
        data = file.create_dataset(place + "Data Fields/toa_radiance", data=cube)
        data.attrs["wavelengths"], data.attrs["fwhm"] = [400.0, 900.0, 1400.0], [5.0, 5.0, 5.5]
        data.attrs["good_wavelengths"] = [1, 1, 0]
        file[place + "Geolocation Fields/Latitude"] = np.full((5, 6), 40.0)
        file[place + "Geolocation Fields/Longitude"] = np.full((5, 6), 20.0)
    with open_scene(tmp_path / "x.h5") as scene:
        np.testing.assert_array_equal(scene.read(), cube.transpose(1, 2, 0))
        assert scene.meta.bad_bands.tolist() == [False, False, True]
        assert scene.meta.wavelengths.tolist() == [400, 900, 1400]


@pytest.mark.parametrize("mapped", [True, False])
def test_a_cf_file_has_the_map_that_its_coordinates_say(tmp_path, mapped, utm, cube):
    with h5py.File(tmp_path / "x.nc", "w") as file:
        file["x"], file["y"] = 500015 + 30.0 * np.arange(9), 4e6 - 15 - 30.0 * np.arange(7)
        file["band"] = np.arange(5)
        data = file.create_dataset("reflectance", data=cube.transpose(2, 0, 1))
        for axis, name in enumerate(("band", "y", "x")):
            file[name].make_scale(name)
            data.dims[axis].attach_scale(file[name])
        file["spatial_ref"] = np.int64(0)
        file["spatial_ref"].attrs["crs_wkt"] = utm
        if mapped:
            data.attrs["grid_mapping"] = "spatial_ref"
    with open_scene(tmp_path / "x.nc") as scene:
        assert scene.meta.transform == (30, 0, 500000, 0, -30, 4e6)
        assert scene.meta.crs == utm
        np.testing.assert_array_equal(scene.read(), cube)


def test_uneven_coordinates_are_no_map(tmp_path, cube):
    with h5py.File(tmp_path / "x.nc", "w") as file:
        file["x"], file["y"] = np.arange(9.0) ** 2, np.arange(7.0)
        file["cube"] = cube
    with open_scene(tmp_path / "x.nc") as scene:
        assert scene.meta.transform is None


def bands_xml(gains, offsets, *, lower=False):
    """The part of an EnMAP or DESIS metadata file that is read."""
    names = ["wavelengthCenterOfBand", "FWHMOfBand", "GainOfBand", "OffsetOfBand"]
    names = ["wavelengthCenterOfBand", "wavelengthWidthOfBand", "gainOfBand", "offsetOfBand"] if (
        lower) else names  # fmt: skip
    rows = [
        "".join(f"<{n}>{v}</{n}>" for n, v in zip(names, (420 + 10 * i, 6.5 + i, gain, offset)))
        for i, (gain, offset) in enumerate(zip(gains, offsets))
    ]
    return "<level_X>" + "".join(f"<bandID>{row}</bandID>" for row in rows) + "</level_X>"


@pytest.mark.parametrize("lower", [False, True])
def test_level_1_of_enmap_and_desis_has_a_gain_for_each_band(tmp_path, lower, cube, utm):
    name = "DESIS-HSI-L1C-X" if lower else "ENMAP01-____L1C-X"
    stored = cube.astype(np.int16)
    stored[2, 3] = -32768
    meta = formats.SceneMeta(nodata=-32768, crs=utm, transform=(30, 0, 5e5, 0, -30, 4e6))
    formats.write_scene(tmp_path / f"{name}-SPECTRAL_IMAGE.TIF", stored, meta)
    gains, offsets = np.array([1, 2, 3, 4, 5]) * 1e-4, np.array([0, 0.1, 0.2, 0, 0])
    xml = tmp_path / f"{name}-METADATA.{'xml' if lower else 'XML'}"
    xml.write_text(bands_xml(gains, offsets, lower=lower))
    for opened in (tmp_path / f"{name}-SPECTRAL_IMAGE.TIF", xml, tmp_path):
        with open_scene(opened) as scene:
            found, meta = scene.read(), scene.meta
            assert xml in scene.files
        hidden = np.isnan(found)
        assert hidden[2, 3].all() and hidden.sum() == 5
        np.testing.assert_allclose(found[~hidden], (stored * gains + offsets)[~hidden], rtol=1e-6)
        assert meta.wavelengths.tolist() == [420, 430, 440, 450, 460] and meta.fwhm[1] == 7.5
        assert meta.sensor == ("DESIS" if lower else "EnMAP") and not meta.extra.get(
            "data gain values"
        )
        assert meta.transform == (30, 0, 5e5, 0, -30, 4e6)


def test_level_2_of_enmap_keeps_its_integers_and_its_background(tmp_path, cube):
    formats.write_scene(tmp_path / "ENMAP01-L2A-SPECTRAL_IMAGE.TIF", cube.astype(np.int16))
    xml = bands_xml([1e-4] * 5, [0] * 5) + "<backgroundValue>-32768</backgroundValue>"
    (tmp_path / "ENMAP01-L2A-METADATA.XML").write_text(xml)
    with open_scene(tmp_path) as scene:
        assert scene.dtype == np.int16
        assert (scene.meta.scale, scene.meta.nodata, scene.meta.sensor) == (1e-4, -32768, "EnMAP")


def test_the_halves_of_enmap_l1b_have_their_own_bands(tmp_path, cube):
    for half, bands in (("VNIR", cube[..., :2]), ("SWIR", cube[..., 2:])):
        formats.write_scene(tmp_path / f"ENMAP01-L1B-SPECTRAL_IMAGE_{half}.TIF", bands)
    (tmp_path / "ENMAP01-L1B-METADATA.XML").write_text(bands_xml([1, 2, 3, 4, 5], [0] * 5))
    with open_scene(tmp_path / "ENMAP01-L1B-SPECTRAL_IMAGE_SWIR.TIF") as scene:
        assert scene.meta.wavelengths.tolist() == [440, 450, 460]
        np.testing.assert_allclose(scene.read(), cube[..., 2:] * np.array([3.0, 4.0, 5.0]))
    with pytest.raises(UserError, match="several images.*_SWIR.TIF, .*_VNIR.TIF"):
        open_scene(tmp_path)


def test_hyperion_is_a_folder_of_bands(tmp_path, utm):
    meta = formats.SceneMeta(crs=utm, transform=(30, 0, 5e5, 0, -30, 4e6))
    cube = RNG.integers(1, 4000, (6, 7, 5)).astype(np.int16)
    cube[0] = 0
    for place, number in enumerate((1, 8, 57, 77, 100)):
        name = f"EO1H0430342003123110PZ_B{number:03d}_L1T.TIF"
        formats.write_scene(tmp_path / name, cube[..., [place]], meta)
    with open_scene(tmp_path) as scene:
        found, meta = scene.read(), scene.meta
        assert len(scene.files) == 3
    assert meta.band_names == ("B008", "B057", "B100")  # band 1 is not calibrated, 77 overlaps
    np.testing.assert_allclose(meta.wavelengths, [426.82, 925.41, 1144.48], atol=0.02)
    assert np.isnan(found[0]).all()
    np.testing.assert_allclose(
        found[1:], cube[1:, :, [1, 2, 4]] / np.array([40, 40, 80]), rtol=1e-6
    )
    assert meta.transform == (30, 0, 5e5, 0, -30, 4e6)


def test_aviris_3_has_its_map_at_the_root(tmp_path, utm):
    cube = RNG.random((4, 6, 5)).astype(np.float32)
    with h5py.File(tmp_path / "AV3_RFL_ORT.nc", "w") as file:
        file["easting"], file["northing"] = (
            5e5 + 2.5 + 5.0 * np.arange(5),
            4e6 - 2.5 - 5.0 * np.arange(6),
        )
        file["transverse_mercator"] = np.bytes_("")
        file["transverse_mercator"].attrs["crs_wkt"] = utm
        file["reflectance/reflectance"] = cube
        file["reflectance/reflectance"].attrs["grid_mapping"] = "transverse_mercator"
        file["reflectance/reflectance"].attrs["_FillValue"] = np.float32(-9999)
        file["reflectance/wavelength"] = np.array([400.0, 900, 1400, 2200])
        file["reflectance/fwhm"] = np.full(4, 7.4)
    with open_scene(tmp_path / "AV3_RFL_ORT.nc") as scene:
        assert scene.meta.transform == (5, 0, 5e5, 0, -5, 4e6) and scene.meta.crs == utm
        np.testing.assert_array_equal(scene.read(), cube.transpose(1, 2, 0))
        assert scene.meta.fwhm.tolist() == [7.4] * 4 and scene.meta.nodata == -9999


def test_quality_layers_that_are_not_used_are_told(tmp_path):
    prisma(tmp_path / "p.he5", level="2D")
    with h5py.File(tmp_path / "p.he5", "a") as file:
        place = "HDFEOS/SWATHS/PRS_L2D_HCO/Data Fields/"
        file[place + "VNIR_PIXEL_L2_ERR_MATRIX"] = np.zeros((6, 5, 8), np.uint8)
    emit(tmp_path / "EMIT_L2A_RFL_1.nc")
    (tmp_path / "EMIT_L2A_MASK_1.nc").touch()
    stem = tmp_path / "ENMAP01-L2A-SPECTRAL_IMAGE.TIF"
    formats.write_scene(stem, np.ones((4, 4, 2), np.int16))
    (tmp_path / "ENMAP01-L2A-METADATA.XML").write_text(bands_xml([1e-4] * 2, [0] * 2))
    formats.write_scene(tmp_path / "ENMAP01-L2A-QL_QUALITY_CLOUD.TIF", np.ones((4, 4, 1), "u1"))
    for name, layer in (("p.he5", "VNIR_PIXEL_L2_ERR_MATRIX"),
                        ("EMIT_L2A_RFL_1.nc", "EMIT_L2A_MASK_1.nc"),
                        (stem.name, "ENMAP01-L2A-QL_QUALITY_CLOUD.TIF")):  # fmt: skip
        with open_scene(tmp_path / name) as scene:
            assert any(f"neither used nor kept: {layer}" in note for note in scene.notes)
    with open_scene(tmp_path / "EMIT_L2A_RFL_1.nc", variable="orthorectified") as scene:
        assert any("EMIT_L2A_MASK_1.nc" in note for note in scene.notes)
