"""The folder of prepared datasets: whose turn it is, how much room there is, what went wrong."""

import errno
import fcntl
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def turn(folder: Path) -> Iterator[None]:
    """One process at a time in a dataset's folder."""
    folder.mkdir(parents=True, exist_ok=True)
    with open(folder / ".lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def problem(error: OSError, data_dir: str | Path) -> str:
    """An operating system's error in words, and what to do."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return f"the disk of {data_dir} is full; make room or give another data_dir"
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return f"{error.filename or data_dir} cannot be written; give a data_dir of your own"
    return f"{error.filename or data_dir}: {error.strerror or error}"


def free_space(folder: Path) -> int:
    """Free bytes where a folder is, or will be."""
    while not folder.exists():
        folder = folder.parent
    return shutil.disk_usage(folder).free
