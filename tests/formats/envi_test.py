"""ENVI against spectral and rasterio, and headers as they are found in the wild."""

import numpy as np
import pytest
import rasterio
import spectral.io.envi
from rasterio.crs import CRS

from hsisr_jax.errors import UserError
from hsisr_jax.formats import SceneMeta, open_scene, read_scene, write_scene
from hsisr_jax.formats.carried import items

HEADER = """ENVI
description = {{
  Header as of an aeroplane's software, two lines}}
samples = 9
lines   = 7
bands   = 5
header offset = 0
file type = ENVI Standard
data type = 12
interleave = bsq
byte order = 0
; a comment = not a field
{more}
"""


def put(folder, cube, more="", **changes):
    header = HEADER.format(more=more)
    for key, value in changes.items():
        lines = header.splitlines()
        key = key.replace("_", " ")
        header = "\n".join(f"{key} = {value}" if ln.startswith(key) else ln for ln in lines)
    (folder / "a.hdr").write_text(header)
    (folder / "a.img").write_bytes(np.ascontiguousarray(cube.transpose(2, 0, 1)).tobytes())
    return folder / "a.hdr"


@pytest.mark.parametrize("interleave", ["bsq", "bil", "bip"])
@pytest.mark.parametrize("order", [0, 1])
@pytest.mark.parametrize(
    "dtype", ["u1", "i2", "i4", "f4", "f8", "c8", "u2", "u4", "i8", "u8", "c16"]
)
def test_reads_what_spectral_writes(interleave, order, dtype, tmp_path, cube):
    values = (cube % 251).astype(dtype)
    spectral.io.envi.save_image(
        str(tmp_path / "a.hdr"), values, dtype=dtype, interleave=interleave, byteorder=order
    )
    found, _ = read_scene(tmp_path / "a.hdr")
    assert found.dtype == np.dtype(dtype)
    np.testing.assert_array_equal(found, values)


@pytest.mark.parametrize("interleave", ["bsq", "bil", "bip"])
def test_spectral_and_rasterio_read_ours(interleave, tmp_path, cube, meta):
    write_scene(tmp_path / "a.hdr", cube, meta.scaled(2), interleave=interleave)
    image = spectral.io.envi.open(str(tmp_path / "a.hdr"))
    np.testing.assert_array_equal(image.open_memmap(interleave="bip"), cube)
    np.testing.assert_array_equal(image.bands.centers, meta.wavelengths)
    np.testing.assert_array_equal(image.bands.bandwidths, meta.fwhm)
    assert image.metadata["band names"] == list(meta.band_names)
    assert image.scale_factor == 10000
    with rasterio.open(tmp_path / "a.img") as image:
        np.testing.assert_array_equal(image.read().transpose(1, 2, 0), cube)
        assert tuple(image.transform)[:6] == meta.scaled(2).transform
        assert image.crs.to_epsg() == 32631
        assert image.nodata == 65535
        assert image.bounds == (500000.5, 4000000.25 - 15 * 7, 500000.5 + 15 * 9, 4000000.25)


@pytest.mark.parametrize("code", [4326, 32733, 25832, 31370])
def test_reference_systems_survive_and_rasterio_knows_them(code, tmp_path, cube):
    wkt = CRS.from_epsg(code).to_wkt()
    meta = SceneMeta(crs=wkt, transform=(0.5, 0, 4.25, 0, -0.5, 50))
    write_scene(tmp_path / "a.hdr", cube, meta)
    assert read_scene(tmp_path / "a.hdr")[1] == meta
    with rasterio.open(tmp_path / "a.img") as image:
        assert image.crs.to_dict() == CRS.from_epsg(code).to_dict() or image.crs.to_epsg() == code
        assert tuple(image.transform)[:6] == meta.transform


