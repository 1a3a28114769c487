"""Weight files: names -> numpy arrays, read without ever running what a file says.

`.pth` and `.pt` are PyTorch's (tensors only: a pickled module is refused), `.npz` is numpy's,
`.safetensors` is read and written by the package of that name.
"""

import io
import math
import os
import pickle
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import safetensors.numpy

from hsisr_jax.errors import UserError, first_line
from hsisr_jax.files import written

State = dict[str, np.ndarray]

DTYPES = {  # safetensors' names; BF16 is widened to float32
    "F64": "<f8", "F32": "<f4", "F16": "<f2", "BF16": "<u2", "I64": "<i8", "I32": "<i4",
    "I16": "<i2", "I8": "<i1", "U64": "<u8", "U32": "<u4", "U16": "<u2", "U8": "<u1", "BOOL": "?",
}  # fmt: skip
NPY_HEADER = 1 << 16  # bytes that an array's header may take
WRAPPERS = ("state_dict", "model_state_dict", "model", "net", "params")  # keys around the weights


def read_weights(path: str | os.PathLike) -> State:
    """All arrays of a weight file under their names."""
    path = Path(path)
    reader, _ = _by_ending(path)
    if not path.is_file():
        raise UserError(f"there is no weight file {path}")
    return reader(path)


def write_weights(path: str | os.PathLike, state: Mapping[str, np.ndarray]) -> None:
    """Arrays to a weight file, which appears whole or not at all."""
    path = Path(path)
    _, writer = _by_ending(path)
    arrays = {k: np.asarray(v, order="C") for k, v in state.items()}
    with written(path) as file:
        writer(file, arrays)


def _by_ending(path: Path) -> tuple[Callable, Callable]:
    if path.suffix not in FORMATS:
        raise UserError(f"{path.name}: weights are read from {', '.join(FORMATS)} files")
    return FORMATS[path.suffix]


def _read_npz(path: Path) -> State:
    try:
        with zipfile.ZipFile(path) as archive:
            for member in archive.infolist():
                _check_member(archive, member)
        with np.load(path, allow_pickle=False) as arrays:
            return {name: arrays[name] for name in arrays.files}
    except UserError:
        raise
    except Exception as error:  # numpy and zipfile meet damage with nearly every type of error
        raise UserError(f"{path} is not an .npz of plain arrays: {first_line(error)}") from error


def _check_member(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> None:
    """Refuses what is no array of numbers, and a header that promises more than is there."""
    with archive.open(member) as file:
        start = io.BytesIO(file.read(NPY_HEADER))  # its length may be a lie as well
        version = np.lib.format.read_magic(start)
        read = {(1, 0): np.lib.format.read_array_header_1_0}
        shape, _, dtype = read.get(version, np.lib.format.read_array_header_2_0)(start)
    if dtype.kind not in "fiubc":
        raise ValueError(f"{member.filename} holds {dtype}: no numbers")
    if math.prod(shape) * dtype.itemsize > member.file_size:
        raise ValueError(f"{member.filename} promises {shape} and is too short for it")


def _read_torch(path: Path) -> State:
    torch = _torch("read")
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise UserError(
            f"{path} holds Python objects beside tensors, which could run code, and is refused: "
            "save model.state_dict() alone where the model was trained"
        ) from error
    except Exception as error:  # a damaged pickle calls PyTorch's functions with anything
        raise UserError(f"{path} is not a PyTorch file: {first_line(error)}") from error
    tensors = _state_dict(content)
    if not tensors:
        raise UserError(f"{path} holds no state dict: save model.state_dict()")
    for name, tensor in tensors.items():
        if tensor.numel() > path.stat().st_size:  # a view that repeats a few numbers
            raise UserError(f"{path}: {name!r} has more numbers than the file: save it again")
    try:
        plain = {name: tensor.detach() for name, tensor in tensors.items()}
        half = torch.bfloat16
        return {k: (v.float() if v.dtype == half else v).numpy() for k, v in plain.items()}
    except (RuntimeError, TypeError, ValueError) as error:
        raise UserError(f"{path} holds tensors that are not plain: {first_line(error)}") from error


def _state_dict(content) -> dict:
    """The tensors by name, at the top or inside one of the usual wrappers."""
    if not isinstance(content, Mapping):
        return {}
    for key in WRAPPERS:
        if isinstance(content.get(key), Mapping):
            return _state_dict(content[key])
    return {k: v for k, v in content.items() if hasattr(v, "detach")}


def _write_torch(file, state: State) -> None:
    torch = _torch("written")
    torch.save({name: torch.tensor(value) for name, value in state.items()}, file)


def _torch(what: str):
    try:
        import torch
    except ImportError as error:
        raise UserError(
            f".pth files are {what} with PyTorch, which is not installed: pip install torch, or "
            "use an .npz or .safetensors file"
        ) from error
    return torch


def _read_safetensors(path: Path) -> State:
    try:
        entries = safetensors.deserialize(path.read_bytes())
    except Exception as error:  # of the library, for every kind of damage
        raise UserError(f"{path} is not a safetensors file: {first_line(error)}") from error
    unknown = sorted({entry["dtype"] for _, entry in entries} - set(DTYPES))
    if unknown:
        raise UserError(f"{path} holds tensors of type {unknown[0]}, which numpy lacks")
    return {name: _tensor(entry) for name, entry in entries}


def _tensor(entry: dict) -> np.ndarray:
    array = np.frombuffer(entry["data"], DTYPES[entry["dtype"]]).reshape(entry["shape"])
    if entry["dtype"] == "BF16":
        return (array.astype(np.uint32) << 16).view(np.float32)
    return array.copy()


def _write_safetensors(file, state: State) -> None:
    known = {np.dtype(code) for code in DTYPES.values()}
    for name, value in state.items():
        if value.dtype not in known:
            raise UserError(f"{name!r} has the type {value.dtype}, which safetensors lacks")
    file.write(safetensors.numpy.save(state))


FORMATS: dict[str, tuple[Callable, Callable]] = {
    ".pth": (_read_torch, _write_torch),
    ".pt": (_read_torch, _write_torch),
    ".npz": (_read_npz, lambda file, state: np.savez(file, **state)),
    ".safetensors": (_read_safetensors, _write_safetensors),
}
