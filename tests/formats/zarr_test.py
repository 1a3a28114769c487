"""Zarr scenes: ours as xarray, rioxarray, GDAL and the `zarr` package read them, theirs by us."""

import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest
import rasterio

from hsisr_jax import formats
from hsisr_jax.errors import UserError
from hsisr_jax.formats import SceneMeta, create_scene, open_scene, read_scene, write_scene
from hsisr_jax.formats import zarr as ours

xarray = pytest.importorskip("xarray")
zarr = pytest.importorskip("zarr")
pytest.importorskip("rioxarray")

WKT = rasterio.crs.CRS.from_epsg(32632).to_wkt()
MAP = (20.0, 0.0, 500000.0, 0.0, -20.0, 5400000.0)
CUBE = np.random.default_rng(0).integers(0, 9000, (37, 53, 5)).astype(np.int16)
META = SceneMeta(
    wavelengths=np.linspace(450, 900, 5), fwhm=np.full(5, 9.5), band_names=list("abcde"),
    bad_bands=[0, 0, 1, 0, 0], nodata=-1, scale=1e-4, offset=0.5, units="1", sensor="s",
    description="a scene", crs=WKT, transform=MAP, extra={"acquired": "today"},
)  # fmt: skip


@pytest.mark.parametrize("version", [3, 2])
def test_values_and_metadata_survive_a_round_trip(tmp_path, version):
    write_scene(tmp_path / "a.zarr", CUBE, META, zarr_format=version)
    values, meta = read_scene(tmp_path / "a.zarr")
    np.testing.assert_array_equal(values, CUBE)
    assert values.dtype == CUBE.dtype and meta == META
    with open_scene(tmp_path / "a.zarr") as scene:
        np.testing.assert_array_equal(scene.read(slice(3, 20), slice(50, 53)), CUBE[3:20, 50:])
    write_scene(tmp_path / "a.zarr", CUBE[:8] / 2, SceneMeta(), zarr_format=version)  # replaced
    values, meta = read_scene(tmp_path / "a.zarr")
    np.testing.assert_array_equal(values, CUBE[:8] / 2)
    assert meta == SceneMeta() and not list(tmp_path.glob("*.partial"))


@pytest.mark.parametrize("version", [3, 2])
def test_xarray_and_the_zarr_package_read_ours(tmp_path, version):
    write_scene(tmp_path / "a.zarr", CUBE, META, zarr_format=version)
    plain = zarr.open_group(tmp_path / "a.zarr", mode="r")
    np.testing.assert_array_equal(plain["cube"][:], CUBE.transpose(2, 0, 1))
    with xarray.open_zarr(tmp_path / "a.zarr", decode_coords="all", chunks=None) as found:
        cube = found["cube"].load()
    expected = np.where(CUBE == -1, np.nan, CUBE * 1e-4 + 0.5).transpose(2, 0, 1)
    np.testing.assert_allclose(cube, expected, rtol=1e-6)
    assert cube.dims == ("band", "y", "x") and cube.rio.crs.to_epsg() == 32632
    assert tuple(cube.rio.transform(recalc=True))[:6] == MAP
    np.testing.assert_array_equal(cube.wavelength, META.wavelengths)
    np.testing.assert_array_equal(cube.fwhm, META.fwhm)
    assert cube.rio.encoded_nodata == -1


def test_gdal_reads_ours(tmp_path):
    """Version 2: of version 3 GDAL 3.10, which rasterio brings, knows a draft."""
    write_scene(tmp_path / "a.zarr", CUBE, META, zarr_format=2)
    with rasterio.open(f'ZARR:"{tmp_path / "a.zarr"}":/cube') as file:
        assert file.count == 5 and file.nodata == -1 and file.crs.to_epsg() == 32632
        assert tuple(file.transform)[:6] == MAP
        np.testing.assert_array_equal(file.read(), CUBE.transpose(2, 0, 1))


def test_shards_hold_chunks_that_others_read(tmp_path, monkeypatch):
    monkeypatch.setattr(ours, "MANY", 0)
    monkeypatch.setattr(ours, "SIDES", (4, 8))
    write_scene(tmp_path / "a.zarr", CUBE, META)
    plain = zarr.open_array(tmp_path / "a.zarr" / "cube", mode="r")
    assert plain.shards == (5, 32, 32) and plain.chunks == (5, 8, 8)
    np.testing.assert_array_equal(plain[:], CUBE.transpose(2, 0, 1))
    np.testing.assert_array_equal(read_scene(tmp_path / "a.zarr")[0], CUBE)


@pytest.mark.parametrize("version", [3, 2])
@pytest.mark.parametrize("dims", ["y x band", "band y x", "x band y", "x time band y"])
def test_theirs_is_read_by_us(tmp_path, version, dims):
    values = np.where(CUBE < 100, np.nan, CUBE).astype(np.float32)
    found = xarray.DataArray(
        values,
        dims=("y", "x", "band"),
        coords={
            "y": MAP[5] - 20 * (np.arange(37) + 0.5),
            "x": MAP[2] + 20 * (np.arange(53) + 0.5),
            "wavelength": ("band", META.wavelengths, {"units": "nm"}),
        },
        name="reflectance",
    )
    found = found.rio.write_crs("EPSG:32632").expand_dims(["time"] if "time" in dims else [])
    found = found.transpose(*dims.split())
    found.to_dataset().to_zarr(tmp_path / "b.zarr", zarr_format=version)
    values_read, meta = read_scene(tmp_path / "b.zarr")
    np.testing.assert_array_equal(values_read, values)
    np.testing.assert_array_equal(meta.wavelengths, META.wavelengths)
    np.testing.assert_allclose(meta.transform, MAP)
    assert np.isnan(meta.nodata) and rasterio.crs.CRS.from_wkt(meta.crs).to_epsg() == 32632
    cut = found.isel(x=slice(10, 30))  # the coordinates count, a stored transform does not
    cut.to_dataset().to_zarr(tmp_path / "c.zarr", zarr_format=version)
    assert read_scene(tmp_path / "c.zarr")[1].transform[2] == MAP[2] + 200


