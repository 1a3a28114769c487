"""A trained network: its description, `model.json` in its workdir, and its weights.

The numbers a network sees are made from physical values (stored * scale + offset), so that a scene
in reflectance and the same scene in integers of 1/10000 become the same input.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
from flax import linen as nn
from jax.sharding import Sharding

from hsisr_jax import mesh, metrics
from hsisr_jax.checkpoints import Checkpoints, reading, targets
from hsisr_jax.data.normalise import Normaliser
from hsisr_jax.data.scenes import Dataset, Scene
from hsisr_jax.errors import UserError
from hsisr_jax.formats.scene import nanometres_of_one
from hsisr_jax.inference import bounds, older
from hsisr_jax.layers.back_projection import Observe
from hsisr_jax.models.spec import NetworkSpec, observer

FILE = "model.json"
LARGEST = 256  # low-resolution pixels: a larger image looks alike to what sees all of it
PATCH = 64  # high-resolution pixels: tiles of weights whose training is not known


@dataclass(frozen=True)
class Trained:
    """One network as its training left it.

    `domains` are the spectral ranges it knows, the one it was tested on first: the output's
    `wavelengths` (nm, or None) and the `normaliser` of physical values.
    """

    spec: NetworkSpec
    domains: list[dict[str, Any]] = field(default_factory=list)
    own_range: bool = False  # whether every training scene was divided by its own maximum
    projection: int = 0  # rounds of back-projection
    dark: float = 0.0  # in the network's range: below it, pixels keep their spectral direction
    degradation: dict[str, Any] = field(default_factory=dict)  # that it projects with
    self_ensemble: bool = False  # whether the evaluation used it
    tile: int = 0  # low-resolution pixels on a side of the evaluation's tiles or whole images
    overlap: int = 0  # of the evaluation's tiles; 0: whole images, or tiles side by side
    select: str = "last"
    select_metric: str = "MPSNR"
    dataset: str = ""

    @property
    def name(self) -> str:
        return self.spec.name

    @property
    def scale(self) -> int:
        return self.spec.scale

    @property
    def bands(self) -> int:
        """Bands of the output; 0: as many as the input has."""
        return self.spec.bands

    @property
    def msi_bands(self) -> int:
        return self.spec.msi_bands

    @property
    def inputs(self) -> int:
        """Bands of the input; 0: any number."""
        return self.spec.inputs

    @property
    def msi_centres(self) -> list[float] | None:
        """Centres of the bands of a multispectral input, nm, where the degradation has them."""
        centres = self.degradation.get("centres") if self.msi_bands else None
        if not centres:
            return None
        return [centre * nanometres_of_one(centres) for centre in centres]

    def module(self) -> nn.Module:
        return self.spec.module()

    def observe(self) -> Observe | None:
        """The sensor's degradation, if estimates are back-projected; else None."""
        return observer(self.degradation, self.scale) if self.projection else None

    def seen_by(self, mtf: float) -> "Trained":
        """The same network, its result projected back through a sensor with this MTF at Nyquist."""
        if self.msi_bands:
            raise UserError("--mtf is for networks that make pixels smaller")
        degradation = {"name": "mtf", "mtf": mtf}
        return replace(self, degradation=degradation, projection=max(self.projection, 1))

    def why_whole(self) -> str:
        """The reason why a pixel depends on the whole image; empty where it does not."""
        return self.spec.why_whole

    def to_json(self) -> dict[str, Any]:
        """The contents of `model.json`."""
        return asdict(self)

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> "Trained":
        """The inverse of `to_json`; also of what older versions wrote."""
        known = {f.name for f in fields(cls)}
        given = {k: v for k, v in older.card(values).items() if k in known}
        return cls(**{**given, "spec": NetworkSpec.from_json(given["spec"])})


class Loaded(NamedTuple):
    """A trained network: its card at once, its variables and their step when asked for."""

    card: Trained
    weights: Callable[[], tuple[dict, int]]


def describe(config: Mapping, data: Dataset, spec: NetworkSpec, dark: float = 0.0) -> Trained:
    """The card of a run; `dark` is the brightness below which projection keeps a direction."""
    domains = {s.domain: s for s in reversed([*data.test, *data.train])}
    tested = (data.test or data.train)[0].domain
    normalisers = {(s.normaliser, s.domain) for s in data.train}
    scoring = config["eval"]
    return Trained(
        spec,
        domains=[_domain(domains.pop(tested)), *(_domain(s) for s in domains.values())],
        own_range=data.floor is None and len(normalisers) > 1,
        projection=scoring["projection"],
        dark=dark,
        degradation=degradation(config["data"]["degradation"], data),
        self_ensemble=scoring["self_ensemble"],
        tile=scoring["tile"] or _image_side(config, data, spec.scale),
        overlap=scoring["overlap"] if scoring["tile"] else 0,
        select=config["select"],
        select_metric=config["select_metric"],
        dataset=config["data"]["name"],
    )


