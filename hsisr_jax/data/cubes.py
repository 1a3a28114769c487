"""Raw scenes for the preparation of datasets: windows, checks, statistics, storage types.

Everything works in blocks of rows, so that a scene larger than memory can be prepared. Plain numpy.
"""

from collections.abc import Callable, Iterable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from hsisr_jax.data.splits import Region
from hsisr_jax.errors import UserError
from hsisr_jax.formats import SceneMeta, open_scene
from hsisr_jax.formats.scene import hidden_values
from hsisr_jax.ops.fill import filled

BLOCK_BYTES = 64 << 20  # one stored example; TFDS needs several times as much while it writes
LEVELS = 1000  # steps of float32 that a scene's contrast has at least
NOISE = 0.2  # of the largest value: how far below 0 the noise of reflectance may reach
SCAN_BLOCKS = 4  # read at once: chunks of compressed files are unpacked fewer times


class Cube(Protocol):
    """The interface of a scene reader: sizes, and windows of (rows, columns, all bands)."""

    height: int
    width: int
    bands: int
    dtype: np.dtype

    def read(self, rows: slice, cols: slice) -> np.ndarray: ...


class ArrayCube:
    """A cube in memory."""

    def __init__(self, array: np.ndarray):
        self.array = array
        self.height, self.width, self.bands = array.shape
        self.dtype = array.dtype

    def read(self, rows: slice | None = None, cols: slice | None = None) -> np.ndarray:
        return self.array[rows or slice(None), cols or slice(None)]


class PickedCube:
    """A selection of a cube's bands."""

    def __init__(self, cube: Cube, bands: np.ndarray):
        self.cube, self.picked = cube, bands
        self.height, self.width, self.bands = cube.height, cube.width, len(bands)
        self.dtype = cube.dtype

    def read(self, rows: slice, cols: slice) -> np.ndarray:
        return self.cube.read(rows, cols)[..., self.picked]


class LazyCube:
    """A cube that `load` makes when it is read; only the most recent one is kept in memory."""

    _kept: tuple[Any, Any] = (None, None)

    def __init__(
        self, load: Callable[[], np.ndarray], shape: tuple[int, int, int], dtype: np.dtype
    ):
        self.load = load
        self.height, self.width, self.bands = shape
        self.dtype = np.dtype(dtype)

    def read(self, rows: slice, cols: slice) -> np.ndarray:
        owner, array = LazyCube._kept
        if owner is not self:
            LazyCube._kept = (None, None)
            array = self.load()
            LazyCube._kept = (self, array)
        return array[rows, cols]


@dataclass(frozen=True)
class RawScene:
    """A whole scene as published. `extras(block, rows, cols)` returns what is stored beside it.

    `block` is as stored, with all bands, and what is simulated from it has the same units;
    `origin` is where a scene that is itself a cut (a published tile) lies in the larger one. With
    `holes` there may be values without data: they are filled from their neighbours and marked.
    """

    name: str
    cube: Cube
    meta: SceneMeta = field(default_factory=SceneMeta)
    gsd: float = np.nan
    domain: int = 0
    origin: tuple[int, int] = (0, 0)
    extras: Callable[[np.ndarray, slice, slice], Mapping[str, np.ndarray]] | None = None
    negative: str = "error"
    fill: float | None = None
    holes: bool = False

    @property
    def size(self) -> tuple[int, int]:
        return self.cube.height, self.cube.width

    def read(self, rows: tuple[int, int], cols: tuple[int, int]) -> np.ndarray:
        """All bands of a window in the file's dtype; values that are not allowed raise an error."""
        return self.read_marked(rows, cols)[0]

    def read_marked(
        self, rows: tuple[int, int], cols: tuple[int, int]
    ) -> tuple[np.ndarray, np.ndarray]:
        """`read`, and which pixels `(h, w)` had no data in some band."""
        block = np.asarray(self.cube.read(slice(*rows), slice(*cols)))
        holes = hidden_values(block, self.meta.nodata)
        marked = holes.any(-1)
        if marked.any():
            if self.holes and self.fill is None:
                block = filled(block, holes)
            else:
                block = self._filled(block, holes, rows[0], cols[0])
                marked = np.zeros_like(marked)
        if self.negative != "keep" and block.dtype.kind in "if" and block.min(initial=0) < 0:
            block = self._without_negatives(block, rows, cols)
        return block, marked

    def _filled(self, block: np.ndarray, holes: np.ndarray, top: int, left: int) -> np.ndarray:
        if self.fill is not None:
            with np.errstate(invalid="ignore"):
                value = np.asarray(self.fill).astype(block.dtype)
            if block.dtype.kind in "iu" and value != self.fill:
                raise UserError(
                    f"scene '{self.name}' holds {block.dtype} values and config.data.options.fill "
                    f"is {self.fill}; give one of those"
                )
            return np.where(holes, value, block)
        row, col, band = np.argwhere(holes)[0]
        value = block[row, col, band]
        what = f"the no-data value {value:g}" if np.isfinite(value) else "NaN or infinity"
        raise UserError(
            f"scene '{self.name}' has {what} at row {top + row}, column {left + col}, band {band} "
            "(from 0); crop it away or give a value in its place: --config.data.options.fill=0"
        )

    def _without_negatives(self, block: np.ndarray, rows, cols) -> np.ndarray:
        if self.negative == "clip":
            return np.maximum(block, 0)
        bad = block < (-NOISE * block.max(initial=0) if self.negative == "noise" else 0)
        if not bad.any():
            return block
        row, col, band = np.argwhere(bad)[0]
        value, at = block[row, col, band], f"row {rows[0] + row}, column {cols[0] + col}"
        raise UserError(
            f"scene '{self.name}' has negative values ({value:g} at {at}, band {band}); declare "
            "them as no data in the file, or give --config.data.options.negative=clip or =keep"
        )

    def physical(self, block: np.ndarray) -> np.ndarray:
        return block * self.meta.scale + self.meta.offset


