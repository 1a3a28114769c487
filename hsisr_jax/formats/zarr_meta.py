"""Metadata in a Zarr store: CF's coordinates and grid mapping, GeoZarr's attributes.

`x`, `y`, `wavelength`, `fwhm` and `spatial_ref` are arrays beside the cube, where xarray, rioxarray
and GDAL look for them. Coordinates count before a stored transform that contradicts them: other
programs cut a scene and leave the transform as it was.
"""

import base64
import binascii
import json
import struct
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from hsisr_jax.formats import zarr_store
from hsisr_jax.formats.crs import as_wkt
from hsisr_jax.formats.hdf5_cf import Conventions
from hsisr_jax.formats.places import Place
from hsisr_jax.formats.scene import NewScene, SceneMeta
from hsisr_jax.formats.variables import (
    CUBE,
    EVEN,
    META,
    SPECTRAL,
    WAVELENGTHS,
    WIDTHS,
    companion,
    corrected,
    meta_from,
    metres,
    unpacked,
)
from hsisr_jax.formats.zarr_store import Array, Document

SMALL = 1 << 20  # values of a list of bands or a coordinate

MAPPING = "spatial_ref"
# What CF has no place for, and nothing that a cut or a change elsewhere makes untrue.
OWN = ("band_names", "bad_bands", "description", "sensor", "units", "extra")


def attributes(array: Array, stored: np.dtype) -> Callable[[str], Any]:
    """An array's attributes by name; the fill value as xarray understands each version."""
    found = dict(array.attrs)
    fill = found.get("_FillValue")
    if isinstance(fill, str):
        found["_FillValue"] = _decoded(fill)
    elif fill is None and array.version == 2 and array.fill is not None:
        found["_FillValue"] = _number(array.fill)
    return lambda name: found.get(name)


def _decoded(text: str) -> float | None:
    """xarray's form of a float in JSON."""
    try:
        return struct.unpack("<d", base64.standard_b64decode(text))[0]
    except (struct.error, binascii.Error, ValueError):
        return _number(text)


def _encoded(value: float) -> str:
    return base64.standard_b64encode(struct.pack("<d", value)).decode()


def _number(value: Any) -> float | None:
    try:
        return float(str(value).replace("Infinity", "inf"))
    except ValueError:
        return None


def _beside(found: Mapping[str, Array], array: Array) -> dict[str, Array]:
    """The arrays of the cube's group by their own names, those of the root for the others."""
    folder = array.name.rpartition("/")[0]
    near = {n.rpartition("/")[2]: a for n, a in found.items() if n.rpartition("/")[0] == folder}
    return {name: a for name, a in found.items() if "/" not in name} | near


def _small(root: Place, array: Array | None) -> np.ndarray | None:
    if array is None or len(array.shape) > 1 or np.prod(array.shape, dtype=object) > SMALL:
        return None
    values = zarr_store.values(root, array)
    scale, offset = (_number(array.attrs.get(name)) for name in ("scale_factor", "add_offset"))
    return values if values.dtype.kind not in "iuf" else unpacked(values, scale, offset)


def _list(
    root: Place, found: Mapping[str, Array], array: Array, names: tuple[str, ...], size: int
) -> np.ndarray | None:
    beside = _beside(found, array)
    return companion(
        list(beside),
        names,
        size,
        lambda name: _small(root, beside[name]),
        lambda name: str(beside[name].attrs.get("units", "")),
    )


def spectra(root: Place, found: Mapping[str, Array], array: Array) -> np.ndarray | None:
    """Wavelengths in nm, of a list as long as one of the cube's axes."""
    sizes = [n for n, dim in zip(array.shape, array.dims) if dim in SPECTRAL] or array.shape
    lists = (_list(root, found, array, WAVELENGTHS, n) for n in sorted(set(sizes)))
    return next((values for values in lists if values is not None), None)


def read(
    root: Place,
    found: Mapping[str, Array],
    array: Array,
    group: Document,
    wavelengths: np.ndarray | None,
    axes: str,
    cf: Conventions,
) -> SceneMeta:
    """Everything about the cube but its values."""
    bands = (*array.shape, 1)[axes.index("b")]
    attrs = array.attrs
    own = attrs.get(META)
    text = json.dumps(own) if isinstance(own, dict) else own
    meta = meta_from(text if isinstance(text, str) else None, None, bands)
    words = {
        "units": attrs.get("units"),
        "description": attrs.get("long_name") or group.get("title"),
        "sensor": group.get("sensor") or group.get("instrument"),
    }
    transform, crs = _grid(root, _beside(found, array), array, group, axes)
    fits = wavelengths is not None and len(wavelengths) == bands
    more: dict[str, Any] = {k: str(v) for k, v in words.items() if v and not getattr(meta, k)}
    return replace(
        meta,
        **more,
        wavelengths=wavelengths if fits else None,
        fwhm=_list(root, found, array, WIDTHS, bands),
        nodata=cf.nodata,
        scale=cf.scale,
        offset=cf.offset,
        crs=crs,
        transform=transform,
    )


