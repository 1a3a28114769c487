"""A standard deviation for every value of a prediction: `--mode=predict --uncertainty=FILE`.

It is calibrated on the scene itself at reduced resolution, see `inference.calibration`.
"""

import io
import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TextIO

import jax.numpy as jnp
import numpy as np

from hsisr_jax import assess, formats, identity, locks
from hsisr_jax.data.normalise import Normaliser
from hsisr_jax.errors import UserError
from hsisr_jax.formats import SceneMeta, SceneReader
from hsisr_jax.formats.places import where
from hsisr_jax.inference import calibration, packaged, sensed, survey, trained, without_truth
from hsisr_jax.inference import output as outputs
from hsisr_jax.inference.calibration import Table
from hsisr_jax.inference.memory import Sizes
from hsisr_jax.inference.options import Options
from hsisr_jax.inference.trained import Loaded, Trained, physical
from hsisr_jax.layers.back_projection import Observe
from hsisr_jax.models.spec import observer
from hsisr_jax.predict import Job


def write(
    input: str | os.PathLike,
    output: str | os.PathLike,
    *,
    workdir: str | os.PathLike | None = None,
    scale: int = 4,
    options: Options = Options(),  # noqa: B008 - immutable
) -> dict[str, Any]:
    """Writes the standard deviations of the prediction of a scene, on its grid and in its units.

    Args:
        input: the scene.
        output: the file to write, float32.
        workdir: whose network it is; the one in the package without it.
        scale: of the network in the package.
        options: as of the prediction.

    Returns:
        How reliable they are, see `inference.calibration.reliability`; `carried` is the share of
        errors at reduced resolution that intervals from one scale coarser held, None for a scene
        that is too small to tell.
    """
    target = where(output)
    with formats.open_scene(input, variable=options.variable or None) as scene:
        formats.check_target(target, scene)
        options = sensed.numbered(options, scene, print)
        network = packaged.loader(workdir, scale, print)(scene, options)
        with locks.output(*formats.written_files(target)):
            table, found = calibrated(network, scene, options)
            job = Spread(network, scene, options, table)
            job.run(target)
            job.say(
                f"{target.name}: standard deviations; at reduced resolution the intervals that "
                f"should hold 68 % of the errors held {100 * found['within']:.1f} %, each half of "
                f"the scene judged by the other one{_carried(found, table.shrink)}"
            )
    return found


def _carried(found: dict[str, Any], shrink: float) -> str:
    """How far what was found at one scale held at the next, where the scene is large enough."""
    if found["carried"] is None:
        usual = f"{100 - 100 * shrink:.0f} % as on usual ground"
        return f"; errors are taken to shrink by {usual}, since the scene is too small to tell"
    return f"; a table made one scale coarser held {100 * found['carried']:.1f} % of them"


def check(
    input: str | os.PathLike,
    output: str,
    target: str,
    *,
    workdir: str | os.PathLike | None,
    scale: int,
    options: Options,
) -> None:
    """Refuses before any work what `write` cannot do: a file that cannot be written, a network that
    cannot be scored, a scene that is too small."""
    if workdir:
        card = trained.load(workdir).card
        _check_network(card)
        scale = card.scale
    files = [{path.resolve() for path in formats.written_files(one)} for one in (target, output)]
    if files[0] & files[1] or where(target) == where(output):
        raise UserError(f"--uncertainty={target} is the file of --output: give another name")
    with formats.open_scene(input, variable=options.variable or None) as scene:
        formats.check_target(target, scene)
        without_truth.check_size(scene, scale)


def _check_network(card: Trained) -> None:
    """Refuses a network with multispectral input, which cannot be scored without a truth."""
    if card.msi_bands:
        raise UserError(
            f"{card.name} makes bands, not pixels: --uncertainty is for networks that make pixels "
            "smaller"
        )