@pytest.mark.parametrize("first", [1, 1.5, 4])
@pytest.mark.parametrize("tail", ["31, North, WGS-84", "31, South, WGS-84, units=Meters"])
def test_map_info_as_rasterio_understands_it(first, tail, tmp_path, cube):
    info = f"map info = {{UTM, {first}, {first}, 5e5, 4e6, 3.0, 2.0, {tail}}}"
    meta = open_scene(put(tmp_path, cube, info)).meta
    with rasterio.open(tmp_path / "a.img") as image:
        assert meta.transform == tuple(image.transform)[:6]
        assert image.crs.to_epsg() == CRS.from_wkt(meta.crs).to_epsg()
        assert image.crs.to_epsg() in (32631, 32731)


@pytest.mark.parametrize(("datum", "code"), [("1983", 26911), ("1927", 26711)])
def test_american_datums(datum, code, tmp_path, cube):
    tail = f"11, North, North America {datum}, units=Meters"
    info = f"map info = {{UTM, 1, 1, 5e5, 4e6, 3.0, 2.0, {tail}}}"
    meta = open_scene(put(tmp_path, cube, info)).meta
    assert CRS.from_wkt(meta.crs).to_epsg() == code and not meta.extra
    write_scene(tmp_path / "b.hdr", cube, meta.scaled(2))
    text = (tmp_path / "b.hdr").read_text()
    assert f"map info = {{UTM, 1, 1, 500000, 4000000, 1.5, 1, {tail}}}" in text
    with rasterio.open(tmp_path / "b.img") as image:
        assert image.crs.to_epsg() == code
    info = f"map info = {{Geographic Lat/Lon, 1, 1, 5, 40, 3, 2, North America {datum}}}"
    meta = open_scene(put(tmp_path, cube, info)).meta
    assert CRS.from_wkt(meta.crs).to_epsg() == {"1983": 4269, "1927": 4267}[datum]


@pytest.mark.parametrize(
    ("tail", "code"),
    [("32, North, ETRS-89", 25832), ("55, South, Geocentric Datum of Australia 1994", 28355)],
)
def test_european_and_australian_datums(tail, code, tmp_path, cube):
    info = f"map info = {{UTM, 1, 1, 5e5, 4e6, 3.0, 2.0, {tail}, units=Meters}}"
    with open_scene(put(tmp_path, cube, info)) as scene:
        meta = scene.meta
        assert CRS.from_wkt(meta.crs).to_epsg() == code and not meta.extra and not scene.notes
    for name, file in (("b.hdr", "b.img"), ("b.tif", "b.tif")):
        write_scene(tmp_path / name, cube, meta.scaled(2))
        with rasterio.open(tmp_path / file) as image:
            assert image.crs.to_epsg() == code
    assert f"1.5, 1, {tail}, units=Meters}}" in (tmp_path / "b.hdr").read_text()


@pytest.mark.parametrize("tail", ["31, North, European 1950", "31, North, WGS-84, units=Feet"])
def test_a_reference_system_that_is_not_known_is_told(tail, tmp_path, cube):
    """Metres and feet are not mixed up either."""
    info = f"map info = {{UTM, 1, 1, 5e5, 4e6, 3.0, 2.0, {tail}}}"
    with open_scene(put(tmp_path, cube, info)) as scene:
        assert not scene.meta.crs
        assert len(scene.notes) == 1 and f"(UTM, {tail}) is not known here" in scene.notes[0]
    with open_scene(put(tmp_path, cube, "map info = {Arbitrary, 1, 1, 0, 0, 1, 1}")) as scene:
        assert not scene.notes
    with open_scene(put(tmp_path, cube, "RPC info = {1, 2, 3}")) as scene:
        assert scene.notes == ("its rational polynomials (rpc info) are not kept",)


