"""The network in the package, `anyband`, which is used if no workdir is given."""

import os
from collections.abc import Callable, Mapping
from typing import Any

import jax
import numpy as np

from hsisr_jax import mesh, weights
from hsisr_jax.data.normalise import Normaliser
from hsisr_jax.errors import UserError, brief
from hsisr_jax.formats import SceneReader
from hsisr_jax.inference import sensed, trained
from hsisr_jax.inference.facts import facts_of
from hsisr_jax.inference.options import Options
from hsisr_jax.inference.trained import Loaded, Trained
from hsisr_jax.layers import sensor
from hsisr_jax.models.anyband import SCALES, SCENE
from hsisr_jax.models.bases import FROZEN
from hsisr_jax.models.spec import NetworkSpec, describe
from hsisr_jax.ops import components

NAME = "anyband"
TILE, OVERLAP = 96, 16  # low-resolution pixels; the influence of pixels farther away is small
MANY = 256 * 256
MTFS = (0.05, 0.7)  # the range of MTFs that the network is given

Load = Callable[[SceneReader, Options], Loaded]  # the network for a scene


def load(
    scale: int, degradation: str | Mapping[str, Any] = "bicubic", *, pixels: int = 0
) -> Loaded:
    """The packaged network for a scale and a sensor (a name, or a mapping of `name` and options
    as for `degrade.create`). For a scene of many `pixels` it averages over two passes instead of
    four: half of the time for 0.04 to 0.05 dB."""
    if isinstance(scale, bool) or scale not in SCALES:
        raise UserError(f"there are no weights for scale {brief(scale)}: use {_words(SCALES)}")
    options = told(degradation) | {"flips": 4 if pixels <= MANY else 2} | weights.sizes()
    spec = describe(NAME, options, scale=int(scale), bands=0)
    identity = {"wavelengths": None, "normaliser": Normaliser().to_json()}
    seen = _named(degradation)
    card = Trained(spec, [identity], degradation=seen, tile=TILE, overlap=OVERLAP, dataset="aerial")
    place = mesh.replicated(mesh.make())
    return Loaded(card, lambda: (jax.device_put(weights.anyband(int(scale)), place), 0))


def loader(workdir: str | os.PathLike | None, scale: int, say: Callable[[str], None]) -> Load:
    """A function from a scene to its network: a workdir's, else the packaged one for the scene's
    size and sensor."""
    if workdir:
        network = trained.load(workdir)
        return lambda scene, options: network

    def fitting(scene: SceneReader, options: Options) -> Loaded:
        mtf = options.mtf and sensed.asked(options.mtf, scene, say)
        sensor = {"name": "mtf", "mtf": mtf} if mtf else "bicubic"
        return load(scale, sensor, pixels=scene.height * scene.width)

    return fitting


def told(degradation: str | Mapping[str, Any]) -> dict[str, Any]:
    """A degradation as options of the network; an MTF for each band becomes their mean."""
    options = _named(degradation)
    name = options.pop("name", None)
    known = {"mtf"} if name == "mtf" else set()
    if name not in sensor.KNOWN or set(options) - known:
        raise UserError(
            f"degradation={brief(degradation)}: use {_words(sensor.KNOWN)}, the last with its "
            'value at Nyquist: {"name": "mtf", "mtf": 0.3}'
        )
    if name != "mtf":
        return {"degradation": name}
    try:
        mtf = float(np.mean(np.asarray(options.get("mtf", 0.3), float)))
    except (TypeError, ValueError):
        mtf = np.nan
    if not 0 < mtf < 1:
        raise UserError(f"degradation={brief(degradation)}: an MTF lies between 0 and 1")
    return {"degradation": name, "mtf": mtf}


def nearest(degradation: Mapping[str, Any], scale: int) -> dict[str, Any]:
    """The nearest degradation that the network knows to that of a run, its name and options: the
    MTF of a Gaussian or of a measured blur, else bicubic. Noise is estimated, not given."""
    name = degradation["name"]
    if name in sensor.KNOWN:
        return {key: x for key, x in degradation.items() if key in ("name", "mtf")}
    if name == "gaussian":
        passed = np.exp(-0.5 * (np.pi * (degradation.get("sigma") or scale / 2) / scale) ** 2)
    elif name == "psf":
        taps = np.asarray(degradation["kernel"], float).sum(0)
        passed = abs(taps @ np.exp(1j * np.pi * np.arange(len(taps)) / scale)) / taps.sum()
    else:
        return {"name": "bicubic"}
    return {"name": "mtf", "mtf": float(np.clip(passed, *MTFS))}


def shared(spec: NetworkSpec) -> int:
    """How many components of a scene its tiles share: of the packaged network, by itself or as
    the base of another one; 0 where there is none."""
    if spec.name == NAME:
        return spec.options["components"]
    base = spec.base
    return shared(NetworkSpec.from_json(base["spec"])) if base["kind"] == "pretrained" else 0


def with_basis(variables: Mapping, basis: components.Basis) -> dict:
    """The variables with the components of a scene, where the packaged network has them."""
    if FROZEN not in variables:
        return {**variables, SCENE: basis._asdict()}
    inner = with_basis(variables[FROZEN]["variables"], basis)
    return {**variables, FROZEN: {"variables": inner}}


def of_image(variables: Mapping, count: int, batch: Mapping) -> Mapping:
    """The variables with `count` components of an image in memory (`lr`, `1 h w c`), as in its
    prediction; unchanged for 0."""
    if not count:
        return variables
    return with_basis(variables, facts_of(np.asarray(batch["lr"][0])).basis(count))


def with_scene(
    variables: Mapping,
    card: Trained,
    normaliser: Normaliser,
    bands: np.ndarray | None,
    sample: np.ndarray,
    differences: np.ndarray,
) -> dict:
    """Adds the components of a whole scene to the variables, so that its tiles share them; other
    networks are unchanged. `sample` has some of its stored spectra, `n c` (NaN where hidden), and
    `differences` those of neighbouring pixels, `m c`; `bands` maps them to the network's."""
    count = shared(card.spec)
    if not count:
        return dict(variables)
    if bands is not None:
        sample, differences = sample @ bands, differences @ bands
    spectra, details = normaliser.apply(sample, np), normaliser.gain * differences
    return with_basis(variables, components.basis(spectra, count, details))


def _named(degradation: str | Mapping[str, Any]) -> dict[str, Any]:
    if isinstance(degradation, str):
        return {"name": degradation}
    if not isinstance(degradation, Mapping):
        raise UserError(f"degradation={brief(degradation)}: use a name, or a mapping with name")
    return dict(degradation)


def _words(values) -> str:
    *most, last = map(str, values)
    return f"{', '.join(most)} or {last}"
