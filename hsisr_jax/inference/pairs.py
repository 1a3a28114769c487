"""Scores of one cube against its reference, by every protocol, in the form of an evaluation."""

import csv
import io
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from hsisr_jax import metrics, resize
from hsisr_jax.data.normalise import Normaliser
from hsisr_jax.errors import UserError
from hsisr_jax.formats import SceneReader
from hsisr_jax.inference.evaluate import Evaluation, Protocol, table
from hsisr_jax.inference.trained import of_stored

Cubes = Mapping[str, np.ndarray]


def seen(scene: SceneReader, physical: Normaliser) -> np.ndarray:
    """The whole cube in a network's range; hidden values are NaN."""
    stored = scene.read()
    values = stored.astype(np.float32)
    if scene.meta.nodata is not None:
        values[stored == scene.meta.nodata] = np.nan
    return of_stored(physical, scene.meta.scale, scene.meta.offset).apply(values, np)


def check_sizes(estimate: tuple[int, ...], reference: tuple[int, ...], where: object) -> None:
    """The reference must be the estimate's size: a pair is scored pixel by pixel."""
    if estimate != reference:
        raise UserError(
            f"{where} is {' x '.join(map(str, reference))} and the estimate is "
            f"{' x '.join(map(str, estimate))}: give the reference of this input"
        )


def score(
    name: str, reference: np.ndarray, estimates: Cubes, *, ratio: float
) -> tuple[dict[str, Evaluation], int]:
    """An evaluation by each protocol, and how many pixels were left out.

    A pixel hidden in any cube is 0 in all of them, so that it counts as equal.
    """
    cubes = {"hr": reference, **estimates}
    hidden = ~np.all([np.isfinite(cube).all(-1) for cube in cubes.values()], axis=0)
    cubes = {key: np.where(hidden[..., None], 0, cube) for key, cube in cubes.items()}
    results = {}
    for protocol in metrics.PROTOCOLS:
        how = Protocol(name=protocol, ratio=ratio)
        scores = {key: how.score(cubes["hr"], cubes[key]) for key in estimates}
        results[protocol] = Evaluation(images=[{"name": name, **scores}])
    return results, int(hidden.sum())


def bicubic(seen_input: np.ndarray, scale: int) -> np.ndarray:
    """What the estimate is compared with; hidden values are taken as 0."""
    return np.asarray(resize.imresize(np.nan_to_num(seen_input), scale))


def kept(cubes: Cubes, wavelengths: np.ndarray | None) -> dict[str, np.ndarray]:
    """Cubes for the report."""
    arrays = {key: np.nan_to_num(cube).astype(np.float16) for key, cube in cubes.items()}
    return arrays if wavelengths is None else arrays | {"wavelengths": wavelengths}


def to_json(results: Mapping[str, Evaluation], chosen: str, facts: Mapping) -> dict:
    """As `metrics.json` of a run by the chosen protocol, and all protocols beside."""
    return {
        **results[chosen].to_json(),
        "protocol": metrics.conventions(chosen) | dict(facts),
        "protocols": {name: found.to_json() for name, found in results.items()},
    }


def to_csv(results: Mapping[str, Evaluation]) -> str:
    """A row for each protocol, method and metric."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["protocol", "image", "method", "metric", "value"])
    for protocol, found in results.items():
        for image in found.images:
            for method in found.methods():
                for key, value in image[method].items():
                    writer.writerow([protocol, image["name"], method, key, value])
    return text.getvalue()


def tables(results: Mapping[str, Evaluation], title: str) -> str:
    return "\n\n".join(f"{name}\n{table(found, title)}" for name, found in results.items())


def name_of(path: Path) -> str:
    """A folder's name for a file."""
    return "".join(c if c.isalnum() or c in "-_" else "_" for c in path.stem) or "pair"
