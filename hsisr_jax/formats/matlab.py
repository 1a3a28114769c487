"""MATLAB files: v5 (the default of `save` up to -v7) and v7.3, which is HDF5 with reversed axes.

A compressed v5 cube can be read only as a whole and is then held in memory.
"""

import math
import re
from pathlib import Path

import numpy as np

from hsisr_jax.errors import UserError
from hsisr_jax.formats import matlab5
from hsisr_jax.formats.raw import ORDERS, ArrayReader, RawLayout, RawReader, RawWriter
from hsisr_jax.formats.scene import NewScene, SceneMeta, SceneReader, SceneWriter
from hsisr_jax.formats.variables import CUBE, META, choose, cube_shape, meta_beside

KIND = "a MATLAB file"


def open_scene(path: Path, *, variable: str | None = None) -> SceneReader:
    """Open a v5 or v7.3 file; `variable` names the cube where there are several."""
    with open(path, "rb") as file:
        start = file.read(520)
    if b"\x89HDF" in (start[:4], start[512:516]):
        from hsisr_jax.formats import hdf5

        return hdf5.open_scene(path, variable=variable, matlab=True)
    order, found = matlab5.scan(path)
    arrays = {item.name: item for item in found if not item.text and not item.unread}
    texts = {item.name: item for item in found if item.text}
    name = _chosen(path, found, {key: item.shape for key, item in arrays.items()}, variable)
    shape = cube_shape(path, name, arrays[name].shape)
    meta = _meta(path, order, arrays, texts, shape[2])
    if arrays[name].packed is None:
        dtype = arrays[name].dtype(order)
        layout = RawLayout(*shape, dtype, ORDERS["matlab"], arrays[name].start)
        return RawReader(path, layout, meta, kind=KIND, data=path)
    cube = matlab5.load(path, arrays[name], order)
    return ArrayReader(path, cube.reshape(shape[::-1]).transpose(2, 1, 0), meta, kind=KIND)


def _chosen(
    path: Path, found: list[matlab5.Variable], shapes: dict[str, tuple], variable: str | None
) -> str:
    """The name of the cube; where there is none, what else there is in which it may be."""
    try:
        return choose(path, shapes, variable)
    except UserError as error:
        others = [f"{item.name} is {item.unread}" for item in found if item.unread][:8]
        if not others:
            raise
        raise UserError(
            f"{error}. {', '.join(others)}: not read here; save the cube as a variable of its own "
            "(of a structure S: save('cube.mat', '-struct', 'S'))"
        ) from None


def _meta(path: Path, order: str, arrays: dict, texts: dict, bands: int) -> SceneMeta:
    def load(name: str) -> np.ndarray | None:
        small = arrays[name].nbytes <= 8 * bands
        return matlab5.load(path, arrays[name], order) if small else None

    text = matlab5.load_text(path, texts[META], order) if META in texts else None
    return meta_beside(text, list(arrays), bands, load)


def check_dtype(path: Path, dtype: np.dtype) -> None:
    """Refuse a type that the format does not hold."""
    if dtype.newbyteorder("<") not in {np.dtype(code) for code in matlab5.CLASSES.values()}:
        raise UserError(f"{path}: MATLAB has no {dtype}; choose float32, float64 or an integer")


def create_scene(
    path: Path, new: NewScene, variable: str = CUBE, version: str = "auto"
) -> SceneWriter:
    """Begin a v5 file, or v7.3 where the cube is too large for v5 (`version` "5", "7.3")."""
    if version not in ("auto", "5", "7.3"):
        raise UserError(f"{path}: MATLAB version {version!r} is not one of auto, 5, 7.3")
    if not re.fullmatch(r"[A-Za-z][A-Za-z0-9_]{0,62}", variable):
        raise UserError(f"{path}: {variable!r} cannot name a MATLAB variable")
    large = math.prod(new.shape) * new.dtype.itemsize >= matlab5.LIMIT
    if large and version == "5":
        raise UserError(f"{path}: a v5 file holds less than 2 GiB a variable; use version 7.3")
    if large or version == "7.3":
        from hsisr_jax.formats import hdf5

        return hdf5.create_scene(path, new, variable, matlab=True)
    start = matlab5.array_start(variable, new.shape, new.stored)
    prelude = matlab5.header() + _companions(new.meta) + start
    layout = RawLayout(*new.shape, new.stored, ORDERS["matlab"], len(prelude))
    padding = matlab5.padding(layout.nbytes)
    return RawWriter.begin(path, layout, prelude, padding=padding, resume=new.resume)


def _companions(meta: SceneMeta) -> bytes:
    """Wavelengths for people, and everything as one text for us."""
    text = np.frombuffer(meta.to_json().encode("utf-16-le"), "<u2").reshape(1, -1)
    data = matlab5.array(META, text, text=True)
    for name in ("wavelengths", "fwhm"):
        values = getattr(meta, name)
        if values is not None:
            data += matlab5.array(name, values.reshape(1, -1).astype("<f8"))
    return data
