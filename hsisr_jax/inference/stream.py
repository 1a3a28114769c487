"""Prediction of a scene of any size in bounded memory.

Reading, computing and writing overlap: one thread reads the next bands of rows, the device computes
a batch of tiles while the previous one is added up, one thread writes what is final.
On CPUs tiles are added and rows written before the next are made, which saves their memory.
"""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

import jax
import numpy as np
from jax.sharding import Mesh

from hsisr_jax import mesh as meshes
from hsisr_jax.inference.grid import Grid, Unit

AHEAD = 2  # bands that are read before they are needed

Source = np.ndarray | tuple[np.ndarray, ...]  # h w c each
Read = Callable[[slice, slice], Source]  # rows and columns, which may lie outside
Write = Callable[[Unit, int, np.ndarray], None]  # a unit, its first output row, its values


@dataclass
class Stream:
    """`run(tiles, row weights, column weights)` over a grid: `b h w c` to weighted `b H W c`."""

    grid: Grid
    run: Callable[..., jax.Array]
    read: Read
    write: Write
    halo: int  # input pixels around a tile that `run` is given too
    batch: int
    mesh: Mesh
    progress: Callable[[int], None] = lambda tiles: None
    stop: Callable[[], bool] = lambda: False
    empty: Callable[[Source], bool] = lambda tile: False  # whether there is nothing in a tile

    def __call__(self, done: set[tuple[int, int]]) -> bool:
        """Makes and writes all units that are not `done`; False if asked to stop before the end."""
        self.made = 0
        with ThreadPoolExecutor(1) as reader, ThreadPoolExecutor(1) as writer:
            for units in self.grid.units(done):
                if not self._strip(units, done, reader, writer):
                    return False
        return True

    def _strip(
        self,
        units: list[Unit],
        done: set[tuple[int, int]],
        reader: ThreadPoolExecutor,
        writer: ThreadPoolExecutor,
    ) -> bool:
        rows, pending = self.grid.rows, None
        top = rows.first[units[0].band]
        shape = (rows.out, units[0].right - units[0].left, self.grid.bands)
        total = np.zeros(shape, np.float32)  # output rows from `top` on
        for unit, source in self._sources(units, reader):
            if self.stop():
                _wait(pending)
                return False
            for column, tile in self._tiles(unit, source):
                _add(total, tile, self.grid.cols.first[column] - unit.left)
                del tile  # of the output of a whole batch, which the next one needs the memory of
            final = rows.ends[unit.band] - top
            _wait(pending)  # one band waits to be written: memory is bounded
            pending = None
            if unit.key not in done:
                pending = writer.submit(self.write, unit, top, total[:final])
            rest = np.zeros(shape, np.float32)
            rest[: len(total) - final] = total[final:]
            total, top = rest, top + final
            if self._at_once:
                _wait(pending)
                pending = None
        _wait(pending)
        return True

    def _sources(
        self, units: list[Unit], reader: ThreadPoolExecutor
    ) -> Iterator[tuple[Unit, Source]]:
        """Each unit with the input rows that its tiles need."""
        waiting: deque[tuple[Unit, Future]] = deque()
        for unit in units:
            rows, cols = self._window(unit)
            waiting.append((unit, reader.submit(self.read, rows, cols)))
            if len(waiting) == AHEAD:
                first, future = waiting.popleft()
                yield first, future.result()
        for unit, future in waiting:
            yield unit, future.result()

    def _window(self, unit: Unit) -> tuple[slice, slice]:
        rows, cols = self.grid.rows, self.grid.cols
        row = rows.starts[unit.band]
        first, last = cols.starts[unit.columns[0]], cols.starts[unit.columns[-1]] + cols.size
        return (
            slice(row - self.halo, row + rows.size + self.halo),
            slice(first - self.halo, last + self.halo),
        )

    def _tiles(self, unit: Unit, source: Source) -> Iterator[tuple[int, np.ndarray]]:
        """Weighted output tiles with their column numbers, one batch ahead on the device; NaN for
        those that are empty, which nothing is computed for."""
        before: tuple[list[int], jax.Array] | None = None
        empty = [c for c in unit.columns if self.empty(self._cut(unit, c, source))]
        nothing = np.full((self.grid.rows.out, self.grid.cols.out, 1), np.nan, np.float32)
        yield from self._told((c, nothing) for c in empty)
        used = [column for column in unit.columns if column not in empty]
        for first in range(0, len(used), self.batch):
            columns = used[first : first + self.batch]
            if self._at_once:
                yield from self._fetch(columns, self._enqueue(unit, columns, source))
                continue
            now = columns, self._enqueue(unit, columns, source)
            if before:
                yield from self._fetch(*before)
            before = now
        if before:
            yield from self._fetch(*before)

    def _enqueue(self, unit: Unit, columns: list[int], source: Source) -> jax.Array:
        rows, cols = self.grid.rows, self.grid.cols
        padded = columns + [columns[-1]] * (self.batch - len(columns))  # one shape: one compilation
        cut = [self._cut(unit, column, source) for column in padded]
        tiles = jax.tree.map(lambda *parts: np.stack(parts), *cut)
        down = np.broadcast_to(rows.weights[unit.band], (self.batch, rows.out))
        inputs = tiles, down, cols.weights[padded]
        return self.run(*jax.device_put(inputs, meshes.batch(self.mesh)))

    def _cut(self, unit: Unit, column: int, source: Source) -> Source:
        """The input of one tile and its halo."""
        starts, width = self.grid.cols.starts, self.grid.cols.size + 2 * self.halo
        left = starts[column] - starts[unit.columns[0]]
        return jax.tree.map(lambda x: x[:, left : left + width], source)

    @property
    def _at_once(self) -> bool:
        """Whether tiles are added and bands written before the next are made: where the processor
        does it all, doing them at the same time takes memory and gains nothing."""
        return self.mesh.devices.flat[0].platform == "cpu"

    def _fetch(self, columns: list[int], out: jax.Array) -> Iterator[tuple[int, np.ndarray]]:
        yield from self._told(zip(columns, np.asarray(out)))

    def _told(self, tiles: Iterable[tuple[int, np.ndarray]]) -> Iterator[tuple[int, np.ndarray]]:
        for tile in tiles:
            yield tile
            self.made += 1
        self.progress(self.made)


def _add(total: np.ndarray, tile: np.ndarray, left: int) -> None:
    """Adds what of a tile lies inside the strip; `left` may be negative."""
    start, stop = max(left, 0), min(left + tile.shape[1], total.shape[1])
    total[:, start:stop] += tile[:, start - left : stop - left]


def _wait(future: Future | None) -> None:
    if future is not None:
        future.result()
