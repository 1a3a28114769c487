"""The folder of prepared datasets: its lock, free space, and errors of the disk."""

import errno
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from hsisr_jax import locks


@contextmanager
def turn(folder: Path) -> Iterator[None]:
    """Locks a dataset's folder for one process."""
    folder.mkdir(parents=True, exist_ok=True)
    with locks.held(folder / ".lock", "", wait=True):
        yield


def problem(error: OSError, data_dir: str | Path) -> str:
    """Describes an error of the operating system and what to do."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return f"the disk of {data_dir} is full; make room or give another data_dir"
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return f"{error.filename or data_dir} cannot be written; give a data_dir of your own"
    return f"{error.filename or data_dir}: {error.strerror or error}"


def free_space(folder: Path) -> int:
    """Free bytes on the disk of a folder that may not exist yet."""
    while not folder.exists():
        folder = folder.parent
    return shutil.disk_usage(folder).free
