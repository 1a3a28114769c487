"""GeoTIFF against rasterio and tifffile."""

import resource
from dataclasses import replace

import numpy as np
import pytest
import rasterio
import tifffile
from PIL import Image
from rasterio.control import GroundControlPoint
from rasterio.crs import CRS
from rasterio.enums import ColorInterp
from rasterio.transform import Affine

from hsisr_jax.errors import UserError
from hsisr_jax.formats import SceneMeta, create_scene, open_scene, read_scene, write_scene


def by_rasterio(path, cube, **profile):
    height, width, bands = cube.shape
    profile = dict(height=height, width=width, count=bands, dtype=cube.dtype.name, **profile)
    return rasterio.open(path, "w", driver="GTiff", **profile)


def test_reads_what_rasterio_writes(tmp_path, cube):
    place = dict(crs="EPSG:32733", transform=Affine(10, 0, 3e5, 0, -10, 7e6), nodata=7)
    with by_rasterio(tmp_path / "a.tif", cube, compress="deflate", **place) as image:
        image.write(cube.transpose(2, 0, 1))
        image.scales, image.offsets = [0.5] * 5, [2.0] * 5
        image.update_tags(sensor="AVIRIS", flight="f12")
        for band in range(5):
            image.update_tags(band + 1, wavelength=0.5 + band / 10, wavelength_units="Micrometers")
            image.set_band_description(band + 1, f"b{band}")
    found, meta = read_scene(tmp_path / "a.tif")
    np.testing.assert_array_equal(found, cube)
    np.testing.assert_allclose(meta.wavelengths, [500, 600, 700, 800, 900])
    assert meta.transform == (10, 0, 3e5, 0, -10, 7e6)
    assert CRS.from_wkt(meta.crs).to_epsg() == 32733
    assert (meta.nodata, meta.scale, meta.offset) == (7, 0.5, 2)
    assert meta.band_names == ("b0", "b1", "b2", "b3", "b4")
    assert (meta.sensor, meta.extra) == ("AVIRIS", {"flight": "f12"})


def test_gdals_copy_of_an_envi_headers_band_names(tmp_path, cube):
    with by_rasterio(tmp_path / "a.tif", cube) as image:
        image.write(cube.transpose(2, 0, 1))
        image.update_tags(flight="f12", **{f"Band_{band}": f"b{band}" for band in range(1, 6)})
    meta = read_scene(tmp_path / "a.tif")[1]
    assert (meta.band_names, meta.extra) == (("b1", "b2", "b3", "b4", "b5"), {"flight": "f12"})


@pytest.mark.parametrize("unit", [{}, {"wavelength_units": "Unknown"}])
@pytest.mark.parametrize("factor", [1, 1e-3])
def test_wavelengths_without_a_unit_are_nanometres_or_micrometres(tmp_path, cube, unit, factor):
    with by_rasterio(tmp_path / "a.tif", cube) as image:
        image.write(cube.transpose(2, 0, 1))
        for band in range(5):
            image.update_tags(band + 1, wavelength=factor * (500 + 100 * band), **unit)
    np.testing.assert_allclose(read_scene(tmp_path / "a.tif")[1].wavelengths, range(500, 1000, 100))


@pytest.mark.parametrize(
    ("text", "first"), [("{} um", 500), ("{}", 500), ("unknown", None), ("{:.0f}", None)]
)
def test_wavelengths_as_text(tmp_path, cube, text, first):
    with by_rasterio(tmp_path / "a.tif", cube) as image:
        image.write(cube.transpose(2, 0, 1))
        for band in range(5):
            image.update_tags(band + 1, wavelength=text.format(0.5 + band / 10), fwhm="narrow")
    found, meta = read_scene(tmp_path / "a.tif")
    np.testing.assert_array_equal(found, cube)
    assert (meta.wavelengths is None) == (first is None) and meta.fwhm is None
    assert first is None or meta.wavelengths[0] == first


