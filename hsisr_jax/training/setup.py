"""Makes the parts of a run from its config."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import jax
import numpy as np
from flax import linen as nn
from ml_collections import ConfigDict

from hsisr_jax import degrade, losses, models
from hsisr_jax.data import augment, component_images
from hsisr_jax.data.batches import Recipe
from hsisr_jax.data.scenes import Dataset, Scene
from hsisr_jax.errors import UserError
from hsisr_jax.inference import packaged, sensed, trained
from hsisr_jax.inference.evaluate import Protocol
from hsisr_jax.models import bases
from hsisr_jax.models.correction import USUAL_MEAN
from hsisr_jax.models.spec import NetworkSpec, describe
from hsisr_jax.training import STEPS, pretrained
from hsisr_jax.training.checks import at
from hsisr_jax.training.steps import Step

PLACEMENTS = ("auto", "device", "host", "disk")
CACHE = Path("~/.cache/hsisr_jax/xla").expanduser()


def backend(config: ConfigDict) -> None:
    """Sets up the compilation cache in the user's folder, and reproducible kernels if asked for."""
    if jax.config.jax_compilation_cache_dir is None:
        jax.config.update("jax_compilation_cache_dir", str(CACHE))
        jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
        jax.config.update("jax_persistent_cache_min_entry_size_bytes", 0)
    if jax.process_count() > 1 and jax.default_backend() == "cpu":
        # what XLA stores for CPUs forgets in which order collective operations begin: processes
        # with parameters cut over them then wait for each other for ever
        jax.config.update("jax_enable_compilation_cache", False)


def spec(config: ConfigDict, data: Dataset) -> NetworkSpec:
    """The network for this dataset: band counts come from the data unless the config gives them."""
    options = config.model.to_dict()
    network = models.find(options.pop("name"))
    if config.tiny:
        options |= network.tiny
    if options.get("bands", data.bands) != data.bands:
        raise UserError(
            f"config.model.bands is {options['bands']} and {data.name} has {data.bands} bands: "
            "leave config.model.bands out, or choose another dataset"
        )
    alone = describe(
        network.name,
        options,
        scale=config.scale,
        bands=data.bands,
        msi_bands=data.msi_bands,
        members=config.members,
    )
    return replace(alone, base=base(config, data, alone))


def base(config: ConfigDict, data: Dataset, network: NetworkSpec) -> dict[str, Any]:
    """The base that the network corrects, `config.base`, in this dataset's range of values."""
    given = config.base
    if given.kind not in bases.KINDS:
        known = ", ".join(bases.KINDS)
        raise UserError(f"config.base.kind {given.kind!r} is unknown: use {known}")
    if given.kind == "none":
        return {"kind": "none"}
    if (given.kind == "least_squares") != bool(network.msi_bands):
        use = "least_squares" if network.msi_bands else "bicubic or another"
        raise UserError(
            f"config.base.kind {given.kind!r} is not for {network.name}: use {use}, or none"
        )
    if given.kind == "least_squares":
        if data.msi_bands is None:
            raise UserError(
                f"config.base.kind 'least_squares' is a linear map of msi, which {data.name} does "
                "not hold: set config.base.kind to none"
            )
        return {"kind": given.kind}
    level = 1.0 if data.floor else (data.mean or USUAL_MEAN) / USUAL_MEAN
    found: dict[str, Any] = {"kind": given.kind, "level": level}
    if "rounds" in bases.KINDS[given.kind]:
        found["rounds"], found["dark_level"] = given.rounds, dark_level(given.dark, data)
        found["degradation"] = trained.degradation(config.data.degradation.to_dict(), data)
        recipe(config, data).observation  # noqa: B018 - refuses what cannot be projected
    if "radius" in bases.KINDS[given.kind]:
        found["radius"] = given.radius
    if given.kind == "pretrained":
        inner = pretrained.spec_of(config, data)
        found |= {"source": given.source, "spec": inner.to_json()}
    return found


def dark_level(share: float, data: Dataset) -> float:
    """A fraction of the training scenes' mean, in the network's range."""
    return share * (data.mean or USUAL_MEAN)


def sense(config: ConfigDict, data: Dataset, say: Callable[[str], None]) -> None:
    """Replaces `auto` and sensors' names in the degradation by numbers, using training regions."""
    scenes = data.train or data.test
    given = config.data.degradation.to_dict()
    found, told = sensed.resolved(given, lambda: [_linear(scene) for scene in scenes])
    for line in told:
        say(line)
    config.data.degradation = ConfigDict(found)


