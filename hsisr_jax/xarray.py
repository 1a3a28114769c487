"""`sharpen` for xarray: super-resolution of a DataArray, in memory or lazily on Dask.

Needs `pip install "hsisr-jax[xarray]"`. Coordinates, reference system, transform and attributes of
the result are those of the finer grid: pixels are smaller, the outer border stays where it was.
"""

import json
import os
from collections.abc import Hashable, Mapping
from typing import Any

import numpy as np

from hsisr_jax.errors import UserError, brief
from hsisr_jax.formats.scene import hidden_values
from hsisr_jax.inference import pieces, sensed
from hsisr_jax.inference.facts import Facts, facts_of
from hsisr_jax.sharpening import sharpen_request

try:
    import xarray
except ImportError as error:
    raise UserError('xarray is not installed: pip install "hsisr-jax[xarray]"') from error

Dims = tuple[Hashable, Hashable]
SPATIAL = (("y", "x"), ("latitude", "longitude"), ("lat", "lon"), ("northing", "easting"),
           ("row", "column"), ("row", "col"), ("rows", "cols"), ("line", "sample"),
           ("lines", "samples"), ("downtrack", "crosstrack"))  # fmt: skip
AXES = (("Y", ("projection_y_coordinate", "latitude")),
        ("X", ("projection_x_coordinate", "longitude")))  # fmt: skip
NO_DATA = ("_FillValue", "missing_value", "fill_value", "nodata")  # rioxarray's order
STORED = ("_FillValue", "missing_value", "grid_mapping", "coordinates")  # still true of the output


def sharpen(
    data_array: "xarray.DataArray",
    scale: int = 4,
    workdir: str | os.PathLike | None = None,
    *,
    degradation: str | Mapping[str, Any] = "bicubic",
    limits: bool = True,
    dims: Dims | None = None,
    facts: Facts | None = None,
) -> "xarray.DataArray":
    """Super-resolves a hyperspectral DataArray, as `hsisr_jax.sharpen` does a numpy array.

    A Dask array is read and computed only when the result is; the result is bit-identical to that
    in memory, but for 6 to 23 bands, whose noise is estimated within the chunks of the input. Its
    own chunks are the network's tiles.

    Args:
        data_array: two spatial dimensions and one of bands, in any order. Pixels without data are
            NaN or the value of `_FillValue`, in the result too.
        scale: 2, 3, 4 or 8 times as many pixels on each side; with `workdir`, that of its network.
        workdir: a trained run whose network is used instead of the packaged one. With Dask, all
            workers must be able to read it.
        degradation: the blur of the sensor, see `hsisr_jax.sharpen`; `"auto"` for arrays in memory.
        limits: clips each band to the range of the input, widened by its own width to each side.
        dims: the names of rows and columns, if they are unusual.
        facts: the result of `scene_facts`. Without it, the chunks of a Dask array are used twice
            and held or spilled in between: for a scene larger than memory compute it first.

    Returns:
        float32 in the units of the input, with the same order of dimensions. Coordinates along
        rows and columns are interpolated (integer or text coordinates other than a dimension's
        own are repeated); of the encoding only the no-data value and the grid mapping are kept.

    Raises:
        UserError: if the array, the scale or the degradation cannot be used.

    Example:
        >>> scene = rioxarray.open_rasterio("scene.tif", chunks={"x": 512, "y": 512})
        >>> hsisr_jax.xarray.sharpen(scene, scale=4).rio.to_raster("scene_x4.tif")
    """
    if not isinstance(data_array, xarray.DataArray):
        raise UserError(f"sharpen takes a DataArray, not {type(data_array).__name__}")
    if not isinstance(facts, Facts | None):
        raise UserError(f"facts is {brief(facts)}: use what scene_facts returns, or leave it out")
    rows, cols, bands = _sides(data_array, dims)
    cube = _cube(data_array, dims)
    nodata, attrs = _no_data(data_array)
    fill = None if nodata is None else float(attrs["_FillValue"])
    fill = None if fill is None or np.isnan(fill) else fill
    degradation, _ = sensed.resolved(degradation, lambda: [_known(data_array, cube, nodata)])
    options = {"limits": limits, "nodata": nodata, "fill": fill}
    request = pieces.request(cube.shape, scale, degradation, workdir, **options)
    if data_array.chunks is None:
        sharper = sharpen_request(np.asarray(cube), request, facts)
    else:
        from hsisr_jax.inference import lazy

        sharper = lazy.sharpened(cube, request, facts)
    factor = sharper.shape[0] // cube.shape[0]
    out = xarray.DataArray(
        sharper if bands else sharper[:, :, 0],
        dims=(rows, cols, *bands),
        coords=_coords(data_array, (rows, cols), factor, sharper.shape[2]),
        attrs=_finer(attrs, factor),
    ).transpose(*data_array.dims)
    out.name = data_array.name  # else it is Dask's
    out.encoding = {k: v for k, v in data_array.encoding.items() if k in STORED}
    return out


