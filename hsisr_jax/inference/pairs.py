"""Scores of one cube against its reference, by every protocol, in the form of an evaluation."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from hsisr_jax import identity, metrics, resize
from hsisr_jax.data.normalise import Normaliser
from hsisr_jax.errors import UserError
from hsisr_jax.files import csv_text
from hsisr_jax.formats import SceneReader
from hsisr_jax.formats.places import Place
from hsisr_jax.formats.scene import hidden_values
from hsisr_jax.inference.evaluate import Evaluation, Protocol, table
from hsisr_jax.inference.projection import back_project
from hsisr_jax.inference.trained import Trained, of_stored
from hsisr_jax.layers.back_projection import Observe
from hsisr_jax.ops.fill import filled
from hsisr_jax.report.board import no_formula

ROUNDS = 3  # of back-projection, where no network is
Cubes = Mapping[str, np.ndarray]


def seen(scene: SceneReader, physical: Normaliser) -> np.ndarray:
    """The whole cube in a network's range; hidden values are NaN."""
    stored = scene.read()
    values = stored.astype(np.float32)
    values[hidden_values(stored, scene.meta.nodata)] = np.nan
    return of_stored(physical, scene.meta.scale, scene.meta.offset).apply(values, np)


def hidden(scene: SceneReader) -> np.ndarray:
    """`[h, w]`, the pixels that a file itself declares to be without data."""
    nodata = scene.meta.nodata
    if nodata is None:
        return np.zeros((scene.height, scene.width), bool)
    stored = scene.read()
    return (np.isnan(stored) if np.isnan(nodata) else stored == nodata).any(-1)


def check_sizes(estimate: tuple[int, ...], reference: tuple[int, ...], where: object) -> None:
    """The reference must be the estimate's size: a pair is scored pixel by pixel."""
    if estimate != reference:
        raise UserError(
            f"{where} is {' x '.join(map(str, reference))} and the estimate is "
            f"{' x '.join(map(str, estimate))}: give the reference of this input"
        )


def score(
    name: str, reference: np.ndarray, estimates: Cubes, *, hidden: np.ndarray, ratio: float
) -> tuple[dict[str, Evaluation], int]:
    """An evaluation by each protocol, and how many pixels were left out.

    A pixel that is hidden, or is not finite in the reference, does not count. What is not finite
    elsewhere is an estimate's failure: its scores are NaN.
    """
    hidden = hidden | ~np.isfinite(reference).all(-1)
    if hidden.all():
        raise UserError(f"{name}: every pixel is without data, so there is nothing to compare")
    shown = ~hidden if hidden.any() else None
    results = {}
    for protocol in metrics.PROTOCOLS:
        how = Protocol(name=protocol, ratio=ratio)
        scores = {key: how.score(reference, cube, shown) for key, cube in estimates.items()}
        results[protocol] = Evaluation(images=[{"name": name, **scores}])
    return results, int(hidden.sum())


def bicubic(seen_input: np.ndarray, scale: int) -> np.ndarray:
    """Bicubic upsampling, for comparison; hidden values are filled as in prediction."""
    return np.asarray(resize.imresize(filled(seen_input, ~np.isfinite(seen_input)), scale))


def back_projected(
    seen_input: np.ndarray, estimate: np.ndarray, observe: Observe, card: Trained
) -> np.ndarray:
    """The bicubic image made to agree with the input: what needs no network."""
    lr = filled(seen_input, ~np.isfinite(seen_input))
    return back_project(estimate, lr, observe, scale=card.scale, rounds=ROUNDS, dark=card.dark)


def kept(cubes: Cubes, wavelengths: np.ndarray | None) -> dict[str, np.ndarray]:
    """Cubes for the report."""
    arrays = {key: np.nan_to_num(cube).astype(np.float16) for key, cube in cubes.items()}
    return arrays if wavelengths is None else arrays | {"wavelengths": wavelengths}


def to_json(results: Mapping[str, Evaluation], chosen: str, facts: Mapping) -> dict:
    """The content of `metrics.json` by the chosen protocol, and the scores of all protocols."""
    return {
        **results[chosen].to_json(),
        "protocol": metrics.conventions(chosen) | dict(facts),
        "protocols": {name: found.to_json() for name, found in results.items()},
    }


def to_csv(results: Mapping[str, Evaluation], name: str) -> str:
    """A row for each protocol, method and metric; `name` is that of the method that was tested."""
    rows: list[list] = [["protocol", "image", "method", "metric", "value"]]
    for protocol, found in results.items():
        for image in found.images:
            for method in found.methods():
                label = no_formula(name if method == "test" else method)
                start = [protocol, no_formula(image["name"]), label]
                rows += [[*start, key, value] for key, value in image[method].items()]
    return csv_text(rows)


def tables(results: Mapping[str, Evaluation], title: str) -> str:
    return "\n\n".join(f"{name}\n{table(found, title)}" for name, found in results.items())


def name_of(path: Place) -> str:
    """A folder's name for a file or a URL; those of one name in several folders have several."""
    safe = "".join(c if c.isalnum() or c in "-_" else "_" for c in path.stem) or "pair"
    whole = path.resolve() if isinstance(path, Path) else path
    return f"{safe}-{identity.of_json(str(whole))[:6]}"
