"""numpy's own files: npy (values in place, metadata as JSON beside it) and npz.

Headers are read by numpy with pickle off; a stored (uncompressed) array of an npz is read in place
like an npy, a compressed one as a whole.
"""

import math
import os
import struct
import zipfile
from io import BytesIO
from pathlib import Path
from typing import IO

import numpy as np

from hsisr_jax.errors import UserError
from hsisr_jax.formats.raw import ArrayReader, RawLayout, RawReader, RawWriter, Staged, partial
from hsisr_jax.formats.scene import NUMERIC, NewScene, SceneMeta, SceneReader, check_size
from hsisr_jax.formats.variables import CUBE, META, choose, cube_shape, meta_beside, meta_from

MAX_SIDECAR = 1 << 24
MAX_MEMBERS = 10_000
MAX_HEADER = 1 << 16  # numpy itself stops at 10,000 characters
LOCAL = struct.Struct("<4s5H3I2H")  # a zip member's own header, before its name


def open_scene(path: Path, *, variable: str | None = None) -> SceneReader:
    """Open an npy, or one array of an npz."""
    with open(path, "rb") as file:
        zipped = file.read(2) == b"PK"
    return _open_npz(path, variable) if zipped else _open_npy(path)


def _header(path: object, file: IO[bytes]) -> tuple[tuple[int, ...], bool, np.dtype, int]:
    """Shape, column-major or not, dtype, and where the values start."""
    # From memory: numpy allocates whatever length a header claims for itself.
    file = BytesIO(file.read(MAX_HEADER))
    version = np.lib.format.read_magic(file)
    if version == (1, 0):
        shape, fortran, dtype = np.lib.format.read_array_header_1_0(file)
    elif version in ((2, 0), (3, 0)):
        shape, fortran, dtype = np.lib.format.read_array_header_2_0(file)
    else:
        raise UserError(f"{path}: npy version {version} is not known; save it again with numpy")
    return shape, fortran, dtype, file.tell()


def _layout(
    path: object, name: str, head: tuple[tuple[int, ...], bool, np.dtype, int], start: int = 0
) -> RawLayout:
    shape, fortran, dtype, offset = head
    if dtype.kind not in NUMERIC or dtype.hasobject or dtype.names:
        raise UserError(f"{path}: {name} holds {dtype}, not numbers; save the cube as numbers")
    axes = "bwh" if fortran else "hwb"
    return RawLayout(*cube_shape(path, name, shape), dtype, axes, start + offset)


def _open_npy(path: Path) -> SceneReader:
    with open(path, "rb") as file:
        layout = _layout(path, "the array", _header(path, file))
    beside = _sidecar(path)
    text = None
    if beside.is_file() and beside.stat().st_size <= MAX_SIDECAR:
        text = beside.read_text("utf-8", "replace")
    meta = meta_from(text, None, layout.bands)
    reader = RawReader(path, layout, meta, kind="an npy array", data=path)
    reader.sidecars = (beside,) if text is not None else ()
    return reader


def _sidecar(path: Path) -> Path:
    return path.with_name(path.name + ".json")


def _open_npz(path: Path, variable: str | None) -> SceneReader:
    with zipfile.ZipFile(path) as archive:
        heads, members = {}, {}
        for info in archive.infolist()[:MAX_MEMBERS]:
            if not info.filename.endswith(".npy"):
                continue
            _check_member(path, info)
            with archive.open(info) as file:
                name = info.filename.removesuffix(".npy")
                heads[name], members[name] = _header(path, file), info
        numeric = {k: head for k, head in heads.items() if head[2].kind in NUMERIC}
        name = choose(path, {key: head[0] for key, head in numeric.items()}, variable)
        info, head = members[name], heads[name]

        def load(key: str) -> np.ndarray | None:
            shape, _, dtype, start = heads[key]
            declared = start + math.prod(shape) * dtype.itemsize
            limit = min(members[key].file_size, MAX_SIDECAR)
            if dtype.hasobject or min(shape, default=0) < 0 or declared > limit:
                return None
            with archive.open(members[key]) as file:
                return np.lib.format.read_array(BytesIO(file.read(MAX_SIDECAR)), allow_pickle=False)

        layout = _layout(path, name, head)
        meta = _meta(heads, numeric, layout.bands, load)
        if info.compress_type == zipfile.ZIP_STORED:
            start = _data_start(path, info)
            layout = _layout(path, name, head, start)
            check_size(path, layout.offset - start + layout.nbytes, info.file_size)
            return RawReader(path, layout, meta, kind="an npz file", data=path)
        declared = layout.offset + layout.nbytes
        check_size(path, declared, info.file_size)
        with archive.open(info) as file:
            data = file.read(declared)
    values = np.frombuffer(data, layout.dtype, offset=layout.offset).reshape(layout.shape)
    cube = values.transpose([layout.axes.index(axis) for axis in "hwb"])
    return ArrayReader(path, cube, meta, kind="an npz file")


