"""Workdirs of networks that nobody trained, for what uses trained ones."""

import json
from pathlib import Path

import jax
import numpy as np

from configs import common
from hsisr_jax.checkpoints import Checkpoints
from hsisr_jax.data.normalise import Normaliser
from hsisr_jax.inference.trained import FILE, Trained
from hsisr_jax.models.spec import describe

TINY = {
    "bicubic": {},
    "rcam": {"features": 8, "dense_blocks": 1, "rcams": 1},
    "snlsr": {"features": 4, "materials": 2},
    "ssran": {"features": 8, "blocks": 1},
}


def make(folder: Path, name: str = "bicubic", *, bands=4, scale=2, msi=0, seed=0, **facts) -> Path:
    """A workdir with fresh weights, told apart by the seed; `facts` of `model.json`."""
    spec = describe(name, TINY[name], scale=scale, bands=bands, msi_bands=msi)
    wavelengths = facts.pop("wavelengths", np.linspace(450, 700, bands).tolist())
    normaliser = facts.pop("normaliser", Normaliser())
    domains = [{"wavelengths": wavelengths, "normaliser": normaliser.to_json()}]
    card = Trained(spec, **{"domains": domains, "tile": 8, **facts})
    folder.mkdir(parents=True)
    (folder / FILE).write_text(json.dumps(card.to_json()))
    config = common.base()
    config.scale, config.model.name = card.scale, name
    (folder / "config.json").write_text(config.to_json())
    if name != "bicubic":
        example = {k: np.zeros(x.shape, x.dtype) for k, x in spec.example(8, 8).items()}
        init = jax.jit(lambda key: card.module().init(key, example, train=False))
        with Checkpoints(folder, say=lambda text: None) as checkpoints:
            checkpoints.save(3, {"params": init(jax.random.key(seed))["params"]})
    return folder


def scene(height=40, width=56, bands=4, *, seed=0) -> np.ndarray:
    """Smooth values in 0.1 .. 0.9 with some noise, float32."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:height, :width] / 9
    waves = [np.sin(x + i) * np.cos(y - i / 2) for i in range(bands)]
    return (
        0.5 + 0.3 * np.stack(waves, -1) + 0.1 * rng.random((height, width, bands)) - 0.05
    ).astype(np.float32)
