"""Scores of one scene: without its truth, or with the cube that it should become.

`assess` gives the numbers without a truth, for `--mode=eval --input=SCENE` (`evaluate_scene`) and
for the page of a prediction; `evaluate_pair` is `--mode=eval --input=SCENE --reference=SCENE`.
"""

import io
import os
import tempfile
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from hsisr_jax import formats, identity, locks, report
from hsisr_jax.data.normalise import Normaliser
from hsisr_jax.errors import UserError
from hsisr_jax.files import csv_text, write_json, write_text
from hsisr_jax.formats import SceneReader
from hsisr_jax.inference import packaged, pairs, sensed, survey, trained, without_truth
from hsisr_jax.inference.options import Options
from hsisr_jax.inference.trained import Loaded, Trained
from hsisr_jax.inference.without_truth import VALUES, Assessment, Scores
from hsisr_jax.models.spec import observer
from hsisr_jax.ops import sharpness
from hsisr_jax.predict import Job
from hsisr_jax.report.titles import METHODS
from hsisr_jax.training.workdir import as_dict


def assess(
    network: Loaded,
    scene: SceneReader,
    options: Options = Options(),  # noqa: B008 - immutable
    *,
    output: str | os.PathLike | SceneReader | None = None,
) -> Assessment:
    """Scores a prediction whose truth is not known.

    Args:
        network: `inference.trained.load(workdir)` or `inference.packaged.load(scale, ...)`.
        scene: the input, open.
        options: as of the prediction: the same tiles, ensemble, projection and limits are used.
        output: the file that the prediction wrote, or it opened, for `consistency`; without it a
            part of the scene is sharpened for that.

    Returns:
        Consistency with the input, and the reduced-resolution protocol on a part of the scene.
    """
    card = network.card
    if card.msi_bands:
        raise UserError(
            f"{card.name} makes bands, not pixels: without a truth only networks that make pixels "
            "smaller can be scored; give --reference=SCENE"
        )
    survey.rescale(scene, options.input_scale)
    options = sensed.numbered(options, scene, print)
    told, assumed = sensor_of(card, options)
    observe, scale = observer(told, card.scale), card.scale
    domain, bands = survey.choose_domain(card, scene, options.resample_bands)
    rows, cols = without_truth.part_of(scene, scale)
    reduced = without_truth.reduced_resolution(
        without_truth.cropped(scene, rows, cols),
        lambda lower: sharpened(network, lower, options),
        observe,
        scale=scale,
        bands=bands,
    )
    seen: SceneReader = scene
    if output is None:
        small = without_truth.part_of(scene, scale, values=VALUES // scale**2)
        seen = without_truth.cropped(scene, *small)
        output = in_memory(_job(network, seen, options))
    with output if isinstance(output, SceneReader) else formats.open_scene(output) as made:
        agreement = without_truth.consistency(seen, made, observe, scale=scale, bands=bands)
    centres = domain["wavelengths"] if bands is not None else scene.meta.wavelengths
    return Assessment(
        scene=scene.path.name,
        network=card.name,
        scale=scale,
        degradation={k: v for k, v in told.items() if k != "kernel"},
        bands=card.bands or scene.bands,
        wavelengths=None if centres is None else np.asarray(centres, float).tolist(),
        consistency=agreement,
        reduced=reduced,
        part=(rows.start, rows.stop, cols.start, cols.stop),
        facts={"degradation_assumed": assumed},
    )


def sensor_of(card: Trained, options: Options) -> tuple[dict, bool]:
    """The sensor's degradation, as for `degrade.create`, and whether it is only assumed: that of
    `--mtf`, else of training, else (assumed) bicubic."""
    if options.mtf:
        return {"name": "mtf", "mtf": sharpness.named(options.mtf)}, False
    known = dict(card.degradation)
    if known.get("name", "none") in ("none", "spectral"):
        return {"name": "bicubic"}, True
    return known, False


def sharpened(network: Loaded, scene: SceneReader, options: Options) -> np.ndarray:
    """The scene through the network as prediction has it, in physical units; NaN where it fails."""
    found = without_truth.read(in_memory(_job(network, scene, options)))
    return np.where(found.hidden, np.nan, found.values)


def in_memory(job: Job) -> SceneReader:
    """The output of a job, without a file of it."""
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder) / "output.npy"
        job.run(place)
        with formats.open_scene(place) as made:
            return without_truth.cropped(made)


