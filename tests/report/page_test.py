"""The page as a file, and the page in a real browser."""

import base64
import io
import json
import re

import browser
import numpy as np
import pytest
import report_workdirs as workdirs

from hsisr_jax.report import page, scenes, write
from hsisr_jax.report.runs import load_all

EVIL = "<img src=x onerror=alert(1)>"
SCRIPT = "</script><script>alert(1)</script><!--"
SIZE = (48, 64, 20)


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    root = tmp_path_factory.mktemp("runs")
    return [
        workdirs.make(root / "a", size=SIZE, quality=0.5),
        workdirs.make(root / "b", size=SIZE, quality=0.8, seed=1, domains=True),
    ]


@pytest.fixture(scope="module")
def report(runs):
    return write(runs, runs[0].parent / "report.html")


@pytest.fixture(scope="module")
def chromium():
    with browser.launch() as opened:
        yield opened


@pytest.fixture
def opened(chromium, report):
    chromium.complaints.clear()
    chromium.requests.clear()
    tab = chromium.open(report)
    yield tab
    tab.close()
    assert chromium.complaints == []
    assert [u for u in chromium.requests if not u.startswith(("data:", "blob:"))] == [
        report.resolve().as_uri()
    ]


def stored(path, name="test_0"):
    return np.load(path / "eval" / f"{name}.npz")


def locate(tab, canvas, row, column):
    """Where on the screen a pixel is, while the whole scene is shown."""
    box = tab.locator(canvas).first.bounding_box()
    return (
        box["x"] + (column + 0.5) / SIZE[1] * box["width"],
        box["y"] + (row + 0.5) / SIZE[0] * box["height"],
    )


def click(tab, row, column, canvas=".swipe canvas"):
    tab.locator(canvas).first.scroll_into_view_if_needed()
    tab.mouse.click(*locate(tab, canvas, row, column))
    browser.settle(tab)


def drawn(tab, name, chart=".spectra .chart"):
    """The values that a line on screen shows, by its own axis' ticks."""
    figure = tab.locator(chart).first
    path = figure.locator(f'path[data-name="{name}"]').get_attribute("d")
    heights = np.array([float(pair.split()[1]) for pair in re.split("[ML]", path)[1:]])
    ticks = figure.locator('text.tick[text-anchor="end"]').evaluate_all(
        "all => all.map(t => [Number(t.getAttribute('y')) - 3.5, t.textContent])"
    )
    at = np.array([[y, float(text.replace("−", "-"))] for y, text in ticks])
    return np.polyval(np.polyfit(at[:, 0], at[:, 1], 1), heights)


def pinned(tab):
    root = tab.locator("#explorer")
    return int(root.get_attribute("data-row")), int(root.get_attribute("data-column"))


def pixels(tab, canvas=".swipe canvas"):
    return tab.locator(canvas).first.evaluate("c => c.toDataURL()")


def test_the_same_truth_is_one_scene(runs):
    found, left_out = scenes.gather(load_all(runs), limit=8)
    assert [scene.name for scene in found] == ["test_0", "test_1"] and left_out == 0
    roles = [layer.role for layer in found[0].layers]
    assert sorted(roles) == ["baseline", "input", "run", "run", "truth"]
    assert scenes.gather(load_all(runs), limit=1)[1] == 1


def test_another_truth_is_another_scene(tmp_path):
    paths = [
        workdirs.make(tmp_path / "a", size=(16, 16, 5), images=("i",), steps=10),
        workdirs.make(tmp_path / "b", size=(24, 16, 5), images=("i",), steps=10),
    ]
    found, _ = scenes.gather(load_all(paths), limit=8)
    assert [scene.name for scene in found] == ["i", "i (b)"]


def test_inputs_of_two_scales_stand_side_by_side(tmp_path):
    paths = [
        workdirs.make(tmp_path / f"x{f}", size=(16, 16, 5), images=("i",), steps=10, factor=f)
        for f in (2, 4)
    ]
    (scene,), _ = scenes.gather(load_all(paths), limit=8)
    labels = [layer.label for layer in scene.layers]
    assert {"input", "input ×4", "bicubic", "bicubic ×4", "x2", "x4"} < set(labels)


