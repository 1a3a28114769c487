"""Checks of a config and of its dataset before a run starts."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
from flax import linen as nn
from ml_collections import ConfigDict

from hsisr_jax import metrics
from hsisr_jax.data.batches import Recipe, of_image
from hsisr_jax.data.scenes import Dataset, Scene
from hsisr_jax.errors import UserError
from hsisr_jax.inference import baselines, outputs
from hsisr_jax.inference.evaluate import Protocol, inputs_of
from hsisr_jax.models.spec import NetworkSpec
from hsisr_jax.training import loggers

NUMBER = int | float
KEYS = {  # of a config, and their types; of the parts that are open, what must be there
    "seed": int, "scale": int, "epochs": NUMBER, "steps": int, "batch_size": int,
    "precision": str, "deterministic": bool, "steps_per_call": int, "remat": bool,
    "init_from": str, "profile": str, "model.name": str, "tiny": bool, "members": int,
    "base.kind": str, "base.rounds": int, "base.dark": NUMBER, "base.radius": int,
    "base.source": str, "loss.name": str, "training": str, "data.name": str, "data.config": str,
    "data.path": object, "data.options": ConfigDict, "data.dir": str, "data.manual_dir": str,
    "data.patch": int, "data.stride": int, "data.train_on": str, "data.augment": bool,
    "data.degradation.name": str, "data.augmentations": ConfigDict, "data.placement": str,
    "data.memory_gb": NUMBER, "optimizer": ConfigDict, "adversarial": ConfigDict, "ema": NUMBER,
    "mesh": ConfigDict, "loggers": tuple | list, "log_every": int, "eval_every": int,
    "eval_every_epochs": NUMBER, "checkpoint_every_epochs": NUMBER, "eval.save": str,
    "checkpoint_every": int, "keep_checkpoints": int,
    "select": str, "select_metric": str, "patience": int, "max_bad_streak": int,
    "eval.protocol": str, "eval.data_range": NUMBER, "eval.ratio": NUMBER, "eval.tile": int,
    "eval.overlap": int, "eval.batch": int, "eval.self_ensemble": bool, "eval.projection": int,
    "eval.dark": NUMBER, "eval.images_kept": int, "eval.baselines": tuple | list,
}  # fmt: skip
NOT_NEGATIVE = ("steps", "epochs", "patience", "steps_per_call", "log_every", "eval_every",
                "checkpoint_every", "data.patch", "data.stride", "base.rounds", "base.radius",
                "eval.projection")  # fmt: skip
OTHER_SCORES = ("consistency", "loss")  # of no protocol


def check(config: ConfigDict, *, evaluates: bool = False) -> None:
    """Refuses values that would fail only at the end of a run, or with a library's error."""
    for key, kind in KEYS.items():
        value = at(config, key)
        if not isinstance(value, kind):
            raise UserError(
                f"the config has no {key!r} of the right type ({value!r}): was its "
                "config.json written by this version?"
            )
    if config.batch_size < 1:
        raise UserError(f"batch size {config.batch_size}: set config.batch_size to 1 or more")
    for key in NOT_NEGATIVE:
        if at(config, key) < 0:
            raise UserError(f"config.{key} is {at(config, key)}: use 0 or more")
    if not 0 <= config.ema < 1:
        raise UserError(f"config.ema is {config.ema}: use a decay from 0 (none) to below 1")
    members = config.members
    if members < 1 or config.batch_size % members:
        raise UserError(
            f"config.members {members}: use 1 or more, and a config.batch_size that divides by it "
            f"(now {config.batch_size})"
        )
    if members > 1 and config.training == "adversarial":
        raise UserError("config.members is for supervised training: set it to 1")
    if config.precision not in ("float32", "bfloat16"):
        raise UserError(f"config.precision {config.precision!r}: use float32 or bfloat16")
    if config.select not in ("last", "best"):
        raise UserError(f"config.select {config.select!r}: use last or best")
    loggers.check(config.loggers)
    baselines.check(config.eval.baselines, config.scale)
    outputs.check(config.eval.save)
    scores = (*metrics.conventions(config.eval.protocol)["metrics"], *OTHER_SCORES)
    if config.select_metric not in scores and not evaluates:
        raise UserError(
            f"config.select_metric {config.select_metric!r} is not a score of the protocol "
            f"{config.eval.protocol!r}: use {', '.join(scores)}"
        )


def at(config: Mapping | ConfigDict, key: str) -> Any:
    """The value at a dotted key; None where there is none."""
    found: Any = config
    for name in key.split("."):
        known = isinstance(found, Mapping | ConfigDict) and name in found
        found = found[name] if known else None
    return found


def check_validation(
    config: ConfigDict, data: Dataset, images: int, say: Callable[[str], None]
) -> None:
    """Refuses options that need validation images if there are none."""
    if images:
        return
    how = (
        "set some training patches aside by --config.data.options.validation_patches=0.1"
        if config.data.name == "scene"
        else "choose a split that has some, see docs/datasets.md"
    )
    if config.select == "best" or config.patience:
        what = "config.select 'best'" if config.select == "best" else "config.patience"
        raise UserError(
            f"{what} needs validation images, and {data.name} has none: {how}; or set "
            "config.select to last and config.patience to 0"
        )
    if config.eval_every or config.eval_every_epochs:
        say(f"nothing is validated: {data.name} has no validation images; {how}")


def check_images(
    config: ConfigDict,
    data: Dataset,
    images: Sequence[Scene],
    spec: NetworkSpec,
    recipe: Recipe,
    protocol: Protocol,
) -> None:
    """Refuses images that are too small for the scores or the network.

    For images smaller than the training patches the network itself is tried, on shapes only.
    """
    least = metrics.smallest_image(protocol.name)
    patch = config.data.patch or data.split.patch_at(config.scale)
    first_of = {scene.hr.shape[:2]: scene for scene in reversed(images)}
    for (height, width), scene in sorted(first_of.items()):
        problem = ""
        if min(height, width) < least:
            problem = f"the protocol {protocol.name!r} scores {least} pixels a side or more"
        elif min(height, width) < patch and not protocol.tile:
            problem = _refusal(spec.module(), recipe, scene)
            if problem:
                spec.shapes()  # raises what no other size would mend
        if problem:
            raise UserError(
                f"{scene.name} of {height}x{width} pixels cannot be scored: {problem}; give it "
                "more by the dataset's options (fractions, test_tile), or set config.eval.protocol"
            )


def _refusal(module: nn.Module, recipe: Recipe, scene: Scene) -> str:
    """The network's error for an image of this size; empty where it has none."""

    def run() -> dict:
        batch = recipe.as_tested(of_image(scene.cubes, scene.normaliser, scene.domain))
        return module.init_with_output(jax.random.key(0), inputs_of(batch), train=False)[0]

    try:
        jax.eval_shape(run)
    except UserError as error:
        return str(error)
    return ""
