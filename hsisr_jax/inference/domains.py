"""Data of the report on domain adaptation: abundances before and after, endmembers."""

from collections.abc import Callable, Mapping

import jax
import numpy as np

from hsisr_jax import mesh
from hsisr_jax.data.batches import Recipe, of_image
from hsisr_jax.data.scenes import Scene

PIXELS = 1000  # of a domain
IMAGES = 6  # of a domain, that they are drawn from
RIDGE = 1e-3  # holds a material that a domain hardly shows at the network's spectrum


def describe(
    apply: Callable,
    after: Mapping,
    before: Mapping | None,
    scenes: list[Scene],
    recipe: Recipe,
    *,
    endmembers: str,
) -> dict[str, np.ndarray]:
    """Arrays of `eval/domains.npz`; none for networks without abundances or data of one domain.

    `features` are abundances of pixels `[n, m]`, `domain` their domains, `features_before` the same
    pixels under the variables `before`; `endmembers` `[k, m, c]` each domain's spectra, in the
    range that the network sees, and `wavelengths` `[k, c]`. The argument `endmembers` is the path
    of the network's own spectra `[m, c]` among its parameters.
    """
    domains = sorted({scene.domain for scene in scenes})
    chosen = {d: [s for s in scenes if s.domain == d][:IMAGES] for d in domains}
    if len(domains) < 2 or len({s.hr.shape[-1] for s in scenes}) > 1:
        return {}
    prepare = jax.jit(recipe.as_tested)
    seen = {d: [_batch(prepare, s) for s in chosen[d]] for d in domains}
    first = seen[domains[0]][0]
    if "abundance" not in jax.eval_shape(apply, dict(after), first):
        return {}
    spectrum = after["params"]
    for name in endmembers.split("/"):
        spectrum = spectrum[name]
    own = mesh.whole(spectrum)
    rng = np.random.default_rng(0)
    found: dict[str, list] = {"features": [], "domain": [], "features_before": []}
    spectra = []
    for domain in domains:
        abundance = _abundances(apply, after, seen[domain])
        pixels = np.concatenate([_rows(batch["lr"]) for batch in seen[domain]])
        spectra.append(fitted(own, abundance, pixels))
        picked = rng.permutation(len(abundance))[:PIXELS]
        found["features"].append(abundance[picked])
        found["domain"].append(np.full(len(picked), domain, np.int32))
        if before is not None:
            found["features_before"].append(_abundances(apply, before, seen[domain])[picked])
    waves = [chosen[d][0].wavelengths for d in domains]
    return {
        **{name: np.concatenate(rows) for name, rows in found.items() if rows},
        "endmembers": np.stack(spectra),
        **({} if any(w is None for w in waves) else {"wavelengths": np.stack(waves)}),
    }


def fitted(endmembers: np.ndarray, abundance: np.ndarray, pixels: np.ndarray) -> np.ndarray:
    """The network's endmembers `[m, c]`, adjusted to a domain's pixels.

    Least squares with a small ridge towards the network's endmembers: the difference between the
    domains is what the shared endmembers cannot explain.
    """
    a, x = abundance.astype(np.float64), pixels.astype(np.float64)
    own = endmembers.astype(np.float64)
    weight = RIDGE * len(a) * np.eye(len(own))
    change = np.linalg.solve(a.T @ a + weight, a.T @ (x - a @ own))
    return (own + change).astype(np.float32)


def _batch(prepare: Callable, scene: Scene) -> dict[str, jax.Array]:
    batch = prepare(of_image(scene.cubes, scene.normaliser, scene.domain))
    return {name: batch[name] for name in ("lr", "lms", "msi") if name in batch}


def _abundances(apply: Callable, variables: Mapping, batches: list[dict]) -> np.ndarray:
    return np.concatenate([_rows(apply(dict(variables), b)["abundance"]) for b in batches])


def _rows(x: jax.Array) -> np.ndarray:
    return np.asarray(x, np.float32).reshape(-1, x.shape[-1])
