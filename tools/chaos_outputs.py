"""Kills predictions and preparations at random moments, and starts several commands at once.

    python -m tools.chaos_outputs --of prediction --kills 100
    python -m tools.chaos_outputs --of preparation --kills 50
    python -m tools.chaos_outputs --of prediction --at_once 3 --rounds 10
    python -m tools.chaos_outputs --of parts --kills 25 --at_once 3
    python -m tools.chaos_outputs --of training --at_once 2 --rounds 10

A killed command is given again until it ends by itself, and must then have made what an undisturbed
one makes, bit for bit. Of several that are started at once on one output one or more end well, the
others with exit code 2 and a line, and the result is the same again.

With `--kills` and `--at_once` several processes make one output (`--mode=predict --parts`), and one
after the other is killed and replaced by a new one; the bytes must be those of one process without
`--parts`. `training` has kills of its own, see tools/chaos.py.
"""

import argparse
import itertools
import json
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from tools import chaos, copies

ROOT = Path(__file__).parents[1]
HELPERS = ROOT / "tests" / "helpers"
CONFIG = HELPERS / "tiny_config.py"
WAYS = (signal.SIGKILL, signal.SIGKILL, signal.SIGTERM, signal.SIGINT)


@dataclass
class Job:
    """A command that writes into a folder, and what of it must be the same each time."""

    command: Callable[[Path], list[str]]
    result: Callable[[Path], object]
    alone: Callable[[Path], list[str]] | None = None  # what makes the same in one process


@dataclass
class Record:
    """Counts what was done, and what came of it."""

    kills: Counter = field(default_factory=Counter)
    ends: Counter = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)


def prediction(folder: Path) -> Job:
    """A scene of some bands of rows through a tiny network, to an ENVI cube."""
    sys.path.insert(0, str(HELPERS))
    import numpy as np
    import workdirs

    from hsisr_jax import formats

    workdir = workdirs.make(folder / "run", "rcam")
    meta = formats.SceneMeta(wavelengths=np.linspace(450, 700, 4))
    formats.write_scene(folder / "in.npy", workdirs.scene(200, 60), meta)

    def command(place: Path) -> list[str]:
        return [
            sys.executable, str(ROOT / "main.py"), "--mode=predict", "--noreport",
            f"--workdir={workdir}",
            f"--input={folder / 'in.npy'}", f"--output={place / 'out.img'}", "--tile=16",
            "--overlap=4",
        ]  # fmt: skip

    def result(place: Path) -> object:
        left = [path.name for path in place.glob("*.partial")]
        names = ("out.img", "out.hdr", "out_quicklook.png")
        return left, [(place / name).read_bytes() for name in names]

    return Job(command, result)


def preparation(folder: Path) -> Job:
    """A synthetic scene as a dataset."""

    def command(place: Path) -> list[str]:
        return [sys.executable, str(ROOT / "main.py"), "--mode=prepare", f"--config={CONFIG}",
                f"--config.data.dir={place}"]  # fmt: skip

    def result(place: Path) -> object:
        from hsisr_jax.data import builder

        options = {"height": 64, "width": 64, "bands": 6}
        scenes = builder.load("synthetic", options, data_dir=place)
        # TFDS's record of the default config is swept a minute later, see data/catalogue.py
        left = [p.name for p in place.rglob("*incomplete*") if p.parent.name != ".config"]
        return left, [(scene["name"], scene["image"].tobytes()) for scene in scenes]

    return Job(command, result)


def parts(folder: Path) -> Job:
    """The same scene, its rows shared out among the processes that are given the command."""
    alone = prediction(folder)
    return Job(lambda place: [*alone.command(place), "--parts=6"], alone.result, alone.command)


def training(folder: Path) -> Job:
    """A short run into a workdir."""

    def command(place: Path) -> list[str]:
        return chaos.command(place / "run", folder / "data", 20, "")

    def result(place: Path) -> object:
        scores = json.loads((place / "run" / "metrics.json").read_text())
        return chaos.digest(place / "run", 20), scores["test"]

    return Job(command, result)


JOBS = {"prediction": prediction, "preparation": preparation, "parts": parts, "training": training}


