"""A scene file to a sharper one: `--mode=predict`; also `--mode=export` and pairs in `--mode=eval`.

The scene is read, computed and written in bands of rows of overlapping tiles, see
`inference.stream`; an interrupted run leaves `.partial` files and the same command continues them.
"""

import os
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from hsisr_jax import formats, mesh
from hsisr_jax.errors import UserError
from hsisr_jax.formats import SceneReader
from hsisr_jax.inference import output as outputs
from hsisr_jax.inference import survey, trained
from hsisr_jax.inference.ensemble import over_symmetries
from hsisr_jax.inference.frontend import HALO, Frontend, weigh, window
from hsisr_jax.inference.grid import Grid
from hsisr_jax.inference.memory import Sizes, choose
from hsisr_jax.inference.stream import Stream
from hsisr_jax.inference.trained import Trained, of_stored
from hsisr_jax.training.hooks import Interrupted, Progress, Signals

PRECISIONS = ("float32", "bfloat16")


@dataclass(frozen=True)
class Options:
    """The flags of `--mode=predict`."""

    tile: int = 0  # low-resolution pixels; 0: chosen
    overlap: int = -1  # -1: chosen
    precision: str = "float32"
    dtype: str = "float32"  # of the output file
    output_scale: float = 0.0  # physical = stored * scale in the output; 0: as the input
    resample_bands: bool = False
    self_ensemble: bool = False
    normalise: str = ""  # model or scene; empty: as in training
    variable: str = ""  # the name of the cube in a file of several
    quicklook: bool = True

    def __post_init__(self):
        if self.precision not in PRECISIONS:
            raise UserError(f"--precision={self.precision}: use {' or '.join(PRECISIONS)}")
        if self.normalise not in ("", "model", "scene"):
            raise UserError(f"--normalise={self.normalise}: use model or scene")
        try:
            kind = np.dtype(self.dtype).kind
        except TypeError:
            kind = "?"
        if kind not in "iuf":
            raise UserError(f"--dtype={self.dtype}: use float32, uint16, int16 or the like")
        if self.output_scale < 0:
            raise UserError(f"--output_scale={self.output_scale}: use a positive number")


def predict(
    workdir: str | os.PathLike,
    input: str | os.PathLike,
    output: str | os.PathLike,
    options: Options = Options(),  # noqa: B008 - immutable
) -> Path:
    """Super-resolves a scene file with a workdir's network; returns the path of the result."""
    if jax.process_count() > 1:
        raise UserError("--mode=predict uses the devices of one process: start it once")
    source, target = Path(input), Path(output)
    if source.resolve() == target.resolve():
        raise UserError(f"--output is --input ({source}): choose another name")
    card = trained.load(workdir)
    with formats.open_scene(source, variable=options.variable or None) as scene:
        job = Job(card, Path(workdir), scene, options)
        job.run(target)
    return target


