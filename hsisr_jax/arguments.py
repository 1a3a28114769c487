"""What the commands that take a config share: finding it, `--help`, and mistakes in one line."""

import re
import sys
from collections.abc import Sequence
from pathlib import Path

from absl import flags

from hsisr_jax.errors import UserError

CONFIG_ERRORS = (AttributeError, ArithmeticError, ImportError, LookupError, NameError, OSError,
                 SyntaxError, TypeError, ValueError)  # fmt: skip


def parse(argv: Sequence[str], values: flags.FlagValues, usage: str) -> str | None:
    """Fills the flags and returns the config's path; `--help` ends the process, as argparse's."""
    path = _find_config(argv)
    try:
        if {"--help", "-h"} & set(argv[1:]):
            _help(values, usage, path)
            sys.exit(0)
        rest = values(list(argv))
        getattr(values.config, "model", None)  # a config that failed to load says so when used
    except flags.Error as error:
        raise UserError(_explain(error)) from error
    except CONFIG_ERRORS as error:
        raise UserError(f"{path}: {_explain(error)}") from error
    if rest[1:]:
        raise UserError(f"unexpected argument {rest[1]!r}: options begin with --")
    return path


def _find_config(argv: Sequence[str]) -> str | None:
    """The config's path and argument; `from configs import common` works from any folder."""
    found = None
    for argument, following in zip(argv, [*argv[1:], ""]):
        name, equals, value = argument.partition("=")
        value = value if equals else following
        if name in ("--config", "-config") and value:
            path, found = Path(value.split(":")[0]), value
            if not path.is_file():
                raise UserError(f"there is no config file {path}")
            sys.path.append(str(path.resolve().parent.parent))
    return found


def _help(values: flags.FlagValues, usage: str, path: str | None) -> None:
    module = values.find_module_defining_flag("workdir")  # every command has it
    print(usage, values.module_help(module).replace(f"{module}:", "flags:"), sep="\n")
    if path:
        print(f"{path}:", values["config"].parser.parse(path), sep="\n")


def _explain(error: Exception) -> str:
    """What ml_collections and absl say, in one line."""
    text = " ".join(str(error.args[0] if error.args else error).split())
    if "Traceback" in text:  # an error inside a config file: its last line says what
        text = re.split(r"\b\w*(?:Error|Exception): ", text)[-1]
    if unknown := re.fullmatch(r"'(\w+)' Did you mean \"(\w+)\".*", text):
        return f"the config has no key {unknown[1]!r}: did you mean {unknown[2]!r}?"
    return text or type(error).__name__
