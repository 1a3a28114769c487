"""The command line inside the test's own process: flags start afresh for every call."""

import contextlib
import io
import os
import sys
from unittest import mock

from hsisr_jax import cli


def hsisr(*arguments: str) -> tuple[int, str, str]:
    """Exit code, standard output and standard error of `hsisr <arguments>`."""
    argv = ["hsisr", *map(str, arguments)]
    out, err = io.StringIO(), io.StringIO()
    _forget_flags()
    with (
        mock.patch.object(sys, "argv", argv),  # ml_collections looks for overrides there
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
    ):
        try:
            cli.run(argv)
        except SystemExit as end:
            code = end.code
    return code, out.getvalue(), err.getvalue()


def unmeasured() -> dict[str, str]:
    """The environment without coverage's measurement, whose own file a process that may not write
    cannot write either."""
    return {name: value for name, value in os.environ.items() if "COV" not in name}


def _forget_flags() -> None:
    flags = cli.FLAGS
    for name in list(flags):
        if name.startswith("config."):
            delattr(flags, name)
    for name in list(flags):
        if flags[name].present or name == "config":
            flags[name].unparse()
    flags.unparse_flags()
