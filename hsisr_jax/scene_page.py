"""The page of a prediction, `<output>_report.html`: see `report.prediction` for what is on it.

Whatever the scene's size, only a part of it is read, shown and scored.
"""

import dataclasses
import math
import shlex
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
import numpy as np

from hsisr_jax import assess, formats
from hsisr_jax.errors import UserError
from hsisr_jax.formats import SceneMeta, SceneReader, crs
from hsisr_jax.formats.places import Place
from hsisr_jax.formats.scene import hidden_values
from hsisr_jax.inference import pairs, without_truth
from hsisr_jax.predict import Job
from hsisr_jax.report import page, pictures, prediction
from hsisr_jax.report.scenes import Layer
from hsisr_jax.report.titles import METHODS
from hsisr_jax.training.workdir import version
from hsisr_jax.view import good_bands, page_map, turned

SIDE = 384  # output pixels of the part that is shown, at most
VALUES = 20_000_000  # numbers of one cube of that part, at most
SCORED = 32_000_000  # numbers of the part of the output that is scored, at most
MARGIN = 4  # pixels of the input around the part, which bicubic upsampling reads
PLACES = (0.5, 0.15, 0.85, 0.32, 0.68)  # shares of the room, where a part with detail is looked for
LISTED = 24  # header fields that are named
PACKAGES = ("hsisr_jax", "jax", "flax", "numpy")


def page_of(output: str | Place) -> Place:
    """The path of an output's page."""
    data = formats.data_file(output)
    return data.with_name(f"{data.stem}_report.html")


def check(output: str | Place) -> None:
    """Refuses, before any work, a page that would overwrite something else."""
    page.check(page_of(output))


def write(
    job: Job,
    output: str | Place,
    *,
    deviation: str | Place = "",
    reliability: Mapping[str, Any] | None = None,
) -> Place:
    """Writes the page of a finished prediction, whose scene is still open; returns its path.

    `deviation` is the file of its standard deviations, and `reliability` what `uncertainty.write`
    found of them.
    """
    scene, scale = job.scene, job.card.scale
    with formats.open_scene(output) as made:
        rows, cols = part_of(scene, scale)
        shown = _shown(job, made, rows, cols, _overview(output), deviation)
        scores, problems = _scores(job, made)
        done = _done(job, made)
    warnings = [text.removeprefix("warning: ") for text in job.said if text.startswith("warning: ")]
    path = prediction.write(
        page_of(output),
        shown,
        network=job.card.name,
        scale=scale,
        scores={**(scores or {}), "reliability": reliability or {}},
        done=done,
        warnings=[*warnings, *problems],
        versions=_versions(job),
    )
    job.say(f"report: {path}")
    return path


def part_of(scene: SceneReader, scale: int) -> tuple[slice, slice]:
    """A part of the input with data and with detail: of some places, the one with the largest
    steps between neighbours."""
    side = int(min(SIDE, math.sqrt(VALUES / scene.bands))) // scale
    height, width = min(scene.height, max(side, 1)), min(scene.width, max(side, 1))
    rooms = scene.height - height, scene.width - width
    tops, lefts = ({int(share * room) for share in PLACES} for room in rooms)
    best, found = (-1.0, -1.0), (slice(0, height), slice(0, width))
    for top in sorted(tops):
        for left in sorted(lefts):
            window = slice(top, top + height), slice(left, left + width)
            stored = scene.read(*window)
            hidden = hidden_values(stored, scene.meta.nodata)
            known = ~hidden.all(-1)
            grey = np.mean(np.where(hidden, 0, stored), -1, dtype=np.float64)
            steps = [np.abs(np.diff(grey, axis=axis)) for axis in (0, 1)]
            both = known[1:] & known[:-1], known[:, 1:] & known[:, :-1]
            detail = sum(float(step[pair].sum()) for step, pair in zip(steps, both))
            value = round(min(float(known.mean()), 0.9), 1), detail
            if value > best:
                best, found = value, window
    return found


