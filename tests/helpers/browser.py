"""A page in headless Chromium, with everything that it complains about or asks the network for."""

import contextlib
import dataclasses
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


@dataclasses.dataclass
class Browser:
    context: object
    complaints: list = dataclasses.field(default_factory=list)
    requests: list = dataclasses.field(default_factory=list)

    def open(self, path: Path):
        page = self.context.new_page()
        page.on("console", lambda message: self.complaints.append(message.text))
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        page.on("dialog", lambda dialog: (self.complaints.append("dialog"), dialog.dismiss()))
        page.on("request", lambda request: self.requests.append(request.url))
        page.goto(path.resolve().as_uri())
        if page.locator("#explorer").count():
            page.wait_for_selector("#explorer[data-state=ready]")
        settle(page)
        return page


def overflow(page, width: int, *, scheme: str = "light", media: str = "screen") -> int:
    """By how many pixels the page is wider than the window, at this width."""
    page.emulate_media(media=media, color_scheme=scheme)
    page.set_viewport_size({"width": width, "height": 900})
    settle(page)
    return page.evaluate("document.documentElement.scrollWidth - innerWidth")


def cut_off(page, selector: str) -> list[str]:
    """Texts of the elements that reach beyond the window's right edge."""
    return page.locator(selector).evaluate_all(
        "all => all.filter(e => e.getBoundingClientRect().right > innerWidth + 1)"
        ".map(e => e.textContent)"
    )


def settle(page) -> None:
    """Waits until what was scheduled has been drawn."""
    page.evaluate(
        "() => new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))"
    )


@contextlib.contextmanager
def launch() -> Iterator[Browser]:
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    names = ("chromium", "chromium-browser", "google-chrome", "chrome")
    binary = os.environ.get("CHROMIUM") or next(filter(None, map(shutil.which, names)), None)
    if binary is None:
        pytest.skip("no Chromium found; install one or set CHROMIUM to its path")
    with playwright.sync_playwright() as driver, tempfile.TemporaryDirectory() as profile:
        context = driver.chromium.launch_persistent_context(
            profile,
            executable_path=binary,
            headless=True,
            viewport={"width": 1280, "height": 900},
            args=FLAGS,
            accept_downloads=True,
        )
        context.set_default_timeout(20_000)
        yield Browser(context)
        context.close()
