"""Common parts of products: bands in physical units, and swaths located by their grids."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from hsisr_jax.errors import UserError
from hsisr_jax.formats import carried
from hsisr_jax.formats.scene import SceneMeta, SceneReader, check_size, hidden_values

SHOWN = 4  # quality layers that are named
POINTS = 12  # ground control points along each side of a swath


@dataclass(frozen=True)
class Part:
    """Bands of one array of a product: `bands` of `data` become `data * gain + offset`."""

    data: Any  # an array of h5py or numpy with three axes, or two for a single band
    axes: str  # the stored order of h, w, b
    bands: np.ndarray
    gain: np.ndarray | float = 1.0
    offset: np.ndarray | float = 0.0
    fill: float | None = None  # a stored value that stands for none
    blank: float | None = None  # a stored value that stands for none where all bands have it

    def read(self, rows: slice, cols: slice) -> np.ndarray:
        """Physical values `(h, w, bands)`, NaN where there are none."""
        parts = {"h": rows, "w": cols, "b": slice(None)}
        stored = np.asarray(self.data[tuple(parts[axis] for axis in self.axes)])
        if "b" not in self.axes:
            stored = stored[..., None]
        order = [(self.axes if "b" in self.axes else "hwb").index(axis) for axis in "hwb"]
        stored = stored.transpose(order)[..., self.bands]
        values = stored.astype(np.float64) * self.gain + self.offset
        hidden = np.zeros(stored.shape, bool) if self.fill is None else stored == self.fill
        if self.blank is not None:
            hidden |= (stored == self.blank).all(-1, keepdims=True)
        values[hidden] = np.nan
        return values.astype(np.float32)


class PartsReader(SceneReader):
    """Parts of one product side by side, as float32."""

    def __init__(self, path: Path, kind: str, parts: list[Part], meta: SceneMeta, *,
                 notes: tuple[str, ...] = (), owner: Any = None):  # fmt: skip
        self.path, self.kind, self.parts, self.owner, self.notes = path, kind, parts, owner, notes
        sizes = {axis: n for axis, n in zip(parts[0].axes, parts[0].data.shape)}
        self.height, self.width = int(sizes["h"]), int(sizes["w"])
        self.bands = sum(len(part.bands) for part in parts)
        self.dtype = np.dtype(np.float32)
        self.meta = meta.check(self.bands, path)
        for part in parts:
            shape = {axis: n for axis, n in zip(part.axes, part.data.shape)}
            if (shape["h"], shape["w"]) != (self.height, self.width):
                raise UserError(f"{path}: its cubes differ in size; the file may be damaged")
            nbytes = int(np.prod(part.data.shape, dtype=object)) * part.data.dtype.itemsize
            check_size(path, nbytes, path.stat().st_size, packed=True)

    def _read(self, rows: slice, cols: slice) -> np.ndarray:
        return np.concatenate([part.read(rows, cols) for part in self.parts], axis=-1)

    def close(self) -> None:
        """Close the file."""
        if self.owner is not None:
            self.owner.close()


class GainReader(SceneReader):
    """Another reader's values with the gain and offset of each band applied, as float32."""

    def __init__(self, inner: SceneReader):
        lists = carried.gains(inner.meta.extra, inner.bands)
        gain, offset = carried.GAINS
        self.gain = np.array(lists.get(gain, [1.0] * inner.bands))
        self.offset = np.array(lists.get(offset, [0.0] * inner.bands))
        self.inner, self.path, self.kind = inner, inner.path, inner.kind
        self.height, self.width, self.bands = inner.height, inner.width, inner.bands
        self.dtype, self.sidecars, self.notes = np.dtype(np.float32), inner.sidecars, inner.notes
        extra = {key: text for key, text in inner.meta.extra.items() if key not in lists}
        self.meta = replace(inner.meta, extra=extra, nodata=np.nan, scale=1.0, offset=0.0)

    @property
    def files(self) -> tuple[Path, ...]:
        return tuple(dict.fromkeys((*self.inner.files, *self.sidecars)))

    def _read(self, rows: slice, cols: slice) -> np.ndarray:
        stored = self.inner.read(rows, cols)
        values = stored * self.gain + self.offset
        values[hidden_values(stored, self.inner.meta.nodata)] = np.nan
        return values.astype(np.float32)

    def close(self) -> None:
        """Close the file."""
        self.inner.close()


def control_points(latitude: Any, longitude: Any, shape: tuple[int, int]) -> dict[str, str]:
    """The place on earth of a swath of this shape as ground control points: centres of some of its
    pixels. None where the grids are not there, or of another shape."""
    if any(grid is None or tuple(grid.shape) != tuple(shape) for grid in (latitude, longitude)):
        return {}
    height, width = shape
    rows, cols = (np.unique(np.linspace(0, n - 1, POINTS).astype(int)) for n in (height, width))
    entries: list[float] = []
    for row in rows.tolist():
        lat, lon = (np.asarray(grid[row])[cols] for grid in (latitude, longitude))
        near = np.isfinite(lat) & np.isfinite(lon) & (np.abs(lat) <= 90) & (np.abs(lon) <= 360)
        for col, x, y in zip(cols[near].tolist(), lon[near].tolist(), lat[near].tolist()):
            entries += [col + 0.5, row + 0.5, float(x), float(y), 0.0]
    return {carried.GCPS: carried.listed(entries)} if len(entries) >= 20 else {}


def unused(names: Iterable[str]) -> tuple[str, ...]:
    """A note of a product's quality layers, which nothing here uses."""
    names = sorted(set(names))
    rest = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    listed = ", ".join(names[:SHOWN]) + rest
    return (f"its quality layers are neither used nor kept: {listed}",) if names else ()
