"""What a start need not make again: the traced training step and the first state, kept on disk.

JAX's own cache holds compiled code and finds it by the traced program: every start traces. This
keeps the trace, as StableHLO by `jax.export`, and what the creation of the first state gave. A
program must not outlive what it was made from, so its key holds all of that, source code included.
"""

import hashlib
import logging
import os
import platform
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import jax
import numpy as np
from flax import serialization
from jax import export
from ml_collections import ConfigDict

from hsisr_jax.data.scenes import Dataset
from hsisr_jax.training.workdir import as_dict

PACKAGE = Path(__file__).parents[1]
INSTALLED = "*.dist-info"  # whose names tell the versions of what lies beside
KEPT = 16  # runs
DATA = 2**30  # bytes of scenes: to hash more takes longer than to trace
STATE = 2**26  # bytes of a first state: to create a larger one is little of what its run takes
DIGEST = hashlib.sha256().digest_size


@dataclass(frozen=True)
class Kept:
    """The entries of one key; without a folder nothing is kept. Nothing here may end a run."""

    folder: Path | None = None
    key: str = ""

    def lower(self, jit: Callable, advance: Callable, state, source, n) -> jax.stages.Lowered:
        """`advance.lower(state, source, n)`, traced by this run or an earlier one.

        Also where it was traced just now, what is compiled is what a later run will read: the same
        numbers, and the compiled code is found in JAX's cache.
        """
        if self.folder is None:
            return advance.lower(state, source, n)
        tree, sources = jax.tree.structure(state), jax.tree.structure(source)

        def flat(leaves, pixels, n):  # lists and names, which are written without pickle
            state, means = advance(tree.unflatten(leaves), sources.unflatten(pixels), n)
            return tree.flatten_up_to(state), means

        def again(state, source, n):
            leaves, means = program.call(jax.tree.leaves(state), jax.tree.leaves(source), n)
            return tree.unflatten(leaves), means

        try:
            if data := self._read("step"):
                program = export.deserialize(bytearray(data))
            else:
                flat_args = jax.tree.leaves(state), jax.tree.leaves(source), n
                program = export.export(jax.jit(flat))(*flat_args)
                self._write("step", program.serialize())
            return jit(again).lower(state, source, n)
        except Exception as error:  # an operation that cannot be kept, or a fault of the user's
            logging.debug("the traced step is not kept: %r", error)
            return advance.lower(state, source, n)  # which is told of here

    def state(self, begin: Callable[[Mapping], object]):
        """The first state as numpy arrays, where an earlier run created it."""
        try:
            if data := self._read("state"):
                values = serialization.msgpack_restore(data)
                return serialization.from_state_dict(jax.eval_shape(begin, values), values)
        except Exception as error:
            logging.debug("the first state is created again: %r", error)
        return None

    def keep_state(self, state) -> None:
        if self.folder and sum(x.nbytes for x in jax.tree.leaves(state)) <= STATE:
            self._write("state", serialization.to_bytes(jax.device_get(state)))

    def _read(self, name: str) -> bytes | None:
        """An entry, if it is whole: it begins with its own digest."""
        if self.folder is None:
            return None
        try:
            data = (self.folder / f"{self.key}.{name}").read_bytes()
        except OSError:
            return None
        digest, data = data[:DIGEST], data[DIGEST:]
        return data if hashlib.sha256(data).digest() == digest else None

    def _write(self, name: str, data: bytes | bytearray) -> None:
        assert self.folder
        path = self.folder / f"{self.key}.{name}"
        beside = path.with_suffix(f".{os.getpid()}")
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            beside.write_bytes(hashlib.sha256(data).digest() + data)
            beside.replace(path)
            newest = sorted(self.folder.iterdir(), key=lambda p: p.stat().st_mtime, reverse=True)
            for old in newest[2 * KEPT :]:
                old.unlink()
        except OSError as error:  # a full disk, a folder of somebody else's
            logging.debug("%s is not kept: %r", path, error)


def kept(config: ConfigDict, data: Dataset) -> Kept:
    """Where the programs of this run lie; nowhere, if their key could miss something."""
    cache = jax.config.jax_compilation_cache_dir
    typed = not hasattr(sys.modules["__main__"], "__file__")  # a notebook's classes have no file
    size = sum(x.nbytes for scene in data.scenes for x in scene.cubes.values())
    if (
        not config.get("keep_programs", True)
        or not cache
        or "://" in cache
        or typed
        or size > DATA
        or jax.process_count() > 1
    ):
        return Kept()
    try:
        return Kept(Path(cache) / "programs", key(config, data))
    except OSError as error:  # a source file that is gone
        logging.debug("programs are not kept: %r", error)
        return Kept()


def key(config: ConfigDict, data: Dataset) -> str:
    """A digest of all that a program is made from."""
    found = hashlib.sha256()
    for part in (as_dict(config), *_platform(), *_sources(), *_contents(data)):
        whole = np.ascontiguousarray(part) if isinstance(part, np.ndarray) else repr(part).encode()
        found.update(f"{type(part)} {len(whole)} ".encode())
        found.update(whole)
    return found.hexdigest()


def _platform() -> Iterator:
    """Versions, devices, and what JAX was told."""
    yield platform.python_version(), platform.machine(), os.environ.get("XLA_FLAGS")
    yield [(d.id, d.platform, d.device_kind) for d in jax.devices()]
    yield sorted((name, getattr(jax.config, name, x)) for name, x in jax.config.values.items())
    yield sorted(path.name for folder in sys.path for path in Path(folder).glob(INSTALLED))


def _sources() -> Iterator:
    """All of this package, and every loaded module that belongs to no installed library."""
    folders = [
        Path(os.__file__).parent,
        *(Path(f) for f in sys.path if any(Path(f).glob(INSTALLED))),
    ]
    libraries = tuple(f"{folder.absolute()}{os.sep}" for folder in folders)
    files = [getattr(module, "__file__", None) or "" for module in list(sys.modules.values())]
    own = {Path(f) for f in files if f.endswith(".py") and not f.startswith(libraries)}
    for path in sorted(own.union(PACKAGE.rglob("*.py"))):
        yield str(path), path.read_bytes()


def _contents(data: Dataset) -> Iterator:
    """Numbers of the scenes may be constants of a program: a mean, a kernel, a linear fit."""
    yield data.name, data.split.to_json(), sorted(data.extras)
    yield from map(data.extras.get, sorted(data.extras))
    for scene in data.scenes:
        yield scene.name, scene.normaliser, scene.domain, scene.scale, scene.offset
        for name, cube in scene.cubes.items():
            yield name, cube.shape, cube.dtype
            yield cube