def _meta(heads: dict, numeric: dict, bands: int, load) -> SceneMeta:
    head = heads.get(META)
    own = load(META) if head is not None and head[2].kind == "U" and head[0] == () else None
    return meta_beside(None if own is None else str(own), list(numeric), bands, load)


def _check_member(path: Path, info: zipfile.ZipInfo) -> None:
    """Only plain members: stored or deflated, not encrypted, no larger than they can be."""
    if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED) or info.flag_bits & 1:
        raise UserError(
            f"{path}: member {info.filename!r} is encrypted or packed in an unknown way"
        )
    packed = info.compress_type == zipfile.ZIP_DEFLATED
    size = min(info.compress_size, path.stat().st_size)
    check_size(path, info.file_size, size, packed=packed)


def _data_start(path: Path, info: zipfile.ZipInfo) -> int:
    """The position of a stored member's bytes, after its own header."""
    with open(path, "rb") as file:
        file.seek(info.header_offset)
        fields = LOCAL.unpack(file.read(LOCAL.size))
    if fields[0] != b"PK\x03\x04":
        raise ValueError("a member's header is missing")
    return info.header_offset + LOCAL.size + fields[-2] + fields[-1]


def check_dtype(path: Path, dtype: np.dtype) -> None:
    """Refuse a type that the format does not hold."""
    if dtype.kind not in NUMERIC:
        raise UserError(f"{path}: {dtype} is not written; choose a float or an integer dtype")


def create_scene(path: Path, new: NewScene, variable: str = CUBE) -> RawWriter:
    """Begin an npy with its JSON beside it, or an npz."""
    if not variable or set(variable) & set("/\\\0") or variable in (META, "wavelengths", "fwhm"):
        raise UserError(f"{path}: {variable!r} cannot name the cube")
    prelude = _prelude(new.shape, new.stored)
    layout = RawLayout(*new.shape, new.stored, "hwb", len(prelude))
    if path.suffix.lower() == ".npy":
        beside = {_sidecar(path): new.meta.to_json().encode()}
        return RawWriter.begin(path, layout, prelude, beside=beside, resume=new.resume)
    inner = path.with_name(path.name + ".npy")
    writer = NpzWriter.begin(path, layout, prelude, data=inner, resume=new.resume)
    writer.meta, writer.variable, writer.inner = new.meta, variable, inner
    return writer


def _prelude(shape: tuple, dtype: np.dtype) -> bytes:
    file = BytesIO()
    head = {"descr": np.lib.format.dtype_to_descr(dtype), "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(file, head)
    return file.getvalue()


class NpzWriter(RawWriter):
    """An npy under a partial name, put into its archive at the end."""

    inner: Path | None = None
    meta: SceneMeta
    variable: str

    def _finish(self) -> None:
        assert self.inner is not None
        os.fsync(self.fd)
        self._close()
        with zipfile.ZipFile(partial(self.path), "w", zipfile.ZIP_STORED) as archive:
            archive.write(partial(self.inner), f"{self.variable}.npy")
            for name in ("wavelengths", "fwhm"):
                if getattr(self.meta, name) is not None:
                    self._add(archive, name, getattr(self.meta, name))
            self._add(archive, META, np.array(self.meta.to_json()))
        Staged(self.path).commit()
        self.files.remove()

    def _add(self, archive: zipfile.ZipFile, name: str, values: np.ndarray) -> None:
        file = BytesIO()
        np.lib.format.write_array(file, values, allow_pickle=False)
        archive.writestr(f"{name}.npy", file.getvalue())

    def _abort(self) -> None:
        super()._abort()
        if self.inner is not None:
            Staged(self.path).remove()
