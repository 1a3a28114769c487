"""The actions of each `--mode`, once the flags are parsed."""

import gc
import sys
import traceback
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path

import jax
from absl import flags
from ml_collections import ConfigDict

from hsisr_jax import cluster, train
from hsisr_jax.data import scenes
from hsisr_jax.errors import UserError
from hsisr_jax.formats import places
from hsisr_jax.inference import packaged, trained
from hsisr_jax.inference.options import Options
from hsisr_jax.training import patch_writer
from hsisr_jax.training.hooks import Progress, told
from hsisr_jax.training.stopping import Interrupted
from hsisr_jax.training.workdir import config_of

GARBAGE = 20_000  # new objects between collections


def call(mode: str, config: ConfigDict | None, options: flags.FlagValues, given: str = "") -> int:
    """Runs a mode; a stop by signal becomes its exit code. `given` names the config."""
    gc.freeze()  # the libraries stay: tracing takes a fifth less time if they are not gone through
    gc.set_threshold(GARBAGE)
    joined = (options.coordinator, options.num_processes, options.process_id)
    if mode != "predict" or any(x is not None for x in joined):  # its processes share by locks
        cluster.join(*joined)
    if config is not None:
        _complete(config, options, given)
    code = 0
    try:
        code = MODES[mode](config, options) or 0
    except Interrupted as stop:
        code = stop.code
    except Exception as error:
        if not cluster.several():
            raise
        code = _end_of_all(error)
    if code and cluster.several():
        cluster.leave(code)
    return code


def _complete(config: ConfigDict, options: flags.FlagValues, given: str) -> None:
    """Fills in `--manual_dir` and the default workdir."""
    if options.manual_dir:
        config.data.manual_dir = options.manual_dir
    if not options.workdir and options.mode in ("train", "eval", "export"):
        options.workdir = usual_workdir(config, given)
        if jax.process_index() == 0:
            print(f"workdir: {options.workdir}", flush=True)


def usual_workdir(config: ConfigDict, given: str) -> str:
    """`configs/sspsr_cave.py:x4` -> `runs/sspsr_cave_x4`; other words than the scale follow."""
    file, _, words = given.partition(":")
    scale = f"x{config.scale}"
    others = [word for word in words.split(",") if word and word != scale]
    return str(Path("runs") / "_".join([Path(file).stem, scale, *others]))


def _end_of_all(error: Exception) -> int:
    """The process that fails reports its error; the others exit."""
    told = error if isinstance(error, UserError) else cluster.lost(error)
    if told is None:
        traceback.print_exception(error)
        return 1
    print(f"error: {told}", file=sys.stderr, flush=True)
    return 2


def _train(config: ConfigDict | None, options: flags.FlagValues) -> None:
    train.train_and_evaluate(_needed(config), _workdir(options))


def _eval(config: ConfigDict | None, options: flags.FlagValues) -> None:
    from hsisr_jax import assess

    if options.input and not options.reference:
        chosen = _prediction(options)
        given = {"scale": options.scale, "options": chosen, "output": options.output}
        assess.evaluate_scene(options.input, workdir=options.workdir, **given)
        return
    if options.output:
        raise UserError("--output is for --input without --reference: other results of --mode=eval "
                        "go to the workdir")  # fmt: skip
    workdir = _workdir(options)
    config = config_of(workdir, config, evaluates=True)  # given: other options of the evaluation
    if options.manual_dir:
        config.data.manual_dir = options.manual_dir
    if options.input or options.reference:
        assess.evaluate_pair(config, workdir, options.input, options.reference)
    else:
        train.evaluate_only(config, workdir)


def _predict(config: ConfigDict | None, options: flags.FlagValues) -> int:
    from hsisr_jax import many, predict, scene_page, shared, uncertainty

    for name in ("input", "output"):
        if not options[name].value:
            raise UserError(f"--mode=predict needs --{name}=FILE")
    chosen = _prediction(options)

    def after(job: predict.Job, output: places.Place) -> None:
        found = None
        if target := options.uncertainty:
            given = {"workdir": options.workdir, "scale": options.scale, "options": job.options}
            found = uncertainty.write(options.input, target, **given)
        if options.report:
            scene_page.write(job, output, deviation=target, reliability=found)

    load = packaged.loader(options.workdir, options.scale, told)
    if options.uncertainty and (options.parts or many.several(options.input, options.output)):
        raise UserError("--uncertainty is for one scene, without --parts: give it scene by scene")
    if many.several(options.input, options.output):
        if options.parts:
            raise UserError("--parts is for one scene; many are shared out as they are")
        sources = many.inputs(options.input)
        scale = trained.load(options.workdir).card.scale if options.workdir else options.scale
        return many.predict(load, sources, options.output, scale, chosen, after=after)
    if options.report:
        scene_page.check(options.output)
    if options.uncertainty:
        given = {"workdir": options.workdir, "scale": options.scale, "options": chosen}
        uncertainty.check(options.input, options.output, options.uncertainty, **given)
    target = places.where(options.output)
    if options.parts:
        shared.predict(load, options.input, target, chosen, options.parts, after=after)
    else:
        predict.make(load, options.input, target, chosen, after)
    return 0


def _prediction(options: flags.FlagValues) -> Options:
    """The flags that say how a scene is super-resolved."""
    return Options(**{f.name: options[f.name].value for f in fields(Options)})


def _export(config: ConfigDict | None, options: flags.FlagValues) -> None:
    from hsisr_jax import predict

    if not options.output:
        raise UserError("--mode=export needs --output=FILE")
    predict.export(_workdir(options), options.output)


def _prepare(config: ConfigDict | None, options: flags.FlagValues) -> None:
    config = _needed(config)
    if options.format and (options.format != "mat" or not options.output):
        raise UserError("to write patch files, give --format=mat and --output=FOLDER")
    data = scenes.load(config.data, progress=Progress(0, 0, 1).note)
    print(data.describe())
    print(f"prepared in {scenes.folder(config.data)}")
    if options.format:
        count = patch_writer.write(config, data, options.output)
        print(f"{count} patch files in {options.output}")


MODES: dict[str, Callable] = {
    "train": _train,
    "eval": _eval,
    "predict": _predict,
    "prepare": _prepare,
    "export": _export,
}


def _needed(config: ConfigDict | None) -> ConfigDict:
    if config is None:
        raise UserError("give a config: --config=configs/quickstart.py (--help lists everything)")
    return config


def _workdir(options: flags.FlagValues) -> Path:
    if not options.workdir:
        raise UserError("give the folder of the run, --workdir=runs/a, or its --config")
    return Path(options.workdir)
