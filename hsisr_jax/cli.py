"""The command line: flags, a table of modes, and errors in one line with exit code 2."""

import os
import re
import sys
from collections.abc import Callable, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

from absl import flags, logging
from ml_collections import ConfigDict, config_flags

from hsisr_jax import arguments
from hsisr_jax.errors import MissingFile, UserError
from hsisr_jax.inference.options import Options

NAMED = ("model", "loss", "optimizer.schedule", "data.degradation")  # their options are of a name
# keys that another one overrules, where it is not 0
OVERRULED = {"epochs": "steps", "eval_every": "eval_every_epochs",
             "checkpoint_every": "checkpoint_every_epochs"}  # fmt: skip
MODES = ("train", "eval", "predict", "prepare", "export")
USAGE = """\
usage: python main.py --config=FILE[:ARGUMENT] [--workdir=FOLDER] [--config.KEY=VALUE ...]
       python main.py --mode=eval --workdir=FOLDER [--input=SCENE --reference=SCENE]
       python main.py --mode=eval --workdir=FOLDER --config.eval.KEY=VALUE
       python main.py --mode=eval --input=SCENE [--scale=4 | --workdir=FOLDER]
       python main.py --mode=predict --input=SCENE --output=FILE --scale=4
       python main.py --mode=predict --workdir=FOLDER --input=SCENE --output=FILE
       python main.py --mode=export --workdir=FOLDER --output=FILE
       python main.py --mode=prepare --config=FILE [--manual_dir=FOLDER]
       python main.py --mode=prepare --config=FILE --format=mat --output=FOLDER
Configs that come with the package are found by name: --config=srlsgat_pavia:x4. Without --workdir
it is runs/<config>_x<scale>. With a config beside --help, its keys and values are listed too."""

DEFINE: dict[Any, Callable] = {
    int: flags.DEFINE_integer, float: flags.DEFINE_float, str: flags.DEFINE_string,
    bool: flags.DEFINE_boolean, bool | None: flags.DEFINE_boolean,
}  # fmt: skip
FLAGS = flags.FLAGS
config_flags.DEFINE_config_file(
    "config",
    None,
    "a config file, with its argument after a colon",
    lock_config=False,  # options of networks and losses may be added: see `_check_keys`
    accept_new_attributes=True,
)
flags.DEFINE_string("workdir", None, "the folder of the run; runs/<config>_x<scale> without it")
flags.DEFINE_string("mode", "train", f"what to do: {', '.join(MODES)}")
flags.DEFINE_string("input", None, "predict, eval: a scene file; predict: a pattern of several")
flags.DEFINE_string("reference", None, "eval: the reference (truth) that --input is compared with")
flags.DEFINE_string(
    "output", None, "predict, export, eval of a scene: the file to write; prepare: the folder"
)
for option in fields(Options):
    DEFINE[option.type](option.name, option.default, option.metadata["help"])
flags.DEFINE_integer(
    "parts", 0, "predict: parts of one scene for several processes; 0: one process"
)
flags.DEFINE_integer(
    "scale", 4, "predict, eval without --workdir, by the packaged network: 2, 3, 4, 8"
)
flags.DEFINE_string("uncertainty", "", "predict: a file for every value's standard deviation")
flags.DEFINE_boolean("report", True, "predict: a page about the result beside the output")
flags.DEFINE_string("format", "", "prepare: mat, to write the dataset's patches to --output")
flags.DEFINE_string("manual_dir", None, "a folder with files that you downloaded")
flags.DEFINE_string("coordinator", None, "several processes: host:port of the first one")
flags.DEFINE_integer("num_processes", None, "several processes: how many")
flags.DEFINE_integer("process_id", None, "several processes: index of this one, from 0")
FLAGS.set_default("alsologtostderr", False)


def run(argv: Sequence[str] | None = None) -> None:
    """The command `hsisr`, and `python main.py`."""
    logging.set_verbosity(logging.ERROR)
    try:
        code = main(sys.argv if argv is None else argv)
    except UserError as error:
        code = _fail(str(error))
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        code = 130
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = 1
    sys.exit(code)


