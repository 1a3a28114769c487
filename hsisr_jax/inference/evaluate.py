"""Evaluation of a network on test images, whole or in tiles."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn
from jax.sharding import Mesh
from scipy.ndimage import minimum_filter

from hsisr_jax import metrics
from hsisr_jax.data.batches import Recipe, of_image
from hsisr_jax.data.scenes import Scene
from hsisr_jax.files import csv_text
from hsisr_jax.inference import packaged
from hsisr_jax.inference.ensemble import over_symmetries
from hsisr_jax.inference.projection import back_project
from hsisr_jax.inference.tiles import in_tiles
from hsisr_jax.mesh import replicated
from hsisr_jax.ops.platforms import compiler_options

INPUTS = ("lr", "lms", "msi")  # what a network may read


@dataclass(frozen=True)
class Protocol:
    """The conventions of the scores, and how images are passed through the network."""

    name: str = "sspsr"
    data_range: float = 1.0
    ratio: float = 4
    tile: int = 0  # low-resolution pixels; 0: whole images
    overlap: int = 8
    batch: int = 8
    self_ensemble: bool = False
    projection: int = 0  # rounds of back-projection
    dark: float = 0.0  # below it, pixels keep their spectral direction
    components: int = 0  # of each image, for the packaged network

    def score(
        self, reference: np.ndarray, estimate: np.ndarray, mask: np.ndarray | None = None
    ) -> dict[str, float]:
        """The scores of an image, or of its pixels in the mask (`H W`)."""
        values = metrics.evaluate(
            jnp.asarray(reference),
            jnp.asarray(estimate),
            protocol=self.name,
            data_range=self.data_range,
            ratio=self.ratio,
            mask=mask,
        )
        return {key: float(values[key]) for key in metrics.conventions(self.name)["metrics"]}

    def mask(self, hidden: np.ndarray | None, reference: np.ndarray) -> np.ndarray | None:
        """The pixels that count, `H W`; None for all: also where no window of a metric has room
        between hidden ones, which are filled from their neighbours."""
        if hidden is None:
            return None
        shown = ~hidden[: reference.shape[0], : reference.shape[1]]
        side = metrics.smallest_image(self.name)
        return shown if minimum_filter(shown, side)[side // 2 :, side // 2 :].any() else None


@dataclass
class Evaluation:
    """Scores per image and their means; `kept` holds the cubes of the first few images."""

    images: list[dict] = field(default_factory=list)
    kept: dict[str, dict[str, np.ndarray]] = field(default_factory=dict)

    def means(self, of: str) -> dict[str, float]:
        rows = [image[of] for image in self.images if of in image]
        return {key: float(np.mean([row[key] for row in rows])) for key in rows[0]} if rows else {}

    def methods(self) -> list[str]:
        return [key for key in (self.images[0] if self.images else {}) if key != "name"]

    def to_json(self) -> dict:
        """The scores as in `metrics.json`: `test`, `bicubic`, other baselines, and every image."""
        extra = [m for m in self.methods() if m not in ("test", "bicubic")]
        return {
            **{m: self.means(m) for m in ("test", "bicubic") if m in self.methods()},
            **({"baselines": {m: self.means(m) for m in extra}} if extra else {}),
            "images": self.images,
        }

    def to_csv(self) -> str:
        methods = self.methods()
        keys = list(self.means(methods[0])) if self.images else []
        means = {"name": "mean"} | {method: self.means(method) for method in methods}
        rows = [
            [image["name"], method, *(image[method][key] for key in keys)]
            for image in (*self.images, means)
            for method in methods
        ]
        return csv_text([["image", "method", *keys], *rows])

    def save_kept(self, folder: Path) -> None:
        """Writes the kept cubes for the report: `eval/<image>.npz`, float16."""
        folder.mkdir(parents=True, exist_ok=True)
        for old in folder.glob("*.npz"):
            old.unlink()
        for name, cubes in self.kept.items():
            safe = "".join(c if c.isalnum() or c in "-_." else "_" for c in name)
            np.savez_compressed(folder / f"{safe}.npz", **cubes)


def forward(module: nn.Module, grid: Mesh | None = None) -> Callable:
    """The compiled network: `(variables, inputs) -> out`.

    With variables on a mesh of several processes, each of them has the whole output.
    """

    def apply(variables: dict, inputs: dict) -> dict:
        return module.apply(variables, inputs, train=False)

    return jax.jit(
        apply, out_shardings=grid and replicated(grid), compiler_options=compiler_options()
    )


def inputs_of(batch: Mapping) -> dict:
    """What a network may read of a batch."""
    return {name: batch[name] for name in INPUTS if name in batch}


def super_resolve(
    apply: Callable, variables: Mapping, batch: Mapping, protocol: Protocol, recipe: Recipe
) -> np.ndarray:
    """One image (`1 h w c`) to its super-resolved cube (`H W c`), whole or in tiles."""
    sr = _by_network(apply, variables, batch, protocol, recipe.scale)
    if not protocol.projection:
        return sr
    return back_project(
        sr,
        np.asarray(batch["lr"][0]),
        recipe.observation,
        scale=recipe.scale,
        rounds=protocol.projection,
        dark=protocol.dark,
    )


def _by_network(
    apply: Callable, variables: Mapping, batch: Mapping, protocol: Protocol, scale: int
) -> np.ndarray:
    inputs = inputs_of(batch)

    def run(cut: dict) -> jax.Array:
        return apply(variables, cut)["sr"].astype(jnp.float32)

    if protocol.self_ensemble:
        run = over_symmetries(run)
    side = next(iter(inputs.values())).shape[1:3]
    if protocol.tile and protocol.tile < max(side):
        whole = in_tiles(
            run,
            {name: np.asarray(x) for name, x in inputs.items()},
            scale=scale,
            tile=protocol.tile,
            overlap=protocol.overlap,
            batch=protocol.batch,
        )
        return whole[0]
    return np.asarray(run(inputs)[0])


def evaluate(
    apply: Callable,
    variables: Mapping,
    scenes: list[Scene],
    recipe: Recipe,
    protocol: Protocol,
    *,
    baselines: Mapping[str, Callable[[dict], np.ndarray]] | None = None,
    keep: int = 0,
    consistency: bool = False,
    loss: Callable[[Mapping, Mapping], tuple] | None = None,
    save: Callable[[Scene, Mapping, Mapping], None] | None = None,
) -> Evaluation:
    """Scores of the network, of bicubic upsampling (if the scale is above 1), and of baselines.

    With `consistency` also the difference between the outputs, degraded by the sensor, and the
    inputs (root mean square), which needs no target. With a `loss`, also the network's loss on
    whole images. `save(scene, batch, estimates)` is called for every image.
    """
    result = Evaluation()
    prepare, seen_again = jax.jit(recipe.as_tested), jax.jit(recipe.seen_again)

    @jax.jit
    def loss_of(out: Mapping, batch: Mapping) -> jax.Array:
        return loss(out, batch)[0]

    for number, scene in enumerate(scenes):
        drawn = of_image(scene.cubes, scene.normaliser, scene.domain)
        batch = prepare(drawn, number)
        batch = {name: x for name, x in batch.items() if x.ndim > 1}
        hr = np.asarray(batch["hr"][0])
        own = packaged.of_image(variables, protocol.components, batch)
        estimates = {"test": super_resolve(apply, own, batch, protocol, recipe)}
        if "lms" in batch:
            estimates["bicubic"] = np.asarray(batch["lms"][0])
        for name, baseline in (baselines or {}).items():
            estimates[name] = np.asarray(baseline(batch))
        shown = protocol.mask(scene.hidden, hr)
        scores = {name: protocol.score(hr, x, shown) for name, x in estimates.items()}
        if consistency:
            for name, x in estimates.items():
                again = seen_again(jnp.asarray(x)[None], drawn)
                scores[name]["consistency"] = float(jnp.sqrt(jnp.mean((again - batch["lr"]) ** 2)))
        if loss:
            scores["test"]["loss"] = float(loss_of(apply(own, inputs_of(batch)), batch))
        result.images.append({"name": scene.name, **scores})
        if save:
            save(scene, batch, estimates)
        if len(result.kept) < keep:
            result.kept[scene.name] = _for_report(batch, estimates, scene)
            result.kept[scene.name] |= _abundance(apply, own, batch, protocol)
    return result


def _for_report(batch: Mapping, estimates: Mapping, scene: Scene) -> dict[str, np.ndarray]:
    cubes = {"hr": batch["hr"][0], "sr": estimates["test"]}
    cubes |= {name: x[0] for name, x in inputs_of(batch).items()}
    cubes = {name: np.asarray(x, np.float16) for name, x in cubes.items()}
    if scene.wavelengths is not None:
        cubes["wavelengths"] = scene.wavelengths
    return cubes


def _abundance(
    apply: Callable, variables: Mapping, batch: Mapping, protocol: Protocol
) -> dict[str, np.ndarray]:
    """The abundances of an image, if the network returns any; none if it is tiled."""
    inputs = inputs_of(batch)
    tiled = protocol.tile and protocol.tile < max(next(iter(inputs.values())).shape[1:3])
    if tiled or "abundance" not in jax.eval_shape(apply, variables, inputs):
        return {}
    return {"abundance": np.asarray(apply(variables, inputs)["abundance"][0], np.float16)}


def table(evaluation: Evaluation, title: str = "ours") -> str:
    """A text table with a row per method and a column per score."""
    methods = evaluation.methods()
    means = {method: evaluation.means(method) for method in methods}
    names = {"test": title, "back_projected": "back-projected", "least_squares": "least squares"}
    head = ["", *means[methods[0]]]
    rows = [[names.get(m, m), *(f"{v:.4f}" for v in means[m].values())] for m in methods]
    widths = [max(len(row[i]) for row in [head, *rows]) for i in range(len(head))]
    return "\n".join(
        "  ".join(cell.ljust(w) if i == 0 else cell.rjust(w) for i, (cell, w) in
                  enumerate(zip(row, widths)))
        for row in [head, *rows]
    )  # fmt: skip
