"""Mutation testing: changes lines of the package, one at a time, and lists undetected changes.

    python -m tools.mutate                       # every change of tools/mutants.json: minutes each
    python -m tools.mutate --only checkpoints    # those whose file or name has this in it
    python -m tools.mutate --list

A change is a JSON object: `file`, the text `old` (which the file has once), the text `new`, and the
`tests` that should notice, as arguments of pytest. It is made in a copy of the package; nothing
here is touched. A change that survives its tests is a line that no test asserts: exit code 1.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
COPIED = ("hsisr_jax", "tests", "configs", "datasets", "tools", "benchmarks")
FILES = ("pyproject.toml", "main.py", "setup.py")
CHANGES = Path(__file__).with_name("mutants.json")


@dataclass(frozen=True)
class Change:
    """One altered place of the package, and the tests that it should break."""

    name: str
    file: str
    old: str
    new: str
    tests: list[str]

    def make(self, root: Path) -> str:
        """Changes the file; returns what was there."""
        place = root / self.file
        text = place.read_text()
        if text.count(self.old) != 1:
            raise SystemExit(
                f"{self.name}: {self.file} has {text.count(self.old)} times {self.old!r}"
            )
        place.write_text(text.replace(self.old, self.new))
        return text


def load(path: Path, only: str) -> list[Change]:
    """The changes whose name or file holds a text."""
    found = [Change(**one) for one in json.loads(path.read_text())]
    return [one for one in found if only in one.name or only in one.file]


def copy(target: Path) -> Path:
    """Copies what the tests need to a folder of its own."""
    ignore = shutil.ignore_patterns("__pycache__", "*.pyc")
    for name in COPIED:
        shutil.copytree(ROOT / name, target / name, ignore=ignore)
    for name in FILES:
        shutil.copy(ROOT / name, target / name)
    return target


def fails(root: Path, tests: Sequence[str], seconds: float) -> bool:
    """Whether any of the tests fails in a copy; one that never ends does."""
    command = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", *tests]
    environment = os.environ | {"PYTHONPATH": str(root), "PYTHONDONTWRITEBYTECODE": "1"}
    try:
        ended = subprocess.run(
            command, cwd=root, env=environment, capture_output=True, text=True, timeout=seconds
        )
    except subprocess.TimeoutExpired:
        return True
    if ended.returncode not in (0, 1):
        raise SystemExit(f"pytest ended with {ended.returncode}:\n{ended.stdout}{ended.stderr}")
    return ended.returncode == 1


def survivors(changes: Sequence[Change], seconds: float) -> list[Change]:
    """The changes that no test noticed; says how each went."""
    found = []
    with tempfile.TemporaryDirectory(prefix="mutants_") as folder:
        root = copy(Path(folder))
        for number, change in enumerate(changes, 1):
            began, before = time.monotonic(), change.make(root)
            noticed = fails(root, change.tests, seconds)
            (root / change.file).write_text(before)
            found += [] if noticed else [change]
            word = "noticed" if noticed else "SURVIVED"
            took = time.monotonic() - began
            print(f"[{number}/{len(changes)}] {word}: {change.name} ({took:.0f} s)", flush=True)
    return found


def main(argv: Sequence[str] | None = None) -> int:
    """Parses, makes every change, prints those that survived."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--changes", type=Path, default=CHANGES)
    parser.add_argument("--only", default="")
    parser.add_argument("--seconds", type=float, default=900, help="for the tests of one change")
    parser.add_argument("--list", action="store_true")
    given = parser.parse_args(argv)
    changes = load(given.changes, given.only)
    if given.list:
        print("\n".join(f"{one.name}: {one.file}" for one in changes))
        return 0
    left = survivors(changes, given.seconds)
    for change in left:
        print(f"{change.file}: {change.old!r} -> {change.new!r}")
    print(f"{len(changes) - len(left)} of {len(changes)} changes were noticed")
    return 1 if left else 0


if __name__ == "__main__":
    sys.exit(main())
