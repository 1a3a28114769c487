"""`UserError` for mistakes of the user, and how commands report it; causes of chained errors."""

import asyncio
import errno
import os
import sys
from collections.abc import Callable, Iterator
from functools import wraps
from typing import Any

DISK = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EACCES, errno.EIO)


class UserError(Exception):
    """A mistake in the user's input: commands print its text and exit with code 2."""


class MissingFile(UserError):
    """A published file is not on this machine and cannot be fetched."""


def command(main: Callable[..., int]) -> Callable[..., int]:
    """Decorates a command: a mistake of the user's ends it with a line and the exit code 2."""

    @wraps(main)
    def told(*arguments: Any) -> int:
        try:
            return main(*arguments)
        except UserError as error:
            print(f"error: {error}", file=sys.stderr)
            return 2

    return told


def brief(value: Any, most: int = 80) -> str:
    """A wrong value as a message names it: on one line, cut."""
    text = " ".join(repr(value).split())
    return text if len(text) <= most else f"{text[: most - 3]}..."


def first_line(error: BaseException, most: int = 200) -> str:
    """The first line of what an error says, cut; its type where it says nothing."""
    return (str(error).splitlines() or [type(error).__name__])[0][:most]


def stop_in(error: BaseException | None) -> BaseException | None:
    """The stop of the process (Ctrl-C, a signal) that a library has reported as an error of its
    own, if there is one in a chain of exceptions."""
    own = Exception | asyncio.CancelledError
    return next((found for found in _chain(error) if not isinstance(found, own)), None)


def disk_number(error: BaseException | None) -> int | None:
    """The errno of a disk error in a chain of exceptions, if there is one."""
    for found in _chain(error):
        if isinstance(found, OSError) and found.errno:
            return found.errno
        text = str(found).lower()
        if number := next((n for n in DISK if os.strerror(n).lower() in text), None):
            return number
    return None


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__