def test_wavelengths_from_names_and_from_gdals_own_domain(tmp_path, cube):
    for name in ("names", "imagery"):
        with by_rasterio(tmp_path / f"{name}.tif", cube) as image:
            image.write(cube.transpose(2, 0, 1))
            for band in range(1, 6):
                if name == "names":
                    image.set_band_description(band, f"Band {band} ({400.5 + band} Nanometers)")
                else:
                    optics = dict(CENTRAL_WAVELENGTH_UM=band / 10, FWHM_UM=0.01)
                    image.update_tags(band, ns="IMAGERY", **optics)
    meta = open_scene(tmp_path / "names.tif").meta
    np.testing.assert_array_equal(meta.wavelengths, [401.5, 402.5, 403.5, 404.5, 405.5])
    assert meta.transform is None
    assert meta.crs == ""
    meta = open_scene(tmp_path / "imagery.tif").meta
    np.testing.assert_allclose(meta.wavelengths, [100, 200, 300, 400, 500])
    np.testing.assert_allclose(meta.fwhm, [10] * 5)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"planarconfig": "separate"},
        {"planarconfig": "contig"},
        {"compression": "deflate"},
        {"byteorder": ">"},
        {"bigtiff": True},
        {"tile": (16, 16)},
    ],
)
def test_reads_what_tifffile_writes(options, tmp_path, cube):
    """Without options tifffile writes one page a band: GDAL calls those subdatasets."""
    values = cube.astype("i2") - 1100
    pixel = options.get("planarconfig") == "contig"
    stored = values if pixel else np.ascontiguousarray(values.transpose(2, 0, 1))
    tifffile.imwrite(tmp_path / "a.tif", stored, photometric="minisblack", **options)
    with open_scene(tmp_path / "a.tif") as scene:
        assert scene.dtype == np.int16
        np.testing.assert_array_equal(scene.read(), values)
        np.testing.assert_array_equal(scene.read(slice(1, 3), slice(8, 9)), values[1:3, 8:9])


def test_scales_that_differ_are_carried(tmp_path, cube):
    with by_rasterio(tmp_path / "a.tif", cube) as image:
        image.scales, image.offsets = [0.5, 1, 2, 3, 1e-4], [1.0] * 5
    meta = open_scene(tmp_path / "a.tif").meta
    assert (meta.scale, meta.offset) == (1, 0)
    assert meta.extra["data gain values"] == "{0.5, 1.0, 2.0, 3.0, 0.0001}"
    write_scene(tmp_path / "b.tif", cube[..., [4, 2]], meta.scaled(2))  # a list too long: text
    assert open_scene(tmp_path / "b.tif").meta.extra == meta.extra
    write_scene(tmp_path / "b.tif", cube, meta.scaled(2))
    assert open_scene(tmp_path / "b.tif").meta == meta
    with rasterio.open(tmp_path / "b.tif") as image:
        assert image.scales == (0.5, 1, 2, 3, 1e-4) and set(image.offsets) == {1}
        assert "data gain values" not in image.tags()


def test_ground_control_points_follow_the_finer_grid(tmp_path, cube):
    """Pixels of GDAL's points count from 0 at the outer corner of the first pixel."""
    points = [
        GroundControlPoint(row, col, 5e5 + 4.5 * col, 4e6 - 4.5 * row, 0.25 * row)
        for row, col in ((0, 0), (0, 9), (7, 0.5), (6.5, 9))
    ]
    with by_rasterio(tmp_path / "a.tif", cube, gcps=points, crs="EPSG:32733") as image:
        image.write(cube.transpose(2, 0, 1))
    meta = open_scene(tmp_path / "a.tif").meta
    assert meta.transform is None and CRS.from_wkt(meta.crs).to_epsg() == 32733
    write_scene(tmp_path / "a.hdr", cube.repeat(2, 0).repeat(2, 1), meta.scaled(2))
    fine, meta = read_scene(tmp_path / "a.hdr")
    write_scene(tmp_path / "b.tif", fine, meta)
    assert open_scene(tmp_path / "b.tif").meta.extra.keys() == {"ground control points"}
    with rasterio.open(tmp_path / "b.tif") as image:
        found, crs = image.gcps
        assert crs.to_epsg() == 32733 and len(found) == 4
        for point, before in zip(found, points):
            assert (point.row, point.col) == (2 * before.row, 2 * before.col)
            assert (point.x, point.y, point.z) == (before.x, before.y, before.z)
        assert "ground control points" not in image.tags()
    broken = SceneMeta(extra={"ground control points": "{1, 2, three}"})
    write_scene(tmp_path / "c.tif", cube, broken)
    assert open_scene(tmp_path / "c.tif").meta == broken


