"""What a start need not make again: the traced training step and the first state, kept on disk.

JAX's own cache keeps compiled code and finds it by the traced program, so every start traces. This
keeps the trace, as StableHLO by `jax.export`, and the values that creating the first state gave.
Compiled code is left to JAX: what was read back on a CPU cannot be written once more. No program
may outlive what it was made from: its key is a digest of all of that, source code included.
"""

import hashlib
import logging
import os
import platform
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import jax
import numpy as np
from flax import serialization
from jax import export
from ml_collections import ConfigDict

from hsisr_jax.data.scenes import Dataset
from hsisr_jax.training.workdir import as_dict

PACKAGE = Path(__file__).parents[1]
KEPT = 32  # files
DATA = 2**30  # bytes of training scenes: hashing more takes longer than tracing
STARTED = time.time() - 10  # or later: imports take a second or two
STATE = 2**26  # bytes: creating a larger state is little of what its run takes


@dataclass(frozen=True)
class Kept:
    """The entries `<path>.<name>` of one key; None keeps nothing. Whatever fails is done anew."""

    path: Path | None = None

    def lower(self, jit: Callable, step: Callable, state, source, n) -> jax.stages.Lowered:
        """`step.lower(state, source, n)`, by the trace of an earlier run if there is one."""
        tree, sources = jax.tree.structure(state), jax.tree.structure(source)

        def flat(state, source, n):  # lists and names: what `export` writes without being told how
            state, means = step(tree.unflatten(state), sources.unflatten(source), n)
            return jax.tree.leaves(state), means

        def advance(state, source, n):
            leaves, means = program.call(jax.tree.leaves(state), jax.tree.leaves(source), n)
            return tree.unflatten(leaves), means

        if self.path is None:
            return step.lower(state, source, n)
        try:
            if data := self._read("step"):
                program = export.deserialize(bytearray(data))
            else:
                leaves = map(jax.tree.leaves, (state, source))
                program = export.export(jax.jit(flat))(*leaves, n)
                self._write("step", program.serialize())
            return jit(advance).lower(state, source, n)  # alike, so that JAX's cache has its code
        except Exception as error:  # an operation that `export` refuses; a user's error comes again
            logging.debug("the traced step is not kept: %r", error)
            return step.lower(state, source, n)

    def state(self, begin: Callable[[Mapping], object]):
        """The first state as numpy arrays, if an earlier run created it; `begin` gives its form."""
        try:
            if data := self._read("state"):
                values = serialization.msgpack_restore(data)
                return serialization.from_state_dict(jax.eval_shape(begin, values), values)
        except Exception as error:
            logging.debug("the first state is created again: %r", error)
        return None

    def keep(self, state) -> None:
        """Keeps a first state."""
        if self.path and sum(x.nbytes for x in jax.tree.leaves(state)) <= STATE:
            self._write("state", serialization.to_bytes(jax.device_get(state)))

    def _read(self, name: str) -> bytes | None:
        """An entry, if it is whole: it begins with its own digest."""
        path = self.path and self.path.with_suffix(f".{name}")
        data = path.read_bytes() if path and path.exists() else b""
        return data[32:] if hashlib.sha256(data[32:]).digest() == data[:32] else None

    def _write(self, name: str, data: bytes | bytearray) -> None:
        assert self.path
        path, beside = (self.path.with_suffix(f".{end}") for end in (name, os.getpid()))
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            beside.write_bytes(hashlib.sha256(data).digest() + data)
            beside.replace(path)
            for old in sorted(path.parent.iterdir(), key=os.path.getmtime)[:-KEPT]:
                old.unlink()
        except OSError as error:  # a full disk, somebody else's folder, another process's cleaning
            logging.debug("%s is not kept: %r", path, error)


def kept(config: ConfigDict, data: Dataset) -> Kept:
    """Where the programs of this run lie; nowhere, if their key could miss something."""
    cache = jax.config.jax_compilation_cache_dir
    unseen = not hasattr(sys.modules["__main__"], "__file__")  # what a notebook defines has no file
    off = unseen or not config.get("keep_programs", True) or data.nbytes() > DATA
    try:
        if not off and jax.process_count() == 1 and cache and "://" not in cache:
            return Kept(Path(cache) / "programs" / key(config, data))
    except Exception as error:  # a source that changes or goes
        logging.debug("programs are not kept: %r", error)
    return Kept()


def key(config: ConfigDict, data: Dataset) -> str:
    """A digest of all that a program is made from."""
    found = hashlib.sha256()
    machine = platform.python_version(), platform.machine(), os.environ.get("XLA_FLAGS")
    devices = [(d.id, d.platform, d.device_kind) for d in jax.devices()]
    flags = sorted((name, getattr(jax.config, name, x)) for name, x in jax.config.values.items())
    told = as_dict(config), machine, devices, flags
    for part in (*told, *_sources(), *_contents(data)):
        array = isinstance(part, np.ndarray)
        found.update(np.ascontiguousarray(part).view(np.uint8) if array else repr(part).encode())
        found.update(b"\0")
    return found.hexdigest()


def _sources() -> Iterator:
    """All of this package, every loaded module of no installed library, and those by version."""
    versions = {Path(p).absolute(): [i.name for i in Path(p).glob("*.dist-info")] for p in sys.path}
    yield sorted(name for names in versions.values() for name in names)
    folders = [Path(os.__file__).parent, *(folder for folder, names in versions.items() if names)]
    libraries = tuple(f"{folder}{os.sep}" for folder in folders)
    files = [getattr(module, "__file__", None) or "" for module in list(sys.modules.values())]
    own = {Path(f) for f in files if f.endswith(".py") and not f.startswith(libraries)}
    for path in sorted(own.union(PACKAGE.rglob("*.py"))):
        if path.stat().st_mtime > STARTED:
            raise OSError(f"{path} may be newer than what was imported")
        yield str(path), path.read_bytes()


def _contents(data: Dataset) -> Iterator:
    """Numbers of the scenes may be constants of a program: a mean, a kernel, a linear fit."""
    roles = [len(scenes) for scenes in (data.train, data.validation, data.test)]
    yield data.name, data.split.to_json(), roles
    cubes = [(replace(scene, cubes={}), scene.cubes) for scene in data.scenes]
    for facts, arrays in [("extras", data.extras), *cubes]:
        yield facts, [(name, x.shape, x.dtype) for name, x in arrays.items()]
        yield from arrays.values()