def _linear(scene: Scene) -> np.ndarray:
    """A scene's values in the range where it is degraded, NaN where hidden."""
    values = scene.hr * np.float32(scene.normaliser.gain) + np.float32(scene.normaliser.bias)
    if scene.hidden is not None:
        values[scene.hidden] = np.nan
    return values


def recipe(config: ConfigDict, data: Dataset) -> Recipe:
    """The recipe for making batches of patches; no spatial degradation for multispectral input."""
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
    asked = config.data.augmentations.to_dict()
    made = {name: augment.create(name, **options) for name, options in asked.items()}
    if degradation is None and set(made) & set(augment.ON_INPUTS):
        raise UserError("config.data.augmentations.blur_input is for spatial degradations")
    return Recipe(
        degrade=degradation,
        scale=config.scale,
        floor=data.floor,
        augmentations=tuple(made[name] for name in made if name not in augment.ON_INPUTS),
        on_inputs=tuple(made[name] for name in made if name in augment.ON_INPUTS),
        components=components(config, data),
        domains=data.domains,
    )


def components(config: ConfigDict, data: Dataset) -> Callable | None:
    """The function that makes component images of training patches, `config.data.components`."""
    options = at(config, "data.components")  # absent in workdirs of older versions
    if not options:
        return None
    if not models.find(config.model.name).any_bands or data.floor is not None or data.domains > 1:
        raise UserError(
            "config.data.components is for a network of any number of bands (anyband) and one "
            "domain of values that are not logarithms: give --config.data.components={}"
        )
    return component_images.create(config.scale, **options.to_dict())


def training_data(config: ConfigDict, data: Dataset, recipe: Recipe) -> Dataset:
    """The data of `config.data.train_on`: training regions, the test scenes' inputs, or both."""
    train_on = config.data.train_on
    if train_on not in ("train", "inputs", "both"):
        raise UserError(f"config.data.train_on {train_on!r}: use train, inputs or both")
    if train_on == "train":
        return data
    if config.data.placement == "disk":
        raise UserError(
            f"config.data.train_on {train_on!r} makes its images in memory: set "
            "config.data.placement to another than disk"
        )
    inputs = data.inputs(lambda x: recipe.observation(x)["lr"], config.scale)
    return replace(data, train=inputs if train_on == "inputs" else data.train + inputs)


def protocol(config: ConfigDict, data: Dataset, network: NetworkSpec) -> Protocol:
    """The scoring of test images."""
    options = config.eval.to_dict()
    for name in ("images_kept", "save", "baselines"):
        options.pop(name)
    options["ratio"] = options["ratio"] or config.scale
    options["dark"] = dark_level(options["dark"], data) if options["projection"] else 0.0
    options["components"] = packaged.shared(network)
    try:
        return Protocol(name=options.pop("protocol"), **options)
    except TypeError as error:  # of the config of a workdir: the command line is checked before
        raise UserError(f"config.eval: {error}; was it written by this version?") from None


def step(config: ConfigDict, network: NetworkSpec, optimizers: Mapping, steps: int = 0) -> Step:
    """The optimisation step that `config.training` names."""
    if config.training not in STEPS:
        raise UserError(f"config.training {config.training!r} is unknown: use {' or '.join(STEPS)}")
    loss = loss_of(config)
    game: dict[str, Any] = {}
    if config.training == "adversarial":
        game = config.adversarial.to_dict() | {"discriminator": discriminator(network)}
    return STEPS[config.training](
        network.module(),
        loss,
        optimizers,
        precision=config.precision,
        ema_decay=config.ema,
        remat=config.remat,
        steps=steps,
        **game,
    )


def further_scores(config: ConfigDict) -> dict[str, Any]:
    """Validation scores beside the protocol's, if they select the step."""
    by = config.select_metric
    return {"consistency": by == "consistency", "loss": loss_of(config) if by == "loss" else None}


def loss_of(config: ConfigDict) -> losses.Loss:
    """The task's loss."""
    options = config.loss.to_dict()
    return losses.create(options.pop("name"), **options)


def discriminator(network: NetworkSpec) -> nn.Module:
    """The part of a network that tells domains apart."""
    if network.network.discriminator is None:
        raise UserError(
            "config.training 'adversarial' needs a network with a discriminator, such as asnlsr"
        )
    return network.network.discriminator(network.alone())


def fits_on_device(config: ConfigDict, data: Dataset) -> bool:
    """Whether the training scenes live on the device."""
    placement = config.data.placement
    if placement not in PLACEMENTS:
        raise UserError(f"config.data.placement {placement!r}: use {', '.join(PLACEMENTS)}")
    if placement == "auto":
        return data.nbytes() <= config.data.memory_gb * 2**30
    return placement == "device"