@pytest.mark.parametrize(("dtype", "nodata", "expected"), [
    ("u2", None, 65535), ("i2", None, -32768), ("f4", None, np.nan), ("u2", 7, 7)
])  # fmt: skip
def test_pixels_behind_a_mask_have_no_data(tmp_path, cube, dtype, nodata, expected):
    cube, mask = cube.astype(dtype), np.full((7, 9), 255, "u1")
    mask[2:4, 5] = 0
    inside = rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True)
    with inside, by_rasterio(tmp_path / "a.tif", cube, nodata=nodata) as image:
        image.write(cube.transpose(2, 0, 1))
        image.write_mask(mask)
    with open_scene(tmp_path / "a.tif") as scene:
        np.testing.assert_equal(scene.meta.nodata, expected)
        found, part = scene.read(), scene.read(slice(3, 7), slice(4, 9))
    np.testing.assert_array_equal(found[mask == 255], cube[mask == 255])
    np.testing.assert_array_equal(found[2:4, 5], np.full((2, 5), expected, dtype))
    np.testing.assert_array_equal(part, found[3:7, 4:9])


@pytest.mark.parametrize("kind", ["alpha", "mask"])
def test_of_8_bits_every_value_may_be_valid(tmp_path, cube, kind):
    """Hidden pixels get a value that none of the 256 is."""
    cube, mask = (cube % 251).astype("u1"), np.full((7, 9), 255, "u1")
    cube[0, 0], cube[0, 1], mask[2:4, 5], mask[4, 5] = 0, 255, 0, 128
    planes = [*cube.transpose(2, 0, 1), *([mask] if kind == "alpha" else [])]
    facts = {"dtype": "uint8", "height": 7, "width": 9, "count": len(planes)}
    inside = rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True)
    with inside, rasterio.open(tmp_path / "a.tif", "w", "GTiff", **facts) as image:
        if kind == "alpha":
            image.colorinterp = [ColorInterp.gray] * 5 + [ColorInterp.alpha]
        image.write(np.stack(planes))
        for band in range(1, 6):
            image.update_tags(band, wavelength=400 + 10 * band, wavelength_units="nm")
        if kind == "mask":
            image.write_mask(mask)
    with open_scene(tmp_path / "a.tif") as scene:
        found, part, meta = scene.read(), scene.read(slice(3, 7), slice(4, 9)), scene.meta
        assert scene.dtype == np.int16 and scene.bands == 5
        assert [("transparency" in note) for note in scene.notes] == [True] * (kind == "alpha")
    np.testing.assert_array_equal(found[mask > 0], cube[mask > 0])
    assert (found[mask == 0] == meta.nodata).all() and (found[mask > 0] != meta.nodata).all()
    np.testing.assert_array_equal(part, found[3:7, 4:9])
    np.testing.assert_allclose(meta.wavelengths, [410, 420, 430, 440, 450])


