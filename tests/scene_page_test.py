"""The page beside a prediction: from the command to what a reader sees of the file."""

import browser
import numpy as np
import pytest
import workdirs
from command import hsisr

from hsisr_jax import formats, predict, scene_page
from hsisr_jax.errors import UserError
from hsisr_jax.formats import SceneMeta
from hsisr_jax.inference import packaged
from hsisr_jax.inference.options import Options

BANDS = 4
UTM = (20.0, 0.0, 500000.0, 0.0, -20.0, 5400000.0)


@pytest.fixture(scope="module")
def bicubic(tmp_path_factory):
    return workdirs.make(tmp_path_factory.mktemp("runs") / "bicubic")


def made(workdir, folder, cube, options=Options(), **meta):  # noqa: B008 - immutable
    source, target = folder / "in.npy", folder / "out.tif"
    formats.write_scene(source, cube, SceneMeta(**meta))
    predict.predict(workdir, source, target, options, after=scene_page.write)
    return scene_page.page_of(target)


def fact(tab, name):
    return (
        tab.locator(".file div", has=tab.locator(f'dt:text-is("{name}")'))
        .locator("dd")
        .inner_text()
    )


def test_it_tells_what_was_done_to_the_file_and_shows_its_values(bicubic, tmp_path):
    rasterio = pytest.importorskip("rasterio")
    cube = (1e4 * workdirs.scene(24, 28, BANDS + 1)).astype(np.int16)
    cube[:2, :3] = -1
    bad = np.array([False, False, True, False, False])
    waves = np.array([450.0, 533.33, 600, 616.67, 700])
    crs = rasterio.crs.CRS.from_epsg(32632).to_wkt()
    extra = {"acquisition time": "2012-06-29", "rpc info": "{1, 2}", "smile": "{1, 2, 3, 4, 5}"}
    page = made(bicubic, tmp_path, cube, wavelengths=waves, bad_bands=bad, scale=1e-4, nodata=-1,
                transform=UTM, crs=crs, extra=extra)  # fmt: skip
    assert page == tmp_path / "out_report.html" and page.stat().st_size < 3e6
    found, _ = formats.read_scene(tmp_path / "out.tif")
    with browser.launch() as chromium:
        tab = chromium.open(page)
        assert tab.locator("h1").inner_text() == "out.tif"
        assert fact(tab, "bands") == "4 of 5; left out: 3"
        assert fact(tab, "pixels without data").startswith(
            "6 in all bands, 0 in some; marked by -1"
        )
        assert fact(tab, "values") == "stored × 0.0001 in the input, stored × 0.0001 in the output"
        assert fact(tab, "map").startswith(
            "WGS 84 / UTM zone 32N (EPSG:32632); pixels of 20 became 10"
        )
        assert fact(tab, "carried along") == (
            "wavelengths, reference system, map coordinates, acquisition time, smile"
        )
        assert fact(tab, "not carried") == "rpc info"
        spectrum = tab.evaluate("report.spectrum('output', 20, 30)")
        np.testing.assert_allclose(spectrum, found[20, 30] * 1e-4, atol=2e-3)
        assert tab.evaluate("report.spectrum('output', 1, 1)") == []  # no data
        assert "prefer it" in tab.locator(".says").inner_text()  # than a network that is bicubic
        assert tab.locator(".overview img").count() == 1 and tab.locator(".warnings").count() == 0
        assert chromium.complaints == []


def test_a_scene_that_cannot_be_scored_still_has_a_page(bicubic, tmp_path):
    text = made(bicubic, tmp_path, workdirs.scene(6, 7)).read_text()
    assert "the scene was not scored" in text and "too small" in text
    assert "the scene has no map coordinates" in text  # a warning of the command


