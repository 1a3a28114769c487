"""Scene files in and out: one reader and one writer for every format, chosen by ending and content.

ENVI (`.hdr` with `.img .bsq .bil .bip .dat .raw`), GeoTIFF, MATLAB v5 and v7.3, HDF5 and NetCDF-4,
npy and npz, Zarr folders and URLs. No JAX here.
"""

import inspect
from importlib import import_module
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any

import numpy as np

from hsisr_jax.errors import UserError
from hsisr_jax.formats.places import Place, Url, is_url, is_zarr, where
from hsisr_jax.formats.products import folder
from hsisr_jax.formats.scene import (
    NewScene,
    SceneMeta,
    SceneReader,
    SceneWriter,
    readable,
    writable,
)

__all__ = [
    "SceneMeta",
    "SceneReader",
    "SceneWriter",
    "check_target",
    "create_scene",
    "data_file",
    "open_scene",
    "read_scene",
    "write_scene",
    "written_as",
    "written_files",
]

ENDINGS = {
    "envi": ("hdr", "img", "bsq", "bil", "bip", "dat", "raw", "bin"),
    "geotiff": ("tif", "tiff", "gtiff"),
    "matlab": ("mat",),
    "hdf5": ("h5", "hdf5", "he5", "hdf", "nc", "nc4"),
    "arrays": ("npy", "npz"),
    "zarr": ("zarr",),
}
NAMES = {
    "envi": "an ENVI cube",
    "geotiff": "a GeoTIFF",
    "matlab": "a MATLAB file",
    "hdf5": "an HDF5 file",
    "arrays": "a numpy array",
    "zarr": "a Zarr store",
}
MAGIC = (
    (b"ENVI", "envi"),
    (b"II*\0", "geotiff"),
    (b"MM\0*", "geotiff"),
    (b"II+\0", "geotiff"),
    (b"MM\0+", "geotiff"),
    (b"MATLAB ", "matlab"),
    (b"\x89HDF\r\n\x1a\n", "hdf5"),
    (b"\x93NUMPY", "arrays"),
    (b"PK\x03\x04", "arrays"),
)


def open_scene(path: str | Place, *, variable: str | None = None) -> SceneReader:
    """Open a scene file, a Zarr folder or URL, a product's folder or metadata file; `variable`
    names the cube where a file holds several arrays."""
    with readable(path, "a scene"):
        place = where(path)
        if isinstance(place, Url) or is_zarr(place):
            kind = "zarr"
        elif place.is_dir() and (bands := folder.hyperion(place)):
            return bands
        else:
            place = folder.image_of(place)
            kind = _kind(place)
    with readable(place, NAMES[kind]):
        reader = None
        if kind == "matlab":  # one of unmixing has a column for each pixel
            from hsisr_jax.formats.pixels import open_pixels

            names = (variable,) if variable else ("Y", "V")
            reader = open_pixels(Path(str(place)), variables=names)
        reader = reader or _module(kind).open_scene(place, variable=variable)
        try:
            reader.meta.check_units(place)
        except UserError:
            reader.close()
            raise
        return reader


def read_scene(path: str | Place, **options: Any) -> tuple[np.ndarray, SceneMeta]:
    """The whole cube `(h, w, c)` in its stored dtype, and its metadata."""
    with open_scene(path, **options) as scene:
        return scene.read(), scene.meta


def create_scene(
    path: str | Place,
    *,
    height: int,
    width: int,
    bands: int,
    dtype: Any = np.float32,
    meta: SceneMeta | None = None,
    resume: bool = False,
    **options: Any,
) -> SceneWriter:
    """Start a scene file, to be written in blocks; its ending chooses the format.

    Options: `interleave` ("bsq", "bil", "bip": ENVI), `variable` (MATLAB, HDF5, npz), `version`
    ("auto", "5", "7.3": MATLAB), `zarr_format` (3 or 2), `compress` ("deflate", "zstd", "lzw": a
    GeoTIFF becomes a compressed, cloud-optimised one when it is finished).
    """
    kind = written_as(path)
    path = where(path)
    if min(height, width, bands) < 1:
        raise UserError(f"{path}: a scene of {height} x {width} x {bands} is empty")
    meta = (meta or SceneMeta()).check(bands, path)
    new = NewScene((int(height), int(width), int(bands)), np.dtype(dtype), meta, resume)
    module = _module(kind)
    known = list(inspect.signature(module.create_scene).parameters)[2:]
    if unknown := sorted(set(options) - set(known)):
        raise UserError(f"{path}: no option {unknown[0]!r} in {kind}, but {', '.join(known)}")
    with writable(path):
        module.check_dtype(path, new.dtype)
        return module.create_scene(path, new, **options)