def _image_side(config: Mapping, data: Dataset, scale: int) -> int:
    """Input pixels on the longer side of the largest test image, which is evaluated as a whole; of
    a training patch where there is none."""
    sides = [max(image.hr.shape[:2]) for image in data.test_images(config["scale"])]
    patch = config["data"]["patch"] or data.split.patch_at(config["scale"])
    return min(max(max(sides, default=patch) // scale, 1), LARGEST)


def imported(config: Mapping, spec: NetworkSpec) -> Trained:
    """The card of weights that were trained elsewhere: physical values are what the network sees,
    and its wavelengths are not known."""
    patch = config["data"]["patch"] or PATCH
    return Trained(
        spec,
        domains=[{"wavelengths": None, "normaliser": Normaliser().to_json()}],
        tile=config["eval"]["tile"] or max(patch // spec.scale, 1),
    )


def degradation(options: Mapping, data: Dataset) -> dict[str, Any]:
    """A degradation's name and options as JSON, with the kernel that the data brings."""
    psf = data.extras.get("psf") if options["name"] == "psf" else None
    return dict(options) | ({"kernel": np.asarray(psf).tolist()} if psf is not None else {})


def _domain(scene: Scene) -> dict[str, Any]:
    normaliser = physical(scene.normaliser, scene.scale, scene.offset)
    wavelengths = scene.wavelengths
    return {
        "wavelengths": None if wavelengths is None else np.asarray(wavelengths, float).tolist(),
        "normaliser": normaliser.to_json(),
    }


def physical(stored: Normaliser, scale: float, offset: float) -> Normaliser:
    """The equivalent normaliser for physical values (`stored * scale + offset`)."""
    gain = stored.gain / scale
    return Normaliser(gain, stored.bias - offset * gain, stored.floor, stored.low, stored.high)


def of_stored(normaliser: Normaliser, scale: float, offset: float) -> Normaliser:
    """The inverse: for a file that stores `(physical - offset) / scale`."""
    gain = normaliser.gain * scale
    bias = normaliser.bias + normaliser.gain * offset
    return Normaliser(gain, bias, normaliser.floor, normaliser.low, normaliser.high)


def load(source: str | Path) -> Loaded:
    """A trained network from its workdir."""
    card = _read(Path(source))
    return Loaded(card, lambda: _weights(source, card))


def _read(workdir: Path) -> Trained:
    """`model.json`, checked."""
    path = workdir / FILE
    try:
        card = Trained.from_json(bounds.check(json.loads(path.read_text()), path))
        card.module()
        card.observe()
    except FileNotFoundError:
        raise UserError(
            f"there is no {FILE} in {workdir}: train there, or run --mode=eval once to renew it"
        ) from None
    except (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise UserError(f"{path} cannot be read ({error}); run --mode=eval to renew it") from None
    return card


@reading
def _weights(workdir: str | Path, card: Trained) -> tuple[dict, int]:
    """The variables that a run ended with, on every device, and their step."""
    try:
        shapes = card.spec.shapes()
    except UserError:
        raise
    except Exception as error:  # options of a type that no network has
        why = str(error).splitlines()[0][:120] if str(error) else type(error).__name__
        raise UserError(
            f"{Path(workdir) / FILE}: its network cannot be built ({why}); run --mode=eval to "
            "renew it"
        ) from error
    if not jax.tree.leaves(shapes):  # bicubic: nothing to load
        return {}, 0
    higher = metrics.higher_is_better(card.select_metric)
    with Checkpoints(
        workdir, metric=card.select_metric, higher_is_better=higher, read_only=True
    ) as found:
        step = found.latest if card.select == "last" else found.best
        if step is None:
            raise UserError(f"there is no checkpoint in {workdir}: train first")
        return restored(found, step, card.spec, mesh.replicated(mesh.make())), step


def restored(checkpoints: Checkpoints, step: int, spec: NetworkSpec, place: Sharding) -> dict:
    """The variables of a step for `spec.module().apply`: averaged weights where there are any."""
    shapes = spec.shapes()
    held = checkpoints.names(step)
    average = "ema" if "ema" in held else "params"
    wanted = {average: shapes.pop("params", {}), "batch_stats": shapes.pop("batch_stats", {})}
    wanted["constants"] = shapes
    asked = {
        name: targets(tree, jax.tree.map(lambda _: place, tree))
        for name, tree in wanted.items()
        if name in held
    }
    trees = checkpoints.restore(step, asked)
    variables = {"params": trees.get(average, {}), "batch_stats": trees.get("batch_stats", {})}
    return variables | trees.get("constants", {})


def skipped(checkpoints: Checkpoints, step: int, place: Sharding) -> int:
    """How many steps of training changed nothing, because a number was not finite."""
    if "counters" not in checkpoints.names(step):  # imported weights
        return 0
    number = jax.ShapeDtypeStruct((), np.int32, sharding=place)
    counters = {name: number for name in ("step", "skipped", "streak")}
    return int(checkpoints.restore(step, {"counters": counters})["counters"]["skipped"])
