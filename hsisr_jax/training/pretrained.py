"""A trained network, of a run or of the package, as the base that another one corrects.

The package's network works on the principal components of a scene. As a base it uses those of the
training scenes for all patches, which are stored with the weights; an image that is scored and a
scene that is predicted have their own.
"""

from collections.abc import Callable
from dataclasses import replace

import jax
import numpy as np
from ml_collections import ConfigDict

from hsisr_jax import mesh as meshes
from hsisr_jax import weights
from hsisr_jax.data.normalise import Normaliser
from hsisr_jax.data.scenes import Dataset, Scene
from hsisr_jax.errors import UserError
from hsisr_jax.inference import packaged, trained
from hsisr_jax.inference.trained import Trained
from hsisr_jax.models.anyband import SCENE
from hsisr_jax.models.spec import NetworkSpec
from hsisr_jax.ops import components


def spec_of(config: ConfigDict, data: Dataset) -> NetworkSpec:
    """The network that `config.base.source` names, if it fits this dataset."""
    source, scale = config.base.source, config.scale
    if source == packaged.NAME:
        sensor = trained.degradation(config.data.degradation.to_dict(), data)
        spec = packaged.load(scale, packaged.nearest(sensor, scale)).card.spec
        return replace(spec, options=spec.options | {"one_basis": True})
    card = trained.load(source).card
    where = f"config.base.source {source}"
    if card.msi_bands or card.scale != scale:
        raise UserError(f"{where}: its scale is {card.scale} and this run's is {scale}")
    if card.bands and card.bands != data.bands:
        raise UserError(f"{where}: it gives {card.bands} bands and {data.name} has {data.bands}")
    if card.bands and not all(_same_range(card, scene) for scene in data.train):
        raise UserError(f"{where}: it sees values in another range than this dataset's")
    return card.spec


def variables(source: str, spec: NetworkSpec, spectra: Callable[[], np.ndarray]) -> dict:
    """Its variables by collection; `spectra` is a sample of the training scenes, `n c`."""
    if source == packaged.NAME:
        basis = components.basis(spectra(), spec.options["components"])
        return weights.anyband(spec.scale) | {SCENE: basis._asdict()}
    found = trained.load(source).weights()[0]
    return {name: jax.tree.map(meshes.whole, tree) for name, tree in found.items() if tree}


def _same_range(card: Trained, scene: Scene) -> bool:
    own = trained.physical(scene.normaliser, scene.scale, scene.offset)
    return own in [Normaliser(**domain["normaliser"]) for domain in card.domains]