def _job(network: Loaded, scene: SceneReader, options: Options) -> Job:
    return Job(network, scene, plain(options), log=io.StringIO(), tells=False)


def plain(options: Options) -> Options:
    """The same values in float32, in the scene's units, and no picture."""
    return replace(options, dtype="float32", output_scale=0.0, quicklook=False)


def evaluate_scene(
    input: str | os.PathLike,
    *,
    workdir: str | os.PathLike | None = None,
    scale: int = 4,
    options: Options = Options(),  # noqa: B008 - immutable
    output: str | os.PathLike | None = None,
) -> Assessment:
    """Prints the scores of a scene without its truth, and stores them as JSON and CSV.

    With a workdir its network is used, without one that in the package. The files are `output` and
    the CSV beside it; if it is not given, `<workdir>/eval/<scene>/scores.json`, or one in the
    current folder.
    """
    with formats.open_scene(input, variable=options.variable or None) as scene:
        options = sensed.numbered(options, scene, print)
        network = packaged.loader(workdir, scale, print)(scene, options)
        place = Path(output or f"{scene.path.stem}_x{network.card.scale}_scores.json")
        if workdir and not output:
            place = Path(workdir) / "eval" / pairs.name_of(scene.path) / "scores.json"
        place = place if place.suffix == ".json" else place.with_name(f"{place.name}.json")
        found = assess(network, scene, options)
    place.parent.mkdir(parents=True, exist_ok=True)
    write_json(place, found.to_json())
    write_text(place.with_suffix(".csv"), to_csv(found))
    print(f"{table(found)}\nscores: {place}, {place.with_suffix('.csv').name}")
    return found


def table(found: Assessment) -> str:
    """The scores in a few lines of text."""
    first, last, left, right = found.part
    words = [value for value in found.degradation.values() if isinstance(value, str | float)]
    sensor = " ".join(f"{word:g}" if isinstance(word, float) else word for word in words)
    if found.facts.get("degradation_assumed"):
        sensor += " (assumed: training did not say)"
    lines = [
        f"{found.scene}, x{found.scale} by {found.network}; sensor: {sensor}",
        "",
        f"Reduced resolution: degraded by {found.scale}, sharpened, compared with itself "
        f"(rows {first}:{last}, columns {left}:{right})",
        _line("", "PSNR dB", "SAM deg", "ERGAS", "gain dB", "gain deg"),
    ]
    base = found.reduced["bicubic"]
    for name, scores in found.reduced.items():
        gain = ("", "") if name == "bicubic" else (
            f"{scores.psnr - base.psnr:+.2f}", f"{scores.sam - base.sam:+.3f}")  # fmt: skip
        lines.append(_line(METHODS.get(name, name), *_shown(scores), *gain))
    if found.consistency:
        lines += ["", "Consistency: the output seen by the sensor again, compared with the input"]
        lines.append(_line("network", *_shown(found.consistency)))
        worst = np.asarray(found.consistency.psnr_by_band)
        if np.isfinite(worst).any():
            band = int(np.nanargmin(worst))
            at = f" ({found.wavelengths[band]:.0f} nm)" if found.wavelengths else ""
            lines.append(f"worst in band {band + 1}{at}: {worst[band]:.2f} dB")
    return "\n".join(lines)


def _shown(scores: Scores) -> tuple[str, str, str]:
    return f"{scores.psnr:.2f}", f"{scores.sam:.3f}", f"{scores.ergas:.3f}"


def _line(name: str, *cells: str) -> str:
    return (name.ljust(16) + "".join(cell.rjust(10) for cell in cells)).rstrip()


def to_csv(found: Assessment) -> str:
    """A row for each protocol, method and band; first the means over all bands (band `all`)."""
    rows: list[list] = [["protocol", "method", "band", "wavelength_nm", "psnr_db", "rmse",
                         "sam_deg", "ergas"]]  # fmt: skip
    tables = [("reduced", name, scores) for name, scores in found.reduced.items()]
    tables += [("consistency", "network", found.consistency)] if found.consistency else []
    centres = found.wavelengths or [""] * found.bands
    for *names, scores in tables:
        rows.append([*names, "all", "", scores.psnr, scores.rmse, scores.sam, scores.ergas])
        by_band = zip(centres, scores.psnr_by_band, scores.rmse_by_band)
        rows += [[*names, band, *values, "", ""] for band, values in enumerate(by_band, 1)]
    return csv_text(rows)