@pytest.mark.parametrize("down", [-2.0, 2.0])
@pytest.mark.parametrize("right", [3.0, -3.0])
def test_rows_from_south_and_columns_from_east(right, down, tmp_path, cube):
    meta = SceneMeta(crs=CRS.from_epsg(32631).to_wkt(), transform=(right, 0, 5e5, 0, down, 4e6))
    write_scene(tmp_path / "a.hdr", cube, meta)
    assert read_scene(tmp_path / "a.hdr")[1].transform == meta.transform
    with rasterio.open(tmp_path / "a.img") as image:
        assert tuple(image.transform)[:6] == meta.transform
    if right > 0:  # as GDAL writes it: rotation=180 stands for rows from south to north
        facts = {"dtype": "uint16", "height": 7, "width": 9, "count": 5, "crs": "EPSG:32631"}
        place = rasterio.Affine(*meta.transform)
        with rasterio.open(tmp_path / "b.img", "w", "ENVI", transform=place, **facts) as image:
            image.write(cube.transpose(2, 0, 1))
        assert ("rotation=180" in (tmp_path / "b.hdr").read_text()) == (down > 0)
        found, theirs = read_scene(tmp_path / "b.hdr")
        np.testing.assert_array_equal(found, cube)
        assert theirs.transform == meta.transform


@pytest.mark.parametrize("value", ["-9999", "{-9999}", "{-9999, -9999, -9999, -9999, -9999}"])
def test_one_no_data_value_for_all_bands(value, tmp_path, cube):
    assert open_scene(put(tmp_path, cube, f"data ignore value = {value}")).meta.nodata == -9999


@pytest.mark.parametrize(
    ("name", "tail"),
    [("UTM", "33, South, North America 1983"), ("UTM", "33, North, European 1950"),
     ("NAD83 / Foo", "units=Feet"), ("Arbitrary", "units=Feet")],
)  # fmt: skip
def test_a_map_info_of_no_known_system_keeps_its_words(name, tail, tmp_path, cube):
    info = f"map info = {{{name}, 1, 1, 5e5, 4e6, 3.0, 2.0, {tail}, rotation=0}}"
    meta = open_scene(put(tmp_path, cube, info)).meta
    assert not meta.crs
    write_scene(tmp_path / "b.tif", cube, meta)
    write_scene(tmp_path / "b.hdr", cube, read_scene(tmp_path / "b.tif")[1])
    again = read_scene(tmp_path / "b.hdr")[1]
    assert again.extra == meta.extra == {"map info system": f"{{{name}, {tail}}}"}
    text = " ".join((tmp_path / "b.hdr").read_text().split())
    assert f"{{{name}, 1, 1, 500000, 4000000, 3, 2, {tail}}}" in text and "system" not in text


def test_rotation(tmp_path, cube):
    info = "map info = {Arbitrary, 1, 1, 100, 200, 2, 2, units=Meters, rotation=30}"
    meta = open_scene(put(tmp_path, cube, info)).meta
    with rasterio.open(tmp_path / "a.img") as image:
        np.testing.assert_allclose(meta.transform, tuple(image.transform)[:6], rtol=1e-12)
    write_scene(tmp_path / "b.hdr", cube, meta.scaled(2))
    assert read_scene(tmp_path / "b.hdr")[1].transform == meta.scaled(2).transform
    with rasterio.open(tmp_path / "b.img") as image:
        found = tuple(image.transform)[:6]
    np.testing.assert_allclose(found, meta.scaled(2).transform, rtol=1e-12)


@pytest.mark.parametrize(
    "unit, values, expected",
    [
        ("Nanometers", "450, 500, 550.5, 600, 650", [450, 500, 550.5, 600, 650]),
        ("Micrometers", "0.45, 0.5, 0.55, 0.6, 0.65", [450, 500, 550, 600, 650]),
        ("um", "1, 2, 3, 4, 5", [1000, 2000, 3000, 4000, 5000]),
        ("Unknown", "0.45, 0.5, 0.55, 0.6, 0.65", [450, 500, 550, 600, 650]),
        ("", "450, 500, 550, 600, 650", [450, 500, 550, 600, 650]),
        ("Wavenumber", "10000, 12500, 15000, 20000, 25000", [1000, 800, 666.667, 500, 400]),
        ("Angstroms", "4500, 5000, 5500, 6000, 6500", [450, 500, 550, 600, 650]),
    ],
)
def test_units_of_wavelengths(unit, values, expected, tmp_path, cube):
    more = f"wavelength units = {unit}\nwavelength = {{\n {values}}}"
    found = open_scene(put(tmp_path, cube, more)).meta.wavelengths
    np.testing.assert_allclose(found, expected, rtol=1e-6)


