"""Super-resolution of a scene file: `--mode=predict`; also `--mode=export`.

The scene is read, computed and written in bands of rows of overlapping tiles, see
`inference.stream`. An interrupted run leaves `.partial` files, which the same command continues.
"""

import os
from collections.abc import Callable
from dataclasses import asdict, replace
from functools import cache, partial
from typing import Any, TextIO

import jax
import jax.numpy as jnp
import numpy as np

from hsisr_jax import formats, identity, locks, mesh
from hsisr_jax.errors import UserError
from hsisr_jax.formats import SceneMeta, SceneReader, carried
from hsisr_jax.formats.places import Place, where
from hsisr_jax.inference import facts, finished, packaged, remote, sensed, survey
from hsisr_jax.inference import output as outputs
from hsisr_jax.inference.calibration import Detail
from hsisr_jax.inference.ensemble import over_symmetries
from hsisr_jax.inference.export import of_run as export  # noqa: F401 - `predict.export`
from hsisr_jax.inference.frontend import HALO, Frontend, empty, weigh, window
from hsisr_jax.inference.grid import Grid
from hsisr_jax.inference.memory import Sizes, choose, remarks
from hsisr_jax.inference.options import Options
from hsisr_jax.inference.packaged import Load
from hsisr_jax.inference.stream import Stream
from hsisr_jax.inference.trained import Loaded
from hsisr_jax.ops.platforms import compiler_options
from hsisr_jax.training.hooks import Progress, told
from hsisr_jax.training.stopping import Interrupted, Signals


def predict(
    workdir: str | os.PathLike,
    input: str | os.PathLike,
    output: str | os.PathLike,
    options: Options = Options(),  # noqa: B008 - immutable
    *,
    after: "After | None" = None,
) -> Place:
    """Super-resolves a scene file with a workdir's network.

    Args:
        workdir: the workdir of a trained or an imported network.
        input: the scene, in any format of docs/formats.md.
        output: the file to write, its ending selects the format; or the URL of a Zarr store.
        options: tiling, units and output; see `Options`.
        after: called with the job (scene still open) and the finished output: `scene_page.write`.

    Returns:
        Where the result is.
    """
    make(packaged.loader(workdir, 0, told), input, target := where(output), options, after)
    return target


def sharpen(
    input: str | os.PathLike,
    output: str | os.PathLike,
    scale: int = 4,
    options: Options = Options(),  # noqa: B008 - immutable
    *,
    after: "After | None" = None,
) -> Place:
    """Super-resolves a scene file as `predict` does, with the network in the package."""
    make(packaged.loader(None, scale, told), input, target := where(output), options, after)
    return target


def make(
    load: Load,
    source: Any,
    target: Place,
    options: Options,
    after: "After | None" = None,
    *,
    once: bool = False,
) -> bool:
    """Super-resolves a scene file. With `once` it is recorded beside the output what that was made
    from, and False returned without any work where it is the same."""
    if jax.process_count() > 1:
        raise UserError("--mode=predict uses the devices of one process: start it once")
    with formats.open_scene(source, variable=options.variable or None) as scene:
        formats.check_target(target, scene, options.dtype)
        with locks.output(*formats.written_files(target)):
            options = sensed.numbered(options, scene, told)
            job = Job(load(scene, options), scene, options)
            if once and finished.made_from(target, job.work):
                return False
            job.run(target)
            if after:
                after(job, target)
            if once:
                finished.tell(target, job.work)
    return True


