"""HDF5 cubes: MATLAB v7.3, NetCDF-4, HDF-EOS and plain files.

Links and storage outside the file are never followed. Values without filters are read and written
in place (`raw.py`), so that a killed run leaves a file that a later one can continue; others go
through h5py, chunk by chunk.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from hsisr_jax.errors import UserError
from hsisr_jax.formats import hdf5_cf, hdf5_meta
from hsisr_jax.formats.hdf5_meta import attribute
from hsisr_jax.formats.raw import ORDERS, RawLayout, RawReader, RawWriter, Staged, partial, stale
from hsisr_jax.formats.scene import NUMERIC, NewScene, SceneMeta, SceneReader, check_size
from hsisr_jax.formats.variables import (
    CUBE,
    META,
    axes_of,
    choose,
    cube_shape,
    kept_axes,
)

KIND = "an HDF5 file"
CACHE = 32 << 20  # bytes of decompressed chunks that h5py keeps
MAX_OBJECTS = 10_000


def open_scene(path: Path, *, variable: str | None = None, matlab: bool = False) -> SceneReader:
    """Open the only cube of a file, or `variable` (its path, or the end of its path)."""
    with open(path, "rb") as start:
        classic = start.read(3) == b"CDF"
    if classic:
        raise UserError(f"{path}: NetCDF classic; convert it with `nccopy -k nc4 in.nc out.nc`")
    file = h5py.File(path, "r", rdcc_nbytes=CACHE)
    try:
        found = dict(_datasets(file))
        product = None if matlab else _product(path, file, found, variable)
        if product is not None:
            return product
        shapes = {name: data.shape for name, data in found.items() if data.ndim > 0}
        name = choose(path, shapes, _full_name(variable, shapes))
        return _reader(path, file, found, name, matlab)
    except BaseException:
        file.close()
        raise


def _product(path: Path, file: h5py.File, found: dict, variable: str | None) -> SceneReader | None:
    """A sensor's product, where the file is one that is known."""
    from hsisr_jax.formats.products import emit, neon, prisma

    for product in (prisma, emit, neon):
        if product.recognised(file, found):
            return product.open_scene(path, file, found, variable)
    return None


def _full_name(variable: str | None, shapes: dict) -> str | None:
    """`a/b/cube` for `cube`, where only one array ends so."""
    if variable is None or variable in shapes:
        return variable
    ends = [name for name in shapes if name.endswith("/" + variable.strip("/"))]
    return ends[0] if len(ends) == 1 else variable.strip("/")


def _datasets(file: h5py.File) -> Iterator[tuple[str, h5py.Dataset]]:
    """Numeric arrays of the file itself; soft and external links are left alone."""
    waiting, seen = [("", file["/"])], set()
    while waiting:
        prefix, group = waiting.pop(0)
        for key in group:
            # What the library knows of an object may take it round a damaged index for ever.
            link = group.id.links.get_info(key.encode("utf-8", "surrogateescape"))
            if link.type != h5py.h5l.TYPE_HARD or key[0] == "#" or link.u in seen:
                continue
            item = group[key]
            seen.add(link.u)
            if len(seen) > MAX_OBJECTS:
                raise UserError(f"{file.filename}: more than {MAX_OBJECTS} objects in one file")
            if isinstance(item, h5py.Group):
                waiting.append((f"{prefix}{key}/", item))
            elif isinstance(item, h5py.Dataset) and _is_plain(item):
                yield prefix + key, item


def _is_plain(data: h5py.Dataset) -> bool:
    """Numbers, in this file."""
    try:
        dtype = data.dtype
    except TypeError:  # a type that numpy has not
        return False
    text = attribute(data, "MATLAB_class") == "char"
    return dtype.kind in NUMERIC[:3] and not text and not data.is_virtual and not data.external


def _reader(path: Path, file: h5py.File, found: dict, name: str, matlab: bool) -> SceneReader:
    data = found[name]
    size = path.stat().st_size
    filtered = data.chunks is not None or data.compression is not None
    nbytes = int(np.prod(data.shape, dtype=object)) * data.dtype.itemsize
    check_size(path, nbytes, size, packed=filtered)
    if filtered:
        chunk = int(np.prod(data.chunks, dtype=object)) * data.dtype.itemsize
        check_size(path, chunk, size, packed=True)
    matlab = matlab or attribute(data, "MATLAB_class") is not None
    spectra = hdf5_meta.wavelength_lists(file, data, found)
    kept = kept_axes(data.shape)
    names = [hdf5_meta.axis_name(data, axis) for axis in kept]
    full = tuple(data.shape[axis] for axis in kept)
    axes, counts = ORDERS["matlab"], {values.size for values in spectra}
    if not matlab:
        axes = axes_of(names, full, hdf5_meta.number(data, "band_axis"), counts)
    if len(full) == 2:
        full = (1, *full) if matlab else (*full, 1)
    shape = cube_shape(path, name, [full[axes.index(axis)] for axis in "hwb"])
    cf = hdf5_cf.conventions(path, lambda key: attribute(data, key), data.dtype)
    meta = hdf5_meta.read(file, data, found, shape[2], spectra, cf)
    stored_as_numpy = data.id.get_type().equal(h5py.h5t.py_create(data.dtype, logical=True))
    in_place = not filtered and data.id.get_offset() is not None and stored_as_numpy
    if in_place and cf.plain:
        layout = RawLayout(*shape, cf.dtype, axes, data.id.get_offset())
        file.close()
        return RawReader(path, layout, meta, kind=KIND, data=path)
    return Hdf5Reader(path, file, data, shape, axes, meta, cf)


