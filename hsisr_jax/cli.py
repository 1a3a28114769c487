"""The command line, thin: flags, a table of modes, and errors in one line with exit code 2."""

import difflib
import os
import re
import sys
from collections.abc import Mapping, Sequence

from absl import flags, logging
from ml_collections import ConfigDict, config_flags

from hsisr_jax import arguments
from hsisr_jax.errors import UserError

OPEN = ("model", "loss", "optimizer", "optimizer.schedule", "optimizer.generator",
        "optimizer.discriminator", "data.options", "data.degradation", "data.augmentations",
        "adversarial")  # fmt: skip
MODES = ("train", "eval", "predict", "prepare", "export")
USAGE = """\
usage: python main.py --config=FILE[:ARGUMENT] --workdir=FOLDER [--config.KEY=VALUE ...]
       python main.py --mode=eval --workdir=FOLDER [--input=SCENE --reference=SCENE]
       python main.py --mode=predict --workdir=FOLDER --input=SCENE --output=FILE
       python main.py --mode=export --workdir=FOLDER --output=FILE
       python main.py --mode=prepare --config=FILE [--manual_dir=FOLDER]
With a config beside --help, its keys and values are listed too."""

FLAGS = flags.FLAGS
config_flags.DEFINE_config_file(
    "config",
    None,
    "a config file, with its argument after a colon",
    lock_config=False,  # options of networks and losses may be added: see `_check_keys`
    accept_new_attributes=True,
)
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
    _check_keys(argv, arguments.parse(argv, FLAGS, USAGE))
    if FLAGS.mode not in MODES:
        return _fail(f"unknown --mode={FLAGS.mode}: use {', '.join(MODES)}")
    from hsisr_jax import modes  # JAX starts here, after the flags are known to be good

    return modes.call(FLAGS.mode, FLAGS.config, FLAGS)


def _check_keys(argv: Sequence[str], path: str | None) -> None:
    """Refuses misspelt keys; `config.model` and the like take any option of what they name."""
    if path is None:
        return
    as_written = FLAGS["config"].parser.parse(path)
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
    FLAGS.config.lock()


def _unknown_key(name: str, part: str, section: object) -> str:
    known = list(section) if isinstance(section, Mapping | ConfigDict) else []
    close = difflib.get_close_matches(part, known, 1)
    hint = f"did you mean {close[0]!r}?" if close else f"known are {', '.join(known) or 'none'}"
    return f"--{name}: the config has no key {part!r}: {hint}"


def _fail(text: str) -> int:
    print(f"error: {text}", file=sys.stderr)
    return 2