def test_large_images_are_thinned(tmp_path, monkeypatch):
    monkeypatch.setattr(scenes, "SIDE", 16)
    path = workdirs.make(tmp_path / "a", size=(32, 24, 5), images=("i",), steps=10)
    (scene,), _ = scenes.gather(load_all([path]), limit=8)
    assert scene.stride == 2
    np.testing.assert_array_equal(scene.truth.cube, stored(path, "i")["hr"][::2, ::2])


def test_only_hr_and_sr_are_needed_and_a_multispectral_input_is_shown(tmp_path, chromium):
    path = workdirs.make(tmp_path / "a", size=(16, 20, 6), images=("i",), steps=10)
    data = stored(path, "i")
    np.savez(path / "eval" / "i.npz", hr=data["hr"], sr=data["sr"], msi=data["hr"][..., :4])
    tab = chromium.open(write([path], tmp_path / "r.html"))
    assert tab.evaluate("report.labels()") == ["multispectral input", "a", "truth"]
    tab.close()
    assert chromium.complaints == []


def test_the_page_reaches_for_nothing(report):
    text = report.read_text()
    policy = re.search(r'Content-Security-Policy" content="(.*?)"', text)[1]
    assert "default-src 'none'" in policy and "unsafe" not in policy and "http" not in policy
    assert not re.search(r'(src|href)="(https?:)?//', text)


def test_pages_keep_to_their_size(runs, tmp_path):
    sizes = [write(runs, tmp_path / f"{m}.html", megabytes=m).stat().st_size for m in (0.55, 20)]
    assert sizes[0] < 0.55e6 < sizes[1] < 20e6