def test_a_plain_array_and_one_of_several(tmp_path):
    zarr.save_array(tmp_path / "a.zarr", CUBE)
    np.testing.assert_array_equal(read_scene(tmp_path / "a.zarr")[0], CUBE)
    group = zarr.open_group(tmp_path / "b.zarr", mode="w")
    for name in ("one", "two"):
        group.create_group(name).create_array("cube", data=CUBE + (name == "two"))
    with pytest.raises(UserError, match="one/cube"):
        open_scene(tmp_path / "b.zarr")
    read, _ = read_scene(tmp_path / "b.zarr", variable="two/cube")
    np.testing.assert_array_equal(read, CUBE + 1)


def test_a_url_is_a_scene_too(tmp_path):
    write_scene(tmp_path / "a.zarr", CUBE, META)
    handler = partial(SimpleHTTPRequestHandler, directory=str(tmp_path))
    handler.log_message = lambda *_: None
    server = ThreadingHTTPServer(("localhost", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        with open_scene(f"http://localhost:{server.server_port}/a.zarr") as scene:
            np.testing.assert_array_equal(scene.read(slice(0, 9)), CUBE[:9])
            assert scene.meta == META and scene.stamps and not scene.files
    finally:
        server.shutdown()
    with open_scene(f"file://{tmp_path / 'a.zarr'}") as scene:
        np.testing.assert_array_equal(scene.read(), CUBE)


def test_an_unfinished_store_is_continued(tmp_path):
    size = {"height": 37, "width": 53, "bands": 5, "dtype": np.int16, "meta": META}
    first = create_scene(tmp_path / "a.zarr", **size)
    first.write(0, 0, CUBE[:20])
    first.sync()
    first.write(20, 0, CUBE[:10])  # never synchronised: lost with the process
    second = create_scene(tmp_path / "a.zarr", **size, resume=True)
    assert second.resumed and not (tmp_path / "a.zarr").exists()
    second.write(20, 0, CUBE[20:])
    second.finish()
    np.testing.assert_array_equal(read_scene(tmp_path / "a.zarr")[0], CUBE)
    create_scene(tmp_path / "b.zarr", **size)
    with pytest.raises(UserError, match="begun with another"):
        create_scene(tmp_path / "b.zarr", **{**size, "height": 36}, resume=True)
    create_scene(tmp_path / "b.zarr", **size).abort()
    assert not list(tmp_path.glob("b*"))


def test_what_cannot_be_read_or_written_is_told(tmp_path):
    (tmp_path / "full.zarr").mkdir()
    (tmp_path / "full.zarr" / "letter.txt").write_text("dear")
    with pytest.raises(UserError, match="other files"):
        formats.check_target(tmp_path / "full.zarr")
    write_scene(tmp_path / "a.zarr", CUBE)
    with open_scene(tmp_path / "a.zarr") as scene, pytest.raises(UserError, match="overwrite"):
        formats.check_target(tmp_path / "a.zarr", scene)
    with open_scene(tmp_path / "a.zarr") as scene, pytest.raises(UserError, match="overwrite"):
        formats.check_target(tmp_path / "a.zarr" / "b.tif", scene)
    formats.check_target(tmp_path / "a.zarr")  # another scene's output may replace it
    (tmp_path / "a.zarr" / "cube" / "zarr.json").write_text("{")
    (tmp_path / "a.zarr" / "zarr.json").write_text("{")
    with pytest.raises(UserError, match="a Zarr store"):
        open_scene(tmp_path / "a.zarr")
    zarr.open_group(tmp_path / "empty.zarr", mode="w")
    with pytest.raises(UserError, match="no arrays"):
        open_scene(tmp_path / "empty.zarr")
    with pytest.raises(UserError, match="use 3 or 2"):
        write_scene(tmp_path / "c.zarr", CUBE, zarr_format=4)


@pytest.mark.parametrize(("version", "mark"), [(2, "."), (2, "/"), (3, "/"), (3, ".")])
def test_a_blosc_chunk_that_promises_gigabytes_is_refused(tmp_path, version, mark):
    """Its decoder would allocate what the 16 bytes before the values say."""
    blosc = {2: {"id": "blosc", "cname": "lz4", "clevel": 5, "shuffle": 1},
             3: zarr.codecs.BloscCodec(cname="lz4", typesize=2)}[version]  # fmt: skip
    encoding = {"name": "default" if version == 3 else "v2", "separator": mark}
    zarr.create_array(tmp_path / "a.zarr", data=CUBE, chunks=(20, 30, 5), zarr_format=version,
                      compressors=blosc, chunk_key_encoding=encoding)  # fmt: skip
    np.testing.assert_array_equal(read_scene(tmp_path / "a.zarr")[0], CUBE)
    place = tmp_path / "a.zarr" / mark.join(["c"] * (version == 3) + ["1", "0", "0"])
    content = bytearray(place.read_bytes())
    assert int.from_bytes(content[4:8], "little") == 20 * 30 * 5 * 2
    content[4:8] = (2_000_000_000).to_bytes(4, "little")
    place.write_bytes(content)
    with open_scene(tmp_path / "a.zarr") as scene:
        np.testing.assert_array_equal(scene.read(slice(0, 20)), CUBE[:20])
        with pytest.raises(UserError, match="says that it holds 2000000000 bytes"):
            scene.read(slice(0, 21))
