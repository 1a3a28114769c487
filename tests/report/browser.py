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
        page.wait_for_selector("#explorer[data-state=ready]")
        settle(page)
        return page


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