def test_an_output_that_cannot_be_written_leaves_nothing(runs, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(page.UserError, match="cannot write"):
        write(runs, tmp_path / "file" / "report.html")
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


@pytest.mark.parametrize("content", [b"II*\0 a scene", b"", b'{"test": 1}'])
def test_a_file_that_is_no_page_is_not_overwritten(tmp_path, content):
    path = tmp_path / "t.tif"
    path.write_bytes(content)
    with pytest.raises(page.UserError, match="t.tif exists and is no HTML page"):
        page.save("<!doctype html>", path)
    assert path.read_bytes() == content and list(tmp_path.iterdir()) == [path]


def test_an_earlier_page_is_replaced(tmp_path):
    (tmp_path / "a.html").write_text("<!DOCTYPE HTML><p>old")
    page.save("<!doctype html><p>new", tmp_path / "a.html")
    assert (tmp_path / "a.html").read_text().endswith("new")


def test_texts_of_strangers_stay_texts(tmp_path, chromium):
    path = workdirs.make(tmp_path / EVIL, size=(16, 16, 5), images=(EVIL,), steps=20, domains=True)
    for name in ("metrics", "config", "environment"):
        tree = json.loads((path / f"{name}.json").read_text())
        tree |= {"evil": {SCRIPT: SCRIPT, "value": EVIL}}
        if name == "metrics":
            tree["images"] = [{"name": SCRIPT, "test": {"PSNR": 1.0, EVIL: 2.0}}] * 2
            metrics = {EVIL: {"metric": SCRIPT, EVIL: [EVIL]}, "odd": EVIL}
            tree["protocol"] = {"name": SCRIPT, EVIL: EVIL, "metrics": metrics}
            tree["test"][SCRIPT] = 1.0
            tree["baselines"] = {EVIL: {"MPSNR": 3.0}}
        (path / f"{name}.json").write_text(json.dumps(tree))
    with (path / "metrics.jsonl").open("a") as file:
        file.write("\n" + json.dumps({"kind": EVIL, "step": 1, SCRIPT: 1.0}) + "\n")
    chromium.complaints.clear()
    output = write([path], tmp_path / "r.html")
    tab = chromium.open(output)
    assert tab.locator("img").count() == tab.locator("#abundance img").count() > 0
    scripts = tab.locator("script").evaluate_all("all => all.filter(s => !s.type).length")
    assert scripts == 1
    assert tab.locator("h1").inner_text() == f"{EVIL} ×4 on synthetic"
    assert SCRIPT in tab.locator("#settings").text_content()
    assert tab.locator("[onerror]").count() == 0
    tab.close()
    assert chromium.complaints == []


def test_click_shows_the_spectra_of_the_pixel(opened, runs):
    for row, column in ((5, 9), (31, 50)):
        click(opened, row, column)
        assert pinned(opened) == (row, column)
        truth = stored(runs[0])["hr"][row, column].astype(np.float32)
        exact = opened.evaluate(f"report.spectrum('truth', {row}, {column})")
        np.testing.assert_allclose(exact, truth, atol=2e-3)
        for name, values in (
            ("truth", truth),
            ("bicubic", stored(runs[0])["lms"][row, column]),
            ("a", stored(runs[0])["sr"][row, column]),
            ("b", stored(runs[1])["sr"][row, column]),
        ):
            np.testing.assert_allclose(drawn(opened, name), values, atol=4e-3)
        error = stored(runs[1])["sr"][row, column].astype(np.float32) - truth
        shown = opened.locator(".readout tbody tr").nth(2).locator("td").first.inner_text()
        assert float(shown.lstrip("≥ ")) == pytest.approx(np.sqrt(np.mean(error**2)), abs=5e-4)


def test_hover_shows_and_leaving_returns(opened):
    click(opened, 10, 10)
    opened.mouse.move(*locate(opened, ".swipe canvas", 20, 30))
    browser.settle(opened)
    assert pinned(opened) == (20, 30)
    opened.mouse.move(2, 2)
    browser.settle(opened)
    assert pinned(opened) == (10, 10)


def test_keys_move_pixel_and_band(opened):
    click(opened, 10, 10)
    for key in ("ArrowDown", "ArrowRight", "ArrowRight", "ArrowLeft", "Shift+ArrowDown"):
        opened.keyboard.press(key)
    browser.settle(opened)
    assert pinned(opened) == (21, 11)
    slider = opened.locator("#band")
    before = int(slider.input_value())
    opened.keyboard.press("]")
    opened.keyboard.press("]")
    opened.keyboard.press("[")
    browser.settle(opened)
    assert int(slider.input_value()) == before + 1
    assert opened.locator("#explorer").get_attribute("data-mode") == "band"
    opened.keyboard.press("c")
    browser.settle(opened)
    assert opened.locator("#explorer").get_attribute("data-mode") == "colour"


def test_the_slider_shows_that_band_stretched_by_the_input(opened, runs):
    opened.locator("#band").focus()
    opened.keyboard.press("Home")
    for _ in range(7):
        opened.keyboard.press("ArrowRight")
    browser.settle(opened)
    assert opened.locator("output").inner_text().startswith("band 8 of 20 · ")
    band = stored(runs[0])["hr"][..., 7].astype(np.float32)
    low, high = np.percentile(stored(runs[0])["lr"][..., 7].astype(np.float32), [2, 98])
    expected = np.clip((band - low) / (high - low) * 255, 0, 255)
    image = pytest.importorskip("PIL.Image")
    png = base64.b64decode(pixels(opened, '.grid canvas[aria-label="truth"]').split(",")[1])
    shown = np.asarray(image.open(io.BytesIO(png)))
    for row, column in ((3, 4), (20, 40), (44, 60)):
        y, x = (int((at + 0.5) / n * size) for at, n, size in zip((row, column), SIZE, shown.shape))
        red, green, blue, _ = map(int, shown[y, x])
        assert red == green == blue == pytest.approx(expected[row, column], abs=3)


def test_swipe_moves_and_exchanges(opened):
    before = pixels(opened)
    handle, slider = opened.locator(".handle"), opened.locator(".split")
    handle.scroll_into_view_if_needed()
    box, area = handle.bounding_box(), opened.locator(".swipe").bounding_box()
    y = box["y"] + box["height"] / 3
    opened.mouse.move(box["x"] + box["width"] / 2, y)
    opened.mouse.down()
    opened.mouse.move(area["x"] + 0.2 * area["width"], y, steps=4)
    opened.mouse.up()
    browser.settle(opened)
    assert int(slider.input_value()) == pytest.approx(20, abs=1)
    after = pixels(opened)
    assert after != before
    opened.keyboard.press("Home")  # all of the picture is the right side now
    browser.settle(opened)
    right = pixels(opened)
    opened.locator("button", has_text="⇄").click()
    slider.focus()
    opened.keyboard.press("End")
    browser.settle(opened)
    assert pixels(opened) == right  # what was right is left, and covers everything


def test_zoom_and_pan_are_the_same_everywhere(opened):
    click(opened, 24, 20)
    small = '.grid canvas[aria-label="truth"]'
    opened.mouse.move(2, 2)
    browser.settle(opened)
    before = pixels(opened, small)
    opened.keyboard.press("+")
    opened.keyboard.press("+")
    browser.settle(opened)
    zoomed = pixels(opened, small)
    assert zoomed != before
    x, y = locate(opened, ".swipe canvas", 24, 10)
    opened.mouse.move(x, y)
    opened.mouse.down()
    opened.mouse.move(x + 60, y + 30, steps=5)
    opened.mouse.up()
    opened.mouse.move(2, 2)
    browser.settle(opened)
    assert pixels(opened, small) != zoomed
    assert pinned(opened) == (24, 20)  # a drag is not a click
    opened.locator("button", has_text="Fit").click()
    browser.settle(opened)
    assert pixels(opened, small) == before


def test_wheel_zooms_only_with_the_focus_or_a_key(opened):
    small = '.grid canvas[aria-label="truth"]'
    opened.locator(".swipe canvas").scroll_into_view_if_needed()
    opened.mouse.move(*locate(opened, ".swipe canvas", 24, 10))
    browser.settle(opened)
    before = pixels(opened, small)
    opened.keyboard.down("Control")
    opened.mouse.wheel(0, -300)
    opened.keyboard.up("Control")
    browser.settle(opened)
    assert pixels(opened, small) != before


def test_other_scenes_and_places(opened, runs):
    opened.locator("select").first.select_option("1")
    opened.wait_for_selector("#explorer[data-state=ready]")
    browser.settle(opened)
    truth = stored(runs[0], "test_1")["hr"].astype(np.float32)
    exact = opened.evaluate("report.spectrum('truth', 7, 8)")
    np.testing.assert_allclose(exact, truth[7, 8], atol=2e-3)
    before = pinned(opened)
    opened.locator("button", has_text="largest error").click()
    browser.settle(opened)
    estimate = stored(runs[0], "test_1")["sr"].astype(np.float32)
    worst = np.argmax(np.mean((truth - estimate) ** 2, -1))
    assert pinned(opened) == divmod(int(worst), SIZE[1]) != before


def test_spectra_are_saved(opened, tmp_path):
    click(opened, 12, 13)
    with opened.expect_download() as download:
        opened.locator("button", has_text="Save CSV").click()
    download.value.save_as(tmp_path / "spectra.csv")
    lines = (tmp_path / "spectra.csv").read_text().splitlines()
    assert lines[0] == 'band,wavelength_nm,"input","bicubic","a","b","truth"' and len(lines) == 21
    exact = opened.evaluate("report.spectrum('truth', 12, 13)")
    np.testing.assert_allclose([float(line.split(",")[-1]) for line in lines[1:]], exact, rtol=1e-5)


def test_charts_of_training_and_domains(opened):
    titles = opened.locator("#training figcaption").all_text_contents()
    assert titles[:3] == ["Loss", "Validation MPSNR (dB) ↑", "Validation SAM ↓"]
    assert "Learning rate" in opened.locator("#training details").text_content()
    titles = opened.locator("#domains figcaption").all_inner_texts()
    assert titles[0] == "Domain accuracy"
    assert "b: abundance features, before adaptation" in titles
    assert "b: endmembers, target domain" in titles
    loaded = opened.locator("#abundance img").evaluate_all(
        "all => all.map(i => i.complete && i.naturalWidth)"
    )
    assert loaded == [64] * 8


def test_paper_has_no_heading_of_nothing(opened):
    """Of one run all settings are folded away."""
    display = "e => getComputedStyle(e).display"
    opened.locator("#settings > :not(h2, details)").evaluate_all("all => all.map(e => e.remove())")
    opened.emulate_media(media="print")
    assert opened.locator("#settings").evaluate(display) == "none"
    assert opened.locator("#results").evaluate(display) == "block"
    opened.locator("#settings details").evaluate("e => e.open = true")
    assert opened.locator("#settings").evaluate(display) == "block"
