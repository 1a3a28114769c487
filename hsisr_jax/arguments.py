"""Command-line handling shared by all commands that take a config: finding it, `--help`, errors."""

import difflib
import re
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from absl import flags
from ml_collections import ConfigDict

from hsisr_jax.errors import UserError

CONFIG_ERRORS = (AttributeError, ArithmeticError, ImportError, LookupError, NameError, OSError,
                 SyntaxError, TypeError, ValueError)  # fmt: skip
OPEN = ("model", "loss", "optimizer", "optimizer.schedule", "optimizer.generator",
        "optimizer.discriminator", "data.options", "data.degradation",
        "data.augmentations")  # fmt: skip


def parse(argv: Sequence[str], values: flags.FlagValues, usage: str) -> str | None:
    """Parses the flags and returns the config as given; `--help` ends the process.

    A config is a file, or the name of one that comes with the package: `--config=srlsgat_pavia:x4`.
    """
    argv, given, path = _with_config_found(argv)
    try:
        if {"--help", "-h"} & set(argv[1:]):
            _help(values, usage, path)
            sys.exit(0)
        rest = values(argv)
        getattr(values.config, "model", None)  # a config that failed to load says so when used
    except flags.Error as error:
        raise UserError(_explain(error)) from error
    except CONFIG_ERRORS as error:
        raise UserError(f"{given}: {_explain(error)}") from error
    if rest[1:]:
        raise UserError(f"unexpected argument {rest[1]!r}: options begin with --")
    return given


def _with_config_found(argv: Sequence[str]) -> tuple[list[str], str | None, str | None]:
    """The arguments with the path of the config file; the config as given, and as found.

    `from configs import common` works from any folder.
    """
    found, given, path = list(argv), None, None
    for at, argument in enumerate(argv):
        name, equals, value = argument.partition("=")
        if name not in ("--config", "-config"):
            continue
        value = value if equals else found[at + 1] if at + 1 < len(found) else ""
        if value:
            file, colon, words = value.partition(":")
            place = find_config(file)
            given, path = value, f"{place}{colon}{words}"
            found[at if equals else at + 1] = f"{name}={path}" if equals else path
            sys.path.append(str(place.resolve().parent.parent))
    return found, given, path


def find_config(name: str) -> Path:
    """The config file with this path, or with this name among those in the package."""
    path = Path(name)
    if path.suffix == ".json":
        raise UserError(
            f"{path}: a config is a Python file. To score or use a run, give --workdir="
            f"{path.parent}; the command that trained it is in its environment.json"
        )
    if path.is_file():
        return path
    shipped = shipped_configs()
    if path.parent in (Path(), Path("configs")) and (shipped / f"{path.stem}.py").is_file():
        return shipped / f"{path.stem}.py"
    known = sorted(file.stem for file in shipped.glob("*.py") if file.stem != "common")
    close = difflib.get_close_matches(path.stem, known, 1)
    hint = f": did you mean {close[0]!r}?" if close else ""
    raise UserError(f"there is no config file {path}{hint}")


def check_keys(argv: Sequence[str], given: str, values: flags.FlagValues) -> ConfigDict:
    """The config as its file has it, once the flags name keys of it; `config.model` and the like
    take any option of what they name."""
    file, colon, words = given.partition(":")
    as_written = values["config"].parser.parse(f"{find_config(file)}{colon}{words}")
    for argument in argv:
        name = re.split("[= ]", argument.lstrip("-"))[0]
        if not name.startswith("config."):
            continue
        section, at = as_written, list[str]()
        for part in name.split(".")[1:]:
            if not isinstance(section, Mapping | ConfigDict) or part not in section:
                if ".".join(at) not in OPEN:
                    raise UserError(_unknown_key(name, part, section))
                break
            section, at = section[part], [*at, part]
    return as_written


def _unknown_key(name: str, part: str, section: object) -> str:
    known = list(section) if isinstance(section, Mapping | ConfigDict) else []
    close = difflib.get_close_matches(part, known, 1)
    hint = f"did you mean {close[0]!r}?" if close else f"known are {', '.join(known) or 'none'}"
    return f"--{name}: the config has no key {part!r}: {hint}"


def shipped_configs() -> Path:
    """The folder of configs: the repository's, or its copy in an installed wheel."""
    here = Path(__file__).resolve().parent
    beside = here.parent / "configs"
    return beside if (beside / "common.py").is_file() else here / "_configs" / "configs"


def _help(values: flags.FlagValues, usage: str, path: str | None) -> None:
    module = values.find_module_defining_flag("workdir")  # every command has it
    text = values.module_help(module).replace(f"{module}:", "flags:")
    text = re.sub(r"\n *\(default: '(None)?'\)", "", text)  # not given unless given
    text = re.sub(r"\(default: '(.*?)(\.0)?'\)", r"(default: \1)", text)
    print(usage, text, sep="\n")
    if path:
        print(f"{path}:", values["config"].parser.parse(path), sep="\n")


def _explain(error: Exception) -> str:
    """An error of ml_collections or absl as one line."""
    text = " ".join(str(error.args[0] if error.args else error).split())
    if "Traceback" in text:  # an error inside a config file: its last line says what
        text = re.split(r"\b\w*(?:Error|Exception): ", text)[-1]
    if unknown := re.fullmatch(r"'(\w+)' Did you mean \"(\w+)\".*", text):
        return f"the config has no key {unknown[1]!r}: did you mean {unknown[2]!r}?"
    return text or type(error).__name__