def test_widths_take_the_unit_of_the_wavelengths(tmp_path, cube):
    more = "wavelength units = um\nwavelength = {1,1,1,1,2}\nfwhm = {.01,.01,.01,.01,.02}"
    np.testing.assert_allclose(open_scene(put(tmp_path, cube, more)).meta.fwhm, [10] * 4 + [20])


@pytest.mark.parametrize("unit", ["Index", "Unknown", ""])
def test_numbers_of_bands_are_no_wavelengths(unit, tmp_path, cube):
    more = f"wavelength units = {unit}\nwavelength = {{1,2,3,4,5}}"
    assert open_scene(put(tmp_path, cube, more)).meta.wavelengths is None


def test_gains_and_offsets(tmp_path, cube):
    same = "data gain values = {2, 2, 2, 2, 2}\ndata offset values = {1, 1, 1, 1, 1}"
    meta = open_scene(put(tmp_path, cube, same)).meta
    assert (meta.scale, meta.offset) == (2, 1)
    write_scene(tmp_path / "b.hdr", cube, meta)
    assert read_scene(tmp_path / "b.hdr")[1] == meta
    each = "data gain values = {1, 2, 3, 4, 5}"
    meta = open_scene(put(tmp_path, cube, each)).meta
    assert meta.scale == 1
    assert meta.extra["data gain values"] == "{1, 2, 3, 4, 5}"
    write_scene(tmp_path / "b.hdr", cube, meta)
    assert read_scene(tmp_path / "b.hdr")[1] == meta
    meta = open_scene(put(tmp_path, cube, f"{each}\ndata offset values = {{1, 1, 1, 1, 1}}")).meta
    assert (meta.scale, meta.offset, len(meta.extra)) == (1, 0, 2)
    write_scene(tmp_path / "b.tif", cube, meta)
    write_scene(tmp_path / "c.hdr", cube, read_scene(tmp_path / "b.tif")[1])
    np.testing.assert_array_equal(
        [float(x) for x in items(read_scene(tmp_path / "c.hdr")[1].extra["data gain values"])],
        [1, 2, 3, 4, 5],
    )


def test_header_offset_and_trailing_bytes(tmp_path, cube):
    path = put(tmp_path, cube, header_offset=3)
    data = tmp_path / "a.img"
    data.write_bytes(b"abc" + data.read_bytes() + b"more")
    np.testing.assert_array_equal(read_scene(path)[0], cube)


@pytest.mark.parametrize("name", ["a", "a.dat", "a.raw", "a.IMG", "a.bsq"])
def test_names_of_the_data(name, tmp_path, cube):
    header = put(tmp_path, cube)
    (tmp_path / "a.img").rename(tmp_path / name)
    np.testing.assert_array_equal(read_scene(header)[0], cube)
    np.testing.assert_array_equal(read_scene(tmp_path / name)[0], cube)


def test_the_header_named_after_the_data(tmp_path, cube):
    put(tmp_path, cube).rename(tmp_path / "a.img.hdr")
    np.testing.assert_array_equal(read_scene(tmp_path / "a.img.hdr")[0], cube)
    np.testing.assert_array_equal(read_scene(tmp_path / "a.img")[0], cube)


