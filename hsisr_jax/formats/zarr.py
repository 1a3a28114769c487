"""Zarr scenes in folders and at URLs, in chunks that hold all bands of a window.

Written with the bands first, as GDAL and QGIS expect, and as CF and GeoZarr describe scenes, see
`zarr_meta`. Stores of others may have their axes in any order: which one holds the bands is what an
attribute `band_axis` or the names of the dimensions say, else the one as long as the wavelengths,
else the last.

Object stores rename nothing. There a store has no metadata until it is finished, so that nobody can
open it before, and objects below `.unfinished/` that say what it is to become.
"""

import json
import os
import shutil
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import numpy as np
import tensorstore as ts

from hsisr_jax.errors import UserError
from hsisr_jax.formats import hdf5_cf, zarr_meta, zarr_store
from hsisr_jax.formats.objects import Objects, reached
from hsisr_jax.formats.places import WRITTEN, Place, Url, is_zarr
from hsisr_jax.formats.raw import partial, stale
from hsisr_jax.formats.scene import NUMERIC, NewScene, SceneReader, SceneWriter
from hsisr_jax.formats.variables import CUBE, axes_of, choose, cube_shape, kept_axes
from hsisr_jax.formats.zarr_store import Array

CHUNK = 4 << 20  # bytes of one, about
SIDES = (16, 256)  # pixels, the least and the most
MANY = 4096  # chunks, from which on they lie together in shards
SHARD = 4  # chunks along each side of one
MARK = f"{zarr_store.UNFINISHED}store"  # the object that says what an unfinished store becomes


def open_scene(path: Place, *, variable: str | None = None) -> SceneReader:
    """Open the only cube of a store, or `variable`."""
    found, root = zarr_store.arrays(path)
    shapes = {name: array.shape for name, array in found.items() if array.shape}
    if list(found) == [""]:
        variable = ""
    return ZarrReader(path, found, choose(path, shapes, variable), root)


class ZarrReader(SceneReader):
    """Windows of an array, read chunk by chunk."""

    kind = "a Zarr store"

    def __init__(self, path: Place, found: Mapping[str, Array], name: str, root: Mapping):
        whole = found[name]
        self.path, self.array = path, whole
        self.store = zarr_store.opened(path, whole)
        self.kept = kept_axes(whole.shape)
        shape = tuple(whole.shape[axis] for axis in self.kept)
        array = replace(whole, shape=shape, dims=tuple(whole.dims[axis] for axis in self.kept))
        stored = np.dtype(self.store.dtype.numpy_dtype)
        if stored.kind not in NUMERIC[:3]:
            raise UserError(f"{path}: {name!r} holds {stored}, and a scene numbers")
        spectra = zarr_meta.spectra(path, found, array)
        names, said = [dim.lower() for dim in array.dims], array.attrs.get("band_axis")
        counts = set() if spectra is None else {len(spectra)}
        self.axes = axes_of(names, shape, said, counts)
        full = (*array.shape, 1)[:3] if len(array.shape) == 2 else array.shape
        sizes = [full[self.axes.index(axis)] for axis in "hwb"]
        self.height, self.width, self.bands = cube_shape(path, name or CUBE, sizes)
        attribute = zarr_meta.attributes(array, stored)
        self.cf = hdf5_cf.conventions(path, attribute, stored)
        self.dtype = self.cf.dtype.newbyteorder("=")
        self.meta = zarr_meta.read(path, found, array, root, spectra, self.axes, self.cf)
        if isinstance(path, Url):
            self.stamps = {str(path): zarr_store.text_of({n: a.text for n, a in found.items()})}

    def _read(self, rows: slice, cols: slice) -> np.ndarray:
        parts = {"h": rows, "w": cols, "b": slice(0, self.bands)}
        window = [slice(0, 1)] * self.store.rank
        for place, axis in zip(self.kept, self.axes):
            window[place] = parts[axis]
        stored = zarr_store.read(self.path, self.array, self.store, tuple(window))
        stored = stored.reshape([parts[axis].stop - parts[axis].start for axis in self.axes])
        block = stored.transpose([self.axes.index(axis) for axis in "hwb"])
        return np.ascontiguousarray(self.cf.apply(block), self.dtype)


def check_dtype(path: Place, dtype: np.dtype) -> None:
    """Refuse a type that the format does not hold."""
    if dtype.kind not in "iuf":
        raise UserError(f"{path}: a Zarr scene holds real numbers, not {dtype}")


