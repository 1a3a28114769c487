"""One cube on a page: from a file of another library's layout to the spectrum on screen."""

import re

import browser
import numpy as np
import pytest

from hsisr_jax import formats, view
from hsisr_jax.formats import SceneMeta

pytest.importorskip("hsisr_jax.formats")
HEADER = """ENVI
samples = {w}
lines = {h}
bands = {c}
header offset = 0
file type = ENVI Standard
data type = 4
interleave = bsq
byte order = 0
wavelength units = Nanometers
wavelength = {{{waves}}}
bbl = {{{bbl}}}
data ignore value = -9999
sensor type = <b onmouseover=alert(1)>
map info = {{UTM, 1, 1, 553000, 4180000, 5, 5, 10, North, WGS-84}}
"""


def envi(folder, cube, *, bad=(), name="scene"):
    height, width, bands = cube.shape
    np.moveaxis(cube, -1, 0).astype("<f4").tofile(folder / f"{name}.img")
    text = HEADER.format(
        w=width,
        h=height,
        c=bands,
        waves=", ".join(str(450 + 10 * band) for band in range(bands)),
        bbl=", ".join("0" if band in bad else "1" for band in range(bands)),
    )
    (folder / f"{name}.hdr").write_text(text)
    return folder / f"{name}.hdr"


@pytest.fixture(scope="module")
def cube():
    return np.random.default_rng(0).random((30, 40, 24), np.float32)


def test_large_scenes_are_thinned_in_strips(cube, tmp_path, monkeypatch):
    monkeypatch.setattr(view, "SIDE", 16)
    monkeypatch.setattr(view, "STRIP", 7 * 40 * 24)
    with view.open_scene(envi(tmp_path, cube)) as reader:
        scene, facts = view._read(reader)
    assert scene.stride == 3
    np.testing.assert_array_equal(scene.layers[0].cube, cube[::3, ::3])
    assert facts["shown"] == "one in 3 rows and columns"


def test_bad_bands_and_pixels_without_data_are_left_out(cube, tmp_path):
    cube = cube.copy()
    cube[4, 5] = -9999
    cube[6, 7, 3] = np.nan
    with view.open_scene(envi(tmp_path, cube, bad=(1, 2))) as reader:
        scene, facts = view._read(reader)
    assert scene.layers[0].cube.shape == (30, 40, 22)
    assert np.argwhere(scene.hidden).tolist() == [[4, 5], [6, 7]]
    assert scene.wavelengths[:3].tolist() == [450, 480, 490]
    assert scene.band_numbers[:3] == [1, 4, 5]
    assert np.isfinite(scene.layers[0].cube).all() and scene.layers[0].cube.min() >= 0
    assert facts["bad bands, not shown"] == 2


def test_command(cube, tmp_path, capsys):
    np.save(tmp_path / "cube.npy", (cube * 1000).astype(np.uint16))
    assert view.main([str(tmp_path / "cube.npy"), f"--output={tmp_path}/page.html"]) == 0
    text = (tmp_path / "page.html").read_text()
    assert "30 rows × 40 columns × 24 bands" in text and "uint16" in text
    assert view.main([str(tmp_path / "none.hdr")]) == 2
    assert "none.hdr" in capsys.readouterr().err
    scene = str(tmp_path / "cube.npy")
    before = (tmp_path / "cube.npy").read_bytes()
    assert view.main([scene, f"--output={scene}"]) == 2
    assert "cube.npy exists" in capsys.readouterr().err
    assert (tmp_path / "cube.npy").read_bytes() == before


def test_page_in_a_browser(cube, tmp_path):
    cube = cube.copy()
    cube[0, 0] = -9999
    output = view.write(envi(tmp_path, cube))
    assert output == tmp_path / "scene.html"
    assert "&lt;b onmouseover" in output.read_text()
    with browser.launch() as chromium:
        tab = chromium.open(output)
        box = tab.locator(".swipe canvas").bounding_box()
        at = (box["x"] + 12.5 / 40 * box["width"], box["y"] + 8.5 / 30 * box["height"])
        tab.mouse.click(*at)
        browser.settle(tab)
        title = tab.locator(".spectra figcaption").first.inner_text()
        assert re.search(r"row 8, column 12$", title)
        where = tab.locator(".where").inner_text()  # the middle of the pixel
        assert where == "x 553062.5, y 4179957.5 · WGS 84 / UTM zone 10N (EPSG:32610)"
        tab.keyboard.press("p")
        tab.locator("[aria-label=Row]").fill("20")
        tab.keyboard.press("Enter")
        browser.settle(tab)
        lines = tab.locator(".spectra path.line").evaluate_all(
            "all => all.map(p => p.dataset.name)"
        )
        assert lines == ["cube", "row 8, column 12"]  # of one cube, pixels share a chart
        for width in (1440, 390):
            assert browser.overflow(tab, width) == 0
        np.testing.assert_allclose(
            tab.evaluate("report.spectrum('cube', 8, 12)"), cube[8, 12], atol=5e-3
        )
        assert tab.evaluate("report.spectrum('cube', 0, 0)") == []
        assert tab.locator(".handle").count() == 0
        assert chromium.complaints == []
        assert chromium.requests == [output.as_uri()]


def test_the_map_and_the_scale_are_told(cube, tmp_path):
    """Of a map turned against the north, and of a scale without an offset."""
    across = (17.320508, 10.0, 5e5, 10.0, -17.320508, 4e6)
    formats.write_scene(tmp_path / "a.tif", cube, SceneMeta(scale=1e-4, transform=across))
    text = view.write(tmp_path / "a.tif").read_text()
    assert "20 × 20, turned by 30°" in text and "stored × 0.0001<" in text


def test_the_noise_is_shown(tmp_path):
    from hsisr_jax import formats
    from hsisr_jax.data import synthetic

    cube, wavelengths, _, _ = synthetic.generate(24, 24, 32, seed=0)
    formats.write_scene(tmp_path / "in.hdr", cube, formats.SceneMeta(wavelengths=wavelengths))
    page = view.write(tmp_path / "in.hdr").read_text()
    assert "signal to noise" in page and "dB in the median band" in page


def test_ticks_that_differ_in_late_digits_are_told_apart(tmp_path):
    cube = (
        np.broadcast_to(33.43 + np.linspace(0, 0.0015, 6), (8, 8, 6)) + np.eye(8)[..., None] / 1e4
    )
    np.save(tmp_path / "flat.npy", cube)
    output = view.write(tmp_path / "flat.npy", tmp_path / "flat.html")
    with browser.launch() as chromium:
        ticks = chromium.open(output).locator(".chart text.tick[text-anchor=end]")
        inside = "t => t.getBoundingClientRect().x >= t.ownerSVGElement.getBoundingClientRect().x"
        assert ticks.count() == len(set(ticks.all_text_contents())) > 2
        assert all(ticks.nth(i).evaluate(inside) for i in range(ticks.count()))
