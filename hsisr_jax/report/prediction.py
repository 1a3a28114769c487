"""The page of a prediction: images before and after, scores, and what was done to the file.

It shows a part of the scene, before and after, and scores that need no truth; so that its size
does not depend on the scene's. It is made from arrays and plain values, without JAX.
"""

import base64
import dataclasses
import io
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from hsisr_jax.formats.places import Place, where
from hsisr_jax.report import page, tables
from hsisr_jax.report.page import Section
from hsisr_jax.report.runs import number, part
from hsisr_jax.report.scenes import Scene
from hsisr_jax.report.titles import METHODS

MEGABYTES = 2.8  # of a page, at most
SPOTS = 4  # pixels whose spectra are shown at first
CANDIDATES = 4000  # among which they are chosen
OVERVIEW = 420  # pixels on the longer side of the overview


@dataclasses.dataclass
class Shown(Scene):
    """The part of a scene that is shown, in physical units."""

    overview: np.ndarray | None = None  # h w 4: the whole output, thinned
    size: tuple[int, int] = (0, 0)  # of the output


def write(
    output: str | Place,
    shown: Shown,
    *,
    network: str,
    scale: int,
    scores: Mapping[str, Any] | None,
    done: Mapping[str, Any],
    warnings: Sequence[str],
    versions: Mapping[str, Any],
    megabytes: float = MEGABYTES,
) -> Place:
    """Writes the page at `output`, and returns its path.

    `scores` are of `hsisr_jax.assess`, as JSON, None where the scene could not be scored; `done` is
    what was done to the file, in words; `versions` what made it: command, libraries, files.
    """
    scores = scores or {}
    facts = f"{network} ×{scale} on {done['input']}" if "input" in done else f"{network} ×{scale}"
    network = shown.main.label
    sections = [
        Section("scores", "Scores", _verdict(scores, network) + _warned(warnings)),
        Section("pictures", "Before and after", _overview(shown) + page.explorer()),
        *_bands(scores),
        Section("done", "What was done to the file", tables.facts(done)),
        Section("versions", "Command and versions", tables.facts(versions)),
    ]
    data = {"bands": [*_charts(scores, network), *_reliability(scores)]}
    title = f"{done.get('output', where(output).stem)}"
    html = page.build(title, title, sections, data, [shown], megabytes=megabytes, facts=facts)
    return page.save(html, where(output))


def spots(cube: np.ndarray, hidden: np.ndarray | None, count: int = SPOTS) -> list[tuple[int, int]]:
    """Pixels with spectra unlike each other: first the most usual one, then each time the one that
    is farthest from all before. Of means of 3 x 3 pixels, so that noise is not chosen."""
    height, width = cube.shape[:2]
    if min(height, width) < 3:
        return []
    step = max(1, int(math.sqrt(height * width / CANDIDATES)))
    rows, columns = (np.arange(1, n - 1, step) for n in (height, width))
    gone = np.zeros((height, width), bool) if hidden is None else hidden
    near = [(rows + i, columns + j) for i in (-1, 0, 1) for j in (-1, 0, 1)]
    values = np.stack([cube[r][:, c].astype(np.float32) for r, c in near])
    spectra: np.ndarray = values.mean(0)
    known = np.isfinite(spectra).all(-1) & ~np.stack([gone[r][:, c] for r, c in near]).any(0)
    places = np.argwhere(known)
    if not len(places):
        return []
    spectra = spectra[known]
    chosen = [int(np.argmin(np.linalg.norm(spectra - np.median(spectra, 0), axis=1)))]
    distance = np.full(len(spectra), np.inf)
    while len(chosen) < min(count, len(places)):
        distance = np.minimum(distance, np.linalg.norm(spectra - spectra[chosen[-1]], axis=1))
        if not distance.max() > 0:
            break
        chosen.append(int(np.argmax(distance)))
    return [(int(rows[r]), int(columns[c])) for r, c in places[chosen]]


