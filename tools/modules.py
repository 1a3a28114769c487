"""Reads the operations between devices from the text of a compiled module.

XLA writes them in several ways: as one operation, as a pair of `-start` and `-done`, and for TPUs
inside fusions: `AsyncCollectiveStart` and the steps after it repeat one `channel_id` beside the
work that hides it, and a sum of which each device keeps its part is an `all-reduce-scatter`.
"""

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass

# times the bytes of the whole that each device of a ring sends, but for its own part
KINDS = {"all-reduce": 2.0, "all-gather": 1.0, "reduce-scatter": 1.0, "collective-permute": 1.0,
         "all-to-all": 1.0}  # fmt: skip
SIZES = {"f32": 4, "bf16": 2, "f16": 2, "s32": 4, "u32": 4, "pred": 1, "s8": 1, "u8": 1, "f64": 8}
OPERATION = re.compile(rf"= (.+?) ({'|'.join(KINDS)})(-start)?\(")
ARRAY = re.compile(r"\b([a-z]+\d*)\[([\d,]*)\]")
CALLED = re.compile(r"(?:calls|to_apply|body|condition|branch_computations)=(\{[^}]*\}|%[\w.-]+)")
GROUPS = re.compile(r"replica_groups=(?:\{\{([\d,]+)\}|\[\d+,(\d+)\]|mesh\[(.*?)\] \{(.*?)\})")
TRIPS = re.compile(r'"known_trip_count":\{"n":"(\d+)"')


@dataclass(frozen=True)
class Collective:
    """One operation between devices, as one of them sees it."""

    kind: str
    bytes: int  # of the whole array: what is summed, gathered or divided
    group: int  # devices that take part
    type: str = "f32"
    hidden: bool = False  # other work may go on meanwhile
    times: int = 1  # in a loop

    @property
    def sent(self) -> float:
        """Bytes that each device of a ring sends."""
        own = 0 if self.kind == "collective-permute" else 1 / self.group
        return KINDS[self.kind] * (1 - own) * self.bytes * self.times


def collectives(module: str, devices: int = 1) -> list[Collective]:
    """Lists the collectives of a compiled module; `devices` where the text names no groups."""
    bodies = dict(_computations(module))
    repeated, found, seen = _repetitions(bodies), [], set()
    for name, lines in bodies.items():
        text = "\n".join(lines)
        fused = "AsyncCollective" in text or "async_collective" in name
        for line in lines:
            match = OPERATION.search(line)
            channel = re.search(r"channel_id=(\d+)", line)
            if not match or (fused and channel and channel[1] in seen):
                continue
            if channel and fused:
                seen.add(channel[1])
            kind, group = match[2], _group(line, devices)
            kind = "reduce-scatter" if name.startswith("%all-reduce-scatter") else kind
            size, types = _whole(match[1], match[2], bool(match[3]), group)
            hidden = fused or bool(match[3])
            found.append(Collective(kind, size, group, types, hidden, repeated.get(name, 1)))
    return found


def totals(found: list[Collective]) -> dict[str, int]:
    """Bytes of each kind."""
    kinds = sorted({x.kind for x in found})
    return {kind: sum(x.bytes * x.times for x in found if x.kind == kind) for kind in kinds}


def sent(found: list[Collective]) -> float:
    return sum(x.sent for x in found)


def _computations(module: str) -> Iterator[tuple[str, list[str]]]:
    """Name and lines of every function of the module; lines outside of any have no name."""
    name, lines = "", []
    for line in module.splitlines():
        start = re.match(r"(?:ENTRY )?(%[\w.-]+) .*\{$", line)
        if start or line.startswith("}"):
            yield name, lines
            name, lines = start[1] if start else "", []
        else:
            lines.append(line)
    yield name, lines


def _repetitions(bodies: dict[str, list[str]]) -> dict[str, int]:
    """How often each function runs; loops of unknown length count once."""
    callers: dict[str, tuple[str, int]] = {}
    for name, lines in bodies.items():
        for line in lines:
            trips = TRIPS.search(line) if " while(" in line else None
            for called in CALLED.findall(line):
                for one in re.findall(r"%[\w.-]+", called):
                    callers[one] = (name, int(trips[1]) if trips else 1)

    def times(name: str) -> int:
        caller, trips = callers.get(name, ("", 1))
        return trips * times(caller) if caller else 1

    return {name: times(name) for name in bodies}


def _group(line: str, devices: int) -> int:
    """`{{0,1},{2,3}}`, `[groups,devices]<=[...]` or `mesh['a'=2,'b'=4] {'b'}`."""
    found = GROUPS.search(line)
    if not found:
        return devices
    if found[3]:
        axes = dict(re.findall(r"'(\w+)'=(\d+)", found[3]))
        return math.prod(int(axes[axis]) for axis in re.findall(r"'(\w+)'", found[4]))
    return int(found[2]) if found[2] else found[1].count(",") + 1


def _whole(result: str, kind: str, started: bool, group: int) -> tuple[int, str]:
    """Bytes of the whole array, and the types of its numbers."""
    arrays = ARRAY.findall(result)
    sizes = [SIZES.get(t, 4) * math.prod(map(int, filter(None, n.split(",")))) for t, n in arrays]
    types = " ".join(sorted({name for name, _ in arrays}))
    if started and kind != "all-reduce":  # (operands, results)
        half = len(sizes) // 2
        return max(sum(sizes[:half]), sum(sizes[half:])), types
    return sum(sizes) * (group if kind == "reduce-scatter" else 1), types