class Hdf5Reader(SceneReader):
    """Windows of a chunked dataset."""

    kind = KIND

    def __init__(
        self,
        path: Path,
        file: h5py.File,
        data: Any,
        shape: tuple,
        axes: str,
        meta: SceneMeta,
        cf: hdf5_cf.Conventions,
    ):
        self.path, self.file, self.data, self.axes, self.meta = path, file, data, axes, meta
        self.height, self.width, self.bands = shape
        self.cf, self.dtype = cf, cf.dtype.newbyteorder("=")

    def _read(self, rows: slice, cols: slice) -> np.ndarray:
        parts = {"h": rows, "w": cols, "b": slice(None)}
        axes = self.axes.replace("b", "") if self.data.ndim == 2 else self.axes
        window: list[slice | int] = [0] * self.data.ndim
        for place, axis in zip(kept_axes(self.data.shape), axes):
            window[place] = parts[axis]
        cube = self.cf.apply(self.data[tuple(window)])
        if self.data.ndim == 2:
            cube = np.expand_dims(cube, self.axes.index("b"))
        cube = cube.transpose([self.axes.index(axis) for axis in "hwb"])
        return np.array(cube, self.dtype, order="C")

    def close(self) -> None:
        """Close the file."""
        self.file.close()


def check_dtype(path: Path, dtype: np.dtype) -> None:
    """Refuse a type that the format does not hold."""
    if dtype.kind not in NUMERIC[:3]:
        raise UserError(f"{path}: {dtype} is not written to HDF5; choose float32 or an integer")


def create_scene(
    path: Path, new: NewScene, variable: str = CUBE, matlab: bool = False
) -> RawWriter:
    """Begin a file with one cube: `(y, x, wavelength)`, or as NetCDF or MATLAB v7.3 want it."""
    if not variable or "/" in variable or variable in (META, "x", "y", "band", "wavelength", "crs"):
        raise UserError(f"{path}: {variable!r} cannot name the cube")
    netcdf = path.suffix.lower() in (".nc", ".nc4")  # CF, and GDAL with it, have the bands first
    axes = ORDERS["matlab"] if matlab else ORDERS["bsq" if netcdf else "bip"]
    files, resumed = Staged(path), new.resume and partial(path).exists()
    try:
        if not resumed:
            _skeleton(partial(path), new, variable, axes)
        layout = _layout(path, new, variable, axes)
    except BaseException:
        if not resumed:
            files.remove()
        raise
    size = partial(path).stat().st_size
    return RawWriter(path, layout, files, resumed=resumed, size=size)


def _skeleton(place: Path, new: NewScene, variable: str, axes: str) -> None:
    """A complete file but for the cube's values, whose place is reserved and not written."""
    matlab = axes == ORDERS["matlab"]
    sizes = dict(zip("hwb", new.shape))
    with h5py.File(place, "w", userblock_size=512 if matlab else None, track_order=True) as file:
        plan = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
        plan.set_layout(h5py.h5d.CONTIGUOUS)
        plan.set_alloc_time(h5py.h5d.ALLOC_TIME_EARLY)
        plan.set_fill_time(h5py.h5d.FILL_TIME_NEVER)
        plan.set_obj_track_times(False)  # the same scene gives the same bytes
        space = h5py.h5s.create_simple(tuple(sizes[axis] for axis in axes))
        kind = h5py.h5t.py_create(new.stored, logical=True)
        data = h5py.Dataset(h5py.h5d.create(file.id, variable.encode(), kind, space, plan))
        if matlab:
            hdf5_meta.write_matlab(file, data, new.meta)
        else:
            hdf5_meta.write_cf(file, data, new.meta, new.shape, axes)
    if matlab:
        hdf5_meta.sign_matlab(place)


def _layout(path: Path, new: NewScene, variable: str, axes: str) -> RawLayout:
    """The place of the values in the file; refuses a partial file of another run."""
    try:
        file = h5py.File(partial(path), "r")
    except OSError as error:  # killed before it was complete
        raise stale(path) from error
    with file:
        data = file.get(variable)
        stored = tuple(dict(zip("hwb", new.shape))[axis] for axis in axes)
        same = isinstance(data, h5py.Dataset) and (data.shape, data.dtype) == (stored, new.stored)
        if not same or hdf5_meta.own_text(file) != new.meta.to_json():
            raise stale(path)
        return RawLayout(*new.shape, new.stored, axes, data.id.get_offset())
