"""The journal and the quicklook of an output at a URL: objects below its `.unfinished/`.

Object stores have no locks, and nothing is renamed or appended to. So the identity of the work is
one object, that only one of several processes can create, and each finished unit is another one.
Work of another identity is refused, not replaced: a process may still be writing it. The same work
is continued, and if its process still runs, that one stops at its next unit.
"""

import json
import re
import uuid
from collections.abc import Mapping
from typing import Any

import numpy as np

from hsisr_jax import identity
from hsisr_jax.errors import UserError
from hsisr_jax.formats import objects, zarr
from hsisr_jax.formats.places import Place, Url
from hsisr_jax.formats.zarr_store import UNFINISHED
from hsisr_jax.inference.output import Journal, Quicklook

WORK = f"{UNFINISHED}work"
UNITS = f"{UNFINISHED}units/"
PIECES = f"{UNFINISHED}quicklook/"


def journal(output: Place, work: Mapping[str, Any]) -> Journal:
    """The journal of an output file or of a store at a URL."""
    return UrlJournal(output, work) if isinstance(output, Url) else Journal(output, work)


def quicklook(output: Place, *args: Any, keep: bool) -> Quicklook:
    """The quicklook of an output file or of a store at a URL."""
    kind = UrlQuicklook if isinstance(output, Url) else Quicklook
    return kind(output, *args, keep=keep)


class UrlJournal(Journal):
    """The work, who does it, and an object for each finished unit."""

    resumes = True

    def __init__(self, output: Url, work: Mapping[str, Any]):
        super().__init__(output, work)
        self.owner = uuid.uuid4().hex
        self.objects = objects.Objects(output)

    def claim(self) -> None:
        """Makes the work this process's, or refuses that of others."""
        zarr.check_free(self.output)
        found, state = self.objects.stamped(WORK)
        if found is not None:
            changed = identity.changes(_parsed(found).get("work"), json.loads(self.head))
            if changed:
                raise UserError(
                    f"{self.output}: is unfinished, with another {', '.join(changed[:3]) or 'work'}"
                    ": use the same settings to continue it, delete what is below it or choose "
                    "another name"
                )
        mine = json.dumps({"work": json.loads(self.head), "owner": self.owner})
        if not self.objects.put(WORK, mine.encode(), instead_of=state):
            raise UserError(f"{self.output}: another process has just begun it: wait for it")

    def read(self) -> set[tuple[int, int]]:
        """Finished units."""
        self.same = True  # else `claim` would have refused it
        names = (name.removeprefix(UNITS) for name in self.objects.names(UNITS))
        found = (re.fullmatch(r"(\d+)_(\d+)", name) for name in names)
        return {(int(unit[1]), int(unit[2])) for unit in found if unit}

    def start(self, done: set[tuple[int, int]]) -> None:
        if not done:
            self.objects.delete(UNITS)

    def add(self, unit: tuple[int, int]) -> None:
        found = self.objects.get(WORK)
        if found is None or _parsed(found).get("owner") != self.owner:
            raise UserError(f"{self.output}: another process continues or has finished it")
        self.objects.put(f"{UNITS}{unit[0]}_{unit[1]}", b"")

    def remove(self) -> None:
        """Nothing is left to remove: a store is finished by removing all of it."""


def _parsed(content: bytes) -> dict[str, Any]:
    try:
        found = json.loads(content)
    except (ValueError, RecursionError):
        found = None
    return found if isinstance(found, dict) else {}


class UrlQuicklook(Quicklook):
    """Windows of the picture as objects, until it is finished."""

    output: Url

    def start(self, *, keep: bool) -> None:
        self.objects = objects.Objects(self.output)
        if keep:
            self.read()

    def read(self) -> bool:
        names = self.objects.names(PIECES)
        for name in names:
            window = [int(n) for n in name.removeprefix(PIECES).split("_")]
            content = self.objects.get(name)
            if content is not None and len(window) == 4:
                top, left, height, width = window
                values = np.frombuffer(content, np.uint8).reshape(height, width, 4)
                self.pixels[top : top + height, left : left + width] = values
        return bool(names)

    def keep(self, rows: slice, cols: slice) -> None:
        part = self.pixels[rows, cols]
        name = "_".join(map(str, (rows.start, cols.start, *part.shape[:2])))
        self.objects.put(PIECES + name, part.tobytes())

    def finish(self) -> None:
        objects.put(self.path, self.png())

    def remove(self) -> None:
        """Nothing is left to remove: a store is finished by removing all of it."""
