"""Images in overlapping tiles, blended without seams.

Where two tiles overlap their weights fall linearly towards the tile's edge; the weights of all
tiles that cover a pixel are divided out, so a pointwise network gives exactly the whole-image
result. The outer quarter of an overlap counts only where no other tile reaches: there a tile lacks
its neighbourhood, and a network that looks no further gives the whole-image result as well.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from hsisr_jax.errors import UserError

UNTRUSTED = 1e-7  # the weight of pixels at a tile's edge, beside 1 of another tile


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

    def rows(self) -> list[int]:
        return origins(self.height, self.size[0], self.overlap)

    def cols(self) -> list[int]:
        return origins(self.width, self.size[1], self.overlap)

    def corners(self) -> list[tuple[int, int]]:
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
    total = weight = None
    mask = np.outer(*(ramp(n * scale, overlap * scale) for n in plan.size))[..., None]
    for first in range(0, len(corners), batch):
        part = corners[first : first + batch]
        padded = part + [part[-1]] * (batch - len(part))  # one shape: one compilation
        cut = {
            name: np.concatenate([_cut(x, plan, corner, reference) for corner in padded])
            for name, x in inputs.items()
        }
        for (row, col), out in zip(part, np.asarray(run(cut))):
            if total is None:
                shape = (plan.height * scale, plan.width * scale)
                total = np.zeros((*shape, out.shape[-1]), np.float32)
                weight = np.zeros((*shape, 1), np.float32)
            window = np.s_[
                row * scale : row * scale + out.shape[0], col * scale : col * scale + out.shape[1]
            ]
            total[window] += out * mask
            weight[window] += mask
    return (total / weight)[None]


def _cut(x: np.ndarray, plan: Plan, corner: tuple[int, int], reference: np.ndarray) -> np.ndarray:
    factor = x.shape[1] // reference.shape[1]
    rows, cols = (slice(at * factor, (at + size) * factor) for at, size in zip(corner, plan.size))
    return np.asarray(x[:, rows, cols])
