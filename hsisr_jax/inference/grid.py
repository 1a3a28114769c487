"""The tiles of a large scene and the order in which they are computed.

A scene is cut into tiles as `tiles.Plan` does, and its result is written in bands of rows: once the
tiles of one row are added, everything above the next row of tiles is final. Scenes so wide that a
band would not fit in memory are cut into strips of columns first; the tiles across the border of
two strips are made twice, so that the result does not depend on the strips.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from hsisr_jax.inference.tiles import Plan, ramp


class Axis:
    """Tiles along one axis; `size`, `starts` in input pixels, `weights` and `ends` in output's; the
    result is made in `steps`, from the start of one tile to that of the next."""

    def __init__(self, length: int, size: int, starts: list[int], overlap: int, scale: int):
        self.length, self.size, self.starts = length, size, starts
        self.out = size * scale
        weight = ramp(self.out, overlap * scale).astype(np.float64)
        total = np.zeros(length * scale)
        for start in starts:
            total[start * scale :][: self.out] += weight
        # [n, out] that add up to one wherever tiles overlap
        self.weights = np.stack(
            [weight / total[start * scale :][: self.out] for start in starts]
        ).astype(np.float32)
        self.first = [start * scale for start in starts]
        self.ends = [*self.first[1:], length * scale]  # up to here a result is final
        self.steps = [end - first for first, end in zip(self.first, self.ends)]

    def reaching(self, start: int, stop: int) -> list[int]:
        """Indices of the tiles with a pixel in `start:stop` of the output."""
        return [i for i, at in enumerate(self.first) if at < stop and at + self.out > start]

    def steps_in(self, start: int, stop: int) -> list[int]:
        """Indices of the steps with a pixel in `start:stop` of the output."""
        spans = enumerate(zip(self.first, self.ends))
        return [i for i, (first, end) in spans if first < stop and end > start]


@dataclass(frozen=True)
class Unit:
    """A band of rows in a strip: the tiles to add and the output that is final then."""

    strip: int
    band: int
    columns: tuple[int, ...]  # numbers of tiles along the columns
    left: int  # output columns left:right
    right: int

    @property
    def key(self) -> tuple[int, int]:
        return self.strip, self.band


@dataclass(frozen=True)
class Grid:
    """A plan at a scale, in strips of at most `strip_bytes` of accumulated output."""

    plan: Plan
    scale: int
    bands: int  # of the output
    strip_bytes: int = 320 << 20

    @cached_property
    def rows(self) -> Axis:
        plan = self.plan
        return Axis(plan.height, plan.size[0], plan.rows(), plan.overlap, self.scale)

    @cached_property
    def cols(self) -> Axis:
        plan = self.plan
        return Axis(plan.width, plan.size[1], plan.cols(), plan.overlap, self.scale)

    def strips(self) -> Iterator[tuple[tuple[int, ...], int, int]]:
        """Tile columns and output columns of each strip."""
        widest = max(self.strip_bytes // (4 * self.rows.out * self.bands), 1)
        left, cols = 0, self.cols
        for i, end in enumerate(cols.ends):
            last = i == len(cols.ends) - 1
            if last or cols.ends[i + 1] - left > widest:
                yield tuple(cols.reaching(left, end)), left, end
                left = end

    def units(self, done: set[tuple[int, int]]) -> Iterator[list[Unit]]:
        """Yields each strip's bands to make, first those that only lead up to unfinished ones."""
        for strip, (columns, left, right) in enumerate(self.strips()):
            units = [Unit(strip, b, columns, left, right) for b in range(len(self.rows.starts))]
            missing = [unit.band for unit in units if unit.key not in done]
            if missing:
                top = 0 if missing[0] == 0 else self.rows.ends[missing[0] - 1]
                first = self.rows.reaching(top, self.rows.ends[-1])[0]
                yield units[first : missing[-1] + 1]

    def tiles(self, done: set[tuple[int, int]]) -> int:
        """The number of tiles to compute."""
        return sum(len(unit.columns) for units in self.units(done) for unit in units)
