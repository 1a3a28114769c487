"""Kills runs at random moments, resumes them, and compares the result with an undisturbed run.

    python -m tools.chaos --kills 25             # the full run: minutes
    python -m tools.chaos --kills 4 --steps 40   # a few
    python -m tools.chaos --kills 25 --steps 40 --rewritten

Every kill is SIGKILL, SIGTERM or SIGINT after a random time (start, compilation, training, the
writing of a checkpoint, validation, the report), or SIGKILL the very moment at which a checkpoint
appears half-written. The same command is then given again, until it ends by itself. The final
parameters, the averages and the optimizer's state of the last checkpoint must equal those of the
undisturbed run bit for bit, and no kill may cost more than the steps since the last checkpoint.

With `--copied` the processes are copies of one that has imported the package: quicker, and all
kills are later than that.

`--rewritten` kills while a step that is there already gets its scores: a run that was stopped in
its validation makes up for it at the next start, and is killed with SIGKILL around that moment.
"""

import argparse
import hashlib
import json
import random
import re
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from tools import copies

ROOT = Path(__file__).parents[1]
CONFIG = ROOT / "tests" / "helpers" / "tiny_config.py"
WAYS = (signal.SIGKILL, signal.SIGKILL, signal.SIGTERM, signal.SIGINT)
CODES = {signal.SIGKILL: {-9}, signal.SIGTERM: {143, -15}, signal.SIGINT: {130}}
UNFINISHED = "*.orbax-checkpoint-tmp*"


@dataclass
class Record:
    """Counts what was done to a run, and what came of it."""

    kills: Counter = field(default_factory=Counter)
    phases: Counter = field(default_factory=Counter)
    during_writes: int = 0
    codes: Counter = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)
    slowest: float = 0.0  # seconds from a polite signal to the end


def command(workdir: Path, data: Path, steps: int, argument: str) -> list[str]:
    config = f"{CONFIG}:{argument}" if argument else str(CONFIG)
    return [
        sys.executable, str(ROOT / "main.py"), f"--config={config}", f"--workdir={workdir}",
        f"--config.data.dir={data}", f"--config.steps={steps}",
    ]  # fmt: skip


def digest(workdir: Path, step: int) -> dict[str, str]:
    """One sum per array of a checkpoint: Orbax's files differ from write to write."""
    import jax
    import numpy as np
    from orbax.checkpoint import v1 as ocp

    folder = workdir.resolve() / "checkpoints"
    names = [p.name for p in (folder / str(step)).iterdir() if p.is_dir() and p.name != "metrics"]
    with ocp.training.Checkpointer(folder) as checkpointer:
        found = checkpointer.load_checkpointables(step, dict.fromkeys(names))
    leaves = jax.tree_util.tree_leaves_with_path({name: found[name] for name in names})
    return {
        jax.tree_util.keystr(path): hashlib.sha256(np.asarray(leaf).tobytes()).hexdigest()
        for path, leaf in leaves
    }


def steps_of(workdir: Path) -> list[int]:
    """The finished checkpoints."""
    folder = workdir / "checkpoints"
    return sorted(int(p.name) for p in folder.glob("*") if p.name.isdigit())


def disturb(
    arguments: list[str],
    workdir: Path,
    choose: random.Random,
    span: float,
    record: Record,
    copied: bool,
) -> bool:
    """Starts the command and kills it; True if it ended before that."""
    before, way = steps_of(workdir), choose.choice(WAYS)
    in_write = way == signal.SIGKILL and choose.random() < 0.5
    wait = choose.uniform(0, span)
    run = copies.start(arguments, workdir.with_suffix(".log"), copied=copied)
    began = time.monotonic()
    while run.poll() is None and time.monotonic() - began < wait + (span if in_write else 0):
        writing = any((workdir / "checkpoints").glob(UNFINISHED))
        if in_write and time.monotonic() - began > wait and writing:
            record.during_writes += 1
            break
        time.sleep(0.001 if in_write else 0.02)
    if (code := run.poll()) is not None:
        if code:
            record.wrong.append(f"exit code {code}: {run.said()[-500:]}")
        return True
    run.send_signal(way)
    asked = time.monotonic()
    code = run.wait(timeout=600)
    record.kills[way.name] += 1
    record.phases[_phase(run.said())] += 1
    record.codes[code] += 1
    if way != signal.SIGKILL:
        record.slowest = max(record.slowest, time.monotonic() - asked)
        # a signal before Python listens, or after the end, has the system's own code
        if code not in CODES[way] | {-int(way), 0}:
            record.wrong.append(f"{way.name}: exit code {code}")
    if before and max(steps_of(workdir), default=0) < max(before):
        record.wrong.append(f"lost checkpoint {max(before)}")
    return code == 0


def _phase(text: str) -> str:
    """The phase that a run was in, by its output."""
    for phase, word in (
        ("report", "report:"),
        ("training", "compiled in"),
        ("compilation", "compiling"),
    ):
        if word in text:
            return phase
    return "start"