def test_a_fourth_band_that_gdal_takes_for_transparency_is_a_band(tmp_path, cube):
    """It marks that of four 8-bit bands, and is told not to in what is written here."""
    cube = (cube[..., :4] % 251).astype("u1")
    with by_rasterio(tmp_path / "a.tif", cube) as image:
        image.write(cube.transpose(2, 0, 1))
        assert image.colorinterp[3] is ColorInterp.alpha
    with open_scene(tmp_path / "a.tif") as scene:
        np.testing.assert_array_equal(scene.read(), cube)
        assert scene.meta.nodata is None and "band 4 is marked as alpha" in scene.notes[0]
    for compress in ("none", "deflate"):
        write_scene(tmp_path / "b.tif", cube, compress=compress)
        with rasterio.open(tmp_path / "b.tif") as image:
            assert ColorInterp.alpha not in image.colorinterp
        with open_scene(tmp_path / "b.tif") as scene:
            np.testing.assert_array_equal(scene.read(), cube)
            assert not scene.notes


def test_a_mask_beside_the_file(tmp_path, cube):
    mask = np.full((7, 9), 255, "u1")
    mask[2:4, 5] = 0
    beside = rasterio.Env(GDAL_TIFF_INTERNAL_MASK=False)
    with beside, by_rasterio(tmp_path / "a.tif", cube) as image:
        image.write(cube.transpose(2, 0, 1))
        image.write_mask(mask)
    assert (tmp_path / "a.tif.msk").exists()
    with open_scene(tmp_path / "a.tif") as scene:
        found, part = scene.read(), scene.read(slice(3, 7), slice(4, 9))
        assert (tmp_path / "a.tif.msk") in scene.files and not scene.notes
        nodata = scene.meta.nodata
    np.testing.assert_array_equal(found[mask == 255], cube[mask == 255])
    assert (found[mask == 0] == nodata).all()
    np.testing.assert_array_equal(part, found[3:7, 4:9])


def test_a_mask_that_is_no_tiff_is_told_and_not_opened(tmp_path, cube):
    """GDAL would open it by any driver."""
    with by_rasterio(tmp_path / "a.tif", cube) as image:
        image.write(cube.transpose(2, 0, 1))
    Image.fromarray(np.zeros((7, 9), "u1")).save(tmp_path / "m.png")
    (tmp_path / "m.png").rename(tmp_path / "a.tif.msk")
    with open_scene(tmp_path / "a.tif") as scene:
        np.testing.assert_array_equal(scene.read(), cube)
        assert scene.meta.nodata is None and "a.tif.msk" in scene.notes[0]


def test_no_data_values_that_differ_are_refused(tmp_path, cube):
    with by_rasterio(tmp_path / "a.tif", cube) as image:
        image.write(cube.transpose(2, 0, 1))
    for last, alike in ((1, True), (2, False)):
        values = "".join(
            f'<PAMRasterBand band="{band}"><NoDataValue>{last if band == 5 else 1}</NoDataValue>'
            "</PAMRasterBand>"
            for band in range(1, 6)
        )
        (tmp_path / "a.tif.aux.xml").write_text(f"<PAMDataset>{values}</PAMDataset>")
        if alike:
            assert open_scene(tmp_path / "a.tif").meta.nodata == 1
            continue
        with pytest.raises(UserError, match="no-data values differ from band to band"):
            open_scene(tmp_path / "a.tif")


def test_rational_polynomials_are_told(tmp_path, cube):
    fields = {f"{axis}_{end}": 1 for axis in ("HEIGHT", "LAT", "LONG", "LINE", "SAMP")
              for end in ("OFF", "SCALE")}  # fmt: skip
    for axis in ("LINE", "SAMP"):
        fields |= {f"{axis}_{part}_COEFF": " ".join(["1"] * 20) for part in ("NUM", "DEN")}
    with by_rasterio(tmp_path / "a.tif", cube) as image:
        image.write(cube.transpose(2, 0, 1))
        image.update_tags(ns="RPC", **fields)
    with open_scene(tmp_path / "a.tif") as scene:
        assert "(RPC) are not kept" in scene.notes[0]


