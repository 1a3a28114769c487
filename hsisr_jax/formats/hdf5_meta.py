"""Metadata of HDF5 cubes: wavelengths, CF conventions, MATLAB's marks, and our own text."""

import struct
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from hsisr_jax.formats.crs import as_wkt, wkt
from hsisr_jax.formats.hdf5_cf import Conventions
from hsisr_jax.formats.hdf5_heap import check_heaps
from hsisr_jax.formats.matlab5 import CLASSES
from hsisr_jax.formats.scene import SceneMeta
from hsisr_jax.formats.variables import (
    EVEN,
    META,
    WAVELENGTHS,
    WIDTHS,
    as_wavelengths,
    companion,
    corrected,
    metres,
    own_meta,
    unpacked,
)

MAX_VALUES = 1 << 20  # of an attribute or a list of bands
PIXELS = (1.0, 0.0, -0.5, 0.0, 1.0, -0.5)  # the transform to numbers of pixels
CLASS_NAMES = {"f8": "double", "f4": "single"}
PRISMA = (("VNIR", "List_Cw_Vnir"), ("SWIR", "List_Cw_Swir"))  # of one of its cubes alone


def attribute(owner: Any, *names: str) -> Any:
    """The first of the attributes that is there and is text or numbers; never an object."""
    for name in names:
        try:
            place = owner.attrs.get_id(name)
            dtype, shape = place.dtype, place.shape
        except (KeyError, TypeError):
            continue
        text = h5py.check_string_dtype(dtype) is not None
        if shape is None or not (text or dtype.kind in "iuf"):  # none: an empty attribute
            continue
        if int(np.prod(shape, dtype=object)) > MAX_VALUES:
            continue
        if text and h5py.check_string_dtype(dtype).length is None:
            check_heaps(owner.file.filename)
        value = owner.attrs[name]
        if isinstance(value, np.ndarray) and value.size == 1 and text:
            value = value.reshape(-1)[0]
        if isinstance(value, bytes):
            return value.decode("utf-8", "replace")
        return value if text or np.ndim(value) else np.asarray(value).item()
    return None


def inside(group: h5py.Group, name: str) -> Any:
    """The object at a path, followed by hard links alone; None where a link may leave the file."""
    item: Any = group
    for part in name.split("/"):
        if not isinstance(item, h5py.Group) or part in ("", "."):
            return None
        if not isinstance(item.get(part, getlink=True), h5py.HardLink):
            return None
        item = item[part]
    return item


def _word(owner: Any, *names: str) -> str:
    value = attribute(owner, *names)
    return value if isinstance(value, str) else ""


def number(owner: Any, *names: str) -> float | None:
    """The first of the attributes as one number; NetCDF has them as arrays of one."""
    value = attribute(owner, *names)
    single = np.size(value) == 1 and not isinstance(value, str | None)
    return float(np.asarray(value).reshape(-1)[0]) if single else None


def axis_name(data: h5py.Dataset, axis: int) -> str:
    """Label of an axis, or the name of its scale."""
    if not {"DIMENSION_LIST", "DIMENSION_LABELS"} & set(data.attrs):
        return ""
    check_heaps(data.file.filename)
    dimension = data.dims[axis]
    if dimension.label:
        return dimension.label.lower()
    name = dimension[0].name if len(dimension) else None
    return (name or "").rpartition("/")[2].lower()


def wavelength_lists(file: h5py.File, data: h5py.Dataset, found: Mapping) -> list[np.ndarray]:
    """Everything in the file that may be the cube's wavelengths, in nm; the nearest first."""
    lists = []
    for owner in (data, data.parent, file):
        unit = _word(owner, "wavelength_units", "wavelengths_units")
        values = attribute(owner, *WAVELENGTHS)
        if values is not None and not isinstance(values, str):
            values = np.asarray(values)
            lists.append(as_wavelengths(values, values.size, unit))
    for mark, centres in PRISMA:
        if mark in data.name.upper():
            values = attribute(file, centres)
            if isinstance(values, np.ndarray):
                lists.append(as_wavelengths(values, values.size, "nm"))
    for size in sorted(set(data.shape)):
        lists.append(_companion(found, WAVELENGTHS, size))
    return [values for values in lists if values is not None]