class Job:
    """The prediction of one scene by one network, as that was evaluated where the options do not
    say otherwise; `log` receives its progress and, if it `tells`, facts of the scene."""

    def __init__(
        self,
        network: Loaded,
        scene: SceneReader,
        options: Options,
        log: TextIO | None = None,
        *,
        tells: bool = True,
    ):
        card = network.card
        if options.self_ensemble is None:
            options = replace(options, self_ensemble=card.self_ensemble)
        self.card, self.scene, self.options, self.log = card, scene, options, log
        self.loaded, self.said = network, list[str]()
        if scene.dtype.kind not in "iuf":
            raise UserError(f"{scene.path}: values of type {scene.dtype} cannot be super-resolved")
        if carried.gains(scene.meta.extra, scene.bands):
            self.say("warning: the scene's gains differ from band to band and are not applied")
        survey.rescale(scene, options.input_scale)
        self.domain, self.bands = survey.choose_domain(card, scene, options.resample_bands)
        self.sample = survey.sample(scene)
        differences = sensed.details(scene, self.sample)
        self.check_values()
        if tells:
            survey.tell(scene, self.say)
            survey.tell_of_bands(self.domain["wavelengths"], scene, self.bands, self.say)
            sensed.tell(card, options.mtf, scene, self.sample, differences, self.say)
        self.normaliser = survey.normaliser(
            card, self.domain, scene, options.normalise, self.extremes, self.say
        )
        if card.name != packaged.NAME:
            survey.warn_of_range(self.normaliser, self.sample, self.say)
        elif scene.meta.bad_bands is not None and (flagged := int(scene.meta.bad_bands.sum())):
            self.say(f"bands flagged as bad, which are upsampled and not sharpened: {flagged}")
        self.centre = survey.centre(scene.dtype, self.sample, self.bands)
        weights, self.step = network.weights()
        facts = survey.of_use(self.sample, scene.meta), differences
        self.variables = packaged.with_scene(weights, card, self.normaliser, self.bands, *facts)
        self.work = {
            "weights": identity.of_tree(weights),
            "scene": identity.of_files(scene.files) | dict(scene.stamps),
            "network": card.to_json(),
            "options": asdict(options),
            "jax": identity.of_jax(),
        }
        self.mesh = mesh.make()
        self.compiled: dict[tuple[int, ...], jax.stages.Compiled] = {}
        knows = not options.mtf or card.name == packaged.NAME
        seen = card if knows else card.seen_by(sensed.asked(options.mtf, scene, self.say))
        self.frontend: Frontend | Detail = Frontend(
            card.module(),
            card.scale,
            bool(card.msi_bands),
            self.normaliser.shifted(self.centre),
            self.bands,
            options.precision,
            seen.observe(),
            seen.projection,
            card.dark,
        )

    def run(self, target: Place) -> None:
        """Writes the output file, or continues an interrupted one."""
        sizes, grid = self.plan()
        output, done = self.begin(target, sizes)
        if output.journal.changes:
            changed = ", ".join(output.journal.changes[:3])
            self.say(f"starting {target.name} anew: its unfinished rows are of another {changed}")
        if done:
            left, of = grid.tiles(done), grid.tiles(set())
            self.say(f"resuming {target.name}: {left} of {of} tiles are left")
        self.make(sizes, grid, output, done)
        self.conclude(output, target)

    def plan(self) -> tuple[Sizes, Grid]:
        """The tiling of the scene."""
        sizes = choose(
            self.card,
            (self.scene.height, self.scene.width),
            tile=self.options.tile,
            overlap=self.options.overlap,
            devices=self.mesh.size,
            compiled=self.compile,
        )
        self.describe(sizes)
        return sizes, Grid(sizes.plan, self.card.scale, self.shape[2])

    def make(self, sizes: Sizes, grid: Grid, output: outputs.Output, done: set) -> None:
        """Computes and writes the units that are missing."""
        scene, total = self.scene, grid.tiles(done)
        progress = Progress(total, 0, 1, self.log, unit="tiles")
        neutral = survey.neutral(self.sample, self.normaliser)
        with Signals() as signals:
            stream = Stream(
                grid,
                self.network(sizes),
                window(scene, neutral - self.centre, self.centre),
                output,
                HALO,
                sizes.batch,
                self.mesh,
                lambda made: progress.update(made, {}, force=made == total),
                lambda: signals.received is not None,
                partial(empty, bands=scene.bands),
            )
            whole = stream(done)
        if not whole:
            progress.say(f"stopped: the same command continues {output.writer.path.name}")
            raise Interrupted(signals.received)

    def conclude(self, output: outputs.Output, target: Place) -> None:
        """Gives the finished file its name, unless the scene has changed meanwhile."""
        scene = self.scene
        if identity.of_files(scene.files) | dict(scene.stamps) != self.work["scene"]:
            raise UserError(
                f"{scene.path} changed while it was read, so {target} was not finished: run the "
                "same command again"
            )
        output.finish()
        self.say(f"{target}: {' x '.join(map(str, self.shape))} {output.writer.dtype}")

    def say(self, text: str) -> None:
        """Prints a message and keeps it for the report."""
        self.said.append(text)
        Progress(0, 0, 1, self.log).say(text)

    def check_values(self) -> None:
        """Refuses values that cannot be computed with, or stored as asked, before the work."""
        scene = self.scene
        low, high = (f(self.sample, 0) for f in (np.fmin.reduce, np.fmax.reduce))
        if self.options.limits == "input":
            low, high = self.extremes().low, self.extremes().high
            if np.isnan(low).all():
                raise UserError(
                    f"{scene.path}: every value is no data: there is nothing to sharpen"
                )
        try:
            facts.check_values(low, high, self.sample)
        except UserError as error:
            raise UserError(f"{scene.path}: {error}") from None
        dtype = np.dtype(self.options.dtype)
        stored = np.stack([low, high]) if dtype.kind == "f" else self.sample
        survey.check_dtype(stored, scene.meta, self.output_meta(), dtype, self.say)

    @cache  # noqa: B019 - one job a scene
    def extremes(self) -> survey.Extremes:
        return survey.extremes(self.scene)

    @property
    def shape(self) -> tuple[int, int, int]:
        scene, scale = self.scene, self.card.scale
        return scene.height * scale, scene.width * scale, self.card.bands or scene.bands

    def compile(self, sizes: Sizes) -> jax.stages.Compiled:
        """Compiles the network for a batch of tiles of this size."""
        return self._compiled(sizes.batch, *(side + 2 * HALO for side in sizes.plan.size))

    def _compiled(self, *shape: int) -> jax.stages.Compiled:
        if shape not in self.compiled:
            everywhere, divided = mesh.replicated(self.mesh), mesh.batch(self.mesh)
            function = jax.jit(
                self.frontend.estimate if self.options.self_ensemble else self.frontend,
                in_shardings=(everywhere, divided, divided),
                out_shardings=divided,
                compiler_options=compiler_options(),
            )
            narrow = self.scene.dtype.itemsize <= 4 and not self.centre
            stored = self.scene.dtype if narrow else jnp.float32
            tiles = jax.ShapeDtypeStruct((*shape, self.scene.bands), stored)
            bits = jax.ShapeDtypeStruct((*shape, -(-self.scene.bands // 8)), jnp.uint8)
            self.compiled[shape] = function.lower(self.variables, tiles, bits).compile()
        return self.compiled[shape]

    def network(self, sizes: Sizes):
        """`(tiles, row weights, column weights)` to weighted output tiles."""
        finish = jax.jit(self.frontend.finished)

        def run(inputs: dict) -> jax.Array:
            tiles, bits = jax.device_put((inputs["scene"], inputs["bits"]), mesh.batch(self.mesh))
            return self._compiled(*tiles.shape[:3])(self.variables, tiles, bits)

        def made(scene: np.ndarray, bits: np.ndarray) -> jax.Array:
            inputs = {"scene": scene, "bits": bits}
            if not self.options.self_ensemble:
                return run(inputs)
            return finish(over_symmetries(run)(inputs), *jax.device_put((scene, bits)))

        return lambda tiles, down, across: weigh(made(*tiles), down, across)

    def describe(self, sizes: Sizes) -> None:
        card, plan = self.card, sizes.plan
        of = f"of step {self.step}" if self.step else "as it comes with the package"
        self.say(
            f"{card.name} x{card.scale} {of}: {self.scene.height} x "
            f"{self.scene.width} x {self.scene.bands} {self.scene.dtype} -> "
            f"{' x '.join(map(str, self.shape))}; {plan} on {self.mesh.size} x "
            f"{jax.devices()[0].device_kind}"
        )
        for remark in remarks(card, plan, self.options):
            self.say(remark)

    def journal(self, target: Place, sizes: Sizes) -> outputs.Journal:
        """The journal beside the data file, whichever of an output's names is given."""
        tiles = [*sizes.plan.size, sizes.plan.overlap]
        return remote.journal(formats.data_file(target), self.work | {"tiles": tiles})

    def output_meta(self) -> SceneMeta:
        """The metadata of the output."""
        return outputs.output_meta(
            self.scene.meta,
            scale=self.card.scale,
            wavelengths=self.domain["wavelengths"],
            bands=self.bands,
            msi_bands=self.card.msi_bands,
            before=self.scene.dtype,
            dtype=self.options.dtype,
            output_scale=self.options.output_scale or None,
        )

    def begin(
        self, target: Place, sizes: Sizes, *, join: bool = False
    ) -> tuple[outputs.Output, set]:
        """The output, and what an interrupted run has made of it; `join`: others write it too."""
        meta, before, journal = self.output_meta(), self.scene.meta, self.journal(target, sizes)
        form = {name: getattr(self.options, name) for name in ("compress", "zarr_format")}
        form |= {"shape": self.shape, "dtype": np.dtype(self.options.dtype), "meta": meta}
        writer, done = outputs.begin(target, journal, **form, join=join)
        quicklook = None
        if self.options.quicklook:
            bands, low, high = survey.colours(self.sample, self.bands, meta, self.card)
            low, high = (
                (x * before.scale + before.offset - meta.offset) / meta.scale for x in (low, high)
            )
            picture = journal.output, self.shape[:2], bands, low, high
            quicklook = remote.quicklook(*picture, keep=writer.resumed)
        limits = None
        if self.options.limits == "input" and not self.card.msi_bands:
            limits = survey.limits(self.extremes(), self.bands, before, meta)
        units = survey.writer_units(self.normaliser, before, meta)
        return outputs.Output(writer, journal, units, meta.nodata, quicklook, limits), done


After = Callable[[Job, Place], object]
