"""Scene files in and out: one reader and one writer for every format, chosen by ending and content.

ENVI (`.hdr` with `.img .bsq .bil .bip .dat .raw`), GeoTIFF, MATLAB v5 and v7.3, HDF5 and NetCDF-4,
npy and npz, Zarr folders and URLs. No JAX here.
"""

from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

from hsisr_jax.errors import UserError
from hsisr_jax.formats.places import is_url, is_zarr
from hsisr_jax.formats.products import folder
from hsisr_jax.formats.scene import SceneMeta, SceneReader, SceneWriter, readable, writable

__all__ = ["SceneMeta", "SceneReader", "SceneWriter", "check_target", "create_scene", "open_scene",
           "read_scene", "write_scene", "written_as", "written_files"]  # fmt: skip

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


def open_scene(path: str | Path, *, variable: str | None = None) -> SceneReader:
    """Open a scene file, a Zarr folder or URL, a product's folder or metadata file; `variable`
    names the cube where a file holds several arrays."""
    with readable(path, "a scene"):
        if is_url(path) or is_zarr(Path(path)):
            kind = "zarr"
        elif Path(path).is_dir() and (bands := folder.hyperion(Path(path))):
            return bands
        else:
            path = folder.image_of(Path(path))
            kind = _kind(path)
    with readable(path, NAMES[kind]):
        reader = _pixels(Path(path), variable) if kind == "matlab" else None
        reader = reader or _module(kind).open_scene(path, variable=variable)
        try:
            reader.meta.check_units(path)
        except UserError:
            reader.close()
            raise
        return reader


def _pixels(path: Path, variable: str | None) -> SceneReader | None:
    """A MATLAB matrix of one column a pixel, where the file is one of unmixing."""
    from hsisr_jax.formats.pixels import open_pixels

    return open_pixels(path, variables=(variable,) if variable else ("Y", "V"))


def read_scene(path: str | Path, **options: Any) -> tuple[np.ndarray, SceneMeta]:
    """The whole cube `(h, w, c)` in its stored dtype, and its metadata."""
    with open_scene(path, **options) as scene:
        return scene.read(), scene.meta


def create_scene(
    path: str | Path,
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
    path = Path(path)
    if min(height, width, bands) < 1:
        raise UserError(f"{path}: a scene of {height} x {width} x {bands} is empty")
    meta = (meta or SceneMeta()).check(bands, path)
    with writable(path):
        return _module(kind).create_scene(
            path,
            shape=(int(height), int(width), int(bands)),
            dtype=np.dtype(dtype),
            meta=meta,
            resume=resume,
            **options,
        )


def write_scene(
    path: str | Path, array: np.ndarray, meta: SceneMeta | None = None, **options: Any
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
    path: str | Path, source: SceneReader | None = None, dtype: Any = np.float32
) -> None:
    """Refuse a name that nothing can be written under, a type that its format does not hold, or
    what would cost another scene its files: those of `source`, or the header of other data. The
    folder of a good one is made."""
    kind = written_as(path)
    _module(kind).check_dtype(Path(path), np.dtype(dtype))
    path = Path(path)
    if path.is_dir() and kind != "zarr":
        raise UserError(f"{path}: is a folder; give a file in it")
    written = written_files(path)
    held = {file.resolve() for file in source.files} if source else set()
    lost = [file.name for file in written if {file.resolve(), *file.resolve().parents} & held]
    if lost:
        lost_files = " and ".join(lost)
        raise UserError(f"{path} would overwrite {lost_files} of the input: choose another name")
    if kind in ("envi", "zarr"):
        _module(kind).check_free(path)
    with writable(path):
        path.parent.mkdir(parents=True, exist_ok=True)


def written_files(path: str | Path) -> tuple[Path, ...]:
    """What `create_scene` makes of a name: for ENVI the data and the header, else the file."""
    kind = written_as(path)
    path = Path(path)
    return _module("envi").written_files(path) if kind == "envi" else (path,)


def _module(kind: str) -> Any:
    """The format's own file, imported when needed: h5py and rasterio are slow to import."""
    return import_module(f"hsisr_jax.formats.{kind}")


def written_as(path: str | Path) -> str:
    """The format that an ending asks for."""
    if is_url(path):
        raise UserError(
            f"{path}: scenes are written as files; write a .zarr folder and copy it to the URL, or "
            "use hsisr_jax.xarray.sharpen(...).to_zarr(URL)"
        )
    kind = _ending(Path(path))
    if kind is None:
        known = " ".join(f".{ending}" for endings in ENDINGS.values() for ending in endings)
        raise UserError(f"{path}: unknown ending; a scene is written as one of {known}")
    return kind


def _ending(path: Path) -> str | None:
    ending = path.suffix.lower().lstrip(".")
    return next((kind for kind, endings in ENDINGS.items() if ending in endings), None)


def _kind(path: Path) -> str:
    """By content where it has a mark of its own; raw ENVI data and MATLAB go by their ending."""
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
