"""`python -m hsisr_jax.leaderboard --config=configs/leaderboard_jasper.py --workdir=runs/board`.

Trains, or loads, every run of a config for every seed, and writes one table: mean and standard
deviation over the seeds, parameters, operations, seconds, and the figure that a paper prints for
the same network, data and scale. Finished runs are not repeated; the table is updated after every
run. A run lies in `<workdir>/<its name>/seed_<n>` and is an ordinary workdir.
"""

import json
import math
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from importlib import resources
from pathlib import Path
from typing import NamedTuple

import jax
from absl import flags
from ml_collections import ConfigDict, config_flags

from hsisr_jax import arguments, identity, train
from hsisr_jax.errors import UserError, command
from hsisr_jax.files import read_json, write_text
from hsisr_jax.inference import cost, trained
from hsisr_jax.report import board, board_page
from hsisr_jax.report.board import Row
from hsisr_jax.report.titles import METHODS
from hsisr_jax.training.stopping import Interrupted
from hsisr_jax.training.workdir import as_dict, read_config

USAGE = "usage: python -m hsisr_jax.leaderboard --config=FILE[:ARGUMENT] --workdir=FOLDER"


def run(config: ConfigDict | Mapping, workdir: str | Path) -> list[Row]:
    """Runs everything in the config in order; returns the rows of the table."""
    config, folder = ConfigDict(config), Path(workdir)
    if missing := [key for key in ("runs", "seeds", "manual_dir") if key not in config]:
        raise UserError(f"the config of a leaderboard needs {', '.join(missing)}")
    known, results, failures = published(), {}, {}
    runs = config.runs.to_dict()
    total = len(runs) * len(config.seeds)
    for number, (seed, name) in enumerate((s, n) for s in config.seeds for n in runs):
        entry, place = runs[name], folder / name / f"seed_{seed}"
        one = ConfigDict({**entry["config"], "seed": seed})
        one.data.manual_dir = config.manual_dir or one.data.manual_dir
        print(f"[{number + 1}/{total}] {name}, seed {seed}", flush=True)
        try:
            results.setdefault(name, []).append(finished(one, place) or _made(one, place))
        except UserError as error:
            failures[name] = f"seed {seed}: {error}"
            print(f"failed: {error}", file=sys.stderr, flush=True)
        rows = table(runs, results, failures, known, folder)
        write(rows, known, folder)
    return rows


def _made(config: ConfigDict, place: Path) -> dict:
    place.parent.mkdir(parents=True, exist_ok=True)
    result = train.train_and_evaluate(config, place)
    jax.clear_caches()  # dozens of networks in one process
    return result


def finished(config: ConfigDict, place: Path) -> dict | None:
    """The metrics of a run that has finished with exactly this config."""
    found = read_json(place / "metrics.json")
    if found is None:
        return None
    changed = identity.changes(read_config(place), as_dict(config))
    return None if set(changed) - {"data.dir", "data.manual_dir"} else found


def table(
    runs: Mapping, results: Mapping, failures: Mapping, known: Sequence[Mapping], folder: Path
) -> list[Row]:
    """Rows by dataset and scale; the baselines, which every run scores, once for each range of
    values that they were scored in."""
    groups: dict[tuple, list[Row]] = {}
    baselines: dict[tuple, list[Baseline]] = {}
    for name, entry in runs.items():
        config = entry["config"]
        key = entry["dataset"], config["scale"], config["eval"]["protocol"]
        group, beside = groups.setdefault(key, []), baselines.setdefault(key, [])
        found = results.get(name, [])
        row = Row(*key[:2], entry["network"], key[2], seeds=len(found))
        row.failure = failures.get(name, "")
        if found:
            row.scores = {k: [one["test"][k] for one in found] for k in found[0]["test"]}
            row.parameters = found[0]["parameters"]
            row.seconds = [one["seconds"] for one in found]
            row.operations = _operations(folder / name)
            row.reports = _reports(folder, name)
            scored = {**found[0], **found[0].get("baselines", {})}
            for baseline in (name for name in METHODS if scored.get(name)):
                made = Row(*key[:2], METHODS[baseline], key[2])
                made.scores = {metric: [value] for metric, value in scored[baseline].items()}
                _add_published(made, known, config, baseline)
                _add_baseline(beside, Baseline(baseline, made, [entry["network"]]))
        _add_published(row, known, config, config["model"]["name"])
        group.append(row)
    return [row for key, group in groups.items() for row in _named(baselines[key]) + group]