def _shown(
    job: Job,
    made: SceneReader,
    rows: slice,
    cols: slice,
    overview: np.ndarray | None,
    deviation: str | Place,
) -> prediction.Shown:
    """The pixels of the part, before and after, in physical units."""
    scene, scale = job.scene, job.card.scale
    bands = None if job.card.msi_bands else job.bands
    wide = [slice(max(part.start - MARGIN, 0), part.stop + MARGIN) for part in (rows, cols)]
    seen = without_truth.read(scene, *wide).through(bands)
    inner = tuple(slice(part.start - w.start, part.stop - w.start)
                  for part, w in zip((rows, cols), wide))  # fmt: skip
    fine = tuple(slice(part.start * scale, part.stop * scale) for part in inner)
    place = tuple(slice(part.start * scale, part.stop * scale) for part in (rows, cols))
    after = without_truth.read(made, *place)
    good = good_bands(made.meta, made.bands)
    same = seen.values.shape[-1] == made.bands
    known = np.where(after.hidden, 0, after.values)[..., good]
    name = "output" if job.card.name in METHODS.values() else job.card.name
    before = seen.whole[inner][..., good] if same else seen.whole[inner]
    layers = [Layer("input", "input", before), Layer(name, "run", known)]
    if same:
        bicubic = pairs.bicubic(seen.whole, scale)[fine][..., good]
        layers.append(Layer("bicubic", "baseline", bicubic))
    if deviation:
        with formats.open_scene(deviation) as sigma:
            spread = without_truth.read(sigma, *place)
        cube = np.where(spread.hidden, 0, spread.values)[..., good]
        layers.append(Layer("standard deviation", "deviation", cube))
    centres = made.meta.wavelengths
    corner = place[0].start, place[1].start
    hidden = after.hidden[..., good].all(-1)
    return prediction.Shown(
        "output",
        layers,
        hidden=hidden,
        wavelengths=None if centres is None else np.asarray(centres)[good],
        band_numbers=[int(band) + 1 for band in good] if len(good) < made.bands else None,
        origin=corner,
        map=page_map(made.meta),
        spots=prediction.spots(known, hidden),
        overview=overview,
        size=(made.height, made.width),
    )


def _overview(output: str | Place) -> np.ndarray | None:
    """The quicklook, where there is one."""
    data = formats.data_file(output)
    return pictures.read(data.with_name(f"{data.stem}_quicklook.png"))


