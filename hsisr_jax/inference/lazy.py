"""Sharpening of Dask arrays: nothing is computed until the result is.

The scene's facts are one task that all tiles share, a tile is one task, and a chunk of the result
blends the tiles that reach it.
"""

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from itertools import product
from uuid import uuid4

import dask
import dask.array as da
import numpy as np
from dask.base import tokenize
from dask.delayed import Delayed
from dask.highlevelgraph import HighLevelGraph

from hsisr_jax.inference import pieces
from hsisr_jax.inference.facts import Facts, Scene, facts_of, joined
from hsisr_jax.inference.grid import Grid
from hsisr_jax.inference.pieces import Request
from hsisr_jax.inference.tiles import Corner

TOGETHER = 16  # facts that one task puts together


def sharpened(array: da.Array, request: Request, facts: Facts | None = None) -> da.Array:
    """The sharpened cube `H W C` of a cube `h w c`, in a chunk for each tile of the plan; `facts`
    that are known are not looked for."""
    if request.workdir:
        request = replace(request, token=uuid4().hex)
    work = pieces.Work(request)
    scale = work.card.scale
    array = array.rechunk({2: -1})
    if facts is None:
        look = dask.delayed(Facts.scene, pure=True)
        scene = look(facts_task(array, request.nodata), work.components)
    else:
        scene = dask.delayed(facts.scene(work.components))
    grid = Grid(work.plan, scale, work.bands)
    rows, cols = grid.rows, grid.cols
    sizes = [tuple(axis.steps) for axis in (rows, cols)]
    source = array.rechunk((*(tuple(n // scale for n in steps) for steps in sizes), -1))
    name = f"sharpened-{tokenize(array.name, request)}"
    tile = f"tile-{name}"
    tasks: dict = {}
    for i, j in product(range(len(rows.starts)), range(len(cols.starts))):
        corner = rows.starts[i], cols.starts[j]
        down, across = (
            axis.steps_in(part.start * scale, part.stop * scale)
            for axis, part in zip((rows, cols), work.window(corner))
        )
        blocks = [[(source.name, r, c, 0) for c in across] for r in down]
        first = rows.starts[down[0]], cols.starts[across[0]]
        tasks[tile, i, j] = (partial(_tile, request, corner, first), scene.key, blocks)
        parts = slice(rows.first[i], rows.ends[i]), slice(cols.first[j], cols.ends[j])
        near = list(product(*(a.reaching(p.start, p.stop) for a, p in zip((rows, cols), parts))))
        corners = [(rows.starts[m], cols.starts[n]) for m, n in near]
        make = partial(_chunk, request, corners, parts)
        tasks[name, i, j, 0] = (make, scene.key, [(tile, m, n) for m, n in near])
    graph = HighLevelGraph.from_collections(name, tasks, dependencies=[source, scene])
    return da.Array(graph, name, (*sizes, (work.bands,)), meta=np.empty((0, 0, 0), np.float32))


def facts_task(array: da.Array, nodata: float | None) -> Delayed:
    """The task that gives the facts of a whole scene `h w c`."""
    blocks = array.rechunk({2: -1}).to_delayed()[:, :, 0]
    tops, lefts = (np.cumsum([0, *sizes]).tolist() for sizes in array.chunks[:2])
    look = dask.delayed(facts_of, pure=True)
    found = [
        look(block, nodata, corner=(tops[i], lefts[j]), whole=array.shape[:2])
        for (i, j), block in np.ndenumerate(blocks)
    ]
    together = dask.delayed(joined, pure=True)
    while len(found) > 1:
        found = [together(found[at : at + TOGETHER]) for at in range(0, len(found), TOGETHER)]
    return found[0]


def _tile(
    request: Request,
    corner: Corner,
    first: Corner,
    scene: Scene,
    blocks: Sequence[Sequence[np.ndarray]],
) -> np.ndarray:
    """A tile's output, from the chunks of the source that its window lies in."""
    work = pieces.work(request)
    window = tuple(
        slice(part.start - at, part.stop - at) for part, at in zip(work.window(corner), first)
    )
    return work.tile(corner, np.block([[[b] for b in row] for row in blocks])[window], scene)


def _chunk(
    request: Request,
    corners: Sequence[Corner],
    parts: tuple[slice, slice],
    scene: Scene,
    tiles: Sequence[np.ndarray],
) -> np.ndarray:
    return pieces.work(request).blend(zip(corners, tiles), parts, scene)