def _grid(
    root: Place, beside: Mapping[str, Array], array: Array, group: Document, axes: str
) -> tuple[tuple[float, ...] | None, str]:
    """The transform and the reference system."""
    name = str(array.attrs.get("grid_mapping", "")).partition(":")[0].strip()
    mapping = beside.get(name)
    if mapping is None:  # xarray may write it as one more coordinate
        scalars = [a for a in beside.values() if not a.shape]
        marks = ("crs_wkt", "spatial_ref", "GeoTransform")
        mapping = next((a for a in scalars if set(marks) & set(a.attrs)), None)
    facts: Document = {} if mapping is None else mapping.attrs
    own = array.attrs.get("_CRS")
    crs = facts.get("crs_wkt") or facts.get("spatial_ref") or ""
    crs = crs or (own.get("wkt") if isinstance(own, dict) else "")
    crs = crs or array.attrs.get("proj:wkt2") or group.get("proj:wkt2") or ""
    crs = as_wkt(str(crs))
    stored = _transform(facts.get("GeoTransform"), array.attrs.get("spatial:transform")
                        or group.get("spatial:transform"))  # fmt: skip
    dims = (array.dims[axes.index(axis)] for axis in "hw")
    down, across = (_ends(root, beside.get(dim), crs) for dim in dims)
    if not down or not across:
        return stored, crs
    (top, dy), (left, dx) = down, across
    return corrected(stored, (dx, 0.0, left, 0.0, dy, top)), crs


def _transform(words: Any, listed: Any) -> tuple[float, ...] | None:
    """GDAL's words or GeoZarr's list."""
    try:
        if words:
            c, a, b, f, d, e = (float(word) for word in str(words).split())
            return a, b, c, d, e, f
        a, b, c, d, e, f = (float(value) for value in listed[:6])
        return a, b, c, d, e, f
    except (TypeError, ValueError):
        return None


def _ends(root: Place, coordinate: Array | None, crs: str) -> tuple[float, float] | None:
    """The outer border and the step of evenly spaced centres."""
    places = _small(root, coordinate)
    if coordinate is None or places is None or places.size < 2 or places.dtype.kind not in "iuf":
        return None
    places = places.astype(float) * metres(coordinate.attrs.get("units"), crs)
    step = float(places[-1] - places[0]) / (places.size - 1)
    if not step or not np.abs(np.diff(places) - step).max() <= EVEN * abs(step):
        return None
    return float(places[0]) - step / 2, step


def described(
    version: int, new: NewScene, chunk: tuple[int, ...], shard: tuple[int, ...]
) -> tuple[dict[str, Document], dict[str, np.ndarray], dict[str, Any]]:
    """Documents of a store's arrays, the values of the small ones, and the group's attributes."""
    (height, width, bands), meta = new.shape, new.meta
    small: dict[str, tuple[tuple[str, ...], Any, dict]] = {}
    whole = json.loads(meta.to_json())
    attrs: dict[str, Any] = {"band_axis": 0}
    attrs[META] = {name: whole[name] for name in OWN if whole[name]}
    group: dict[str, Any] = {"Conventions": "CF-1.8"}
    if meta.wavelengths is not None:
        names = {"units": "nm", "standard_name": "radiation_wavelength"}
        small["wavelength"] = ("band",), meta.wavelengths, names
    if meta.fwhm is not None:
        small["fwhm"] = ("band",), meta.fwhm, {"units": "nm"}
    lists = [name for name in ("wavelength", "fwhm") if name in small]
    if meta.crs or meta.transform:
        facts: dict[str, Any] = {}
        if meta.crs:
            facts |= {"crs_wkt": meta.crs, "spatial_ref": meta.crs}
            attrs |= {"_CRS": {"wkt": meta.crs}, "proj:wkt2": meta.crs}
        if meta.transform:
            a, b, c, d, e, f = meta.transform
            facts["GeoTransform"] = " ".join(map(repr, (c, a, b, f, d, e)))
            attrs |= {"spatial:dimensions": ["y", "x"], "spatial:transform": meta.transform,
                      "spatial:shape": [height, width]}  # fmt: skip
            if not (b or d):
                small["y"] = ("y",), f + e * (np.arange(height) + 0.5), {"axis": "Y"}
                small["x"] = ("x",), c + a * (np.arange(width) + 0.5), {"axis": "X"}
        attrs["grid_mapping"] = MAPPING
        small[MAPPING] = (), np.int64(0), facts
    if lists:
        attrs["coordinates"] = " ".join(lists)
    if meta.units:
        attrs["units"] = meta.units
    if meta.description:
        attrs["long_name"] = meta.description
    if meta.scale != 1 or meta.offset:
        attrs |= {"scale_factor": meta.scale, "add_offset": meta.offset}
    fill = meta.nodata
    if fill is not None and new.dtype.kind != "f" and not float(fill).is_integer():
        fill = None
    if fill is not None and version == 3:  # version 2 says it by the array's own fill value
        attrs["_FillValue"] = _encoded(fill) if new.dtype.kind == "f" else int(fill)
    dims = ("band", "y", "x")
    cube = zarr_store.document(
        version, dims, (bands, height, width), new.dtype, chunk=chunk, shard=shard,
        fill=fill, attrs=attrs,
    )  # fmt: skip
    documents: dict[str, Document] = {CUBE: cube}
    for name, (along, values, facts) in small.items():
        values = np.asarray(values)
        documents[name] = zarr_store.document(
            version, along, values.shape, values.dtype, attrs=facts
        )
    return documents, {name: np.asarray(v) for name, (_, v, _) in small.items()}, group