def _companion(found: Mapping, names: Sequence[str], bands: int) -> np.ndarray | None:
    """Wavelengths, or widths, among the file's arrays."""

    def load(name: str) -> np.ndarray | None:
        item = found[name]
        return _values(item) if 0 < item.size <= MAX_VALUES and item.ndim <= 2 else None

    return companion(list(found), names, bands, load, lambda n: _word(found[n], "units", "unit"))


def _values(item: h5py.Dataset) -> np.ndarray:
    return unpacked(item[()], number(item, "scale_factor"), number(item, "add_offset"))


def own_text(file: h5py.File) -> str | None:
    """Our metadata: a text, or MATLAB's row of UTF-16 codes."""
    item = inside(file, META)
    if isinstance(item, h5py.Dataset) and item.dtype == np.uint16 and item.size <= MAX_VALUES:
        return item[()].astype("<u2").tobytes().decode("utf-16-le")
    return text_at(file, META)


def text_at(group: h5py.Group, path: str) -> str | None:
    """The text of an array without axes, at a path that stays in the file."""
    item = inside(group, path)
    text = h5py.check_string_dtype(item.dtype) if isinstance(item, h5py.Dataset) else None
    if text is None or item.shape != ():
        return None
    if text.length is None:
        check_heaps(item.file.filename)
    return item.asstr(errors="replace")[()]


def read(
    file: h5py.File,
    data: h5py.Dataset,
    found: Mapping,
    bands: int,
    spectra: list[np.ndarray],
    cf: Conventions,
) -> SceneMeta:
    """The metadata of a cube: our own, else what CF and common names of variables say."""
    wavelengths = next((values for values in spectra if values.size == bands), None)
    own = own_meta(own_text(file), bands)
    if own is not None and attribute(data, "MATLAB_class") is not None:
        return own
    if own is not None:  # others may have cut the scene since, or computed with its values
        transform = own.transform and corrected(own.transform, _evenly(data, found, "")[0])
        nodata = own.nodata if cf.nodata is None else cf.nodata
        own = replace(own, transform=transform, nodata=nodata)
        return replace(own, scale=cf.scale, offset=cf.offset)
    transform, crs = _grid(file, data, found)
    return SceneMeta(
        wavelengths=wavelengths,
        fwhm=_companion(found, WIDTHS, bands),
        nodata=cf.nodata,
        scale=cf.scale,
        offset=cf.offset,
        units=_word(data, "units"),
        description=_word(data, "long_name") or _word(file, "title"),
        sensor=_word(file, "sensor", "instrument"),
        crs=crs,
        transform=transform,
    )


def _grid(
    file: h5py.File, data: h5py.Dataset, found: Mapping
) -> tuple[tuple[float, ...] | None, str]:
    """CF's grid mapping with GDAL's GeoTransform, or evenly spaced coordinates of pixels."""
    name = _word(data, "grid_mapping").partition(":")[0].strip("/ ")
    mapping = inside(data.parent, name) or inside(file, name) if name else None
    if mapping is None:  # xarray alone writes it as one more coordinate
        scalars = [item for item in found.values() if item.ndim == 0 and item.parent == data.parent]
        mapping = next((item for item in scalars if "crs_wkt" in item.attrs), None)
    crs = "" if mapping is None else as_wkt(_word(mapping, "crs_wkt", "spatial_ref"))
    words = "" if mapping is None else _word(mapping, "GeoTransform")
    try:
        c, a, b, f, d, e = (float(word) for word in words.split())
    except ValueError:
        return _evenly(data, found, crs)
    return corrected((a, b, c, d, e, f), _evenly(data, found, crs)[0]), crs


def _evenly(data: h5py.Dataset, found: Mapping, crs: str) -> tuple:
    """The transform that 1-D coordinates of the cube's group say."""
    folder = data.name.strip("/").rpartition("/")[0]
    ends: list[tuple[float, float]] = []
    for names in (("x", "lon", "longitude", "easting"), ("y", "lat", "latitude", "northing")):
        paths = [f"{place}/{name}".strip("/") for place in (folder, "") for name in names]
        values = [found[path] for path in paths if path in found and found[path].ndim == 1]
        if not values or not 2 <= values[0].size <= MAX_VALUES:
            return None, crs
        places = np.asarray(_values(values[0]), float) * metres(_word(values[0], "units"), crs)
        if places.size not in data.shape:
            return None, crs
        step = (places[-1] - places[0]) / (places.size - 1)
        even = np.abs(np.diff(places) - step).max() <= EVEN * abs(step)
        if not even or not step:
            return None, crs
        ends.append((float(places[0] - step / 2), float(step)))
        geographic = "degree" in _word(values[0], "units")
    if not crs and geographic:
        crs = wkt(4326)
    (left, dx), (top, dy) = ends
    return (dx, 0.0, left, 0.0, dy, top), crs