def _verdict(scores: Mapping[str, Any], network: str) -> str:
    """The gain on this scene in figures, a sentence and a table."""
    reduced, agreement = part(scores, "reduced"), part(scores, "consistency")
    ours = part(reduced, "network")
    if not ours:
        return '<p class="note">This scene could not be scored without a truth.</p>'
    beside = [(label, part(reduced, key)) for key, label in METHODS.items() if part(reduced, key)]
    figures = [
        tables.figure("PSNR", ours.get("psnr"), [(n, v.get("psnr")) for n, v in beside]),
        tables.figure("SAM", ours.get("sam"), [(n, v.get("sam")) for n, v in beside], unit="°"),
    ]
    cards = [_card("Sharpened from a lower resolution", figures)]
    if agreement:
        figure = tables.figure("PSNR", agreement.get("psnr"), [])
        angle = tables.figure("SAM", agreement.get("sam"), [], unit="°")
        cards.append(_card("Consistency with the input", [figure, angle]))
    rows = [(label, "bicubic" if label == "bicubic" else "run-1", _keys(values))
            for label, values in beside]  # fmt: skip
    rows.append((network, "run-0", _keys(ours)))
    text = _sentence(scores, dict(beside), ours, agreement)
    table = tables.scored(rows, "Reduced resolution: this scene, degraded, sharpened, compared")
    return f'<div class="cards">{"".join(cards)}</div><p class="says">{text}</p>{table}'


def _card(title: str, figures: Sequence[str]) -> str:
    return (
        f'<article class="card run-0"><h3>{title}</h3>'
        f'<div class="figures">{"".join(figures)}</div></article>'
    )


def _keys(values: Mapping[str, Any]) -> dict[str, Any]:
    named = {"PSNR": "psnr", "SAM": "sam", "ERGAS": "ergas", "RMSE": "rmse"}
    return {key: values.get(name) for key, name in named.items()}


def _sentence(
    scores: Mapping[str, Any],
    beside: Mapping[str, Mapping[str, Any]],
    ours: Mapping[str, Any],
    agreement: Mapping[str, Any],
) -> str:
    """A sentence that explains the figures."""
    scale = tables.escape(scores.get("scale", ""))
    sensor = part(scores, "degradation")
    how = " ".join(
        _plain(value) for value in sensor.values() if isinstance(value, str | float | int)
    )
    assumed = part(scores, "facts").get("degradation_assumed")
    says = [
        f"A part of this scene was degraded by {scale} as its sensor is taken to do it "
        f"({tables.escape(how)}{', assumed' if assumed else ''}), sharpened again and compared "
        "with itself."
    ]
    gains = {name: _less(ours.get("psnr"), values.get("psnr")) for name, values in beside.items()}
    known = {name: gain for name, gain in gains.items() if gain is not None}
    if known:
        said = [f"{abs(gain):.2f} dB {'above' if gain > 0 else 'below'} {name}"
                for name, gain in known.items()]  # fmt: skip
        says.append(f"The network came {' and '.join(said)}.")
        if min(known.values()) < 0.05:
            says.append("What needs no network does as well here: prefer it.")
    if agreement:
        says.append(
            "Consistency is how near the output is to the input once the sensor sees it again: "
            "high where nothing was invented that the input contradicts."
        )
    return " ".join(says)


