"""MATLAB files of unmixing: a matrix with one column a pixel, and its rows and columns."""

from collections.abc import Iterable
from pathlib import Path

import numpy as np

from hsisr_jax.errors import UserError
from hsisr_jax.formats import matlab
from hsisr_jax.formats.raw import ArrayReader
from hsisr_jax.formats.scene import SceneMeta


def open_pixels(
    path: Path, *, variables: Iterable[str] = ("Y", "V"), size: tuple[int, int] | None = None
) -> ArrayReader | None:
    """The cube of such a file, with `nRow` and `nCol` beside it; held in memory.

    None when the file has no such matrix (or no size, unless `size` is given).
    """
    if path.suffix.lower() != ".mat":
        return None
    found = (_variable(path, "nRow"), _variable(path, "nCol"))
    sides = [int(value.item()) for value in found if value is not None and value.size == 1]
    if len(sides) == 2:
        size = sides[0], sides[1]
    if size is None:
        return None
    for name in variables:
        values = _variable(path, name)
        if values is not None and values.shape[2] == 1 and values.shape[1] > 1:
            cube = pixel_matrix(values[..., 0], *size, f"{path}: '{name}'")
            return ArrayReader(path, cube, SceneMeta(), kind=matlab.KIND)
    return None


def pixel_matrix(values: np.ndarray, height: int, width: int, where: str) -> np.ndarray:
    """(bands, pixels), pixels running down the columns as MATLAB counts -> (rows, columns, bands).

    Reading the pixels row by row instead gives the mirrored scene.
    """
    if values.ndim != 2 or values.shape[1] != height * width:
        raise UserError(
            f"{where}: shape {values.shape} is not (bands, {height}*{width} pixels); "
            "use the published file"
        )
    return values.reshape(len(values), width, height).transpose(2, 1, 0)


def _variable(path: Path, name: str) -> np.ndarray | None:
    try:
        with matlab.open_scene(path, variable=name) as reader:
            return reader.read()
    except UserError:
        return None
