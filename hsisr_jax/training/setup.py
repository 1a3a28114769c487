"""From a config to the parts of a run."""

import inspect
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path

import jax
from flax import linen as nn
from ml_collections import ConfigDict

from hsisr_jax import degrade, losses, metrics, models
from hsisr_jax.data import augment
from hsisr_jax.data.batches import Recipe, of_image
from hsisr_jax.data.scenes import Dataset, Scene
from hsisr_jax.errors import UserError
from hsisr_jax.inference.baselines import linear_fit
from hsisr_jax.inference.evaluate import INPUTS, Protocol
from hsisr_jax.layers.back_projection import DARK
from hsisr_jax.layers.ensemble import Ensemble
from hsisr_jax.models.residual import USUAL_MEAN, BicubicResidual, LeastSquaresResidual
from hsisr_jax.training import STEPS
from hsisr_jax.training.steps import Step

PARTS = {
    "model": ConfigDict, "data": ConfigDict, "loss": ConfigDict, "optimizer": ConfigDict,
    "eval": ConfigDict, "mesh": ConfigDict, "scale": int, "seed": int, "steps": int,
    "epochs": int | float, "batch_size": int, "precision": str, "training": str, "select": str,
    "select_metric": str, "log_every": int, "eval_every": int, "checkpoint_every": int,
}  # fmt: skip
NOT_NEGATIVE = ("steps", "epochs", "patience", "steps_per_call", "log_every", "eval_every",
                "checkpoint_every", "data.patch", "data.stride")  # fmt: skip
CACHE = Path("~/.cache/hsisr_jax/xla").expanduser()


def check(config: ConfigDict) -> None:
    """What would otherwise show only at the end of a run, or as an error of a library."""
    for key, kind in PARTS.items():
        if not isinstance(config.get(key), kind):
            raise UserError(
                f"the config has no {key!r} of the right type ({config.get(key)!r}): was its "
                "config.json written by this version?"
            )
    if config.batch_size < 1:
        raise UserError(f"batch size {config.batch_size}: set config.batch_size to 1 or more")
    for key in NOT_NEGATIVE:
        part, _, name = key.rpartition(".")
        value = (config[part] if part else config).get(name, 0)
        if value < 0:
            raise UserError(f"config.{key} is {value}: use 0 or more")
    if not 0 <= config.get("ema", 0) < 1:
        raise UserError(f"config.ema is {config.ema}: use a decay from 0 (none) to below 1")
    members = config.get("members", 1)
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
    scores = metrics.conventions(config.eval.protocol)["metrics"]
    if config.select_metric not in scores:
        raise UserError(
            f"config.select_metric {config.select_metric!r} is not a score of the protocol "
            f"{config.eval.protocol!r}: use {', '.join(scores)}"
        )


def backend(config: ConfigDict) -> None:
    """Compilation cache in the user's folder, and reproducible kernels where asked for."""
    if jax.config.jax_compilation_cache_dir is None:
        jax.config.update("jax_compilation_cache_dir", str(CACHE))
        jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
        jax.config.update("jax_persistent_cache_min_entry_size_bytes", 0)
    if jax.process_count() > 1 and jax.default_backend() == "cpu":
        # what XLA stores for CPUs forgets in which order collective operations begin: processes
        # with parameters cut over them then wait for each other for ever
        jax.config.update("jax_enable_compilation_cache", False)