def create_scene(path: Place, new: NewScene, zarr_format: int = 3) -> "ZarrWriter":
    """Begin a store; version 2 has no shards."""
    if zarr_format not in zarr_store.DRIVERS:
        raise UserError(f"zarr_format={zarr_format}: use 3 or 2")
    height, width, bands = new.shape
    chunk = _side(height, bands, new.dtype), _side(width, bands, new.dtype)
    count = -(-height // chunk[0]) * -(-width // chunk[1])
    shard = [SHARD * n for n in chunk] if count > MANY and zarr_format == 3 else []
    documents, small, attrs = zarr_meta.described(
        zarr_format, new, (bands, *chunk), (bands, *shard) if shard else ()
    )
    if isinstance(path, Url):
        metadata = zarr_store.metadata(zarr_format, documents, attrs)
        resumed = _begin(path, metadata, resume=new.resume)
        arrays = [zarr_store.array_of(name, d, {}) for name, d in documents.items()]
        stores = {a.name: zarr_store.opened(path, a, write=True, exists=False) for a in arrays}
        return UrlWriter(path, new, stores, small, metadata=metadata, resumed=resumed)
    folder = partial(path)
    resumed = new.resume and folder.exists()
    if resumed:
        _check_same(path, documents)
    else:
        if folder.exists():
            shutil.rmtree(folder)
        zarr_store.create(folder, zarr_format, documents, attrs)
    found, _ = zarr_store.arrays(folder)
    stores = {name: zarr_store.opened(folder, found[name], write=True) for name in documents}
    return FolderWriter(path, new, stores, {} if resumed else small, resumed=resumed)


def _begin(url: Url, metadata: Mapping, *, resume: bool) -> bool:
    """Marks a store at a URL as being written; whether one that was begun is continued."""
    objects = check_free_url(url)
    text = json.dumps(metadata, sort_keys=True).encode()
    found, state = objects.stamped(MARK)
    if found is None:
        if objects.put(MARK, text, instead_of=state):
            return False
        found = objects.get(MARK)
    if not resume:
        raise UserError(
            f"{url}: is being written by another process, or was left unfinished: delete what is "
            "below it or choose another name"
        )
    if found != text:
        raise UserError(
            f"{url}: is unfinished and was begun with another size, dtype or header; delete what "
            "is below it or choose another name"
        )
    return True


def _side(length: int, bands: int, dtype: np.dtype) -> int:
    """Pixels on a chunk's side: a power of two."""
    side = max(int((CHUNK / (bands * dtype.itemsize)) ** 0.5), 1)
    return min(max(1 << (side.bit_length() - 1), SIDES[0]), SIDES[1], length)


def _check_same(path: Path, documents: Mapping) -> None:
    """An unfinished store is continued only if this run would have begun the same one."""
    try:
        found, _ = zarr_store.arrays(partial(path))
    except (UserError, ValueError, KeyError) as error:
        raise stale(path) from error
    for name, document in documents.items():
        own = zarr_store.text_of(zarr_store.own_file(document))
        if name not in found or zarr_store.text_of(found[name].text) != own:
            raise stale(path)


class ZarrWriter(SceneWriter):
    """Blocks of any size; they are gathered until `sync`, so that chunks are written whole."""

    def __init__(
        self,
        path: Place,
        new: NewScene,
        stores: Mapping[str, ts.TensorStore],
        small: Mapping[str, np.ndarray],
        *,
        resumed: bool,
    ):
        self.path, self.dtype, self.resumed = path, new.dtype, resumed
        self.height, self.width, self.bands = new.shape
        self.store = stores[CUBE]
        self.waiting = ts.Transaction()
        with reached(path):
            for name, values in small.items():
                stores[name].write(np.asarray(values)).result()

    def _write(self, row: int, col: int, block: np.ndarray) -> None:
        rows, cols = (slice(at, at + n) for at, n in zip((row, col), block.shape))
        window = self.store.with_transaction(self.waiting)[:, rows, cols]
        with reached(self.path):
            window.write(np.ascontiguousarray(block.transpose(2, 0, 1))).result()

    def _sync(self) -> None:
        with reached(self.path):
            self.waiting.commit_sync()
        self.waiting = ts.Transaction()


class FolderWriter(ZarrWriter):
    """A folder under a `.partial` name until it is finished."""

    path: Path

    def _finish(self) -> None:
        self._sync()
        old = self.path.with_name(f"{self.path.name}.replaced.partial")
        if self.path.exists():
            shutil.rmtree(old, ignore_errors=True)
            os.replace(self.path, old)
        os.replace(partial(self.path), self.path)
        shutil.rmtree(old, ignore_errors=True)

    def _abort(self) -> None:
        self.waiting.abort()
        with suppress(OSError):
            shutil.rmtree(partial(self.path))


class UrlWriter(ZarrWriter):
    """Objects below a URL, without metadata until it is finished."""

    path: Url

    def __init__(self, *args, metadata: Mapping, resumed: bool):
        super().__init__(*args, resumed=resumed)
        self.metadata = metadata

    def _finish(self) -> None:
        self._sync()
        objects = Objects(self.path)
        for name, document in self.metadata.items():  # the group's own last
            objects.put(name, zarr_store.text_of(document).encode())
        objects.delete(zarr_store.UNFINISHED)

    def _abort(self) -> None:
        self.waiting.abort()
        with suppress(UserError):
            Objects(self.path).delete()


def check_free(path: Place) -> None:
    """Refuse a folder that is no Zarr store, which would be replaced as a whole; at a URL all that
    is there but an unfinished store."""
    if isinstance(path, Url):
        check_free_url(path)
        return
    if path.is_dir() and not is_zarr(path) and any(path.iterdir()):
        raise UserError(f"{path}: is a folder of other files; choose another name")
    if path.is_file():
        raise UserError(f"{path}: is a file; choose another name")


def check_free_url(url: Url) -> Objects:
    """The objects below a URL; refuses one where no store can be begun or continued."""
    if url.scheme not in WRITTEN or not url.key:
        schemes = ", ".join(f"{scheme}://" for scheme in WRITTEN)
        raise UserError(f"{url}: is for reading; stores are written to {schemes} and a name.zarr")
    objects = Objects(url)
    if any(objects.get(name) for name in zarr_store.GROUPS):
        raise UserError(
            f"{url}: a store is there, and at a URL none is replaced: delete it or choose another "
            "name"
        )
    if not zarr_store.unfinished(objects) and objects.names():
        raise UserError(f"{url}: other objects are there; choose another name")
    return objects
