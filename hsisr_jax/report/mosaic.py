"""Test images that are tiles of one region, put together again for the pictures of a page.

Published protocols score a region tile by tile, and a run keeps each tile in a file of its own,
`<scene>_<row>_<column>.npz`. A picture of the whole region says more than one of a tile.
"""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from hsisr_jax.errors import UserError

NAME = re.compile(r"(.+)_(\d+)_(\d+)")
COVERED = 0.5  # of the rectangle around the tiles, or else they are shown one by one
HIDDEN = "hidden"  # the mask among a mosaic's arrays: where no tile lies

Tiles = Mapping[tuple[int, int], Path]  # by row and column of the corner


def regions(files: Sequence[Path]) -> dict[str, Tiles]:
    """Files grouped by region; an image that is not a tile is its own region."""
    found: dict[str, dict[tuple[int, int], Path]] = {}
    for path in files:
        match = NAME.fullmatch(path.stem)
        if match:
            found.setdefault(match[1], {})[int(match[2]), int(match[3])] = path
    several = {name: tiles for name, tiles in found.items() if len(tiles) > 1}
    tiled = {path for tiles in several.values() for path in tiles.values()}
    whole: dict[str, Tiles] = {path.stem: {(0, 0): path} for path in files if path not in tiled}
    return {**several, **whole}


def together(
    tiles: Mapping[tuple[int, int], Mapping[str, np.ndarray]],
) -> dict[str, np.ndarray] | None:
    """One set of arrays for a region, with a mask `hidden` where there are gaps; None where the
    tiles are too few, or of several kinds."""
    corners, parts = list(tiles), list(tiles.values())
    cubes = [key for key, value in parts[0].items() if value.ndim == 3]
    shape = parts[0]["hr"].shape if "hr" in parts[0] else ()
    shapes = [{key: part[key].shape for key in cubes if key in part} for part in parts]
    if len(shape) != 3 or any(other != shapes[0] for other in shapes):
        return None
    top, left = (min(values) for values in zip(*corners))
    height, width = (max(values) + n for values, n in zip(zip(*corners), shape))
    height, width = height - top, width - left
    hidden = np.ones((height, width), bool)
    for row, column in corners:
        hidden[row - top : row - top + shape[0], column - left : column - left + shape[1]] = False
    if hidden.mean() > 1 - COVERED:
        return None
    out = {key: value for key, value in parts[0].items() if value.ndim != 3}
    for key in cubes:
        ratio = shape[0] / parts[0][key].shape[0]
        places = [((row - top) / ratio, (column - left) / ratio) for row, column in corners]
        if any(at != int(at) for place in places for at in place) or height % ratio:
            continue
        size = int(height / ratio), int(width / ratio), parts[0][key].shape[-1]
        out[key] = np.zeros(size, parts[0][key].dtype)
        for (row, column), part in zip(places, parts):
            tile = part[key]
            rows, columns = int(row) + tile.shape[0], int(column) + tile.shape[1]
            out[key][int(row) : rows, int(column) : columns] = tile
    return out | ({HIDDEN: hidden} if hidden.any() else {})


def check(path: Path, data: Mapping[str, np.ndarray]) -> None:
    """Refuses a kept test image without the required arrays."""
    for key in ("hr", "sr"):
        if key not in data or data[key].ndim != 3 or data[key].dtype.kind not in "fiu":
            raise UserError(f"{path} lacks the array {key} (h, w, c); evaluate again")
    if data["hr"].shape != data["sr"].shape:
        raise UserError(f"{path}: hr and sr differ in shape; evaluate the run again")
