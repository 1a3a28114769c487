"""Baselines of a network: functions from a batch of one image to its estimate, `H W c`."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import numpy as np

from hsisr_jax.data.batches import Recipe
from hsisr_jax.data.scenes import Scene
from hsisr_jax.errors import UserError
from hsisr_jax.inference import packaged
from hsisr_jax.inference.projection import back_project

NAMES = (packaged.NAME,)  # of `config.eval.baselines`


def check(names: Sequence[str], scale: int) -> None:
    """Refuses an unknown name, and any for a network that does not enlarge."""
    for name in names:
        if name not in NAMES:
            raise UserError(f"config.eval.baselines {name!r} is unknown: use {', '.join(NAMES)}")
        if scale == 1:
            raise UserError(f"config.eval.baselines {name!r} enlarges, and this run does not: ()")


def anyband(scale: int, sensor: Mapping[str, Any]) -> Callable[[Mapping], np.ndarray]:
    """The package's network for a degradation (its name and options), with the components of
    each image."""
    network = packaged.load(scale, packaged.nearest(sensor, scale))
    module, (variables, _) = network.card.module(), network.weights()
    apply = jax.jit(lambda variables, inputs: module.apply(variables, inputs, train=False)["sr"])
    count = packaged.shared(network.card.spec)

    def predict(batch: Mapping) -> np.ndarray:
        own = packaged.of_image(variables, count, batch)
        return np.asarray(apply(own, {name: batch[name] for name in ("lr", "lms")})[0])

    return predict


def projects(recipe: Recipe) -> bool:
    """Whether a bicubic image can be back-projected: a spatial scale, and no logarithms."""
    spatial = getattr(recipe.degrade, "name", "spectral") != "spectral"
    return spatial and recipe.floor is None and recipe.scale > 1


def back_projected(recipe: Recipe, *, rounds: int, dark: float) -> Callable[[Mapping], np.ndarray]:
    """The back-projected bicubic image, an estimator without a network."""

    def predict(batch: Mapping) -> np.ndarray:
        lms, lr = (np.asarray(batch[name][0]) for name in ("lms", "lr"))
        return back_project(
            lms, lr, recipe.observation, scale=recipe.scale, rounds=rounds, dark=dark
        )

    return predict


def linear_fit(train: list[Scene]) -> tuple[np.ndarray, np.ndarray]:
    """Kernel `[m, c]` and bias `[c]` of the map from multispectral to hyperspectral pixels that
    fits best."""
    inputs, outputs = [], []
    for scene in train:
        msi = scene.normaliser.apply(scene.cubes["msi"], np)
        hr = scene.normaliser.apply(scene.hr, np)
        inputs.append(msi.reshape(-1, msi.shape[-1]))
        outputs.append(hr.reshape(-1, hr.shape[-1]))
    x = np.concatenate(inputs).astype(np.float64)
    x = np.concatenate([x, np.ones((len(x), 1))], axis=1)
    fit, *_ = np.linalg.lstsq(x, np.concatenate(outputs).astype(np.float64), rcond=None)
    return fit[:-1], fit[-1]


def least_squares(train: list[Scene]) -> Callable[[dict], np.ndarray]:
    """An estimator by `linear_fit`."""
    kernel, bias = linear_fit(train)

    def predict(batch: dict) -> np.ndarray:
        msi = np.asarray(batch["msi"][0], np.float64)
        return (msi @ kernel + bias).astype(np.float32)

    return predict
