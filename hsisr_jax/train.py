"""Training, from a config to a report. `main.py` and the leaderboard call `train_and_evaluate`."""

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import jax
import numpy as np
from ml_collections import ConfigDict

from hsisr_jax import identity, mesh, metrics, report
from hsisr_jax.errors import UserError
from hsisr_jax.files import write_json, write_text
from hsisr_jax.inference import domains, outputs, pairs, trained
from hsisr_jax.inference.baselines import anyband, back_projected, least_squares, projects
from hsisr_jax.inference.evaluate import Evaluation, evaluate, forward, table
from hsisr_jax.training import experiment as experiments
from hsisr_jax.training import setup, start
from hsisr_jax.training.experiment import Experiment
from hsisr_jax.training.fit import fit, prepare, seconds
from hsisr_jax.training.stopping import Signals
from hsisr_jax.training.workdir import Workdir, as_dict, environment


def train_and_evaluate(config: ConfigDict | Mapping, workdir: str | os.PathLike) -> dict:
    """Trains, or resumes training, then evaluates and writes the report.

    Args:
        config: the result of `get_config` of a file under `configs/`.
        workdir: folder for checkpoints, scores and the report; a stopped run there is resumed.

    Returns:
        The content of `metrics.json`: the scores under `test`, and those of the baselines.
    """
    with Workdir(workdir, config) as folder, Signals() as signals:
        with signals.at_once():
            experiment = experiments.describe(config)
            training = prepare(experiment)
            folder.check_steps(training.steps)
            made_from = {"data": experiment.data.identity(), "jax": identity.of_jax_flags()}
            folder.check_identity(made_from)
            folder.record()
            folder.write_json(trained.FILE, experiment.card().to_json())
        with experiment.checkpoints(folder.path) as checkpoints:
            state = fit(training, checkpoints, folder.path, signals)
        counts = {"steps": int(state.step), "skipped": int(state.skipped)}
        with signals.at_once():
            return conclude(experiment, state.averaged, counts, folder.path)


def evaluate_only(config: ConfigDict | Mapping, workdir: str | os.PathLike) -> dict:
    """Scores the checkpoint of a workdir on its dataset's test images.

    With the run's own evaluation options its scores and report are updated. With others
    (`config.eval`, `config.select`) all results are written to `eval/<name>/`, laid out as a
    workdir, and no file of the run is changed.
    """
    with Workdir(workdir, config, evaluates=True) as folder:
        experiment, place = experiments.describe(config, evaluates=True), folder.other_evaluation()
        folder.check_identity({"data": experiment.data.identity()}, note=place is None)
        if place is None:
            folder.write_json(trained.FILE, experiment.card().to_json())
        everywhere = mesh.replicated(mesh.make(**experiment.config.mesh))
        with experiment.checkpoints(folder.path) as checkpoints:
            step = experiment.chosen(checkpoints)
            if step is None:
                raise UserError(f"there is no checkpoint in {folder.path}: train first")
            variables = trained.restored(checkpoints, step, experiment.spec, everywhere)
            counts = {"steps": step, "skipped": trained.skipped(checkpoints, step, everywhere)}
        return conclude(experiment, variables, counts, folder.path, place)


def conclude(
    experiment: Experiment,
    variables: Mapping,
    counts: Mapping[str, int],
    folder: Path,
    place: Path | None = None,
) -> dict:
    """Evaluates on the test images; writes the scores, what the report shows, and the report into
    the run's folder, or another place."""
    place = place or folder
    evaluation = test(experiment, variables, place)
    results = evaluation.to_json() | facts(experiment, variables, counts, folder)
    if jax.process_index() == 0:
        if place != folder:
            place.mkdir(parents=True, exist_ok=True)
            write_json(place / "config.json", as_dict(experiment.config))
            write_json(place / "environment.json", environment())
        write_json(place / "metrics.json", results)
        write_text(place / "metrics.csv", evaluation.to_csv())
        evaluation.save_kept(place / "eval")
    adapted = adaptation(experiment, variables)
    if jax.process_index() == 0:
        if adapted:
            np.savez_compressed(place / "eval" / "domains.npz", **adapted)
        page = report.write([place], place / "report" / "index.html")
        print(f"{table(evaluation)}\nreport: {page}")
    return results


def baselines_of(experiment: Experiment) -> dict[str, Callable[[dict], np.ndarray]]:
    """The estimates without this network that are scored beside it, by name."""
    data, config = experiment.data, experiment.config
    if data.msi_bands and experiment.recipe.degrade is None:  # where that is the input
        return {"least_squares": least_squares(data.train)}
    if not projects(experiment.recipe):
        return {}
    dark = setup.dark_level(config.base.dark, data)
    rounds = config.base.rounds or pairs.ROUNDS
    found: dict[str, Callable[[dict], np.ndarray]] = {}
    found["back_projected"] = back_projected(experiment.recipe, rounds=rounds, dark=dark)
    if "anyband" in config.eval.baselines:
        sensor = trained.degradation(config.data.degradation.to_dict(), data)
        found["anyband"] = anyband(config.scale, sensor)
    return found


def test(experiment: Experiment, variables: Mapping, folder: Path) -> Evaluation:
    """Scores the network and its baselines on the test images; saves the outputs if
    `config.eval.save` says how."""
    data, config = experiment.data, experiment.config
    return evaluate(
        forward(experiment.module, mesh.make(**config.mesh)),
        variables,
        data.test_images(config.scale),
        experiment.recipe,
        experiment.protocol,
        baselines=baselines_of(experiment),
        keep=config.eval.images_kept,
        save=outputs.saver(folder / "outputs", config.eval.save),
    )


def facts(
    experiment: Experiment, variables: Mapping, counts: Mapping[str, int], folder: Path
) -> dict[str, Any]:
    """Facts that describe the scores: conventions, size, cost, seed, and the identity of
    everything that they depend on."""
    config, protocol = experiment.config, experiment.protocol
    given = {"data_range": protocol.data_range, "ratio": protocol.ratio}
    best = {"best_step": counts["steps"]} if config.select == "best" else {}
    if best and experiment.spec.corrects:
        best["base_kept"] = counts["steps"] == 0  # no step was better on the validation images
    return {
        "protocol": metrics.conventions(protocol.name) | given,
        "parameters": sum(x.size for x in jax.tree.leaves(variables.get("params", {}))),
        **counts,
        **best,
        "seconds": seconds(folder),
        "seed": config.seed,
        "identity": {
            "weights": identity.of_tree(jax.tree.map(mesh.whole, dict(variables))),
            "data": experiment.data.identity(),
            "config": identity.of_json(as_dict(config)),
            "jax": identity.of_jax(),
        },
    }


def adaptation(experiment: Experiment, variables: Mapping) -> dict[str, np.ndarray]:
    """Abundances and endmembers of each domain, before and after training, for the report."""
    spec, data = experiment.spec, experiment.data
    if data.domains < 2 or not spec.network.endmembers or spec.members > 1:
        return {}
    try:
        before = start.first_variables(experiment)
    except UserError as error:  # the run that the weights came from may be gone
        experiment.say(f"the report shows no abundances of before the training: {error}")
        before = None
    return domains.describe(
        forward(experiment.module, mesh.make(**experiment.config.mesh)),
        variables,
        before,
        data.train + data.test,
        experiment.recipe,
        endmembers=spec.network.endmembers,
    )