def _plain(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


def _less(a: Any, b: Any) -> float | None:
    a, b = number(a), number(b)
    return None if a is None or b is None or not math.isfinite(a - b) else a - b


def _warned(warnings: Sequence[str]) -> str:
    lines = "".join(f"<li>{tables.escape(text)}</li>" for text in warnings)
    return f'<ul class="warnings">{lines}</ul>' if lines else ""


def _overview(shown: Shown) -> str:
    """The whole output as a small picture, the shown part framed."""
    if shown.overview is None:
        return ""
    from PIL import Image, ImageDraw

    picture = Image.fromarray(shown.overview)
    picture.thumbnail((OVERVIEW, OVERVIEW))
    ratio = picture.width / shown.size[1], picture.height / shown.size[0]
    (row, column), (height, width) = shown.origin, shown.main.cube.shape[:2]
    corners = ((column, row), (column + width, row + height))
    box = [at * share for corner in corners for at, share in zip(corner, ratio)]
    if (height, width) != tuple(shown.size):
        draw = ImageDraw.Draw(picture)
        draw.rectangle([box[0] - 1, box[1] - 1, box[2] + 1, box[3] + 1], outline=(0, 0, 0, 255))
        draw.rectangle(box, outline=(255, 212, 0, 255))
    file = io.BytesIO()
    picture.save(file, "PNG", optimize=True)
    data = base64.b64encode(file.getvalue()).decode("ascii")
    rows, columns = f"{row} to {row + height}", f"{column} to {column + width}"
    text = f"The whole output, {shown.size[0]} × {shown.size[1]} pixels"
    if (height, width) != tuple(shown.size):
        text += f"; rows {rows}, columns {columns} are shown below, at full resolution"
    image = f'<img alt="Overview of the output" src="data:image/png;base64,{data}">'
    return (
        f'<figure class="overview">{image}<figcaption class="facts">{text}.</figcaption></figure>'
    )


def _bands(scores: Mapping[str, Any]) -> list[Section]:
    body = '<div class="charts two" data-charts="bands"></div>'
    return [Section("bands", "Band by band", body)] if part(scores, "reduced") else []


def _charts(scores: Mapping[str, Any], network: str) -> list[dict[str, Any]]:
    """PSNR by band of both protocols."""
    reduced = part(scores, "reduced")
    lines = [_line(label, role, part(reduced, key), scores)
             for key, label, role in (("bicubic", "bicubic", "baseline"),
                                      ("back_projected", "back-projected", "other"),
                                      ("network", network, "run"))]  # fmt: skip
    agreement = [_line(network, "run", part(scores, "consistency"), scores)]
    unit = "wavelength (nm)" if scores.get("wavelengths") else "band"
    titles = ("Reduced resolution: PSNR by band (dB) ↑", "Consistency: PSNR by band (dB) ↑")
    return [
        {"title": title, "unit": unit, "series": [line for line in found if line], "height": 230}
        for title, found in zip(titles, (lines, agreement))
        if any(found)
    ]


def _line(
    name: str, role: str, values: Mapping[str, Any], scores: Mapping[str, Any]
) -> dict[str, Any] | None:
    """Points in the order of wavelength, with a break where bands are missing."""
    found = values.get("psnr_by_band")
    if not isinstance(found, list) or not found:
        return None
    y = np.array([math.nan if number(v) is None else number(v) for v in found], float)
    centres = scores.get("wavelengths")
    known = isinstance(centres, list) and len(centres) == len(y)
    x = np.array(centres if known else np.arange(1, len(y) + 1), float)
    order = np.argsort(x, kind="stable")
    x, y = x[order], y[order]
    spaces = np.diff(x)
    usual = np.median(spaces) if len(x) > 2 else np.inf
    gaps = np.flatnonzero(spaces > 2.9 * usual) + 1
    x, y = np.insert(x, gaps, x[gaps]), np.insert(y, gaps, math.nan)
    return {
        "name": name,
        "role": role,
        "colour": 1 if role == "other" else 0,
        "x": [round(v, 2) for v in x.tolist()],
        "y": [round(v, 3) if math.isfinite(v) else None for v in y.tolist()],
    }


def _reliability(scores: Mapping[str, Any]) -> list[dict[str, Any]]:
    """How much of the truth lies within intervals that should hold a share of it."""
    found = part(scores, "reliability")
    x, y = found.get("nominal"), found.get("observed")
    if not isinstance(x, list) or not isinstance(y, list) or len(x) != len(y) or not x:
        return []
    return [
        {
            "title": "Reliability of the uncertainty: share of values within the interval",
            "unit": "share that should be within",
            "height": 230,
            "fixed": [0, 1],
            "series": [
                {"name": "observed", "colour": 0, "x": x, "y": y},
                {"name": "as it should be", "role": "baseline", "x": [0, 1], "y": [0, 1]},
            ],
        }
    ]
