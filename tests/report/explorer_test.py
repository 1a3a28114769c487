"""What a reader can do with the pictures: hide, stretch, keep, save; on screens and on paper."""

import base64
import csv
import io

import browser
import numpy as np
import pytest
import report_workdirs as workdirs
from PIL import Image

from hsisr_jax.report import mosaic, scenes, write
from hsisr_jax.report.runs import load_all

SIZE = (48, 64, 20)


@pytest.fixture(scope="module")
def tab(tmp_path_factory):
    root = tmp_path_factory.mktemp("runs")
    runs = [
        workdirs.make(root / "good", size=SIZE, images=("i",), steps=400),
        workdirs.make(root / "failed", size=SIZE, images=("i",), steps=400, noise=2.0),
    ]
    output = write(runs, root / "report.html")
    with browser.launch() as chromium:
        yield chromium.open(output)
        assert chromium.complaints == []
        asked = [url for url in chromium.requests if not url.startswith(("data:", "blob:"))]
        assert asked == [output.as_uri()]


def brightness(tab, label: str, of=np.mean) -> float:
    """Of a picture on screen."""
    url = tab.locator(f'canvas[aria-label="{label}"]').evaluate("c => c.toDataURL()")
    picture = Image.open(io.BytesIO(base64.b64decode(url.split(",")[1])))
    return float(of(np.asarray(picture.convert("L"), float)))


def switch(tab, label: str) -> None:
    tab.locator(".layers label", has_text=label).locator("input").focus()
    tab.keyboard.press("Space")
    browser.settle(tab)


def test_a_failed_run_can_be_hidden_and_spoils_no_scale_then(tab):
    assert tab.locator("h1").inner_text() == "good, failed ×4 on synthetic"
    before = brightness(tab, "Error of good")
    switch(tab, "failed")
    assert brightness(tab, "Error of good") > 2 * before
    assert tab.locator('canvas[aria-label="failed"]').count() == 0
    names = tab.locator(".spectra path.line").evaluate_all("all => all.map(p => p.dataset.name)")
    assert "failed" not in names and "good" in names
    switch(tab, "failed")
    assert brightness(tab, "Error of good") == before


def test_the_stretch_is_chosen_for_all_pictures_alike(tab):
    before = [brightness(tab, label, np.std) for label in ("truth", "good")]
    select = tab.locator(".toolbar select", has_text="2–98 %")
    select.select_option("0")
    browser.settle(tab)
    wide = [brightness(tab, label, np.std) for label in ("truth", "good")]
    assert all(a < b for a, b in zip(wide, before))  # more values lie between black and white
    select.select_option("2")
    browser.settle(tab)
    assert [brightness(tab, label, np.std) for label in ("truth", "good")] == before


def test_pixels_are_kept_beside_each_other_and_saved(tab, tmp_path):
    for row, column in ((5, 9), (31, 50)):
        tab.evaluate(f"report.select({row}, {column})")
        tab.locator("canvas").first.focus()
        tab.keyboard.press("p")
        browser.settle(tab)
    titles = tab.locator(".pins figcaption").all_text_contents()
    assert titles == ["Kept: row 5, column 9", "Kept: row 31, column 50"]
    with tab.expect_download() as download:
        tab.locator("button", has_text="Save CSV").click()
    download.value.save_as(tmp_path / "spectra.csv")
    with (tmp_path / "spectra.csv").open() as file:
        saved = list(csv.DictReader(file))
    exact = tab.evaluate("report.spectrum('truth', 5, 9)")
    assert float(saved[3]["truth at row 5, column 9"]) == pytest.approx(exact[3], rel=1e-5)
    tab.locator(".pins button", has_text="Remove").first.click()
    browser.settle(tab)
    assert tab.locator(".pins figcaption").all_text_contents() == titles[1:]


def test_the_picture_is_saved_as_it_is_shown(tab, tmp_path):
    with tab.expect_download() as download:
        tab.locator("button", has_text="Save PNG").click()
    download.value.save_as(tmp_path / "picture.png")
    assert download.value.suggested_filename == "i_bicubic_good.png"
    width = tab.locator(".swipe canvas").evaluate("c => [c.width, c.height]")
    assert list(Image.open(tmp_path / "picture.png").size) == width


def test_curves_are_smoothed_unless_one_does_not_want_it(tab):
    lines = tab.locator("#training .chart").first.locator("path.line")
    assert lines.count() == 4
    tab.locator("#training .options input").uncheck()
    browser.settle(tab)
    assert lines.count() == 2


@pytest.mark.parametrize("width, media", [(1440, "screen"), (390, "screen"), (695, "print")])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_nothing_is_cut_off(tab, width, media, scheme):
    assert browser.overflow(tab, width, scheme=scheme, media=media) == 0
    if width != 390:  # where wide tables and rows of pictures are scrolled
        assert browser.cut_off(tab, ".metrics td, .metrics th, .grid figure, .chart svg") == []
    browser.overflow(tab, 1280)


def test_paper_begins_with_the_results_and_keeps_colours(tab):
    tab.emulate_media(media="print")
    kept = tab.locator(".bar").first.evaluate("e => getComputedStyle(e).printColorAdjust")
    broken = tab.locator("section").first.evaluate("e => getComputedStyle(e).breakInside")
    tab.emulate_media(media="screen")
    assert kept == "exact" and broken == "auto"


def tiles(folder, corners, size=16):
    truth, _ = workdirs.scene(48, 48, 5)
    (folder / "eval").mkdir(parents=True)
    for row, column in corners:
        cube = truth[row : row + size, column : column + size]
        low = workdirs.smaller(cube, 4)
        np.savez(folder / "eval" / f"park_{row}_{column}.npz", hr=cube, sr=cube + 1, lr=low)
    return truth


def test_tiles_of_a_region_are_one_picture(tmp_path):
    corners = [(r, c) for r in (0, 16, 32) for c in (0, 16, 32)]
    truth = tiles(tmp_path / "a", corners[1:])
    (scene,), left_out = scenes.gather(load_all([tmp_path / "a"]), limit=8)
    assert scene.name == "park (8 tiles)" and left_out == 0
    assert scene.hidden[:16, :16].all() and scene.hidden.sum() == 256
    np.testing.assert_array_equal(scene.truth.cube[~scene.hidden], truth[~scene.hidden])
    found = {layer.role: layer.cube for layer in scene.layers}
    np.testing.assert_array_equal(found["input"][8:, 8:], workdirs.smaller(truth, 4)[8:, 8:])
    described = scenes.describe([scene], 1e6, lambda data: "")[0]
    (judged,) = (layer for layer in described["layers"] if layer["role"] == "run")
    assert judged["rmse"] == pytest.approx(1, rel=1e-3)  # hidden pixels count for nothing


def test_tiles_far_apart_stay_apart(tmp_path):
    tiles(tmp_path / "a", [(0, 0), (32, 32)])
    found, _ = scenes.gather(load_all([tmp_path / "a"]), limit=8)
    assert sorted(scene.name for scene in found) == ["park_0_0", "park_32_32"]


def test_tiles_of_several_sizes_stay_apart():
    sizes = {(0, 0): np.zeros((8, 8, 2)), (0, 8): np.zeros((8, 4, 2))}
    assert mosaic.together({at: {"hr": cube, "sr": cube} for at, cube in sizes.items()}) is None
