"""What prediction must know of a trained network: `model.json` in its workdir, and its weights.

The numbers a network sees are made from physical values (stored * scale + offset), so that a scene
in reflectance and the same scene in integers of 1/10000 become the same input.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn

from hsisr_jax import degrade, mesh, models
from hsisr_jax.checkpoints import Checkpoints, targets
from hsisr_jax.data.normalise import Normaliser
from hsisr_jax.data.scenes import Dataset, Scene
from hsisr_jax.errors import UserError
from hsisr_jax.formats.scene import nanometres_of_one
from hsisr_jax.layers.ensemble import Ensemble, bare
from hsisr_jax.models.residual import BicubicResidual, LeastSquaresResidual

FILE = "model.json"
WRAPPERS = {"": lambda network: network, "BicubicResidual": BicubicResidual,
            "LeastSquaresResidual": LeastSquaresResidual}  # fmt: skip
# Networks whose output at a pixel depends on an image's pixels near it alone, and what makes the
# others depend on all of them.
LOCAL = ("bicubic", "srformer")
WHOLE = {
    "srlsgat": "a graph over the patch and channel attention",
    "sspsr": "channel attention",
    "ssran": "attention between all bands and pixels",
    "snlsr": "attention between channels over all pixels",
    "asnlsr": "attention between channels over all pixels",
    "rcam": "channel attention",
    "esrt": "channel attention and attention between pixels",
}


@dataclass(frozen=True)
class Trained:
    """One network as its training left it.

    `domains` are the spectral ranges it knows, the one it was tested on first: the output's
    `wavelengths` (nm, or None) and the `normaliser` of physical values.
    """

    network: dict[str, Any]  # its name and options
    members: int = 1  # such networks, whose mean is the estimate
    wrapper: str = ""
    scale: int = 2  # 1 for spectral super-resolution
    bands: int = 0  # of the output
    msi_bands: int = 0  # of the input, where it has fewer bands than the output
    domains: list[dict[str, Any]] = field(default_factory=list)
    own_range: bool = False  # whether every training scene was divided by its own maximum
    projection: int = 0  # rounds of back-projection
    dark: float = 0.0  # in the network's range: below it, pixels keep their spectral direction
    base_projection: int = 0  # rounds, of the base that the network corrects
    base_radius: int = 0  # of its filters
    degradation: dict[str, Any] = field(default_factory=dict)  # that it projects with
    self_ensemble: bool = False  # whether the evaluation used it
    tile: int = 0  # low-resolution pixels on a side in the evaluation, or else in training
    overlap: int = 0  # of the evaluation's tiles; 0: whole images, or tiles side by side
    select: str = "last"
    select_metric: str = "MPSNR"
    dataset: str = ""

    @property
    def name(self) -> str:
        return self.network["name"]

    @property
    def inputs(self) -> int:
        """Bands of the input."""
        return self.msi_bands or self.bands

    @property
    def msi_centres(self) -> list[float] | None:
        """Of the bands of such an input, nm, where the degradation that made it has them."""
        centres = self.degradation.get("centres") if self.msi_bands else None
        if not centres:
            return None
        return [centre * nanometres_of_one(centres) for centre in centres]

    def module(self) -> nn.Module:
        options = {k: v for k, v in self.network.items() if k != "name"}
        options = {k: tuple(v) if isinstance(v, list) else v for k, v in options.items()}
        network = models.create(self.name, **options)
        if self.members > 1:
            network = Ensemble(network, self.members)
        if self.wrapper != BicubicResidual.__name__:
            return WRAPPERS[self.wrapper](network)
        base = {"rounds": self.base_projection, "radius": self.base_radius}
        return BicubicResidual(network, observe=self.observe(), dark=self.dark, **base)

    def observe(self) -> Callable[[jax.Array], dict] | None:
        """What the sensor sees of a cube, where an estimate is to be projected."""
        if not self.projection and not self.base_projection:
            return None
        options = {k: v for k, v in self.degradation.items() if k != "name"}
        if "kernel" in options:
            options["kernel"] = np.asarray(options["kernel"], np.float32)
        return degrade.create(self.degradation["name"], scale=self.scale, **options).observe

    def why_whole(self) -> str:
        """What makes a pixel depend on the whole image; empty where nothing does."""
        return "" if self.name in LOCAL else WHOLE.get(self.name, "its architecture")

    def example(self, height: int, width: int, batch: int = 1) -> dict[str, jax.ShapeDtypeStruct]:
        """Shapes of what the network reads."""
        lr = jax.ShapeDtypeStruct((batch, height, width, self.inputs), jnp.float32)
        if self.msi_bands:
            return {"msi": lr}
        shape = (batch, height * self.scale, width * self.scale, self.bands)
        return {"lr": lr, "lms": jax.ShapeDtypeStruct(shape, jnp.float32)}


def describe(config: Mapping, data: Dataset, module: nn.Module, dark: float = 0.0) -> dict:
    """`model.json` of a run."""
    wrapped = type(module).__name__ in WRAPPERS
    domains = {s.domain: s for s in reversed([*data.test, *data.train])}
    tested = (data.test or data.train)[0].domain
    normalisers = {(s.normaliser, s.domain) for s in data.train}
    network = bare(module)
    msi_bands = getattr(network, "msi_bands", 0)  # a dataset may hold such an image for others
    scale = 1 if msi_bands else config["scale"]
    patch = config["data"]["patch"] or data.split.patch_at(config["scale"])
    card = Trained(
        network={"name": config["model"]["name"]} | options(network),
        members=config.get("members", 1),
        wrapper=type(module).__name__ if wrapped else "",
        scale=scale,
        bands=data.bands,
        msi_bands=msi_bands,
        domains=[_domain(domains.pop(tested)), *(_domain(s) for s in domains.values())],
        projection=config["eval"].get("projection", 0),
        dark=dark,
        base_projection=getattr(module, "rounds", 0),
        base_radius=getattr(module, "radius", 0),
        self_ensemble=config["eval"].get("self_ensemble", False),
        degradation=_degradation(config["data"]["degradation"], data),
        own_range=data.floor is None and len(normalisers) > 1,
        tile=config["eval"]["tile"] or max(patch // scale, 1),
        overlap=config["eval"]["overlap"] if config["eval"]["tile"] else 0,
        select=config["select"],
        select_metric=config["select_metric"],
        dataset=config["data"]["name"],
    )
    return asdict(card)


def imported(config: Mapping, module: nn.Module) -> dict:
    """`model.json` of weights that were trained elsewhere: physical values are what it sees, and
    its wavelengths are not known."""
    msi = getattr(module, "msi_bands", 0)
    scale = 1 if msi else config["scale"]
    patch = config.get("data", {}).get("patch") or 64
    card = Trained(
        network={"name": config["model"]["name"]} | options(module),
        scale=scale,
        bands=module.bands,
        msi_bands=msi,
        domains=[{"wavelengths": None, "normaliser": Normaliser().to_json()}],
        tile=config.get("eval", {}).get("tile") or max(patch // scale, 1),
    )
    return asdict(card)


def _degradation(options: Mapping, data: Dataset) -> dict:
    psf = data.extras.get("psf") if options["name"] == "psf" else None
    return dict(options) | ({"kernel": np.asarray(psf).tolist()} if psf is not None else {})


def _domain(scene: Scene) -> dict:
    normaliser = physical(scene.normaliser, scene.scale, scene.offset)
    wavelengths = scene.wavelengths
    return {
        "wavelengths": None if wavelengths is None else np.asarray(wavelengths, float).tolist(),
        "normaliser": normaliser.to_json(),
    }


def options(network: nn.Module) -> dict[str, Any]:
    """The fields of a network that JSON can hold; parts that were swapped in are not among them."""
    named = {f.name: getattr(network, f.name) for f in fields(network)}
    return {
        name: value
        for name, value in named.items()
        if name not in ("parent", "name")
        and (value is None or isinstance(value, str | int | float | bool | tuple))
    }


def physical(stored: Normaliser, scale: float, offset: float) -> Normaliser:
    """The normaliser of `stored * scale + offset` that sees what `stored`'s own one sees."""
    gain = stored.gain / scale
    return Normaliser(gain, stored.bias - offset * gain, stored.floor, stored.low, stored.high)