def _scores(job: Job, made: SceneReader) -> tuple[Mapping[str, Any] | None, list[str]]:
    """Scores without a truth on a part of the scene, or why there are none."""
    scale = job.card.scale
    try:
        rows, cols = without_truth.part_of(job.scene, scale, values=SCORED // scale**2)
        fine = (slice(part.start * scale, part.stop * scale) for part in (rows, cols))
        before = without_truth.cropped(job.scene, rows, cols)
        after = without_truth.cropped(made, *fine)
        found = assess.assess(job.loaded, before, job.options, output=after)
    except UserError as error:
        return None, [f"the scene was not scored: {error}"]
    part = rows.start, rows.stop, cols.start, cols.stop
    return dataclasses.replace(found, part=part).to_json(), []


def _done(job: Job, made: SceneReader) -> dict[str, Any]:
    """Describes what was done to the file, in words."""
    scene, card = job.scene, job.card
    meta, after = scene.meta, made.meta
    step = f"of step {job.step}" if job.step else "as it comes with the package"
    own_flips = int(card.spec.options.get("flips", 1)) > 1
    found = {
        "input": scene.path.name,
        "its size": f"{scene.height} × {scene.width} × {scene.bands}, {scene.dtype}",
        "output": made.path.name,
        "its pixels": f"{made.height} × {made.width} × {made.bands}, {made.dtype}",
        "network": f"{card.name} ×{card.scale} {step}",
        "bands": _bands(job),
        "values": f"{_units(meta)} in the input, {_units(after)} in the output",
        "pixels without data": _hidden(job, meta, after),
        "limits": (
            "each band is kept within its range in the input, widened by its own width to each side"
            if job.options.limits == "input" and not card.msi_bands
            else "none"
        ),
        "mean over flips": "yes" if job.options.self_ensemble or own_flips else "no",
        "precision": job.options.precision,
    }
    if after.transform is not None and meta.transform is not None:
        a, _, _, d, _, _ = meta.transform
        size = math.hypot(a, d)
        name = crs.name_of(after.crs) or "a system without a name"
        sizes = f"pixels of {size:g} became {size / card.scale:g}"
        found["map"] = f"{name}; {sizes}, same corner{turned(meta.transform)}"
    else:
        found["map"] = "none"
    found |= kept(meta, after)
    return found | {"notes": "; ".join(scene.notes)} if scene.notes else found


def kept(before: SceneMeta, after: SceneMeta) -> dict[str, str]:
    """Lists the input's metadata that the output has too, and those that it has not."""
    had, has = _said(before), _said(after)
    along = [name for key, name in had.items() if key in has]
    lost = [name for key, name in had.items() if key not in has]
    found = {"carried along": _listed(along) or "nothing, since the input says nothing of itself"}
    return found | ({"not carried": _listed(lost)} if lost else {})


def _said(meta: SceneMeta) -> dict[str, str]:
    """Names of the metadata that a file has: for reading, by the form for comparing."""
    fields = {
        "wavelengths": meta.wavelengths,
        "widths of bands": meta.fwhm,
        "band names": meta.band_names or None,
        "units": meta.units or None,
        "sensor": meta.sensor or None,
        "description": meta.description or None,
        "reference system": meta.crs or None,
        "map coordinates": meta.transform,
    }
    names = [name for name, value in fields.items() if value is not None]
    return {" ".join(name.lower().split()): name for name in [*names, *meta.extra]}


def _listed(names: list[str]) -> str:
    """Names in a row, of very many the first."""
    more = len(names) - LISTED
    return ", ".join(names[:LISTED]) + (f" and {more} more" if more > 0 else "")


def _units(meta: SceneMeta) -> str:
    if (meta.scale, meta.offset) == (1.0, 0.0):
        return "as stored"
    return f"stored × {meta.scale:g}" + (f" + {meta.offset:g}" if meta.offset else "")


def _bands(job: Job) -> str:
    scene = job.scene
    bad = scene.meta.bad_bands
    flagged = ""
    if bad is not None and bad.any():
        flagged = f"; {int(bad.sum())} are flagged as bad: {ranges(bad)}"
    if job.bands is None:
        return f"all {scene.bands}{flagged}"
    if not np.isin(job.bands, (0, 1)).all():
        return f"{job.bands.shape[1]}, made from {scene.bands} by their wavelengths{flagged}"
    unused = job.bands.sum(1) == 0
    left = f"; left out: {ranges(unused)}" if unused.any() else ""
    return f"{job.bands.shape[1]} of {scene.bands}{left}"


def ranges(flags: np.ndarray) -> str:
    """`1–3, 7` for the places, from 1, of what is true."""
    places = np.flatnonzero(flags) + 1
    runs = np.split(places, np.flatnonzero(np.diff(places) > 1) + 1)
    return ", ".join(str(r[0]) if len(r) == 1 else f"{r[0]}–{r[-1]}" for r in runs if len(r))


def _hidden(job: Job, before: SceneMeta, after: SceneMeta) -> str:
    marks = [f"{meta.nodata:g}" if meta.nodata is not None else "NaN" for meta in (before, after)]
    text = f"marked by {marks[0]} in the input, {marks[1]} in the output"
    text += "; filled before anything is computed"
    if job.options.limits != "input" or job.card.msi_bands:  # nobody counted
        return text
    found = job.extremes()
    if not found.hidden + found.partly:
        return "none"
    return f"{found.hidden:,} in all bands, {found.partly:,} in some; {text}"


def _versions(job: Job) -> dict[str, Any]:
    device = jax.devices()[0]
    return {
        "command": shlex.join([Path(sys.argv[0]).name, *sys.argv[1:]]),
        **{name: version(name) for name in PACKAGES if version(name)},
        "device": f"{jax.device_count()} × {device.device_kind}",
        "weights": f"SHA-256 {str(job.work['weights'])[:16]}…",
    }