def model(config: ConfigDict, data: Dataset) -> nn.Module:
    """The network for this dataset: band counts come from the data unless the config gives them."""
    options = config.model.to_dict()
    name = options.pop("name")
    fields = _fields(name)
    derived = {"scale": config.scale, "bands": data.bands, "msi_bands": data.msi_bands}
    for key, value in derived.items():
        if key in fields and value is not None:
            options.setdefault(key, value)
    if options.get("bands", data.bands) != data.bands:
        raise UserError(
            f"config.model.bands is {options['bands']} and {data.name} has {data.bands} bands: "
            "leave config.model.bands out, or choose another dataset"
        )
    network = models.create(name, **options)
    if config.get("members", 1) > 1:
        network = Ensemble(network, config.members)
    if not config.residual:
        return network
    if "msi_bands" in fields:
        if data.msi_bands is None:
            raise UserError(
                f"config.residual corrects a linear map of msi, which {data.name} does not hold: "
                "set config.residual=False"
            )
        return LeastSquaresResidual(network)
    rounds = config.get("base_projection", 0)
    return BicubicResidual(
        network,
        level=1.0 if data.floor else (data.mean or USUAL_MEAN) / USUAL_MEAN,
        rounds=rounds,
        observe=recipe(config, data).observation if rounds else None,
        dark=dark(config, data),
        radius=-(-config.get("base_filters", 0) // config.scale),
    )


def first_values(module: nn.Module, data: Dataset) -> Callable[[dict], dict]:
    """What becomes of fresh parameters: with `config.residual`, they start at the base estimate."""
    if isinstance(module, LeastSquaresResidual):
        kernel, bias = linear_fit(data.train)
        return partial(module.zero_start, kernel=kernel, bias=bias)
    return module.zero_start if isinstance(module, BicubicResidual) else lambda params: params


def _fields(name: str) -> set[str]:
    cls = type(models.create(name))
    return set(inspect.signature(cls).parameters)


def recipe(config: ConfigDict, data: Dataset) -> Recipe:
    """How patches become batches: spatial degradation, or none for multispectral input."""
    options = config.data.degradation.to_dict()
    name = options.pop("name")
    if name == "psf" and "kernel" not in options and "psf" in data.extras:
        options["kernel"] = data.extras["psf"]
    degradation = None
    try:
        if name != "none":
            degradation = degrade.create(name, scale=config.scale, **options)
    except (TypeError, ValueError) as error:
        raise UserError(f"config.data.degradation: {error}") from None
    return Recipe(
        degrade=degradation,
        scale=config.scale,
        floor=data.floor,
        augmentations=tuple(
            augment.create(name, **options)
            for name, options in config.data.augmentations.to_dict().items()
        ),
        domains=data.domains,
    )


def training_data(config: ConfigDict, data: Dataset, recipe: Recipe) -> Dataset:
    """What `config.data.train_on` names: the training regions, the test scenes' inputs, or both."""
    train_on = config.data.get("train_on", "train")
    if train_on not in ("train", "inputs", "both"):
        raise UserError(f"config.data.train_on {train_on!r}: use train, inputs or both")
    if train_on == "train":
        return data
    inputs = data.inputs(lambda x: recipe.observation(x)["lr"], config.scale)
    return replace(data, train=inputs if train_on == "inputs" else data.train + inputs)


def protocol(config: ConfigDict, data: Dataset) -> Protocol:
    """How test images are scored."""
    options = config.eval.to_dict()
    options.pop("images_kept")
    options["ratio"] = options["ratio"] or config.scale
    options["dark"] = dark(config, data)
    try:
        return Protocol(name=options.pop("protocol"), **options)
    except TypeError as error:  # of the config of a workdir: the command line is checked before
        raise UserError(f"config.eval: {error}; was it written by this version?") from None


def check_images(
    config: ConfigDict,
    data: Dataset,
    validation: list[Scene],
    module: nn.Module,
    recipe: Recipe,
    protocol: Protocol,
) -> None:
    """What would end a run at its first evaluation: an image too small for a score or the network.

    The network is asked (by shapes alone) where an image is smaller than what it is trained on.
    """
    images = validation + data.test_images(config.scale)
    least = metrics.smallest_image(protocol.name)
    patch = config.data.patch or data.split.patch_at(config.scale)
    first_of = {scene.hr.shape[:2]: scene for scene in reversed(images)}
    for (height, width), scene in sorted(first_of.items()):
        problem = ""
        if min(height, width) < least:
            problem = f"the protocol {protocol.name!r} scores {least} pixels a side or more"
        elif min(height, width) < patch and not protocol.tile:
            problem = _refusal(module, recipe, scene)
        if problem:
            raise UserError(
                f"{scene.name} of {height}x{width} pixels cannot be scored: {problem}; give it "
                "more by the dataset's options (fractions, test_tile), or set config.eval.protocol"
            )


def _refusal(module: nn.Module, recipe: Recipe, scene: Scene) -> str:
    """What a network says against an image's size."""

    def run() -> dict:
        batch = recipe(of_image(scene.cubes, scene.normaliser, scene.domain))
        inputs = {name: batch[name] for name in INPUTS if name in batch}
        return module.init_with_output(jax.random.key(0), inputs, train=False)[0]

    try:
        jax.eval_shape(run)
    except UserError as error:
        return str(error)
    return ""


def dark(config: ConfigDict, data: Dataset) -> float:
    """Below it, pixels keep their spectral direction where an image is back-projected."""
    moved = (
        config.eval.get("projection"),
        config.get("base_projection"),
        config.get("base_filters"),
    )
    if not any(moved):
        return 0.0
    return config.get("projection_dark", DARK) * (data.mean or USUAL_MEAN)


def step(config: ConfigDict, module: nn.Module, optimizers: Mapping, steps: int = 0) -> Step:
    """The optimisation step that `config.training` names."""
    if config.training not in STEPS:
        raise UserError(f"config.training {config.training!r} is unknown: use {' or '.join(STEPS)}")
    options = config.loss.to_dict()
    loss = losses.create(options.pop("name"), **options)
    game = config.get("adversarial") if config.training == "adversarial" else None
    return STEPS[config.training](
        module,
        loss,
        optimizers,
        precision=config.precision,
        ema_decay=config.ema,
        remat=config.remat,
        steps=steps,
        **(game or {}),
    )


def fits_on_device(config: ConfigDict, data: Dataset) -> bool:
    """Whether the training scenes live on the device."""
    placement = config.data.placement
    if placement not in ("auto", "device", "host"):
        raise UserError(f"config.data.placement {placement!r}: use auto, device or host")
    if placement == "auto":
        return data.nbytes() <= config.data.memory_gb * 2**30
    return placement == "device"