def campaign(
    folder: Path, *, kills: int, steps: int, seed: int, argument: str = "", copied: bool = False
) -> Record:
    """Runs until `kills` kills have been survived; one workdir after the other."""
    choose, record, data = random.Random(seed), Record(), folder / "data"
    clean = folder / "undisturbed"
    for again in range(2):  # the first one fills the caches
        began = time.monotonic()
        workdir = folder / "warm" if again == 0 else clean
        _finish(command(workdir, data, steps, argument), workdir, copied)
    span = time.monotonic() - began
    expected = digest(clean, steps)
    number = 0
    while record.kills.total() < kills:
        workdir, number = folder / f"run{number}", number + 1
        arguments = command(workdir, data, steps, argument)
        for _ in range(max(2, kills // 4)):
            left = record.kills.total() < kills
            if not left or disturb(arguments, workdir, choose, span, record, copied):
                break
        code, said = copies.done(arguments, workdir.with_suffix(".log"), copied=copied)
        if code:
            record.wrong.append(f"run {number} ends with {code}: {said[-500:]}")
        elif (found := digest(workdir, steps)) != expected:
            different = [name for name in expected if found.get(name) != expected[name]]
            record.wrong.append(f"run {number} differs in {different[:3]}")
        elif not _same_scores(workdir, clean):
            record.wrong.append(f"run {number} has other scores")
        print(f"run {number}: {record.kills.total()} kills, faults: {record.wrong}", flush=True)
    return record


def _finish(arguments: list[str], workdir: Path, copied: bool) -> None:
    """Runs a command that must end well."""
    code, said = copies.done(arguments, workdir.with_suffix(".log"), copied=copied)
    if code:
        raise SystemExit(f"the undisturbed run ends with {code}: {said[-500:]}")


def rewritten(
    folder: Path, *, kills: int, steps: int, seed: int, argument: str = "", copied: bool = False
) -> Record:
    """Kills runs while a finished step gets the scores that it was saved without."""
    choose, record, data = random.Random(seed), Record(), folder / "data"
    clean, begun = folder / "undisturbed", folder / "unscored"
    arguments = command(clean, data, steps, argument)
    _finish(arguments, clean, copied)
    expected = digest(clean, steps)
    step = _stopped_in_validation(begun, command(begun, data, steps, argument), copied)
    before = digest(begun, step)
    for number in range(kills):
        workdir = folder / f"rewritten{number}"
        shutil.copytree(begun, workdir)
        arguments = command(workdir, data, steps, argument)
        scores = workdir / "checkpoints" / f"{step}.scores"
        run = copies.start(arguments, workdir.with_suffix(".log"), copied=copied)
        while run.poll() is None and not any(scores.parent.glob(f"{scores.name}*")):
            time.sleep(0.0002)
        time.sleep(choose.choice([0, choose.uniform(0, 0.12)]))
        run.send_signal(signal.SIGKILL)
        code = run.wait(timeout=600)
        record.kills[signal.SIGKILL.name] += 1
        record.phases["scored" if scores.exists() else "scores half-written"] += 1
        record.codes[code] += 1
        if not any(s >= step for s in steps_of(workdir)):
            record.wrong.append(f"lost checkpoint {step}")
        elif step in steps_of(workdir) and digest(workdir, step) != before:
            record.wrong.append(f"checkpoint {step} is another one")
        code, said = copies.done(arguments, workdir.with_suffix(".log"), copied=copied)
        if code or "damaged" in said:
            record.wrong.append(f"run {number} ends with {code}: {said[-500:]}")
        elif digest(workdir, steps) != expected or not _same_scores(workdir, clean):
            record.wrong.append(f"run {number} differs")
        shutil.rmtree(workdir)
    return record


def _stopped_in_validation(workdir: Path, arguments: list[str], copied: bool) -> int:
    """Makes a run whose last step has no scores yet; returns the step."""
    log = workdir / "metrics.jsonl"
    for _ in range(20):
        run = copies.start(arguments, workdir.with_suffix(".log"), copied=copied)
        while run.poll() is None and '"step": 10,' not in (log.read_text() if log.exists() else ""):
            time.sleep(0.001)  # the row of a validated step: its validation follows
        run.send_signal(signal.SIGTERM)
        run.wait(timeout=600)
        step = max(steps_of(workdir), default=0)
        place = workdir / "checkpoints" / str(step)
        if step == 10 and not any(place.glob("metrics/*")):
            return step
        shutil.rmtree(workdir)
    raise SystemExit("no run was stopped within its validation")


def _same_scores(a: Path, b: Path) -> bool:
    scores = [json.loads((folder / "metrics.json").read_text())["test"] for folder in (a, b)]
    rows = [
        [row for row in map(json.loads, (folder / "metrics.jsonl").read_text().splitlines())
         if row["kind"] == "eval"]
        for folder in (a, b)
    ]  # fmt: skip
    steps = [sorted({row["step"] for row in found}) for found in rows]
    return scores[0] == scores[1] and steps[0] == steps[1]


def listen() -> None:
    """Gives back what a shell takes from its background jobs: they ignore Ctrl-C, and so would the
    processes that they start."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


def main() -> int:
    parser = argparse.ArgumentParser(description=re.split("\n\n", __doc__)[0])
    parser.add_argument("--kills", type=int, default=25)
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--argument", default="", help="of the config: adversarial")
    parser.add_argument("--rewritten", action="store_true", help="kill while a step is scored")
    parser.add_argument("--copied", action="store_true", help="kill copies, see tools/copies.py")
    options = vars(parser.parse_args())
    listen()
    do = rewritten if options.pop("rewritten") else campaign
    with tempfile.TemporaryDirectory() as folder:
        record = do(Path(folder), **options)
    print(f"kills: {dict(record.kills)}, of them within a checkpoint write {record.during_writes}")
    print(f"phases: {dict(record.phases)}; exit codes: {dict(record.codes)}")
    print(f"slowest answer to SIGTERM or SIGINT: {record.slowest:.1f} s")
    print("\n".join(record.wrong) or "all runs ended bit-identical to the undisturbed one")
    return bool(record.wrong)


if __name__ == "__main__":
    sys.exit(main())