@pytest.mark.parametrize("kind", ["TIFF", "ENVI Standard"])
def test_a_header_of_a_tiff_gives_its_scale(tmp_path, cube, kind):
    """As HySU is published; a header of other data beside it names wavelengths alone."""
    with by_rasterio(tmp_path / "a.tif", cube) as image:
        image.write(cube.transpose(2, 0, 1))
    centres = ", ".join(str(400 + 10 * band) for band in range(cube.shape[2]))
    (tmp_path / "a.hdr").write_text(
        f"ENVI\nsamples = 9\nlines = 7\nbands = {cube.shape[2]}\nfile type = {kind}\n"
        "data type = 12\ninterleave = bsq\nreflectance scale factor = 10000\n"
        f"data ignore value = 15000\nwavelength = {{{centres}}}\n"
    )
    with open_scene(tmp_path / "a.tif") as scene:
        assert scene.meta.wavelengths[1] == 410
        ours = (scene.meta.scale, scene.meta.nodata)
    assert ours == ((pytest.approx(1e-4), 15000) if kind == "TIFF" else (1, None))


def test_pages_of_other_sizes_are_not_bands(tmp_path, cube):
    with tifffile.TiffWriter(tmp_path / "a.tif") as file:
        file.write(cube[..., 0])
        file.write(cube[:3, :3, 0])
    np.testing.assert_array_equal(read_scene(tmp_path / "a.tif")[0], cube[..., :1])


def test_rasterio_and_tifffile_read_ours(tmp_path, cube, meta):
    write_scene(tmp_path / "a.tif", cube, meta.scaled(4))
    with rasterio.open(tmp_path / "a.tif") as image:
        np.testing.assert_array_equal(image.read().transpose(1, 2, 0), cube)
        assert image.bounds == (500000.5, 4000000.25 - 7.5 * 7, 500000.5 + 7.5 * 9, 4000000.25)
        assert image.crs.to_epsg() == 32631
        assert image.nodata == 65535
        assert set(image.scales) == {1e-4}
        assert image.descriptions == meta.band_names
        assert float(image.tags(2)["wavelength"]) == meta.wavelengths[1]
        optics = image.tags(2, ns="IMAGERY")
        assert float(optics["CENTRAL_WAVELENGTH_UM"]) == meta.wavelengths[1] / 1e3
    found = tifffile.imread(tmp_path / "a.tif")
    np.testing.assert_array_equal(found.transpose(1, 2, 0), cube)


def test_bands_without_names_show_their_wavelengths(tmp_path, cube, meta):
    meta = replace(meta, band_names=())
    write_scene(tmp_path / "a.tif", cube, meta)
    with rasterio.open(tmp_path / "a.tif") as image:
        assert image.descriptions[0] == "400.125 nm"
    assert open_scene(tmp_path / "a.tif").meta == meta


def test_large_scenes_are_tiled(tmp_path):
    values = np.random.default_rng(0).normal(size=(300, 270, 2)).astype("f4")
    with create_scene(tmp_path / "a.tif", height=300, width=270, bands=2) as out:
        for row in range(0, 300, 50):
            out.write(row, 0, values[row : row + 50])
            out.sync()
    with rasterio.open(tmp_path / "a.tif") as image:
        assert image.block_shapes[0] == (256, 256)
        np.testing.assert_array_equal(image.read().transpose(1, 2, 0), values)


@pytest.mark.parametrize("value", [0, 7])
def test_empty_tiles_are_written_and_sparse_files_are_read(value, tmp_path):
    """GDAL can leave out tiles that hold nothing but zeros or no data."""
    values = np.full((300, 300, 2), value, "u2")
    values[:9, :9] = 5
    write_scene(tmp_path / "a.tif", values, SceneMeta(nodata=value))
    assert (tmp_path / "a.tif").stat().st_size > values.nbytes
    np.testing.assert_array_equal(read_scene(tmp_path / "a.tif")[0], values)
    sparse = dict(SPARSE_OK=True, tiled=True, blockxsize=64, blockysize=64, nodata=value)
    with by_rasterio(tmp_path / "b.tif", values, **sparse) as image:
        image.write(values.transpose(2, 0, 1))
    assert (tmp_path / "b.tif").stat().st_size < values.nbytes
    np.testing.assert_array_equal(read_scene(tmp_path / "b.tif")[0], values)


