"""The command line, thin: flags, a table of modes, and errors in one line with exit code 2."""

import os
import re
import sys
from collections.abc import Sequence
from pathlib import Path

from absl import flags, logging
from ml_collections import config_flags

from hsisr_jax.errors import UserError

MODES = ("train", "eval", "predict", "prepare", "export")

FLAGS = flags.FLAGS
config_flags.DEFINE_config_file("config", None, "a config file, with its argument after a colon")
flags.DEFINE_string("workdir", None, "the folder of the run")
flags.DEFINE_string("mode", "train", f"what to do: {', '.join(MODES)}")
flags.DEFINE_string("input", None, "predict, eval: a scene file")
flags.DEFINE_string("reference", None, "eval: the scene that --input should become")
flags.DEFINE_string("output", None, "predict, export: the file to write")
flags.DEFINE_integer("tile", 0, "predict: low-resolution pixels on a tile's side; 0: chosen")
flags.DEFINE_integer("overlap", -1, "predict: low-resolution pixels that tiles share; -1: chosen")
flags.DEFINE_string("precision", "float32", "predict: compute in float32 or bfloat16")
flags.DEFINE_string("dtype", "float32", "predict: the type of the output's values")
flags.DEFINE_float("output_scale", 0, "predict: the output stores physical values / this")
flags.DEFINE_boolean("resample_bands", False, "predict: bring the scene to the model's wavelengths")
flags.DEFINE_boolean("self_ensemble", False, "predict: mean over the eight flips and rotations")
flags.DEFINE_string("normalise", "", "predict: by the model's range, or by the scene's maximum")
flags.DEFINE_string("variable", "", "predict: the cube's name in a file of several")
flags.DEFINE_boolean("quicklook", True, "predict: a false-colour PNG beside the output")
flags.DEFINE_string("manual_dir", None, "prepare: a folder with files that you downloaded")
flags.DEFINE_string("coordinator", None, "several processes: host:port of the first one")
flags.DEFINE_integer("num_processes", None, "several processes: how many")
flags.DEFINE_integer("process_id", None, "several processes: which one this is, from 0")
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
    _find_config(argv)
    try:
        rest = FLAGS(list(argv))
        config = FLAGS.config
    except (flags.Error, AttributeError, KeyError, TypeError, ValueError, OSError) as error:
        return _fail(_explain(error))
    if rest[1:]:
        return _fail(f"unexpected argument {rest[1]!r}: options begin with --")
    if FLAGS.mode not in MODES:
        return _fail(f"unknown --mode={FLAGS.mode}: use {', '.join(MODES)}")
    from hsisr_jax import modes  # JAX starts here, after the flags are known to be good

    return modes.call(FLAGS.mode, config, FLAGS)


def _explain(error: Exception) -> str:
    """What ml_collections and absl say, in one line."""
    text = " ".join(str(error.args[0] if error.args else error).split())
    if "Traceback" in text:  # an error inside a config file: its last line says what
        text = re.split(r"\b\w*(?:Error|Exception): ", text)[-1]
    return text.strip("'\" ") or type(error).__name__


def _find_config(argv: Sequence[str]) -> None:
    """Refuses a missing config file; `from configs import common` works from any folder."""
    for argument in argv:
        name, _, value = argument.lstrip("-").partition("=")
        if name == "config" and value:
            path = Path(value.split(":")[0])
            if not path.is_file():
                raise UserError(f"there is no config file {path}")
            sys.path.append(str(path.resolve().parent.parent))


def _fail(text: str) -> int:
    print(f"error: {text}", file=sys.stderr)
    return 2