def scene_facts(data_array: "xarray.DataArray", *, dims: Dims | None = None) -> Facts:
    """Facts of the whole scene that `sharpen` needs, from one pass over it (on Dask if it is lazy):
    the range of its values, the limits of each band, and a sample of spectra."""
    cube, (nodata, _) = _cube(data_array, dims), _no_data(data_array)
    if data_array.chunks is None:
        return facts_of(np.asarray(cube), nodata)
    from hsisr_jax.inference import lazy

    return lazy.facts_task(cube, nodata).compute()


def _sides(data_array: "xarray.DataArray", dims: Dims | None) -> tuple[Hashable, Hashable, list]:
    """The dimensions of rows and of columns, and that of bands if there is one."""
    if dims is not None and (not isinstance(dims, tuple | list) or len(dims) != 2):
        raise UserError(f"dims={dims!r}: name rows and columns, such as dims=('y', 'x')")
    if any(np.isnan(size) for size in data_array.shape):
        raise UserError("the Dask array does not know its size: call .compute_chunk_sizes() first")
    rows, cols = dims or spatial_dims(data_array)
    for name in (rows, cols):
        if name not in data_array.dims:
            raise UserError(f"no dimension {name!r}: there are {_words(data_array.dims)}")
    bands = [name for name in data_array.dims if name not in (rows, cols)]
    if len(bands) > 1:
        raise UserError(
            f"a scene has rows, columns and bands, not {_words(data_array.dims)}: choose one of "
            "the others with .isel, or .groupby(...).map(sharpen)"
        )
    return rows, cols, bands


def _cube(data_array: "xarray.DataArray", dims: Dims | None) -> Any:
    """The values as `h w c`, numpy's or Dask's."""
    rows, cols, bands = _sides(data_array, dims)
    cube = data_array.transpose(rows, cols, *bands).data
    return cube if bands else cube[:, :, None]


def _known(data_array: "xarray.DataArray", cube: Any, nodata: float | None) -> np.ndarray:
    """The cube with NaN for no data; refuses one that is not in memory."""
    if data_array.chunks is not None:
        raise UserError(
            "degradation: auto needs all pixels, and a Dask array is not read before the result is "
            'computed: give a number, such as {"name": "mtf", "mtf": 0.3}'
        )
    cube = np.asarray(cube)
    return np.where(hidden_values(cube, nodata), np.nan, cube)


def spatial_dims(data_array: "xarray.DataArray") -> Dims:
    """The dimensions of rows and columns: by rioxarray, by the usual names, or by CF attributes."""
    rio = getattr(data_array, "rio", None)
    known = (getattr(rio, "_y_dim", None), getattr(rio, "_x_dim", None))
    if None not in known:
        return known
    for pair in SPATIAL:
        if set(pair) <= set(data_array.dims):
            return pair
    found = []
    for axis, names in AXES:
        found += [
            name
            for name in data_array.dims
            if name in data_array.coords
            and (
                data_array[name].attrs.get("axis") == axis
                or data_array[name].attrs.get("standard_name") in names
            )
        ][:1]
    if len(found) != 2:
        raise UserError(
            f"which of {_words(data_array.dims)} are rows and columns? Say dims=('y', 'x')"
        )
    return found[0], found[1]