def test_wavelengths_from_an_envi_header_beside_it(tmp_path, cube):
    """As the Houston 2013 scene is published."""
    write_scene(tmp_path / "a.tif", cube)
    lines = "ENVI\nwavelength units = um\nwavelength = {.4, .5, .6, .7, .8}\n"
    (tmp_path / "a.hdr").write_text(lines)
    meta = open_scene(tmp_path / "a.tif").meta
    np.testing.assert_allclose(meta.wavelengths, [400, 500, 600, 700, 800])
    size = "samples = 9\nlines = 7\nbands = 5\ndata type = 12\n"
    (tmp_path / "a.hdr").write_text(lines + size)
    found, again = read_scene(tmp_path / "a.hdr")
    np.testing.assert_array_equal(found, cube)
    assert again == meta
    (tmp_path / "a.hdr").write_text("something else")
    assert open_scene(tmp_path / "a.tif").meta == SceneMeta()


def test_enmap(tmp_path, cube):
    """Wavelengths, widths and gains are in the XML only."""
    path = tmp_path / "ENMAP01-L2A-SPECTRAL_IMAGE.TIF"
    write_scene(path, cube)
    lines = "".join(
        f'<bandID number="{band}"><wavelengthCenterOfBand>{400 + band}.5</wavelengthCenterOfBand>'
        "<FWHMOfBand>6.9</FWHMOfBand><GainOfBand>0.0001</GainOfBand>"
        "<OffsetOfBand>0</OffsetOfBand></bandID>"
        for band in range(5)
    )
    (tmp_path / "ENMAP01-L2A-METADATA.XML").write_text(f"<a>{lines}</a>")
    meta = open_scene(path).meta
    np.testing.assert_array_equal(meta.wavelengths, [400.5, 401.5, 402.5, 403.5, 404.5])
    assert (meta.fwhm[0], meta.scale, meta.sensor) == (6.9, 1e-4, "EnMAP")
    (tmp_path / "ENMAP01-L2A-METADATA.XML").write_text(f"<a>{lines}{lines}</a>")
    assert open_scene(path).meta.wavelengths is None


def test_a_reference_system_that_gdal_does_not_know_is_kept(tmp_path, cube):
    meta = SceneMeta(crs='LOCAL["of its own"')
    write_scene(tmp_path / "a.tif", cube, meta)
    assert open_scene(tmp_path / "a.tif").meta == meta


def test_only_tiffs_are_opened(tmp_path, cube):
    """A virtual dataset could point GDAL at any file or address."""
    write_scene(tmp_path / "a.tif", cube)
    (tmp_path / "b.tif").write_text(
        '<VRTDataset rasterXSize="9" rasterYSize="7"><VRTRasterBand dataType="UInt16" band="1">'
        f"<SimpleSource><SourceFilename>{tmp_path}/a.tif</SourceFilename></SimpleSource>"
        "</VRTRasterBand></VRTDataset>"
    )
    with pytest.raises(UserError, match="cannot be read as a GeoTIFF"):
        open_scene(tmp_path / "b.tif")


def test_a_size_beyond_the_file_is_refused_before_it_is_allocated(tmp_path, cube):
    tifffile.imwrite(tmp_path / "a.tif", cube[..., 0], photometric="minisblack")
    data = (tmp_path / "a.tif").read_bytes()
    for tag in (256, 257):  # ImageWidth and ImageLength, of type LONG or SHORT
        place = next(i for i in range(8, 80) if data[i : i + 2] == tag.to_bytes(2, "little"))
        long = data[: place + 2] + b"\x04\0\1\0\0\0" + (1 << 28).to_bytes(4, "little")
        (tmp_path / "b.tif").write_bytes(long + data[place + 12 :])
        with pytest.raises(UserError):
            read_scene(tmp_path / "b.tif")