def calibrated(
    network: Loaded, scene: SceneReader, options: Options
) -> tuple[Table, dict[str, Any]]:
    """The table for a scene, found by the reduced-resolution protocol, and its reliability."""
    card, scale = network.card, network.card.scale
    _check_network(card)
    survey.rescale(scene, options.input_scale)
    observe = observer(assess.sensor_of(card, options)[0], scale)
    small = without_truth.cropped(scene, *without_truth.part_of(scene, scale))
    level = Level.of(network, small, options, observe)
    if level.counted.sum() < 4 * calibration.LEAST:
        raise UserError(f"{scene.path}: too few pixels with data to calibrate --uncertainty on")
    added, error = level.added[level.counted], level.error[level.counted]
    found = calibration.reliability(level.added, level.error, level.counted)
    table = calibration.fit(added, error)
    noise = calibration.smaller_pixels(level.truth[level.counted], observe, scale)
    found |= {"carried": None}
    table = replace(table, shrink=calibration.usual_shrink(scale))
    if min(level.lower.height, level.lower.width) >= without_truth.LEAST * scale:
        before = Level.of(network, level.lower, options, observe)
        if before.counted.sum() >= 4 * calibration.LEAST:
            coarser = calibration.fit(before.added[before.counted], before.error[before.counted])
            coarser = replace(coarser, noise=noise * calibration.noise_left(observe, scale))
            found["carried"] = float(np.mean(np.abs(error) <= coarser(added)))
            table = calibration.shrunk(table, coarser, added, error)
    return replace(table, noise=noise), found


@dataclass(frozen=True, eq=False)
class Level:
    """A scene beside what the network makes of it once it is degraded."""

    lower: SceneReader  # degraded
    truth: np.ndarray  # H W c, in the model's bands and physical units
    added: np.ndarray  # by the network to the bicubic image, see `calibration.Detail`
    error: np.ndarray
    counted: np.ndarray  # H W: pixels that have data

    @classmethod
    def of(cls, network: Loaded, scene: SceneReader, options: Options, observe: Observe) -> "Level":
        """Degrades and sharpens the scene, by the reduced-resolution protocol."""
        lower = without_truth.degraded(scene, observe, network.card.scale)
        estimate = assess.sharpened(network, lower, options)
        spread = Spread(network, lower, assess.plain(options), None, log=io.StringIO())
        added = without_truth.read(assess.in_memory(spread))
        height, width = estimate.shape[:2]
        _, bands = survey.choose_domain(network.card, scene, options.resample_bands)
        truth = without_truth.read(scene, slice(0, height), slice(0, width)).through(bands)
        known = np.isfinite(estimate) & ~added.hidden & ~truth.hidden
        counted = known[..., known.any((0, 1))].all(-1)
        error = np.where(known, estimate - truth.values, 0)
        return cls(lower, truth.values, added.values, error, counted)


class Spread(Job):
    """A job that writes how much the network adds to the bicubic image, in physical units; with a
    table, the standard deviation that this means."""

    def __init__(
        self,
        network: Loaded,
        scene: SceneReader,
        options: Options,
        table: Table | None,
        log: TextIO | None = None,
    ):
        options = replace(options, dtype="float32", limits="none", quicklook=False)
        self.table = table
        super().__init__(network, scene, options, log, tells=False)
        if self.normaliser.floor is not None:
            raise UserError(f"--uncertainty: {self.card.name} sees logarithms, which it is not for")
        self.frontend = calibration.Detail(self.frontend)
        self.work["uncertainty"] = identity.of_json(table.to_json()) if table else ""

    def output_meta(self) -> SceneMeta:
        """The prediction's metadata without an offset, since differences have none."""
        about = "standard deviation" if self.table else "mean change"
        return replace(super().output_meta(), offset=0.0, description=about)

    def begin(
        self, target: Path, sizes: Sizes, *, join: bool = False
    ) -> tuple[outputs.Output, set]:
        """The output, in the units of its file."""
        output, done = super().begin(target, sizes, join=join)
        before = self.scene.meta
        gain = abs(physical(self.normaliser, before.scale, before.offset).gain)
        output.normaliser = Sigma(gain=gain, table=self.table, unit=abs(self.output_meta().scale))
        return output, done


@dataclass(frozen=True)
class Sigma(Normaliser):
    """Turns mean squares in the network's range into standard deviations in stored units."""

    table: Table | None = None
    unit: float = 1.0

    def invert(self, seen, xp=jnp):
        """Physical units by the gain, then through the table, then stored ones."""
        added = np.sqrt(np.maximum(seen, 0)) / self.gain
        return (self.table(added) if self.table else added) / self.unit
