"""EMIT L1B and L2A, and Tanager: a swath with wavelengths, good bands, and places on earth.

EMIT's orthorectification is a table (GLT) of the swath's pixel for each pixel of a map; `variable`
`orthorectified` applies it. Without it the swath is read as it was measured, which is what a
network should sharpen, and its latitudes and longitudes are kept as ground control points.
"""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from hsisr_jax.errors import UserError
from hsisr_jax.formats.crs import wkt
from hsisr_jax.formats.hdf5_meta import attribute, number
from hsisr_jax.formats.products.base import Part, PartsReader, control_points, unused
from hsisr_jax.formats.scene import SceneMeta, SceneReader, check_size

KIND = "an EMIT product"
CUBES = ("reflectance", "radiance")
ORTHO = "orthorectified"
TANAGER = "HDFEOS/SWATHS/HYP/"
ROWS = 64  # of the swath that are read at a time
KEPT = "the swath's latitudes and longitudes are kept as ground control points"


def recognised(file: h5py.File, found: Mapping) -> bool:
    emit = any(name in found for name in CUBES) and "sensor_band_parameters/wavelengths" in found
    return emit or any(name.startswith(TANAGER + "Data Fields/") for name in found)


def open_scene(
    path: Path, file: h5py.File, found: Mapping, variable: str | None
) -> SceneReader | None:
    """The swath, or its map; None for any other variable."""
    if any(name.startswith(TANAGER) for name in found):
        return _tanager(path, file, found, variable)
    if variable not in (None, ORTHO, *CUBES):
        return None
    name = variable if variable in CUBES else next(cube for cube in CUBES if cube in found)
    if name not in found:
        raise UserError(f"{path}: has no {name}; it has {next(c for c in CUBES if c in found)}")
    data = found[name]
    if data.ndim != 3:
        raise UserError(f"{path}: its {name} has {data.ndim} axes instead of three; copy it again")
    paths = (f"sensor_band_parameters/{key}" for key in ("wavelengths", "fwhm", "good_wavelengths"))
    centres, widths, good = (
        np.asarray(found[key][()]).reshape(-1)
        if key in found and found[key].size == data.shape[2]
        else None
        for key in paths
    )
    fill = number(data, "_FillValue")
    part = Part(data, "hwb", np.arange(data.shape[2]), fill=-9999.0 if fill is None else fill)
    extra = control_points(found.get("location/lat"), found.get("location/lon"), data.shape[:2])
    meta = SceneMeta(
        wavelengths=centres, fwhm=widths, bad_bands=None if good is None else good < 0.5,
        nodata=np.nan, sensor="EMIT", units=str(attribute(data, "units") or name),
        crs=wkt(4326) if extra else "", extra=extra)  # fmt: skip
    notes: tuple[str, ...] = (f"{KEPT}; --variable={ORTHO} reads it on its map",) if extra else ()
    mask = path.with_name(path.name.replace("_RFL_", "_MASK_"))
    notes += unused([mask.name] if mask != path and mask.is_file() else [])
    swath = PartsReader(path, KIND, [part], meta, notes=notes, owner=file)
    return _on_map(path, file, found, swath) if variable == ORTHO else swath


def _on_map(path: Path, file: h5py.File, found: Mapping, swath: PartsReader) -> SceneReader:
    tables: list[Any] = [found.get(f"location/glt_{axis}") for axis in "xy"]
    numbers = attribute(file, "geotransform")
    if any(t is None or t.ndim != 2 for t in tables) or np.size(numbers) != 6:
        raise UserError(f"{path}: has no location/glt_x, glt_y and geotransform to lay it on a map")
    for table in tables:
        nbytes = int(np.prod(table.shape, dtype=object)) * table.dtype.itemsize
        check_size(path, nbytes, path.stat().st_size, packed=True)
    c, a, b, f, d, e = (float(value) for value in np.asarray(numbers).reshape(-1))
    crs = attribute(file, "spatial_ref")
    crs = crs if isinstance(crs, str) else wkt(4326)
    placed = replace(swath.meta, transform=(a, b, c, d, e, f), crs=crs, extra={})
    return MapReader(swath, tables, placed)


class MapReader(SceneReader):
    """A swath laid on its map: each pixel is the swath's nearest one, as its table says."""

    def __init__(self, swath: PartsReader, tables: list[Any], meta: SceneMeta):
        self.swath, self.tables, self.meta = swath, tables, meta
        self.path, self.kind, self.dtype, self.bands = (
            swath.path, swath.kind, swath.dtype, swath.bands)  # fmt: skip
        self.height, self.width = (int(n) for n in tables[0].shape)
        self.notes = ("each pixel of the map is the nearest one of the swath: some occur twice",
                      *(note for note in swath.notes if KEPT not in note))  # fmt: skip

    def _read(self, rows: slice, cols: slice) -> np.ndarray:
        col, row = (np.asarray(table[rows, cols]).astype(np.int64) - 1 for table in self.tables)
        inside = (col >= 0) & (col < self.swath.width) & (row >= 0) & (row < self.swath.height)
        out = np.full((*inside.shape, self.bands), np.nan, np.float32)
        if not inside.any():
            return out
        for first in range(int(row[inside].min()), int(row[inside].max()) + 1, ROWS):
            here = inside & (row >= first) & (row < first + ROWS)
            if here.any():
                block = self.swath.read(slice(first, first + ROWS))
                out[here] = block[row[here] - first, col[here]]
        return out

    def close(self) -> None:
        """Close the file."""
        self.swath.close()


def _tanager(path: Path, file: h5py.File, found: Mapping, variable: str | None):
    fields = [name for name in found if name.startswith(TANAGER + "Data Fields/")]
    cubes = [name for name in fields if found[name].ndim == 3]
    cubes = [name for name in cubes if variable in (None, name.split("/")[-1])]
    if len(cubes) != 1:
        return None
    data = found[cubes[0]]
    lists = {key: attribute(data, key) for key in ("wavelengths", "fwhm", "good_wavelengths")}
    lists = {key: value for key, value in lists.items() if np.size(value) == data.shape[0]}
    if "wavelengths" not in lists:
        raise UserError(f"{path}: {cubes[0]} has no attribute 'wavelengths' with one value a band")
    places = f"{TANAGER}Geolocation Fields/"
    latitude, longitude = (found.get(f"{places}{axis}") for axis in ("Latitude", "Longitude"))
    extra = control_points(latitude, longitude, data.shape[1:])
    good = lists.get("good_wavelengths")
    meta = SceneMeta(
        wavelengths=lists["wavelengths"], fwhm=lists.get("fwhm"), nodata=np.nan,
        bad_bands=None if good is None else np.asarray(good) < 0.5, sensor="Tanager",
        units=str(attribute(data, "Unit", "units") or ""), extra=extra,
        crs=wkt(4326) if extra else "")  # fmt: skip
    part = Part(data, "bhw", np.arange(data.shape[0]), fill=number(data, "_FillValue"))
    others = (name.split("/")[-1] for name in fields if found[name].ndim == 2)
    notes = unused(others) + ((KEPT,) if extra else ())
    return PartsReader(path, "a Tanager product", [part], meta, notes=notes, owner=file)
