"""Images in overlapping tiles, blended without seams.

Where two tiles overlap their weights fall linearly towards the tile's edge; the weights of all
tiles that cover a pixel are divided out, so a pointwise network gives exactly the whole-image
result. The outer quarter of an overlap counts only where no other tile reaches: there a tile lacks
its neighbourhood, and a network that looks no further gives the whole-image result as well.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from hsisr_jax.errors import UserError

UNTRUSTED = 1e-7  # the weight of pixels at a tile's edge, beside 1 of another tile
Corner = tuple[int, int]  # row and column of a tile's first pixel


@dataclass(frozen=True)
class Plan:
    """Tiles of `tile` low-resolution pixels with `overlap`, for an image of `height` x `width`."""

    height: int
    width: int
    tile: int
    overlap: int

    def __post_init__(self):
        if self.tile < 1 or not 0 <= self.overlap < self.tile:
            raise UserError(f"tiles of {self.tile} cannot overlap by {self.overlap} pixels")

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of every tile: the image's own where it is smaller than a tile."""
        return min(self.tile, self.height), min(self.tile, self.width)

    def __str__(self) -> str:
        count, side = len(self.corners()), " x ".join(map(str, self.size))
        many = f"{count} tiles of {side} that overlap by {self.overlap}"
        return many if count > 1 else f"one tile of {side}"

    def rows(self) -> list[int]:
        return origins(self.height, self.size[0], self.overlap)

    def cols(self) -> list[int]:
        return origins(self.width, self.size[1], self.overlap)

    def corners(self) -> list[Corner]:
        return [(row, col) for row in self.rows() for col in self.cols()]


def origins(length: int, tile: int, overlap: int) -> list[int]:
    """Starts of tiles along one axis; the last is pulled back to end at the border."""
    step = max(tile - overlap, 1)
    starts = list(range(0, max(length - tile, 0), step))
    return [*starts, length - tile]


def ramp(size: int, overlap: int) -> np.ndarray:
    """Weights along one side of a tile: up over the overlap, flat, down again."""
    edge = np.minimum(np.arange(size) + 1, np.arange(size)[::-1] + 1)
    margin = overlap // 4
    return np.clip((edge - margin) / (overlap + 1 - 2 * margin), UNTRUSTED, 1).astype(np.float32)


def in_tiles(
    run: Callable[[dict], np.ndarray],
    inputs: Mapping[str, np.ndarray],
    *,
    scale: int,
    tile: int,
    overlap: int,
    batch: int = 8,
) -> np.ndarray:
    """`run` on batches of tiles of the inputs (`1 h w c`; `lms` at `scale`), blended: `1 H W c`."""
    reference = inputs["lr"] if "lr" in inputs else inputs["msi"]
    plan = Plan(*reference.shape[1:3], tile, overlap)
    corners = plan.corners()

    def made() -> Iterator[tuple[Corner, np.ndarray]]:
        for first in range(0, len(corners), batch):
            part = corners[first : first + batch]
            padded = part + [part[-1]] * (batch - len(part))  # one shape: one compilation
            cut = {
                name: np.concatenate([_cut(x, plan, corner, reference) for corner in padded])
                for name, x in inputs.items()
            }
            yield from zip(part, np.asarray(run(cut)))

    parts = slice(0, plan.height * scale), slice(0, plan.width * scale)
    return blended(plan, scale, made(), parts)[None]


def blended(
    plan: Plan,
    scale: int,
    tiles: Iterable[tuple[Corner, np.ndarray]],
    parts: tuple[slice, slice],
) -> np.ndarray:
    """The result in output rows and columns, from the corners and outputs of all tiles that reach
    them, in the order of the plan."""
    ramps = [ramp(n * scale, plan.overlap * scale) for n in plan.size]
    if len(plan.corners()) == 1:
        ramps = [np.ones_like(x) for x in ramps]
    mask = np.outer(*ramps)[..., None]
    shape = [part.stop - part.start for part in parts]
    total, weight = None, np.zeros((*shape, 1), np.float32)
    for corner, out in tiles:
        if total is None:
            total = np.zeros((*shape, out.shape[-1]), np.float32)
        into, of = zip(*map(_common, (at * scale for at in corner), mask.shape, parts))
        total[into] += out[of] * mask[of]
        weight[into] += mask[of]
    assert total is not None
    total /= weight
    return total


def _common(start: int, size: int, part: slice) -> tuple[slice, slice]:
    """The overlap of a tile of this start and size with a part: its place in either."""
    first, last = max(start, part.start), min(start + size, part.stop)
    return slice(first - part.start, last - part.start), slice(first - start, last - start)


def _cut(x: np.ndarray, plan: Plan, corner: Corner, reference: np.ndarray) -> np.ndarray:
    factor = x.shape[1] // reference.shape[1]
    rows, cols = (slice(at * factor, (at + size) * factor) for at, size in zip(corner, plan.size))
    return np.asarray(x[:, rows, cols])
