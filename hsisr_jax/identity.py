"""Digests of everything that a result depends on: weights, files, settings, JAX's flags.

An identity is a JSON object, `{"weights": DIGEST, "scene": {FILE: DIGEST}, ...}`. It is written
beside each result (in a workdir, a prepared dataset, the journal of a prediction, the scores of an
evaluation) and compared with `changes` before anything continues or is used again.

A digest is of content: a file that is copied, renamed or touched stays the same. Of a file above
`WHOLE` bytes only the first, the last and evenly spaced blocks are read (`SAMPLES` of them), beside
its size and its time of change; so a scene of any size costs no second reading. A change that
misses all blocks and puts the old time back is not noticed. Arrays are read likewise.
"""

import glob
import hashlib
import json
import os
from collections.abc import Iterable, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

WHOLE = 64 << 20  # bytes; files and arrays up to here are read as a whole
SAMPLES = 256
BLOCK = WHOLE // SAMPLES
UNFINISHED = (".part", ".partial")
JAX_FLAGS = (  # those that change numbers
    "jax_default_prng_impl",
    "jax_enable_x64",
    "jax_default_matmul_precision",
    "jax_threefry_partitionable",
    "jax_numpy_dtype_promotion",
    "jax_random_seed_offset",
)


def of_files(paths: Iterable[str | os.PathLike]) -> dict[str, str]:
    """The digests of files by name; files of the same name by the ends of their paths."""
    files = sorted({Path(path).resolve() for path in paths})
    names = [file.name for file in files]
    unique = len(set(names)) == len(names)
    return {file.name if unique else str(file): of_file(file) for file in files}


def of_file(path: str | os.PathLike) -> str:
    """A digest of a file's content, or `missing`. For a folder (a Zarr store), a digest of the
    names, sizes and times of its files."""
    path = os.path.realpath(path)
    if os.path.isdir(path):
        return of_place(path)
    try:
        stat = os.stat(path)
    except FileNotFoundError:
        return "missing"
    return _of_file(path, stat.st_ino, stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns)


def of_place(path: str | os.PathLike) -> str:
    """Digests of a file and those beside it with the same stem (header, data, sidecars); for a
    folder, a digest of the names, sizes and times of all files in it."""
    path = Path(path)
    if path.is_dir():
        stats = {str(f.relative_to(path)): f.stat() for f in path.rglob("*") if f.is_file()}
        return of_json({name: [s.st_size, s.st_mtime_ns] for name, s in stats.items()})
    stem = path.name.split(".")[0]
    beside = [f for f in path.parent.glob(f"{glob.escape(stem)}.*") if f.is_file()]
    return of_json(of_files([path, *(f for f in beside if f.suffix not in UNFINISHED)]))


@lru_cache(maxsize=1024)
def _of_file(path: str, inode: int, size: int, changed: int, ctime: int) -> str:
    found = hashlib.sha256()
    with open(path, "rb") as file:
        if size <= WHOLE:
            return hashlib.file_digest(file, "sha256").hexdigest()[:32]
        found.update(f"{size} {changed}".encode())
        for place in _places(size):
            file.seek(place)
            found.update(file.read(BLOCK))
    return found.hexdigest()[:32]


def of_tree(tree: Any) -> str:
    """A digest of nested mappings of arrays, such as a network's variables."""
    found = hashlib.sha256()
    for name, leaf in _leaves(tree, ""):
        array = leaf if hasattr(leaf, "read_bytes") else np.asarray(leaf)  # that of a file
        found.update(f"{name} {array.dtype} {array.shape}\n".encode())
        _add(found, array)
    return found.hexdigest()[:32]


def of_json(value: Any) -> str:
    """A digest of plain settings."""
    text = json.dumps(value, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def of_jax_flags() -> dict[str, str]:
    """JAX's flags that change numbers, however they were set."""
    import jax

    return {name: str(getattr(jax.config, name, None)) for name in JAX_FLAGS}


def of_jax() -> dict[str, str]:
    """The flags, and the kind of device."""
    import jax

    return of_jax_flags() | {"platform": jax.default_backend()}


def changes(before: Any, now: Any, name: str = "") -> list[str]:
    """Dotted names of what differs between two identities, sorted."""
    if isinstance(before, Mapping) and isinstance(now, Mapping):
        return [
            found
            for key in sorted({*before, *now})
            for found in changes(before.get(key), now.get(key), f"{name}.{key}" if name else key)
        ]
    return [] if before == now else [name]


def _places(size: int) -> list[int]:
    return np.linspace(0, size - BLOCK, SAMPLES).astype(np.int64).tolist()


def _add(found: Any, array: Any) -> None:
    """The values of an array: all, or evenly spaced blocks of a large one."""
    on_disk = hasattr(array, "read_bytes")
    if array.nbytes <= WHOLE or not (on_disk or array.flags.c_contiguous):
        found.update(np.ascontiguousarray(array).reshape(-1).view(np.uint8))
        return
    for place in _places(array.nbytes):
        if on_disk:
            found.update(array.read_bytes(place, BLOCK))
        else:
            found.update(array.reshape(-1).view(np.uint8)[place : place + BLOCK])


def _leaves(tree: Any, name: str) -> Iterable[tuple[str, Any]]:
    if isinstance(tree, Mapping):
        for key in sorted(tree):
            yield from _leaves(tree[key], f"{name}/{key}")
    elif tree is not None:
        yield name, tree