def _no_data(data_array: "xarray.DataArray") -> tuple[float | None, dict]:
    """The no-data value, and the attributes with that value as float32 represents it."""
    attrs = dict(data_array.attrs)
    name = next((name for name in NO_DATA if attrs.get(name) is not None), None)
    given = np.unique(np.nan if name is None else attrs[name])
    if given.size != 1 or given.dtype.kind not in "iuf":
        raise UserError(
            f"{name} is {attrs[name]!r}, not one number: replace such values by NaN and remove it"
        )
    if np.isnan(given := given[0]):
        return None, attrs
    with np.errstate(over="ignore"):
        fill = np.float32(given)
    fill = fill if np.isfinite(fill) else np.float32(np.nan)
    attrs = {name: fill if name in NO_DATA else value for name, value in attrs.items()}
    return float(given), attrs | {"_FillValue": fill}


def _coords(
    data_array: "xarray.DataArray", dims: Dims, scale: int, count: int
) -> dict[Hashable, Any]:
    """Coordinates of the finer grid; those of bands that the network replaced are left out."""
    out = {}
    steps = dict(zip(dims, _steps(data_array)))
    for name, coord in data_array.coords.items():
        lost = [d for d in coord.dims if d not in dims and coord.sizes[d] != count]
        values, own = coord.values, name in dims
        if lost or (own and coord.size == 1 and not steps[name]):
            continue
        for axis in (coord.dims.index(dim) for dim in dims if dim in coord.dims):
            smooth = values.dtype.kind == "f" and values.shape[axis] > 1
            if smooth or (own and values.dtype.kind in "iuf"):
                values = _between(values, axis, scale, steps[name] if own else 0.0)
            else:
                values = values.repeat(scale, axis)
        out[name] = xarray.Variable(coord.dims, values, _finer(coord.attrs, scale))
    return out


def _between(values: np.ndarray, axis: int, scale: int, step: float) -> np.ndarray:
    """Values at the centres of smaller pixels, by linear interpolation; a single value has its
    `step`."""
    old = np.moveaxis(values.astype(np.float64), axis, 0)
    place = (np.arange(len(old) * scale) + 0.5) / scale - 0.5
    place = place.reshape(-1, *[1] * (old.ndim - 1))
    if len(old) == 1:
        return np.moveaxis(old + place * step, 0, axis)
    first = np.clip(np.floor(place[(slice(None), *[0] * (old.ndim - 1))]), 0, len(old) - 2)
    first = first.astype(int)
    share = place - first.reshape(place.shape)
    return np.moveaxis(old[first] + share * (old[first + 1] - old[first]), 0, axis)


def _steps(data_array: "xarray.DataArray") -> Dims:
    """Steps from row to row and from column to column, from a transform without rotation."""
    for coord in data_array.coords.values():
        words = str(coord.attrs.get("GeoTransform", "")).split()
        if len(words) == 6 and float(words[2]) == float(words[4]) == 0:
            return float(words[5]), float(words[1])
    return 0.0, 0.0


def _finer(attrs: Mapping[Hashable, Any], scale: int) -> dict:
    """Attributes on the finer grid: transforms, sizes of pixels, ground control points."""
    out = dict(attrs)
    if len(words := str(attrs.get("GeoTransform", "")).split()) == 6:
        numbers = (float(x) / (1 if i in (0, 3) else scale) for i, x in enumerate(words))
        out["GeoTransform"] = " ".join(map(repr, numbers))
    for name, offsets in (("transform", (2, 5)), ("spatial:transform", (2, 5)), ("res", ())):
        values = attrs.get(name)
        if isinstance(values, tuple | list | np.ndarray) and len(values) in (2, 6, 9):
            out[name] = tuple(
                float(x) / (1 if i in offsets or i > 5 else scale) for i, x in enumerate(values)
            )
    if "gcps" in attrs:
        points = json.loads(attrs["gcps"])
        for point in points["features"]:
            for name in ("row", "col"):
                point["properties"][name] *= scale
        out["gcps"] = json.dumps(points)
    return out


def _words(dims: tuple[Hashable, ...]) -> str:
    return ", ".join(map(str, dims))