def main(argv: Sequence[str]) -> int:
    """Parses, checks what each mode needs, and calls it."""
    argv = _with_own_config(argv)
    given = arguments.parse(argv, FLAGS, USAGE)
    if given and "runs" in FLAGS.config:
        command = f"python -m hsisr_jax.leaderboard --config={given} --workdir=FOLDER"
        raise UserError(f"{given} is the config of a leaderboard: {command}")
    _check_keys(argv, given)
    if FLAGS.mode not in MODES:
        return _fail(f"unknown --mode={FLAGS.mode}: use {', '.join(MODES)}")
    from hsisr_jax import modes  # imports JAX, after the flags have been checked

    try:
        return modes.call(FLAGS.mode, FLAGS.config, FLAGS, given or "")
    except MissingFile as error:
        raise UserError(f"{error}\n{_without_files(argv[0], given or '')}") from None


def _with_own_config(argv: Sequence[str]) -> Sequence[str]:
    """Lets `--config.KEY=VALUE` change a run's own config in an evaluation without `--config`."""
    options = dict(word.lstrip("-").partition("=")[::2] for word in argv[1:])
    changed = any(name.startswith("config.") for name in options)
    mode = options.get("mode", FLAGS["mode"].default)
    if not changed or "config" in options or mode not in MODES:
        return argv
    if mode in ("predict", "export"):
        raise UserError(
            f"--config.KEY=VALUE is not for --mode={mode}, which uses a run as it was trained: "
            "see --help for its own flags"
        )
    if mode != "eval" or not options.get("workdir"):
        raise UserError("--config.KEY=VALUE needs --config, or --workdir=FOLDER with --mode=eval")
    file = Path(__file__).with_name("own_config.py")
    return [argv[0], f"--config={file}:{options['workdir']}", *argv[1:]]


def _without_files(program: str, given: str) -> str:
    """The command for the same run on synthetic data, for when published files are missing."""
    config, _, words = given.partition(":")
    twin = ",".join(filter(None, [words, "smoke"]))
    command = "python main.py" if program.endswith(".py") else "hsisr"
    return f"The same on a small synthetic scene, without files: {command} --config={config}:{twin}"


def _check_keys(argv: Sequence[str], given: str | None) -> None:
    """Refuses misspelt keys; options of what a flag replaces go with it."""
    if given is None:
        return
    as_written = arguments.check_keys(argv, given, FLAGS)
    named = {re.split("[= ]", word.lstrip("-"))[0] for word in argv}
    _leave_out(as_written, named)
    _let_count(named)
    FLAGS.config.lock()


def _leave_out(as_written: ConfigDict, given: set[str]) -> None:
    """Removes the options of a network (loss, schedule, degradation) that the config names where
    a flag names another one."""
    for place in NAMED:
        sections = as_written, FLAGS.config
        for part in place.split("."):
            sections = tuple(section.get(part, {}) for section in sections)
        own, now = sections
        if f"config.{place}.name" not in given or own.get("name") == now.get("name"):
            continue
        theirs = [key for key in own if key != "name" and f"config.{place}.{key}" not in given]
        for key in theirs:
            del now[key]
        if theirs:
            print(f"config.{place}: {now.name} in place of {own.name}, and without its options "
                  f"{', '.join(theirs)}", file=sys.stderr)  # fmt: skip
        if place == "model" and "config.base.kind" not in given:
            _leave_base(now.name)


def _let_count(given: set[str]) -> None:
    """Lets a flag in epochs overrule the config's number of steps, and the reverse."""
    config = FLAGS.config
    for key, wins in OVERRULED.items():
        asked = f"config.{key}" in given and f"config.{wins}" not in given
        if asked and wins in config and config[key] and config[wins]:
            print(f"config.{wins}: 0 in place of {config[wins]}, since --config.{key} is given",
                  file=sys.stderr)  # fmt: skip
            config[wins] = 0


def _leave_base(network: str) -> None:
    """Removes the config's base for a network that corrects none."""
    from hsisr_jax import models

    alone = network == "bicubic" or models.find(network).starts_at_bicubic
    if alone and "base" in FLAGS.config and FLAGS.config.base.kind != "none":
        print(f"config.base: none, since {network} corrects no other", file=sys.stderr)
        FLAGS.config.base.kind = "none"


def _fail(text: str) -> int:
    print(f"error: {text}", file=sys.stderr)
    return 2