def undisturbed(job: Job, place: Path, copied: bool = False) -> tuple[object, float]:
    """Runs the command undisturbed; returns its result and the seconds that it took."""
    place.mkdir()
    command, log = (job.alone or job.command)(place), place.with_suffix(".log")
    if copied:
        copies.done([*command[:2], "--version"], log, copied=True)  # imports the package
    began = time.monotonic()
    code, said = copies.done(command, log, copied=copied)
    if code:
        raise SystemExit(f"the undisturbed command ends with {code}: {said[-500:]}")
    return job.result(place), time.monotonic() - began


def kill(
    job: Job, folder: Path, kills: int, seed: int, copied: bool = False, processes: int = 1
) -> Record:
    """Kills a command over and over, until it is done; then the next, until there were enough.

    Of several processes on one output one after the other is killed and replaced.
    """
    record, dice = Record(), random.Random(seed)
    expected, seconds = undisturbed(job, folder / "undisturbed", copied)

    def moment() -> float:
        return dice.uniform(0, 1.1 * seconds)

    def strike(run: copies.Command) -> bool:
        if record.kills.total() >= kills:
            return False
        way = dice.choice(WAYS)
        run.send_signal(way)
        record.kills[way.name] += 1
        return True

    def one(place: Path) -> list[int]:
        while True:
            run = copies.start(job.command(place), folder / "log", copied=copied)
            try:
                run.wait(timeout=moment())
            except subprocess.TimeoutExpired:
                strike(run)
            if _tell(run, record) == 0:
                return [0]

    def several(place: Path) -> list[int]:
        command, logs = job.command(place), itertools.count()
        runs = [_next(command, folder, logs, copied) for _ in range(processes)]
        for _ in range(processes + 1):
            time.sleep(moment())
            victim = dice.randrange(processes)
            if runs[victim].poll() is None and strike(runs[victim]):
                _tell(runs[victim], record)
                runs[victim] = _next(command, folder, logs, copied)
        return [_tell(run, record) for run in runs]

    number = 0
    while record.kills.total() < kills:
        number += 1
        place = folder / f"trial{number}"
        place.mkdir()
        codes = (one if processes == 1 else several)(place)
        if any(codes):
            record.wrong.append(f"trial {number} ended with {codes}")
        if job.result(place) != expected:
            record.wrong.append(f"trial {number} made something else")
        print(f"trial {number}: {record.kills.total()} kills, faults: {record.wrong}", flush=True)
    return record


def _next(command: list[str], folder: Path, logs: Iterator[int], copied: bool) -> copies.Command:
    """One of several processes, with a log of its own."""
    return copies.start(command, folder / f"log{next(logs)}", copied=copied)


def _tell(run: copies.Command, record: Record) -> int:
    """Waits for a process, and notes its end."""
    code = run.wait()
    record.ends[code] += 1
    error = run.said()
    if "Traceback" in error and "KeyboardInterrupt" not in error:  # before it listens
        record.wrong.append(error)
    return code


def together(job: Job, folder: Path, processes: int, rounds: int, copied: bool = False) -> Record:
    """Several of the same command at once."""
    record = Record()
    expected, _ = undisturbed(job, folder / "undisturbed", copied)
    for number in range(rounds):
        place = folder / f"round{number}"
        place.mkdir()
        command, logs = job.command(place), itertools.count()
        runs = [_next(command, folder, logs, copied) for _ in range(processes)]
        codes = [run.wait() for run in runs]
        record.ends.update(codes)
        for code, run in zip(codes, runs):
            if code and not (code == 2 and "another process" in run.said()):
                record.wrong.append(run.said())
        if all(codes) or job.result(place) != expected:
            record.wrong.append(f"round {number} made something else")
    return record


def main() -> int:
    """Parses, does it, says what was done and what went wrong."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--of", choices=JOBS, default="prediction")
    parser.add_argument("--kills", type=int, default=0)
    parser.add_argument("--at_once", type=int, default=0)
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--copied", action="store_true", help="kill copies, see tools/copies.py")
    given = parser.parse_args()
    chaos.listen()
    with tempfile.TemporaryDirectory() as folder:
        job = JOBS[given.of](Path(folder))
        if given.at_once and not given.kills:
            record = together(job, Path(folder), given.at_once, given.rounds, given.copied)
        else:
            numbers = given.kills or 25, given.seed, given.copied, given.at_once or 1
            record = kill(job, Path(folder), *numbers)
    print(f"{given.of}: kills {dict(record.kills)}, exit codes {dict(record.ends)}")
    print("\n".join(record.wrong) or "every result was that of an undisturbed command")
    return 1 if record.wrong else 0


if __name__ == "__main__":
    sys.exit(main())