class Job:
    """One scene through one network."""

    def __init__(self, card: Trained, workdir: Path, scene: SceneReader, options: Options):
        self.card, self.scene, self.options = card, scene, options
        self.say = Progress(0, 0, 1).say
        if scene.dtype.kind not in "iuf":
            raise UserError(f"{scene.path}: values of type {scene.dtype} cannot be super-resolved")
        self.domain, self.bands = survey.choose_domain(card, scene, options.resample_bands)
        self.sample = survey.sample(scene)
        self.normaliser = survey.normaliser(card, self.domain, scene, options.normalise, self.say)
        survey.warn_of_range(self.normaliser, self.sample, self.say)
        self.variables, self.step = trained.weights(workdir, card)
        self.mesh = mesh.make()
        self.frontend = Frontend(
            card.module(),
            card.scale,
            bool(card.msi_bands),
            self.normaliser,
            self.bands,
            scene.meta.nodata,
            options.precision,
        )

    def run(self, target: Path) -> None:
        """Makes the file, or continues it."""
        options, card, scene = self.options, self.card, self.scene
        self.compiled = {}
        sizes = choose(
            card,
            (scene.height, scene.width),
            tile=options.tile,
            overlap=options.overlap,
            devices=self.mesh.size,
            compiled=self.compile,
        )
        self.describe(sizes)
        grid = Grid(sizes.plan, card.scale, card.bands)
        output, done = self.begin(target, sizes)
        total = grid.tiles(done)
        if done:
            self.say(f"resuming {target.name}: {total} of {grid.tiles(set())} tiles are left")
        progress = Progress(total, 0, 1, unit="tiles")
        with Signals() as signals:
            stream = Stream(
                grid,
                self.network(sizes),
                window(scene),
                output,
                HALO,
                sizes.batch,
                self.mesh,
                lambda made: progress.update(made, {}, force=made == total),
                lambda: signals.received is not None,
            )
            whole = stream(done)
        if not whole:
            progress.say(f"stopped: the same command continues {target.name}")
            raise Interrupted(signals.received)
        output.finish()
        progress.say(f"{target}: {' x '.join(map(str, self.shape))} {output.writer.dtype}")

    @property
    def shape(self) -> tuple[int, int, int]:
        scale = self.card.scale
        return self.scene.height * scale, self.scene.width * scale, self.card.bands

    def compile(self, sizes: Sizes) -> jax.stages.Compiled:
        """The network on a batch of tiles of this size."""
        height, width = sizes.plan.size
        return self._compiled(sizes.batch, height + 2 * HALO, width + 2 * HALO)

    def _compiled(self, *shape: int) -> jax.stages.Compiled:
        if shape not in self.compiled:
            everywhere, divided = mesh.replicated(self.mesh), mesh.batch(self.mesh)
            function = jax.jit(
                self.frontend, in_shardings=(everywhere, divided), out_shardings=divided
            )
            stored = self.scene.dtype if self.scene.dtype.itemsize <= 4 else jnp.float32
            tiles = jax.ShapeDtypeStruct((*shape, self.scene.bands), stored)
            self.compiled[shape] = function.lower(self.variables, tiles).compile()
        return self.compiled[shape]

    def network(self, sizes: Sizes):
        """`(tiles, row weights, column weights)` to weighted output tiles."""

        def run(inputs: dict) -> jax.Array:
            tiles = jax.device_put(inputs["scene"], mesh.batch(self.mesh))
            return self._compiled(*tiles.shape[:3])(self.variables, tiles)

        averaged = over_symmetries(run) if self.options.self_ensemble else run
        return lambda tiles, down, across: weigh(averaged({"scene": tiles}), down, across)

    def describe(self, sizes: Sizes) -> None:
        card, plan = self.card, sizes.plan
        self.say(
            f"{card.name} x{card.scale} of step {self.step}: {self.scene.height} x "
            f"{self.scene.width} x {self.scene.bands} {self.scene.dtype} -> "
            f"{' x '.join(map(str, self.shape))}; {len(plan.corners())} tiles of "
            f"{plan.size[0]} x {plan.size[1]} that overlap by {plan.overlap}, {sizes.batch} at a "
            f"time on {self.mesh.size} x {jax.devices()[0].device_kind}"
        )
        if card.why_whole() and len(plan.corners()) > 1:
            self.say(
                f"{card.name} looks at whole images ({card.why_whole()}): tiles have the size that "
                f"it was trained on, {card.tile} pixels"
                if not self.options.tile
                else f"{card.name} looks at whole images ({card.why_whole()}): tiles of another "
                f"size than in training ({card.tile}) give another result"
            )

    def begin(self, target: Path, sizes: Sizes) -> tuple[outputs.Output, set]:
        """The output, and what of it an interrupted run has made."""
        meta = outputs.output_meta(
            self.scene.meta,
            scale=self.card.scale,
            wavelengths=self.domain["wavelengths"],
            other_bands=self.bands is not None or bool(self.card.msi_bands),
            dtype=self.options.dtype,
            output_scale=self.options.output_scale or None,
        )
        stat = self.scene.path.stat()
        settings = {
            "input": [str(self.scene.path.resolve()), stat.st_size, stat.st_mtime],
            "network": asdict(self.card),
            "step": self.step,
            "options": asdict(self.options),
            "tiles": [*sizes.plan.size, sizes.plan.overlap],
        }
        journal = outputs.Journal(target, settings)
        begin = partial(outputs.begin, target, journal)
        writer, done = begin(shape=self.shape, dtype=np.dtype(self.options.dtype), meta=meta)
        before, after = self.scene.meta, writer_units(self.normaliser, self.scene.meta, meta)
        quicklook = None
        if self.options.quicklook:
            bands, low, high = survey.colours(self.sample, self.bands, meta, self.card)
            low, high = (
                (x * before.scale + before.offset - meta.offset) / meta.scale for x in (low, high)
            )
            quicklook = outputs.Quicklook(target, self.shape[:2], bands, low, high, keep=bool(done))
        return outputs.Output(writer, journal, after, meta.nodata, quicklook), done


def writer_units(normaliser, before: formats.SceneMeta, after: formats.SceneMeta):
    """The normaliser for values stored with another scale and offset."""
    physical = trained.physical(normaliser, before.scale, before.offset)
    return of_stored(physical, after.scale, after.offset)
