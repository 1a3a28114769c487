"""Files written whole or not at all, JSON and CSV, and what to say where the disk refuses."""

import csv
import errno
import io
import json
import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

from hsisr_jax.errors import UserError

ADVICE = {
    errno.ENOENT: "make its folder first",
    errno.ENOTDIR: "make its folder first",
    errno.EISDIR: "give a file's name",
    errno.EACCES: "change the permissions or write elsewhere",
    errno.EPERM: "change the permissions or write elsewhere",
    errno.EROFS: "write elsewhere",
}


@contextmanager
def written(path: Path, mode: str = "wb") -> Iterator[IO]:
    """A new file that takes the place of `path`, synced, when the block ends without an error."""
    partial = path.with_name(f"{path.name}.partial")
    try:
        with partial.open(mode) as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
    except OSError as error:
        raise disk_error(path, error) from error
    finally:
        with suppress(OSError):
            partial.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """Writes a text file whole or not at all."""
    with written(path, "w") as file:
        file.write(text)


def write_json(path: Path, value: Any) -> None:
    """Writes a JSON file whole or not at all."""
    write_text(path, json.dumps(value, indent=1) + "\n")


def read_json(path: Path) -> Any:
    """The content of a JSON file; None where there is none that can be read."""
    try:
        return json.loads(path.read_text())
    except (OSError, ValueError, RecursionError):
        return None


def csv_text(rows: Iterable[Sequence]) -> str:
    """Rows as the text of a CSV file."""
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue()


@contextmanager
def on_disk(path: Path) -> Iterator[None]:
    """Says in a line why `path` cannot be written, where the disk refuses inside the block."""
    try:
        yield
    except OSError as error:
        raise disk_error(path, error) from error


def disk_error(path: Path, error: OSError) -> UserError:
    """The error to raise where `path` cannot be written: why not, and what to do."""
    advice = ADVICE.get(error.errno or 0, "free space or change it")
    return UserError(f"cannot write {path}: {error.strerror or error}; {advice}")