def test_networks_that_make_bands_have_a_page_too(tmp_path):
    run = workdirs.make(tmp_path / "ssran", "ssran", bands=6, scale=1, msi=3)
    text = made(run, tmp_path, workdirs.scene(12, 12, 3)).read_text()
    assert "makes bands, not pixels" in text and "12 × 12 × 6" in text


def test_the_command_writes_it_and_leaves_it_out(bicubic, tmp_path):
    formats.write_scene(tmp_path / "a.npy", workdirs.scene(6, 6))
    command = ["--mode=predict", f"--workdir={bicubic}", f"--input={tmp_path}/a.npy"]
    assert hsisr(*command, f"--output={tmp_path}/b.npy", "--noreport")[0] == 0
    assert not list(tmp_path.glob("*.html"))
    (tmp_path / "b_report.html").write_text("mine")
    code, _, said = hsisr(*command, f"--output={tmp_path}/b.npy")
    assert code == 2 and "is no HTML page" in said
    assert (tmp_path / "b_report.html").read_text() == "mine"
    code, _, said = hsisr(*command, f"--output={tmp_path}/c.npy")
    assert code == 0 and f"report: {tmp_path}/c_report.html" in said
    assert f"hsisr --mode=predict --workdir={bicubic}" in (tmp_path / "c_report.html").read_text()


def test_of_a_large_scene_a_part_with_detail_is_shown(monkeypatch, tmp_path):
    monkeypatch.setattr(scene_page, "SIDE", 32)
    cube = np.ones((200, 100, 2), np.float32)
    cube[90:110, :20] += np.random.default_rng(0).random((20, 20, 2), np.float32)
    cube[150:] = np.nan
    formats.write_scene(tmp_path / "a.npy", cube)
    with formats.open_scene(tmp_path / "a.npy") as scene:
        rows, cols = scene_page.part_of(scene, 2)
    assert rows.stop - rows.start == cols.stop - cols.start == 16
    assert 74 < rows.start < 110 and cols.start < 20


def test_what_a_format_cannot_hold_is_named():
    waves, names = np.array([450.0, 550.0]), ("a", "b")
    had = SceneMeta(wavelengths=waves, fwhm=waves / 50, band_names=names, sensor="AVIRIS")
    has = SceneMeta(wavelengths=waves, extra={"Sensor": "AVIRIS"})
    found = scene_page.kept(had, has)
    assert found == {"carried along": "wavelengths, sensor",
                     "not carried": "widths of bands, band names"}  # fmt: skip
    assert "not carried" not in scene_page.kept(SceneMeta(), has)


def test_a_map_that_is_turned_is_told(bicubic, tmp_path):
    cube = workdirs.scene(24, 28, BANDS).astype(np.float32)
    across = (6.0, 8.0, 500000.0, 8.0, -6.0, 5400000.0)
    text = made(bicubic, tmp_path, cube, transform=across).read_text()
    assert "pixels of 10 became 5, same corner, turned by 53.1°" in text


def test_the_weights_have_one_digest_whatever_the_scene(tmp_path):
    found = []
    for name, seed in (("a", 0), ("b", 1)):
        cube = np.random.default_rng(seed).random((16, 16, 3)).astype(np.float32)
        formats.write_scene(tmp_path / f"{name}.npy", cube)
        with formats.open_scene(tmp_path / f"{name}.npy") as scene:
            network = packaged.loader(None, 2, print)(scene, Options())
            found.append(scene_page._versions(predict.Job(network, scene, Options()))["weights"])
    assert found[0] == found[1]


def test_ranges_are_written_short():
    assert scene_page.ranges(np.array([1, 1, 1, 0, 1, 0, 0, 1, 1], bool)) == "1–3, 5, 8–9"
    assert scene_page.ranges(np.zeros(3, bool)) == ""


def test_a_page_never_replaces_something_else(tmp_path):
    (tmp_path / "a_report.html").write_text("notes")
    with pytest.raises(UserError, match="is no HTML page"):
        scene_page.check(tmp_path / "a.tif")