def test_of_several_data_files_the_one_named_like_the_interleave(tmp_path, cube):
    header = put(tmp_path, cube)
    (tmp_path / "a.img").rename(tmp_path / "a.bsq")
    (tmp_path / "a.dat").write_bytes(b"something else")
    np.testing.assert_array_equal(read_scene(header)[0], cube)


@pytest.mark.parametrize(
    "more, changes, message",
    [
        ("wavelength = {1, 2}", {}, "a.hdr: 'wavelength' lists 2 entries for 5 bands"),
        ("fwhm = {1, 2}", {}, "'fwhm' lists 2 entries"),
        ("bbl = {1, 2}", {}, "'bbl' lists 2 entries"),
        ("band names = {a, b}", {}, "'band names' lists 2 entries"),
        ("wavelength = {1, 2, 3, 4, red}", {}, "not a number"),
        ("wavelength = {1, 2, 3,\n 4, 5", {}, "'wavelength' has no closing brace"),
        ("map info = {UTM, 1, 1}", {}, "'map info' has 3 entries"),
        ("map info = {UTM, 1, 1, x, 4e6, 3.0, 2.0, 31}", {}, "'map info'"),
        ("file compression = 1", {}, "uncompressed"),
        ("major frame offsets = {1, 0}", {}, "frame offsets"),
        ("data ignore value = none", {}, "'data ignore value' is 'none'"),
        ("data ignore value = {}", {}, "'data ignore value' is '{}'"),
        ("data ignore value = {0, 1, 0, 0, 0}", {}, "lists values that differ from band to band"),
        ("", {"lines": 8}, r"promises 720 bytes but the file has only 630.*a\.hdr"),
        ("", {"lines": 10**30}, "promises"),
        ("", {"lines": -1}, "lines, samples and bands"),
        ("", {"bands": "five"}, "'bands' is 'five'"),
        ("", {"bands": ""}, "'bands' is ''"),
        ("", {"data_type": 7}, "'data type' is 7; known: 1 "),
        ("", {"interleave": "bsp"}, "one of bsq, bil, bip"),
        ("", {"header_offset": -4}, "makes no sense"),
    ],
)
def test_headers_that_are_wrong(more, changes, message, tmp_path, cube):
    with pytest.raises(UserError, match=message) as caught:
        open_scene(put(tmp_path, cube, more, **changes))
    assert str(tmp_path / "a.") in str(caught.value)


def test_data_missing(tmp_path, cube):
    header = put(tmp_path, cube)
    (tmp_path / "a.img").unlink()
    with pytest.raises(UserError, match="the data are not beside it"):
        open_scene(header)


def test_texts_cannot_break_out_of_their_field(tmp_path, cube):
    meta = SceneMeta(
        description="a } \nsamples = 1 {",
        units="x\nlines = 1",
        band_names=["a, }", "b\nbands = 1", "c", "d", "e"],
        extra={"note\nlines = 2": "y\nlines = 3", "lines": "4", "list": "{1, 2}\nbands = 9"},
    )
    write_scene(tmp_path / "a.hdr", cube, meta)
    found, back = read_scene(tmp_path / "a.hdr")
    np.testing.assert_array_equal(found, cube)
    assert back.units == "x lines = 1"
    assert len(back.band_names) == 5


def test_what_envi_cannot_hold(tmp_path, cube):
    for dtype in ("f2", "i1", "?"):
        with pytest.raises(UserError, match="ENVI has no"):
            write_scene(tmp_path / "a.hdr", cube.astype(dtype))
    with pytest.raises(UserError, match="contradicts"):
        write_scene(tmp_path / "a.bil", cube, interleave="bip")
    with pytest.raises(UserError, match="not one of bsq, bil, bip"):
        write_scene(tmp_path / "a.hdr", cube, interleave="bbb")
    with pytest.raises(UserError, match="no option 'compress' in envi, but interleave"):
        write_scene(tmp_path / "a.hdr", cube, compress="zstd")
    assert list(tmp_path.iterdir()) == []
