"""The page of a prediction: in a real browser at three sizes and on paper, light and dark."""

import browser
import numpy as np
import pytest
import report_workdirs as workdirs

from hsisr_jax.report import prediction
from hsisr_jax.report.scenes import Layer

SCALE, BANDS = 4, 24
DONE = {"input": "a <b>.hdr", "output": "a_x4.tif", "limits": "none"}


def scores(psnr=31.0, **more):
    def one(value, angle):
        by_band = [value + 0.1 * band for band in range(BANDS)]
        return {"psnr": value, "sam": angle, "ergas": 3.0, "rmse": 0.02, "psnr_by_band": by_band}

    reduced = {
        "bicubic": one(29.5, 3.0),
        "back_projected": one(30.4, 2.8),
        "network": one(psnr, 2.2),
    }
    centres = np.linspace(430, 2400, BANDS).tolist()
    told = {"name": "mtf", "mtf": 0.3}
    facts = {"degradation_assumed": True}
    found = {"scale": SCALE, "degradation": told, "facts": facts, "wavelengths": centres}
    return {**found, "consistency": one(44.0, 0.4), "reduced": reduced, **more}


def shown(height=96, width=128, bands=BANDS, **more):
    truth, wavelengths = workdirs.scene(height, width, bands)
    low = workdirs.smaller(truth, SCALE)
    more = {"wavelengths": wavelengths, "size": (height, width), **more}
    return of_cubes(low, truth, workdirs.blurred(truth, SCALE), **more)


def of_cubes(low, made, bicubic, **more):
    layers = [Layer("input", "input", low), Layer("anyband", "run", made)]
    layers.append(Layer("bicubic", "baseline", bicubic))
    spots = prediction.spots(made, more.get("hidden"))
    return prediction.Shown("output", layers, spots=spots, **more)


def write(path, seen, found, **more):
    given = {"network": "anyband", "scale": SCALE, "scores": found, "done": DONE}
    given |= {"warnings": ["<i>beware"], "versions": {"command": "hsisr --mode=predict"}, **more}
    return prediction.write(path, seen, **given)


@pytest.fixture(scope="module")
def tab(tmp_path_factory):
    hidden = np.zeros((96, 128), bool)
    hidden[:16, :16] = True
    overview = np.full((200, 260, 4), 90, np.uint8)
    where = {"transform": [1.25, 0, 553000, 0, -1.25, 4180000], "crs": "WGS 84 (EPSG:4326)"}
    water = np.linspace(430, 2400, BANDS) + 200.0 * (np.arange(BANDS) > 8)  # with a gap
    more = {"origin": (400, 800), "size": (2000, 2600), "overview": overview, "map": where}
    seen = shown(hidden=hidden, wavelengths=water, **more)
    std = np.full_like(seen.main.cube, 0.02)
    seen.layers.append(Layer("standard deviation", "deviation", std))
    share = [0.0, 0.5, 1.0]
    found = scores(reliability={"nominal": share, "observed": [0.0, 0.45, 1.0]})
    output = write(tmp_path_factory.mktemp("page") / "a_report.html", seen, found)
    with browser.launch() as chromium:
        yield chromium.open(output)
        assert chromium.complaints == []
        asked = [url for url in chromium.requests if not url.startswith(("data:", "blob:"))]
        assert asked == [output.as_uri()]


def test_it_says_what_was_gained_on_this_scene(tab):
    assert tab.locator("h1").inner_text() == "a_x4.tif"
    assert "anyband ×4 on a <b>.hdr" in tab.locator("header .facts").inner_text()
    cards = tab.locator(".card").all_inner_texts()
    assert "+1.50 against bicubic" in cards[0] and "+0.60 against back-projected" in cards[0]
    assert "44.00" in cards[1]
    text = tab.locator(".says").inner_text()
    assert "1.50 dB above bicubic and 0.60 dB above back-projected" in text
    assert "mtf 0.3, assumed" in text
    assert tab.locator(".warnings li").all_inner_texts() == ["<i>beware"]


def test_the_swipe_shows_input_and_output_and_is_moved_by_keys(tab):
    sides = tab.locator(".sides select")
    names = sides.evaluate_all("all => all.map(s => s.selectedOptions[0].textContent)")
    assert names == ["input", "anyband"]
    slider = tab.locator(".split")
    picture = tab.locator(".swipe canvas")
    before = picture.evaluate("c => c.toDataURL()")
    slider.focus()
    tab.keyboard.press("End")
    browser.settle(tab)
    assert slider.input_value() == "100"
    assert picture.evaluate("c => c.toDataURL()") != before