def write_scene(
    path: str | Place, array: np.ndarray, meta: SceneMeta | None = None, **options: Any
) -> None:
    """Write a whole cube `(h, w, c)`; options as in `create_scene`."""
    array = np.asarray(array)
    if array.ndim != 3:
        raise UserError(f"{path}: a scene is (height, width, bands), not {array.shape}")
    height, width, bands = array.shape
    options = {"dtype": array.dtype, **options}
    with create_scene(path, height=height, width=width, bands=bands, meta=meta, **options) as out:
        out.write(0, 0, array)


def check_target(
    path: str | Place, source: SceneReader | None = None, dtype: Any = np.float32
) -> None:
    """Refuse a name that nothing can be written under, a type that its format does not hold, or
    what would cost another scene its files: those of `source`, or the header of other data. The
    folder of a good one is made."""
    kind, place = written_as(path), where(path)
    _module(kind).check_dtype(place, np.dtype(dtype))
    if isinstance(place, Url):
        _module(kind).check_free(place)
        return
    if place.is_dir() and kind != "zarr":
        raise UserError(f"{path}: is a folder; give a file in it")
    written = written_files(place)
    held = {file.resolve() for file in source.files} if source else set()
    lost = [file.name for file in written if {file.resolve(), *file.resolve().parents} & held]
    if lost:
        lost_files = " and ".join(lost)
        raise UserError(f"{path} would overwrite {lost_files} of the input: choose another name")
    if kind in ("envi", "zarr"):
        _module(kind).check_free(place)
    with writable(path):
        place.parent.mkdir(parents=True, exist_ok=True)
        TemporaryFile(dir=place.parent).close()  # the disk, not its permissions, says whether


def written_files(path: str | Place) -> tuple[Path, ...]:
    """The files that `create_scene` makes of a name: for ENVI the data and the header; none where
    it is a URL."""
    kind, place = written_as(path), where(path)
    if isinstance(place, Url):
        return ()
    return _module("envi").written_files(place) if kind == "envi" else (place,)


def data_file(path: str | Place) -> Place:
    """The file that holds the values of an output; files beside it are named after it."""
    return next(iter(written_files(path)), where(path))


def _module(kind: str) -> Any:
    """The format's own file, imported when needed: h5py and rasterio are slow to import."""
    return import_module(f"hsisr_jax.formats.{kind}")


def written_as(path: str | Place) -> str:
    """The format that an ending asks for."""
    if is_url(path) and where(path).suffix.lower() != ".zarr":
        raise UserError(f"{path}: at a URL a scene is a Zarr store: give a name that ends in .zarr")
    kind = _ending(Path(str(path)))
    if kind is None:
        known = " ".join(f".{ending}" for endings in ENDINGS.values() for ending in endings)
        raise UserError(f"{path}: unknown ending; a scene is written as one of {known}")
    return kind


def _ending(path: Path) -> str | None:
    ending = path.suffix.lower().lstrip(".")
    return next((kind for kind, endings in ENDINGS.items() if ending in endings), None)


def _kind(path: Path) -> str:
    """The format of a file, by its content; by its ending for raw ENVI data and MATLAB."""
    ending = _ending(path)
    if ending in ("envi", "matlab"):
        return ending
    with open(path, "rb") as file:
        start = file.read(16)
    by_content = next((kind for magic, kind in MAGIC if start.startswith(magic)), None)
    if by_content or ending:
        return by_content or str(ending)
    if path.with_name(path.name + ".hdr").exists() or path.with_suffix(".hdr").exists():
        return "envi"
    known = " ".join(f".{ending}" for endings in ENDINGS.values() for ending in endings)
    raise UserError(f"{path}: not a scene file that is known here; known endings: {known}")