def evaluate_pair(
    config: Mapping, workdir: str | os.PathLike, input: str | None, reference: str | None
) -> dict:
    """Scores the network on one scene and the cube that it should become.

    An input of the reference's own size is scored as it is: the estimate of another method.
    Writes `<workdir>/pairs/<input's name>-<digest>/`: scores, a report with spectra and maps.
    """
    if not input or not reference:
        raise UserError("to evaluate a pair of files give both --input and --reference")
    network = trained.load(workdir)
    card = network.card
    folder = Path(workdir) / "pairs" / pairs.name_of(Path(input))
    folder.mkdir(parents=True, exist_ok=True)
    with formats.open_scene(input) as scene, formats.open_scene(reference) as truth:
        cubes = _pair(network, scene, truth, folder)
        wavelengths = truth.meta.wavelengths
    hr, hidden, work = (cubes.pop(name) for name in ("hr", "hidden", "work"))
    compared = ("test", "bicubic", "back_projected")
    methods = {name: cubes[name] for name in compared if name in cubes}
    ratio = config["eval"]["ratio"] or card.scale
    results, left_out = pairs.score(Path(input).stem, hr, methods, hidden=hidden, ratio=ratio)
    chosen = config["eval"]["protocol"]
    facts = {"data_range": 1.0, "ratio": ratio, "pixels_left_out": left_out}
    found = pairs.to_json(results, chosen, facts)
    found["method"] = card.name if "weights" in work else Path(input).stem  # a file of another's
    found["identity"] = {**work, "reference": identity.of_files(truth.files)}
    shown = {"hr": hr, "sr": cubes["test"]} | ({"lr": cubes["lr"]} if "lr" in cubes else {})
    shown |= {"lms": cubes["bicubic"]} if "bicubic" in cubes else {}
    results[chosen].kept[Path(input).stem] = pairs.kept(shown, wavelengths)
    results[chosen].save_kept(folder / "eval")
    write_json(folder / "metrics.json", found)
    write_json(folder / "config.json", as_dict(config))
    write_text(folder / "metrics.csv", pairs.to_csv(results, found["method"]))
    page = report.write([folder], folder / "report" / "index.html")
    print(f"{pairs.tables(results, found['method'])}\nreport: {page}")
    return found


def _pair(network: Loaded, scene: SceneReader, truth: SceneReader, folder: Path) -> dict[str, Any]:
    """`hr`, the estimate `test`, `hidden` pixels, and where they are known `lr` and `bicubic`."""
    card = network.card
    size = truth.height, truth.width, truth.bands
    if (scene.height, scene.width, scene.bands) == size:
        domain = card.domains[0] if card.msi_bands else survey.choose_domain(card, scene, False)[0]
        normaliser = Normaliser(**domain["normaliser"])
        seen = {"hr": pairs.seen(truth, normaliser), "test": pairs.seen(scene, normaliser)}
        work = {"scene": identity.of_files(scene.files)}
        return seen | {"hidden": pairs.hidden(scene), "work": work}
    bands = card.bands or scene.bands
    shape = scene.height * card.scale, scene.width * card.scale, bands
    pairs.check_sizes(shape, size, truth.path)
    estimate = folder / "estimate.npy"
    job = Job(network, scene, Options(quicklook=False, normalise="model"))
    with locks.output(estimate):
        job.run(estimate)
    normaliser = Normaliser(**job.domain["normaliser"])
    with formats.open_scene(estimate) as made:
        cubes = {"hr": pairs.seen(truth, normaliser), "test": pairs.seen(made, normaliser)}
    for path in (estimate, Path(f"{estimate}.json")):
        path.unlink(missing_ok=True)
    cubes["work"] = {name: job.work[name] for name in ("weights", "scene", "jax")}
    lr = pairs.seen(scene, normaliser)
    absent = ~np.isfinite(lr).all(-1)  # the network's output is hidden there too
    cubes["hidden"] = absent.repeat(card.scale, 0).repeat(card.scale, 1)
    if not card.msi_bands:
        lr = lr if job.bands is None else lr @ job.bands
        cubes |= {"lr": lr, "bicubic": pairs.bicubic(lr, card.scale)}
        if normaliser.floor is None:
            observe = observer(sensor_of(card, Options())[0], card.scale)
            cubes["back_projected"] = pairs.back_projected(lr, cubes["bicubic"], observe, card)
    return cubes
