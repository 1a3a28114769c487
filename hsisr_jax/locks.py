"""File locks for everything that is written: workdirs, prepared datasets, output files.

A lock is a file that is locked by `flock`, so it ends with its process: a lock file that a killed
process left has no effect. Locks are advisory and work between processes of one machine, and over
NFS if the server supports locks.
"""

import fcntl
import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import IO

from hsisr_jax.errors import UserError


class Busy(UserError):
    """Another process holds the lock."""


@contextmanager
def held(
    path: Path, refusal: str, *, wait: bool = False, shared: bool = False, remove: bool = False
) -> Iterator[None]:
    """Holds the lock file `path`; if another process holds it, raises `Busy` with the refusal.

    With `wait` it waits for the other process. With `shared` several may hold it at once, but not
    together with one without. With `remove` the file is deleted at the end.
    """
    how = (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | (0 if wait else fcntl.LOCK_NB)
    file = _locked(path, how, refusal)
    try:
        yield
    finally:
        if remove:
            path.unlink(missing_ok=True)  # while it is held: who waits for it looks again
        file.close()


@contextmanager
def output(*files: Path) -> Iterator[None]:
    """Locks output files until they are complete."""
    with ExitStack() as stack:
        for file in sorted({Path(file).absolute() for file in files}):
            refusal = f"another process is writing {file}: wait for it or choose another name"
            path = file.with_name(f"{file.name}.lock.partial")
            try:
                stack.enter_context(held(path, refusal, remove=True))
            except OSError as error:
                raise UserError(f"cannot write {path}: {error.strerror}; write elsewhere") from None
        yield


def _locked(path: Path, how: int, refusal: str) -> IO[str]:
    while True:
        file = path.open("a")
        try:
            fcntl.flock(file, how)
            if _is_still(path, file):
                return file
        except BlockingIOError:
            file.close()
            raise Busy(refusal) from None
        except BaseException:
            file.close()
            raise
        file.close()  # deleted by its holder while we waited


def _is_still(path: Path, file: IO[str]) -> bool:
    try:
        return os.path.samestat(os.stat(path), os.fstat(file.fileno()))
    except FileNotFoundError:
        return False
