"""Builds the HTML file of template, style, script and data; it needs no network.

The policy in the page admits one script and one style sheet, by their hashes. Data are JSON in
elements that a browser never executes, with every `<` written as an escape, so that no text of a
file can end the element. Texts reach the page through `html.escape` here and `textContent` there.
"""

import base64
import dataclasses
import datetime
import hashlib
import json
import os
import re
from collections.abc import Mapping, Sequence
from importlib import resources
from pathlib import Path
from typing import Any, TypeVar

from hsisr_jax.errors import UserError
from hsisr_jax.files import on_disk, written
from hsisr_jax.formats.places import Place, Url
from hsisr_jax.report import curves, domains, tables, titles
from hsisr_jax.report.runs import Run, load_all
from hsisr_jax.report.scenes import NAMES, Scene, describe, gather

SCRIPTS = ("charts.js", "sorting.js", "cubes.js", "panels.js", "controls.js", "swipe.js",
           "pixels.js", "explorer.js", "page.js")  # fmt: skip
IMAGES = 8  # scenes with pictures, at most; the tables hold all
DESCRIPTION = 40_000  # bytes of JSON a scene: basis, stretches, charts
DOCTYPE = b"<!doctype html"
LEAST = 150_000  # bytes for cubes and maps, even where tables and curves fill the page
AnyPlace = TypeVar("AnyPlace", bound=Place)


@dataclasses.dataclass(frozen=True)
class Section:
    anchor: str
    title: str
    body: str  # HTML


def write(
    workdirs: Sequence[str | os.PathLike], output: str | os.PathLike, *, megabytes: float = 20.0
) -> Path:
    """Writes the page that compares the runs in `workdirs`, and returns its path."""
    runs = load_all(workdirs)
    title = titles.of_page(runs)
    facts = str(runs[0].name) if len(runs) == 1 else f"{len(runs)} runs compared"
    if len(runs) == 1:  # its methods are named as on the console
        name = titles.network(runs[0])
        runs = runs if name == NAMES["lms"] else [dataclasses.replace(runs[0], name=name)]
    scenes, left_out = gather(runs, limit=IMAGES)
    sections = [
        Section("results", "Results", tables.headline(runs) + tables.metrics(runs)),
        *_training(runs),
        *_pictures(scenes, left_out),
        *_domains(runs, scenes),
        Section("settings", "Settings", tables.configs(runs)),
        Section("environment", "Versions and hardware", tables.environments(runs)),
    ]
    data = {
        "charts": curves.charts(runs),
        "accuracy": curves.accuracy(runs),
        "endmembers": domains.endmembers(runs),
        "projections": domains.projections(runs),
    }
    name = f"{title} · report"
    html = build(name, title, sections, data, scenes, megabytes=megabytes, facts=facts)
    return save(html, Path(output))


def build(
    name: str,
    title: str,
    sections: Sequence[Section],
    data: Mapping[str, Any],
    scenes: Sequence[Scene],
    *,
    megabytes: float,
    facts: str = "",
) -> str:
    """The page as text; `facts` stand below its title."""
    blobs: list[str] = []

    def store(content: bytes) -> str:
        blobs.append(base64.b64encode(content).decode("ascii"))
        return f"blob-{len(blobs) - 1}"

    style = _read("page.css")
    script = '"use strict";\n(() => {\n' + "\n".join(map(_read, SCRIPTS)) + "\n})();\n"
    body = "".join(
        f'<section id="{s.anchor}"><h2>{tables.escape(s.title)}</h2>{s.body}</section>'
        for s in sections
    )
    rest = len(body) + len(style) + len(script) + len(_json(data)) + DESCRIPTION * len(scenes)
    budget = max(megabytes * 1e6 - rest, LEAST) * 3 / 4  # base64 adds a third
    described = describe(scenes, budget, store)
    links = "".join(f'<a href="#{s.anchor}">{tables.escape(s.title)}</a>' for s in sections)
    date = datetime.datetime.now().astimezone().strftime("%d %B %Y, %H:%M").lstrip("0")
    parts = {
        "facts": f"{tables.escape(facts)} · " if facts else "",
        "policy": _policy(script, style),
        "name": tables.escape(name),
        "title": tables.escape(title),
        "date": date,
        "style": style,
        "script": script,
        "links": links,
        "body": body,
        "data": _json({**data, "scenes": described}),
        "blobs": "\n".join(
            f'<script type="application/octet-stream" id="blob-{i}">{text}</script>'
            for i, text in enumerate(blobs)
        ),
    }
    return re.sub(r"\{\{(\w+)\}\}", lambda match: parts[match[1]], _read("page.html"))


def check(place: Place) -> None:
    """Refuses to overwrite what is not a page, at a URL too."""
    another = "file"
    if isinstance(place, Url):
        from hsisr_jax.formats import objects

        content, another = objects.get(place), "output"
    elif place.is_dir():
        text = f"{place} is a folder; name a file for the page, such as {place}/report.html"
        raise UserError(text)
    elif place.is_file():
        with place.open("rb") as file:
            content = file.read(len(DOCTYPE))
    else:
        content = b"" if place.exists() else None  # a device or a pipe
    if content is not None and content[: len(DOCTYPE)].lower() != DOCTYPE:
        raise UserError(f"{place} exists and is no HTML page; name another {another} or remove it")


def save(html: str, place: AnyPlace) -> AnyPlace:
    """Writes the page whole or not at all, to a URL too; only an earlier page is replaced."""
    if isinstance(place, Url):
        from hsisr_jax.formats import objects

        check(place)
        objects.put(place, html.encode())
        return place
    with on_disk(place):
        check(place)
        place.parent.mkdir(parents=True, exist_ok=True)
    with written(place) as file:
        file.write(html.encode())
    return place


def explorer() -> str:
    """The element in which the script builds pictures, spectra and charts."""
    return '<div id="explorer"></div>'


def _training(runs: Sequence[Run]) -> list[Section]:
    if not any(run.rows for run in runs):
        return []
    return [Section("training", "Training", '<div class="charts" data-charts="charts"></div>')]


def _pictures(scenes: Sequence[Scene], left_out: int) -> list[Section]:
    if not scenes:
        return []
    note = ""
    if left_out:
        note = (
            f'<p class="note">{left_out} more test images are in the tables and not here,'
            " to keep the page small.</p>"
        )
    return [Section("pictures", "Pictures and spectra", explorer() + note)]


def _domains(runs: Sequence[Run], scenes: Sequence[Scene]) -> list[Section]:
    body = ""
    if curves.accuracy(runs):
        body += '<div class="charts" data-charts="accuracy"></div>'
    if any(run.domains for run in runs):
        body += '<div class="charts" data-charts="projections"></div>'
        body += '<div class="charts" data-charts="endmembers"></div>'
    if any(scene.abundance for scene in scenes):
        body += '<div id="abundance"></div>'
    return [Section("domains", "Domains and materials", body)] if body else []


def _json(value: Any) -> str:
    """JSON escaped for a script element."""
    text = json.dumps(value, allow_nan=False, separators=(",", ":"))
    for character in "<>&\u2028\u2029":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return text


def _policy(script: str, style: str) -> str:
    def digest(text: str) -> str:
        return base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()

    return (
        f"default-src 'none'; script-src 'sha256-{digest(script)}'; "
        f"style-src 'sha256-{digest(style)}'; img-src data:; base-uri 'none'; form-action 'none'"
    )


def _read(name: str) -> str:
    return resources.files("hsisr_jax.report").joinpath(name).read_text("utf-8")