def test_spectra_of_chosen_pixels_with_their_uncertainty_and_place(tab):
    assert tab.locator(".pins .chart").count() == prediction.SPOTS
    lines = tab.locator(".pins .chart").first.locator("path.line")
    names = lines.evaluate_all("all => all.map(p => p.dataset.name)")
    assert names == ["input", "bicubic", "anyband"]
    spread = tab.locator(".pins .chart").first.locator("path.spread")
    pieces = [path.get_attribute("d").count("M") for path in (spread, lines.last)]
    assert pieces == [2, 2]  # neither is drawn over bands that are left out
    tab.locator(".pins button", has_text="Go there").first.click()
    browser.settle(tab)
    row, column = (int(tab.locator(f"[aria-label={n}]").input_value()) for n in ("Row", "Column"))
    assert 400 <= row < 496 and 800 <= column < 928  # of the output, not of the part
    x, y = 553000 + 1.25 * (column + 0.5), 4180000 - 1.25 * (row + 0.5)
    where = tab.locator(".where").inner_text()
    assert where == f"x {x:.1f}, y {y:.1f} · WGS 84 (EPSG:4326)"


def test_scores_are_drawn_band_by_band(tab):
    titles = tab.locator("#bands figcaption").all_inner_texts()
    assert titles == [
        "Reduced resolution: PSNR by band (dB) ↑",
        "Consistency: PSNR by band (dB) ↑",
        "Reliability of the uncertainty: share of values within the interval",
    ]
    assert tab.locator("#bands .chart").first.locator("path.line").count() == 3


@pytest.mark.parametrize("width, media", [(1440, "screen"), (390, "screen"), (695, "print")])
def test_nothing_is_cut_off(tab, width, media):
    for scheme in ("light", "dark"):
        assert browser.overflow(tab, width, scheme=scheme, media=media) == 0
    cut = ".chart svg, .file dd, .overview img, .swipe" + ", .metrics td" * (width > 390)
    assert browser.cut_off(tab, cut) == []
    browser.overflow(tab, 1280)


def test_the_mark_stays_on_its_pixel_where_paper_makes_pictures_smaller(tab):
    """Paper is laid out without a redraw: here the width changes within one step of the script."""
    before, after = tab.evaluate("""() => {
        const ring = document.querySelector('.ring.pin'), panel = ring.parentElement;
        const share = () => {
            const [mark, all] = [ring, panel].map(e => e.getBoundingClientRect());
            return (mark.left + mark.width / 2 - all.left) / all.width;
        };
        const before = share();
        panel.style.width = '60%';
        const after = share();
        panel.style.width = '';
        return [before, after];
    }""")
    assert 0.02 < before < 0.98 and after == pytest.approx(before, abs=0.01)


def test_titles_of_tables_are_read_on_a_telephone(tab):
    assert browser.overflow(tab, 390) == 0
    assert browser.cut_off(tab, "caption span") == []
    browser.overflow(tab, 1280)


def test_a_page_without_scores_or_bicubic(tmp_path):
    seen = shown(32, 32, 6)
    text = write(tmp_path / "a.html", prediction.Shown("output", seen.layers[:2]), None).read_text()
    assert "could not be scored" in text and "Band by band" not in text


def test_no_network_is_recommended_where_none_is_needed(tmp_path):
    found = write(tmp_path / "a.html", shown(32, 32), scores(psnr=30.4)).read_text()
    assert "does as well here: prefer it" in found


def test_a_page_keeps_to_its_size(tmp_path):
    noise = np.random.default_rng(0).random((384, 384, 60), np.float32)
    seen = of_cubes(noise[::4, ::4], noise, noise)
    assert write(tmp_path / "a.html", seen, scores()).stat().st_size < 3e6


def test_spots_are_unlike_each_other_and_have_data():
    cube = np.zeros((30, 30, 3), np.float32)
    cube[:, 10:20, 0], cube[:, 20:, 1] = 1, 1
    hidden = np.zeros((30, 30), bool)
    hidden[:, 22:] = True
    found = prediction.spots(cube, hidden, 3)
    assert sorted(np.searchsorted([10, 20], c, "right") for _, c in found) == [0, 1, 2]
    assert not any(hidden[spot] for spot in found)
    assert prediction.spots(cube, np.ones((30, 30), bool)) == []
    assert len(prediction.spots(np.zeros((9, 9, 2)), None)) == 1
