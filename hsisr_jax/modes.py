"""What each `--mode` does, once the flags are parsed."""

import gc
import sys
import traceback
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path

from absl import flags
from ml_collections import ConfigDict

from hsisr_jax import cluster, train
from hsisr_jax.data import scenes
from hsisr_jax.errors import UserError
from hsisr_jax.training.hooks import Progress
from hsisr_jax.training.stopping import Interrupted
from hsisr_jax.training.workdir import config_of

GARBAGE = 20_000  # new objects between collections


def call(mode: str, config: ConfigDict | None, options: flags.FlagValues) -> int:
    """Runs a mode; a stop by signal becomes its exit code."""
    gc.freeze()  # the libraries stay: tracing takes a fifth less time if they are not gone through
    gc.set_threshold(GARBAGE)
    cluster.join(options.coordinator, options.num_processes, options.process_id)
    code = 0
    try:
        MODES[mode](config, options)
    except Interrupted as stop:
        code = stop.code
    except Exception as error:
        if not cluster.several():
            raise
        code = _end_of_all(error)
    if code and cluster.several():
        cluster.leave(code)
    return code


def _end_of_all(error: Exception) -> int:
    """An error of one process of several is told by it; the others end with it."""
    told = error if isinstance(error, UserError) else cluster.lost(error)
    if told is None:
        traceback.print_exception(error)
        return 1
    print(f"error: {told}", file=sys.stderr, flush=True)
    return 2


def _train(config: ConfigDict | None, options: flags.FlagValues) -> None:
    train.train_and_evaluate(_needed(config, options), _workdir(options))


def _eval(config: ConfigDict | None, options: flags.FlagValues) -> None:
    from hsisr_jax import predict

    workdir = _workdir(options)
    config = config_of(workdir, config)  # given beside it: other options of the evaluation
    if options.input or options.reference:
        predict.evaluate_pair(config, workdir, options.input, options.reference)
    else:
        train.evaluate_only(config, workdir)


def _predict(config: ConfigDict | None, options: flags.FlagValues) -> None:
    from hsisr_jax import predict

    for name in ("input", "output"):
        if not options[name].value:
            raise UserError(f"--mode=predict needs --{name}=FILE")
    named = {f.name: options[f.name].value for f in fields(predict.Options)}
    chosen = predict.Options(**named)
    predict.predict(_workdir(options), options.input, options.output, chosen)


def _export(config: ConfigDict | None, options: flags.FlagValues) -> None:
    from hsisr_jax import predict

    if not options.output:
        raise UserError("--mode=export needs --output=FILE")
    predict.export(_workdir(options), options.output)


def _prepare(config: ConfigDict | None, options: flags.FlagValues) -> None:
    config = _needed(config, options)
    if options.manual_dir:
        config.data.manual_dir = options.manual_dir
    print(scenes.load(config.data, progress=Progress(0, 0, 1).note).describe())
    print(f"prepared in {scenes.folder(config.data)}")


MODES: dict[str, Callable] = {
    "train": _train,
    "eval": _eval,
    "predict": _predict,
    "prepare": _prepare,
    "export": _export,
}


def _needed(config: ConfigDict | None, options: flags.FlagValues) -> ConfigDict:
    if config is None:
        raise UserError("give a config: --config=configs/quickstart.py (--help lists everything)")
    return config


def _workdir(options: flags.FlagValues) -> Path:
    if not options.workdir:
        raise UserError("give the folder of the run: --workdir=runs/a")
    return Path(options.workdir)