def write_cf(file: h5py.File, data: h5py.Dataset, meta: SceneMeta, shape: tuple, axes: str) -> None:
    """Coordinates, grid mapping and attributes as NetCDF-4 and CF have them."""
    data.attrs["band_axis"] = axes.index("b")
    file.attrs["Conventions"] = _text("CF-1.8")
    if meta.description:
        file.attrs["title"] = data.attrs["long_name"] = _text(meta.description)
    if meta.sensor:
        file.attrs["sensor"] = _text(meta.sensor)
    if meta.units:
        data.attrs["units"] = _text(meta.units)
    if meta.scale != 1 or meta.offset:
        data.attrs["scale_factor"], data.attrs["add_offset"] = meta.scale, meta.offset
    if meta.nodata is not None and (data.dtype.kind == "f" or _holds(data.dtype, meta.nodata)):
        data.attrs["_FillValue"] = np.array([meta.nodata], data.dtype)
    a, b, c, d, e, f = meta.transform or PIXELS
    if b or d:  # no lists of x and of y say where such pixels are
        a, b, c, d, e, f = PIXELS
    bands = np.arange(shape[2]) if meta.wavelengths is None else meta.wavelengths
    scales = {  # centres of pixels
        "h": ("y", f + e * (np.arange(shape[0]) + 0.5)),
        "w": ("x", c + a * (np.arange(shape[1]) + 0.5)),
        "b": ("band" if meta.wavelengths is None else "wavelength", bands),
    }
    for number, axis in enumerate(axes):
        name, values = scales[axis]
        file[name] = values
        file[name].make_scale(name)
        data.dims[number].attach_scale(file[name])
    if meta.wavelengths is not None:
        file["wavelength"].attrs["units"] = _text("nm")
    if meta.fwhm is not None:
        file["fwhm"] = meta.fwhm
        file["fwhm"].attrs["units"] = _text("nm")
    if meta.crs or meta.transform:
        file["crs"] = np.int32(0)
        data.attrs["grid_mapping"] = _text("crs")
        if meta.crs:
            file["crs"].attrs["crs_wkt"] = file["crs"].attrs["spatial_ref"] = _text(meta.crs)
        if meta.transform:
            a, b, c, d, e, f = meta.transform
            words = (repr(value) for value in (c, a, b, f, d, e))
            file["crs"].attrs["GeoTransform"] = _text(" ".join(words))
    file[META] = _text(meta.to_json())


def _text(words: str) -> np.ndarray:
    """Text of fixed length: it lies where it is used, not in the file's heap."""
    content = words.encode()
    return np.array(content, h5py.string_dtype("utf-8", max(1, len(content))))


def _holds(dtype: np.dtype, value: float) -> bool:
    limits = np.iinfo(dtype)
    return float(value).is_integer() and limits.min <= value <= limits.max


def write_matlab(file: h5py.File, data: h5py.Dataset, meta: SceneMeta) -> None:
    """The marks by which MATLAB knows its arrays; wavelengths as a row, metadata as text."""
    _mark(data)
    for name in ("wavelengths", "fwhm"):
        values = getattr(meta, name)
        if values is not None:
            file[name] = values.reshape(-1, 1)
            _mark(file[name])
    file[META] = np.frombuffer(meta.to_json().encode("utf-16-le"), "<u2").reshape(-1, 1)
    file[META].attrs["MATLAB_class"] = np.bytes_("char")
    file[META].attrs["MATLAB_int_decode"] = np.int32(2)


def _mark(data: h5py.Dataset) -> None:
    code = data.dtype.str[1:]
    name = CLASS_NAMES.get(code) or (data.dtype.name if code in CLASSES.values() else "double")
    data.attrs["MATLAB_class"] = np.bytes_(name)


def sign_matlab(place: Path) -> None:
    """MATLAB's header in the user block."""
    with open(place, "r+b") as file:
        words = b"MATLAB 7.3 MAT-file, written by hsisr_jax, HDF5 schema 1.00 ."
        file.write(words.ljust(116) + bytes(8) + struct.pack("<H", 0x0200) + b"IM")
