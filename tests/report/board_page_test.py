"""The leaderboard's page in a real browser: at all widths and on paper, sorted by the keyboard."""

import browser
import pytest

from hsisr_jax.report import board, board_page, page

KEYS = (
    "MPSNR",
    "MSSIM",
    "SAM",
    "ERGAS",
    "RMSE",
    "CrossCorrelation",
    "UIQI",
    "SID",
    "APPSA",
    "MARE",
)
VALUES = (28.2, 0.72, 4.2, 3.9, 0.0414, 0.861, 0.661, 0.00257, 0.0748, 0.0227)


def row(network, factor, seeds=2, **more):
    scores = {key: [v * factor * (1 + 1e-3 * seed) for seed in range(max(seeds, 1))]
              for key, v in zip(KEYS, VALUES)}  # fmt: skip
    made = board.Row("Jasper Ridge", 4, network, "sspsr", seeds=seeds, scores=scores, **more)
    if seeds:
        made.parameters, made.operations, made.seconds = 1_353_688, 517_000.0, [79.0] * seeds
    return made


@pytest.fixture(scope="module")
def tab(tmp_path_factory):
    rows = [
        row("bicubic", 0.99, seeds=0),
        row("RCAM", 1.01),
        row("SSPSR", 1.0),
        board.Row("Jasper Ridge", 4, "ESRT", "sspsr", failure="seed 0: no file"),
    ]
    output = tmp_path_factory.mktemp("board") / "leaderboard.html"
    page.save(board_page.html(rows, []), output)
    with browser.launch() as chromium:
        yield chromium.open(output)
        assert chromium.complaints == [] and chromium.requests == [output.as_uri()]


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_column_is_seen_on_a_screen(tab, scheme):
    assert browser.overflow(tab, 1440, scheme=scheme) == 0
    assert browser.cut_off(tab, "thead th, td") == []
    ink, paper = tab.evaluate(
        "[getComputedStyle(document.body).color, getComputedStyle(document.body).backgroundColor]"
    )
    light = [sum(map(int, text[4:-1].split(","))) for text in (ink, paper)]
    assert (light[0] > light[1]) == (scheme == "dark") and abs(light[0] - light[1]) > 500


def test_a_telephone_scrolls_the_table_and_keeps_the_names(tab):
    assert browser.overflow(tab, 390) == 0
    tab.locator(".scroll").evaluate("e => { e.scrollLeft = 300; }")
    assert tab.locator("tbody th").first.bounding_box()["x"] >= 0
    assert tab.locator(".scroll").get_attribute("tabindex") == "0"  # the keyboard scrolls it too


def test_paper_shows_every_column(tab):
    assert browser.overflow(tab, 688, scheme="dark", media="print") == 0  # A4 between its margins
    assert browser.cut_off(tab, "thead th, td") == []
    assert tab.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"


def test_columns_are_sorted_by_the_keyboard(tab):
    browser.overflow(tab, 1440)
    names = tab.locator("tbody th")
    original = names.all_inner_texts()
    head = tab.locator("thead th", has_text="SAM")
    head.locator("button").focus()
    for state, expected in (
        ("ascending", ["bicubic", "SSPSR", "RCAM", "ESRT"]),
        ("descending", ["RCAM", "SSPSR", "bicubic", "ESRT"]),  # without a value: last
        (None, original),
    ):
        tab.keyboard.press("Enter")
        assert names.all_inner_texts() == expected
        assert head.get_attribute("aria-sort") == state