@dataclass
class Statistics:
    """Smallest, largest and mean value, in physical units."""

    minimum: float = np.inf
    maximum: float = -np.inf
    total: float = 0.0
    count: int = 0

    def add(self, block: np.ndarray, raw: RawScene) -> None:
        if block.size:
            self.minimum = min(self.minimum, float(raw.physical(block.min().astype(float))))
            self.maximum = max(self.maximum, float(raw.physical(block.max().astype(float))))
            self.total += float(raw.physical(block.mean(dtype=float))) * block.size
            self.count += block.size

    @property
    def mean(self) -> float:
        return self.total / self.count if self.count else np.nan

    def merge(self, other: "Statistics") -> "Statistics":
        return Statistics(
            min(self.minimum, other.minimum),
            max(self.maximum, other.maximum),
            self.total + other.total,
            self.count + other.count,
        )


def check_contrast(raw: RawScene, whole: Statistics) -> None:
    """Refuses a scene without contrast, or whose contrast float32 cannot represent."""
    span = whole.maximum - whole.minimum
    if span == -np.inf:
        raise UserError(f"scene '{raw.name}': every value is no data: there is nothing to train on")
    if span == 0:
        raise UserError(
            f"scene '{raw.name}' has no contrast (every value is {whole.minimum:.6g}): look at the "
            "file"
        )
    dtype = np.dtype(raw.cube.dtype).newbyteorder("=")
    if dtype.itemsize < 4 or dtype == np.float32 or not span > 0:
        return
    stored = (np.array([whole.minimum, whole.maximum]) - raw.meta.offset) / raw.meta.scale
    with np.errstate(over="ignore"):
        step = float(np.spacing(np.float32(np.abs(stored).max())))
    if not span / abs(raw.meta.scale) >= LEVELS * step:
        raise UserError(
            f"scene '{raw.name}' holds {dtype} values from {stored.min():.17g} to "
            f"{stored.max():.17g}, which are the same in float32: subtract the smallest and save "
            "that"
        )