def of_stored(normaliser: Normaliser, scale: float, offset: float) -> Normaliser:
    """The inverse: for a file that stores `(physical - offset) / scale`."""
    gain = normaliser.gain * scale
    bias = normaliser.bias + normaliser.gain * offset
    return Normaliser(gain, bias, normaliser.floor, normaliser.low, normaliser.high)


def load(workdir: str | Path) -> Trained:
    """`model.json`, checked."""
    path = Path(workdir) / FILE
    try:
        values = json.loads(path.read_text())
        known = {f.name for f in fields(Trained)}
        card = Trained(**{k: v for k, v in values.items() if k in known})
        card.module()
    except FileNotFoundError:
        raise UserError(
            f"there is no {FILE} in {workdir}: train there, or run --mode=eval once to renew it"
        ) from None
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise UserError(f"{path} cannot be read ({error}); run --mode=eval to renew it") from None
    return card


def weights(workdir: str | Path, card: Trained) -> tuple[dict, int]:
    """The variables that a run ended with, on every device, and their step."""
    module, side = card.module(), max(card.tile, 4)
    shapes = dict(
        jax.eval_shape(
            lambda key: module.init(key, _zeros(card.example(side, side)), train=False),
            jax.random.key(0),
        )
    )
    shapes.pop("intermediates", None)
    params, stats = shapes.pop("params", {}), shapes.pop("batch_stats", {})
    if not jax.tree.leaves((params, stats, shapes)):  # bicubic: nothing to load
        return {}, 0
    everywhere = mesh.replicated(mesh.make())
    with Checkpoints(workdir, metric=card.select_metric, read_only=True) as found:
        step = found.latest if card.select == "last" else found.best
        if step is None:
            raise UserError(f"there is no checkpoint in {workdir}: train first")
        held = found.names(step)
        average = "ema" if "ema" in held else "params"
        wanted = {average: params, "batch_stats": stats, "constants": shapes}
        asked = {
            name: targets(tree, jax.tree.map(lambda _: everywhere, tree))
            for name, tree in wanted.items()
            if name in held
        }
        trees = found.restore(step, asked)
    variables = {"params": trees.get(average, {}), "batch_stats": trees.get("batch_stats", {})}
    return variables | trees.get("constants", {}), step


def _zeros(shapes: Mapping) -> dict:
    return {name: jnp.zeros(x.shape, x.dtype) for name, x in shapes.items()}
