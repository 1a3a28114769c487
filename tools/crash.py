"""Kills a command before each of its renames and deletions, one after the other.

    python -m tools.crash --of prediction
    python -m tools.crash --of training --first 10 --last 20

Where tools/chaos.py and tools/chaos_outputs.py kill at random moments, this one goes through the
moments at which what lies on the disk changes: the command runs in a process that ends itself with
SIGKILL before the first such operation in its folder, a fresh one before the second, and so on.
Each time the command is then given again, and must make what an undisturbed one makes, bit for bit.
The processes are copies of one that has imported the package, which saves their start.
"""

import argparse
import itertools
import os
import signal
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from tools import chaos_outputs, copies

OPERATIONS = ("replace", "rename", "unlink", "remove", "rmdir", "mkdir")


@dataclass
class Record:
    """Lists where the command was killed, and what went wrong."""

    points: list[str] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)


def kill_before(number: int, place: Path) -> None:
    """Makes this process end before its operation of this number on files in a folder."""
    counter = itertools.count(1)

    def counted(name: str, operation: Callable) -> Callable:
        def call(*paths, **options):
            at = [os.fspath(p) for p in paths[:2] if isinstance(p, str | os.PathLike)]
            if any(path.startswith(str(place)) for path in at) and next(counter) == number:
                names = " ".join(os.path.relpath(path, place) for path in at)
                print(f"{name} {names}", flush=True)
                os.kill(os.getpid(), signal.SIGKILL)
            return operation(*paths, **options)

        return call

    for name in OPERATIONS:
        setattr(os, name, counted(name, getattr(os, name)))


def run(command: list[str], number: int, place: Path, log: Path) -> tuple[int, str]:
    """The exit code and the words of a command, killed before an operation (0: before none)."""
    copy = copies.Copy(command, log, partial(kill_before, number, place))
    return copy.wait(), copy.said()


def campaign(job: chaos_outputs.Job, folder: Path, first: int = 1, last: int = 1000) -> Record:
    """Kills before every operation from one number to another, or to the last that there is."""
    record, log = Record(), folder / "log"
    expected, _ = chaos_outputs.undisturbed(job, folder / "undisturbed")
    for number in range(first, last + 1):
        place = (folder / f"point{number}").resolve()
        place.mkdir()
        code, text = run(job.command(place), number, place, log)
        if code == 0:
            break
        point = f"{number}: {(text.splitlines() or [''])[-1]}"
        record.points.append(point)
        if code != -signal.SIGKILL:
            record.wrong.append(f"{point}: exit code {code}")
            break
        code, text = run(job.command(place), 0, place, log)
        if code or "Traceback" in text:
            record.wrong.append(f"{point}: the next start ends with {code}: {text[-500:]}")
        elif job.result(place) != expected:
            record.wrong.append(f"{point}: the next start makes something else")
        print(f"killed before {point}; {len(record.wrong)} faults", flush=True)
    return record


def main() -> int:
    """Parses, does it, says what was done and what went wrong."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--of", choices=chaos_outputs.JOBS, default="prediction")
    parser.add_argument("--first", type=int, default=1)
    parser.add_argument("--last", type=int, default=1000)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        job = chaos_outputs.JOBS[given.of](Path(folder))
        record = campaign(job, Path(folder), given.first, given.last)
    print(f"{given.of}: killed before {len(record.points)} operations")
    print("\n".join(record.wrong) or "every result was that of an undisturbed command")
    return 1 if record.wrong else 0


if __name__ == "__main__":
    sys.exit(main())