def row_blocks(rows: tuple[int, int], row_bytes: int) -> list[tuple[int, int]]:
    """Cuts rows into blocks of at most BLOCK_BYTES."""
    step = max(BLOCK_BYTES // max(row_bytes, 1), 1)
    return [(start, min(start + step, rows[1])) for start in range(rows[0], rows[1], step)]


def scan(
    raw: RawScene,
    window: tuple[tuple[int, int], tuple[int, int]],
    regions: Iterable[Region],
    bands: slice,
    progress: Callable[[str, int, int], None] | None = None,
) -> tuple[Statistics, list[Statistics]]:
    """One pass over a window of a scene: its statistics and those of the regions inside it.

    The scene's are of all its bands, so that its maximum does not depend on the `bands` in use.
    """
    regions = list(regions)
    whole, parts = Statistics(), [Statistics() for _ in regions]
    (top, bottom), (left, right) = window
    row_bytes = (right - left) * raw.cube.bands * raw.cube.dtype.itemsize
    for r0, r1 in row_blocks((top, bottom), row_bytes // SCAN_BLOCKS):
        block, hidden = raw.read_marked((r0, r1), (left, right))
        whole.add(_seen(block, hidden), raw)
        for region, part in zip(regions, parts):
            rows = slice(max(region.rows[0] - r0, 0), max(region.rows[1] - r0, 0))
            inside = rows, slice(region.cols[0] - left, region.cols[1] - left)
            part.add(_seen(block[*inside, bands], hidden[inside]), raw)
        if progress:
            progress(f"reading {raw.name}", r1 - top, bottom - top)
    check_contrast(raw, whole)
    return whole, parts


def _seen(block: np.ndarray, hidden: np.ndarray) -> np.ndarray:
    """The values without those of hidden pixels."""
    return block[~hidden] if hidden.any() else block


def stored(block: np.ndarray, dtype: np.dtype, where: str) -> np.ndarray:
    """Converts values to the dataset's dtype; a value that would change raises an error."""
    dtype = np.dtype(dtype)
    if block.dtype == dtype:
        return np.ascontiguousarray(block)
    if dtype.kind in "iu":
        limits = np.iinfo(dtype)
        inside = block.min(initial=0) >= limits.min and block.max(initial=0) <= limits.max
        if not inside or (block.dtype.kind == "f" and not (block == np.round(block)).all()):
            raise UserError(
                f"{where}: the values are not the sensor's whole numbers ({dtype}), so this is a "
                f"re-scaled copy ({block.dtype}, {block.min():.6g} to {block.max():.6g}); "
                "use the published file"
            )
    with np.errstate(over="ignore"):
        result = block.astype(dtype)
    if dtype.kind == "f" and not np.isfinite(result).all():
        raise UserError(f"{where}: values up to {np.abs(block).max():.3g} do not fit {dtype}")
    return np.ascontiguousarray(result)


def storage_dtype(dtype: np.dtype) -> np.dtype:
    """The dtype in which values of a user's file are stored."""
    dtype = np.dtype(dtype).newbyteorder("=")
    if dtype.kind == "b":
        return np.dtype("uint8")
    if dtype.kind not in "iuf":
        raise UserError(f"a scene of {dtype} values cannot be used; store real numbers")
    return np.dtype("float32") if dtype.itemsize == 8 or dtype.kind == "f" else dtype


def check_shape(cube: Cube, expected: tuple[int | None, int | None, int | None], path: Path):
    """Refuses wrong band counts and swapped axes."""
    found = (cube.height, cube.width, cube.bands)
    if all(want in (None, got) for want, got in zip(expected, found)):
        return
    text = "x".join("?" if want is None else str(want) for want in expected)
    problem = "has another size"
    if expected[2] not in (None, found[2]) and found[:2] == tuple(expected[:2]):
        problem = f"has {found[2]} bands"
    elif sorted(found) == sorted(want or 0 for want in expected):
        problem = "has its axes in another order"
    raise UserError(
        f"{path}: {problem}: {found[0]}x{found[1]}x{found[2]} (rows, columns, bands) instead of "
        f"{text}; use the published file"
    )


def open_cube(
    path: Path, expected: tuple[int | None, int | None, int | None], *, variable: str | None = None
):
    """A scene reader for a published file, checked against the size that it should have."""
    reader = open_scene(path, variable=variable)
    check_shape(reader, expected, path)
    return reader


def band_means(ranges: Iterable[tuple[int, int]]) -> Callable[..., dict[str, np.ndarray]]:
    """Extras: an MSI whose bands are plain means of bands [first, end), counted from 0."""
    ranges = tuple(ranges)

    def simulate(block: np.ndarray, rows: slice, cols: slice) -> dict[str, np.ndarray]:
        means = [block[..., a:b].mean(axis=-1, dtype=np.float64) for a, b in ranges]
        return {"msi": np.stack(means, axis=-1).astype(np.float32)}

    return simulate


def open_any(path: Path, variable: str | None, stack: ExitStack) -> tuple[Any, SceneMeta, tuple]:
    """A cube, its metadata, and all its files."""
    cube = stack.enter_context(open_cube(path, (None, None, None), variable=variable))
    return cube, cube.meta, cube.files
