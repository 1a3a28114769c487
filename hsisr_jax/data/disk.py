"""The folder of prepared datasets: its lock, free space, and errors of the disk."""

import errno
import shutil
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from hsisr_jax import locks


@contextmanager
def turn(folder: Path) -> Iterator[None]:
    """Locks a dataset's folder for one process. After a failure the folder goes again, unless it
    holds something."""
    with ExitStack() as stack:
        while True:
            folder.mkdir(parents=True, exist_ok=True)
            with suppress(FileNotFoundError):  # gone again meanwhile, see below
                stack.enter_context(locks.held(folder / ".lock", "", wait=True))
                break
        try:
            yield
        except BaseException:
            if [path.name for path in folder.iterdir()] == [".lock"]:
                shutil.rmtree(folder, ignore_errors=True)
            raise


def tidy(data_dir: Path, name: str) -> None:
    """Removes what a refused preparation leaves of a dataset that has nothing else, and folders
    without content."""
    folder, downloads = data_dir / name, data_dir / "downloads"
    with suppress(OSError):
        if {path.name for path in folder.iterdir()} == {".config"}:
            shutil.rmtree(folder)
    for empty in (downloads / "extracted", downloads, data_dir):
        with suppress(OSError):  # it has content
            empty.rmdir()


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