def test_a_disk_that_is_too_small(tmp_path):
    with pytest.raises(UserError, match="free some space"):
        create_scene(tmp_path / "a.tif", height=1 << 20, width=1 << 20, bands=1 << 10)


def test_what_a_geotiff_cannot_hold(tmp_path, cube):
    with pytest.raises(UserError, match="cannot hold float16"):
        write_scene(tmp_path / "a.tif", cube.astype("f2"))
    with pytest.raises(UserError, match="nodata"):
        write_scene(tmp_path / "a.tif", cube, SceneMeta(nodata=-9999))
    assert list(tmp_path.iterdir()) == []


def test_many_pages_keep_their_order(tmp_path):
    path = tmp_path / "pages.tif"
    cube = np.arange(30 * 14 * 10, dtype=np.uint16).reshape(30, 14, 10)
    with tifffile.TiffWriter(path) as writer:
        for page in cube:
            writer.write(page, photometric="minisblack", metadata=None)
    found, _ = read_scene(path)
    np.testing.assert_array_equal(found, cube.transpose(1, 2, 0))


@pytest.mark.parametrize("dtype", ["uint16", "float32"])
def test_a_finished_file_is_cloud_optimised(tmp_path, dtype, utm):
    cogeo = pytest.importorskip("rio_cogeo.cogeo")
    cube = (np.arange(1100 * 700 * 3) % 5000).reshape(1100, 700, 3).astype(dtype)
    meta = SceneMeta(
        wavelengths=[450, 550, 650], fwhm=[5, 6, 7], scale=1e-4, nodata=4999, crs=utm, sensor="s",
        transform=(30, 0, 5e5, 0, -30, 4e6), bad_bands=[0, 1, 0])  # fmt: skip
    options = {"height": 1100, "width": 700, "bands": 3, "dtype": dtype, "meta": meta}
    with create_scene(tmp_path / "x.tif", **options) as plain:
        plain.write(0, 0, cube)
    with create_scene(tmp_path / "y.tif", **options, compress="deflate") as out:
        out.write(0, 0, cube[:600])
        out.sync()
        out.write(600, 0, cube[600:])
    valid, errors, warnings = cogeo.cog_validate(str(tmp_path / "y.tif"))
    assert valid and not errors and not warnings
    found, after = read_scene(tmp_path / "y.tif")
    np.testing.assert_array_equal(found, cube)
    assert after == meta
    with rasterio.open(tmp_path / "y.tif") as file:
        assert file.overviews(1) == [2, 4] and file.profile["interleave"] == "band"
        assert file.descriptions[0] == "450 nm"
    assert (tmp_path / "y.tif").stat().st_size < (tmp_path / "x.tif").stat().st_size
    assert sorted(file.name for file in tmp_path.iterdir()) == ["x.tif", "y.tif"]
    with pytest.raises(UserError, match="is not one of none, deflate"):
        create_scene(tmp_path / "z.tif", **options, compress="jpeg")


@pytest.mark.parametrize("compress, short", [("none", 1), ("none", 70_000), ("deflate", 1)])
def test_a_file_that_a_full_disk_cuts_as_it_is_closed_is_never_finished(tmp_path, compress, short):
    path, cube = tmp_path / "x.tif", np.random.default_rng(0).integers(0, 256, (256, 256, 6), "u1")

    def write():
        size = dict(zip(("height", "width", "bands"), cube.shape))
        with create_scene(path, **size, dtype=cube.dtype, compress=compress) as new:
            new.write(0, 0, cube)

    write()
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (path.stat().st_size - short, limits[1]))
    path.unlink()
    try:
        with pytest.raises(UserError, match="free space"):
            write()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert not path.exists()
