"""A scene file to a sharper one: `--mode=predict`; also `--mode=export` and pairs in `--mode=eval`.

The scene is read, computed and written in bands of rows of overlapping tiles, see
`inference.stream`; an interrupted run leaves `.partial` files and the same command continues them.
"""

import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from hsisr_jax import formats, mesh, report
from hsisr_jax.checkpoints import write_text
from hsisr_jax.data.normalise import Normaliser
from hsisr_jax.errors import UserError
from hsisr_jax.formats import SceneReader, carried
from hsisr_jax.inference import output as outputs
from hsisr_jax.inference import pairs, survey, trained
from hsisr_jax.inference.ensemble import over_symmetries
from hsisr_jax.inference.frontend import HALO, Frontend, weigh, window
from hsisr_jax.inference.grid import Grid
from hsisr_jax.inference.memory import Sizes, choose
from hsisr_jax.inference.stream import Stream
from hsisr_jax.inference.trained import Trained, of_stored
from hsisr_jax.training.hooks import Progress
from hsisr_jax.training.stopping import Interrupted, Signals
from hsisr_jax.training.workdir import as_dict

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
        if self.tile < 0:
            raise UserError(f"--tile={self.tile}: use a number of pixels, or 0 to have it chosen")
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
    card = trained.load(workdir)
    with formats.open_scene(source, variable=options.variable or None) as scene:
        formats.check_target(target, scene)
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
        if carried.gains(scene.meta.extra, scene.bands):
            self.say("warning: the scene's gains differ from band to band and are not applied")
        self.domain, self.bands = survey.choose_domain(card, scene, options.resample_bands)
        self.sample = survey.sample(scene)
        self.normaliser = survey.normaliser(card, self.domain, scene, options.normalise, self.say)
        survey.warn_of_range(self.normaliser, self.sample, self.say)
        self.variables, self.step = trained.weights(workdir, card)
        self.mesh = mesh.make()
        self.compiled: dict[tuple[int, ...], jax.stages.Compiled] = {}
        self.frontend = Frontend(
            card.module(),
            card.scale,
            bool(card.msi_bands),
            self.normaliser,
            self.bands,
            scene.meta.nodata,
            options.precision,
            card.observe(),
            card.projection,
            card.dark,
        )

    def run(self, target: Path) -> None:
        """Makes the file, or continues it."""
        options, card, scene = self.options, self.card, self.scene
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
        if card.self_ensemble and not self.options.self_ensemble:
            self.say("its evaluation used --self_ensemble: 8 times the work, and a little better")
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
            bands=self.bands,
            msi_bands=self.card.msi_bands,
            before=self.scene.dtype,
            dtype=self.options.dtype,
            output_scale=self.options.output_scale or None,
        )
        dtype = np.dtype(self.options.dtype)
        survey.warn_of_dtype(self.sample, self.scene.meta, meta, dtype, self.say)
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
        writer, done = begin(shape=self.shape, dtype=dtype, meta=meta)
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


def export(workdir: str | os.PathLike, output: str | os.PathLike) -> Path:
    """The network as a `jax.export` artifact, weights and normalisation inside."""
    from hsisr_jax.inference import export as exports

    card, target = trained.load(workdir), Path(output)
    variables, step = trained.weights(workdir, card)
    facts = exports.write(target, card, variables)
    print(f"{target}: {card.name} x{card.scale} of step {step}, {facts['free']}")
    print(f"  {facts['input']}\n  -> {facts['output']}\n  on {', '.join(facts['platforms'])}")
    return target


def evaluate_pair(
    config: Mapping, workdir: str | os.PathLike, input: str | None, reference: str | None
) -> dict:
    """Scores the network on one scene and the cube that it should become.

    An input of the reference's own size is scored as it is: the estimate of another method.
    Writes `<workdir>/pairs/<input's name>/`: scores, and a report with spectra and maps.
    """
    if not input or not reference:
        raise UserError("to evaluate a pair of files give both --input and --reference")
    card = trained.load(workdir)
    folder = Path(workdir) / "pairs" / pairs.name_of(Path(input))
    folder.mkdir(parents=True, exist_ok=True)
    with formats.open_scene(input) as scene, formats.open_scene(reference) as truth:
        cubes = _pair(card, Path(workdir), scene, truth, folder)
        wavelengths = truth.meta.wavelengths
    hr = cubes.pop("hr")
    methods = {name: cube for name, cube in cubes.items() if name in ("test", "bicubic")}
    ratio = config["eval"]["ratio"] or card.scale
    results, hidden = pairs.score(Path(input).stem, hr, methods, ratio=ratio)
    chosen = config["eval"]["protocol"]
    facts = {"data_range": 1.0, "ratio": ratio, "pixels_left_out": hidden}
    found = pairs.to_json(results, chosen, facts)
    shown = {"hr": hr, "sr": cubes["test"]} | ({"lr": cubes["lr"]} if "lr" in cubes else {})
    shown |= {"lms": cubes["bicubic"]} if "bicubic" in cubes else {}
    results[chosen].kept[Path(input).stem] = pairs.kept(shown, wavelengths)
    results[chosen].save_kept(folder / "eval")
    for name, value in (("metrics", found), ("config", as_dict(config))):
        write_text(folder / f"{name}.json", json.dumps(value, indent=1) + "\n")
    write_text(folder / "metrics.csv", pairs.to_csv(results))
    page = report.write([folder], folder / "report" / "index.html")
    print(f"{pairs.tables(results, card.name)}\nreport: {page}")
    return found


def _pair(
    card: Trained, workdir: Path, scene: SceneReader, truth: SceneReader, folder: Path
) -> dict[str, np.ndarray]:
    """`hr`, the estimate `test`, and where they are known `lr` and `bicubic`."""
    size = truth.height, truth.width, truth.bands
    if (scene.height, scene.width, scene.bands) == size:
        domain = card.domains[0] if card.msi_bands else survey.choose_domain(card, scene, False)[0]
        normaliser = Normaliser(**domain["normaliser"])
        return {"hr": pairs.seen(truth, normaliser), "test": pairs.seen(scene, normaliser)}
    shape = scene.height * card.scale, scene.width * card.scale, card.bands
    pairs.check_sizes(shape, size, truth.path)
    estimate = folder / "estimate.npy"
    job = Job(card, workdir, scene, Options(quicklook=False, normalise="model"))
    job.run(estimate)
    normaliser = Normaliser(**job.domain["normaliser"])
    with formats.open_scene(estimate) as made:
        cubes = {"hr": pairs.seen(truth, normaliser), "test": pairs.seen(made, normaliser)}
    for path in (estimate, Path(f"{estimate}.json")):
        path.unlink(missing_ok=True)
    if not card.msi_bands:
        lr = pairs.seen(scene, normaliser)
        lr = lr if job.bands is None else lr @ job.bands
        cubes |= {"lr": lr, "bicubic": pairs.bicubic(lr, card.scale)}
    return cubes