def _reports(folder: Path, name: str) -> dict[str, str]:
    """The report of each seed's run that has one, as the board's page links to it."""
    pages = sorted((folder / name).glob("seed_*/report/index.html"))
    places = [page.relative_to(folder) for page in pages]
    return {place.parts[1].removeprefix("seed_"): place.as_posix() for place in places}


class Baseline(NamedTuple):
    """A baseline's row, and the networks whose runs gave these scores of it."""

    name: str
    row: Row
    networks: list[str]


def _add_baseline(rows: list[Baseline], new: Baseline) -> None:
    for known in rows:
        pairs = ((v[0], known.row.scores[k][0]) for k, v in new.row.scores.items())
        if known.name == new.name and all(math.isclose(*pair, rel_tol=1e-4) for pair in pairs):
            known.networks.extend(new.networks)
            return
    rows.append(new)


def _named(rows: list[Baseline]) -> list[Row]:
    """Adds the networks to a baseline's name, if it was scored in several ranges of values."""
    counts = Counter(known.name for known in rows)
    for name, row, networks in rows:
        row.network += f" in the range of {', '.join(networks)}" if counts[name] > 1 else ""
    return [known.row for name in METHODS for known in rows if known.name == name]


def _operations(folder: Path) -> float | None:
    """Operations per output pixel, counted once and stored beside the runs."""
    place = folder / "cost.json"
    known = read_json(place)
    if isinstance(known, dict) and "operations_per_output_pixel" in known:
        return known["operations_per_output_pixel"]
    try:
        card = trained.load(next(folder.glob(f"seed_*/{trained.FILE}")).parent).card
        value = cost.per_output_pixel(card.spec)
    except (StopIteration, UserError):
        return None
    write_text(place, json.dumps({"operations_per_output_pixel": value}) + "\n")
    return value


def published() -> list[dict]:
    """The tables of `published.json`, in which papers' figures are as they printed them."""
    text = (resources.files("hsisr_jax") / "published.json").read_text()
    return [{"name": name, **entry} for name, entry in json.loads(text).items()]


def _add_published(row: Row, known: Sequence[Mapping], config: Mapping, model: str) -> None:
    """The figures of a paper with this dataset, scale, protocol and network."""
    for source in known:
        for dataset, scale, name, values in source["rows"]:
            same = (dataset, scale, name) == (config["data"]["name"], config["scale"], model)
            if same and source["protocol"] == row.protocol:
                row.published = dict(zip(source["columns"], values))
                row.source = source["name"]


def write(rows: Sequence[Row], known: Sequence[Mapping], folder: Path) -> None:
    """Writes `leaderboard.md`, `.csv`, `.html` and `.json`."""
    cited = [source for source in known if any(row.source == source["name"] for row in rows)]
    write_text(folder / "leaderboard.md", board.markdown(rows, cited))
    write_text(folder / "leaderboard.csv", board.to_csv(rows))
    write_text(folder / "leaderboard.html", board_page.html(rows, cited))
    values = [vars(row) for row in rows]
    write_text(folder / "leaderboard.json", json.dumps(values, indent=1) + "\n")


@command
def main(argv: Sequence[str]) -> int:
    """Parses, runs, prints the table; 2 where a run failed."""
    given = _parse(argv)
    try:
        rows = run(given.config, given.workdir)
    except Interrupted as stop:
        return stop.code
    print((Path(given.workdir) / "leaderboard.md").read_text())
    return 2 if any(row.failure for row in rows) else 0


def _parse(argv: Sequence[str]) -> flags.FlagValues:
    values = flags.FlagValues()
    config_flags.DEFINE_config_file("config", None, "a leaderboard config", flag_values=values)
    flags.DEFINE_string("workdir", None, "the folder of the board", flag_values=values)
    arguments.parse(argv, values, USAGE)
    if not getattr(values.config, "runs", None):
        raise UserError(f"give a config with runs\n{USAGE}")
    if not values.workdir:
        raise UserError(f"--workdir is missing\n{USAGE}")
    return values


if __name__ == "__main__":
    sys.exit(main(sys.argv))
