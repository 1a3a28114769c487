"""The initial state of a run: new weights, its base, another run's weights."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax.traverse_util import flatten_dict, unflatten_dict

from hsisr_jax import mesh as meshes
from hsisr_jax.data.batches import draw_on_host
from hsisr_jax.errors import UserError
from hsisr_jax.inference import packaged, trained
from hsisr_jax.inference.baselines import linear_fit
from hsisr_jax.losses import SOURCE
from hsisr_jax.models import bases
from hsisr_jax.models.correction import with_zeros
from hsisr_jax.models.spec import NetworkSpec
from hsisr_jax.ops import filters
from hsisr_jax.training import pretrained
from hsisr_jax.training.experiment import Experiment
from hsisr_jax.training.state import TrainState
from hsisr_jax.training.trainer import Trainer, put

PATCHES = 256  # hundreds of thousands of pixels, for a few hundred taps


def first_state(experiment: Experiment, trainer: Trainer) -> TrainState:
    """The state at step 0: new weights, then the base, then the weights of `init_from`."""
    state = trainer.first_state()
    spec, other = experiment.spec, experiment.config.init_from
    found = base_variables(spec, experiment, trainer)
    if other:
        found = _merged(found, weights_of(other, spec))
        new = sorted(state.params.keys() - found["params"].keys())
        told = f"; it has no {', '.join(new)}: new" if new else ""
        experiment.say(f"starting from the weights of {other}{told}")
    return with_variables(state, found, trainer) if found else state


def zero_start(spec: NetworkSpec) -> Callable[[dict], dict]:
    """The function that sets new parameters so that a correction starts at its base."""
    layer = spec.last_layer if spec.corrects else None
    return lambda params: with_zeros(params, layer)


def base_variables(spec: NetworkSpec, experiment: Experiment, trainer: Trainer) -> dict[str, Any]:
    """Variables of the base, fitted or loaded before the first step, by collection."""
    kind = spec.base["kind"]
    if kind == "filters":
        return {"params": {bases.FILTERS: fitted_filters(spec, trainer)}}
    if kind == "least_squares":
        kernel, bias = linear_fit(experiment.data.train)
        fitted = {"kernel": np.float32(kernel), "bias": np.float32(bias)}
        return {"params": {bases.LEAST_SQUARES: fitted}}
    if kind == "pretrained":
        inner = NetworkSpec.from_json(spec.base["spec"])
        spectra = partial(some_spectra, trainer)
        variables = pretrained.variables(spec.base["source"], inner, spectra)
        return {bases.FROZEN: {"variables": variables}}
    return {}


def fitted_filters(spec: NetworkSpec, trainer: Trainer) -> np.ndarray:
    """The base's filters by least squares, over training patches in all flips and rotations.

    Augmentations are skipped: they regularise the network and would bias this fit. So are samples
    of other domains than the source, whose targets are unknown.
    """
    base = spec.base_module()

    @jax.jit
    def equations(batch):
        if "domain" in batch:
            known = (batch["domain"] == SOURCE)[:, None, None, None]
            batch |= {name: batch[name] * known for name in ("lr", "lms", "hr")}
        return base.normal_equations(batch)

    gram, right = 0.0, 0.0
    for batch in plain_batches(trainer, augment=True):
        sums = jax.device_get(equations(batch))
        gram, right = gram + np.float64(sums[0]), right + np.float64(sums[1])
    return np.float32(filters.solve(gram, right))


def some_spectra(trainer: Trainer) -> np.ndarray:
    """Low-resolution spectra from all over the training scenes, `n c`."""
    found = [np.asarray(batch["lr"]) for batch in plain_batches(trainer, augment=False)]
    return np.concatenate([x.reshape(-1, x.shape[-1]) for x in found])


def plain_batches(trainer: Trainer, *, augment: bool) -> Iterator[dict[str, jax.Array]]:
    """Batches of some hundred training patches without the recipe's augmentations; flipped and
    rotated with `augment`."""
    plain = jax.jit(replace(trainer.recipe, augmentations=()))
    patches = trainer.patches_on_host()
    for step in range(-(-min(PATCHES, patches.per_epoch(augment=augment)) // trainer.batch_size)):
        drawn = draw_on_host(patches, trainer.seed, step, trainer.batch_size, augment=augment)
        yield plain(drawn, jax.random.key(step))


def weights_of(workdir: str, spec: NetworkSpec) -> dict[str, Any]:
    """The final variables of another run, or the packaged ones (`anyband`), as far as this network
    has them: adaptation may start from a network without discriminator."""
    try:
        packed = workdir == packaged.NAME
        other = packaged.load(spec.scale) if packed else trained.load(workdir)
        found = other.weights()[0]
    except UserError as error:
        raise UserError(f"config.init_from: {error}") from None
    found, here = jax.tree.map(meshes.whole, found), spec.shapes()
    if spec.network.starts_at_bicubic and other.card.name == spec.name:
        found = _with_own_last_layer(found, other.card.spec, spec, here)
    for collection, tree in found.items():
        for name, part in tree.items():
            wanted = here.get(collection, {}).get(name)
            if jax.tree.map(jnp.shape, part) != jax.tree.map(jnp.shape, wanted):
                raise UserError(
                    f"config.init_from: {collection}/{name} of {workdir} does not fit this "
                    "network: use the options that it was trained with"
                )
    return found


def _with_own_last_layer(found: dict, other: NetworkSpec, spec: NetworkSpec, here: dict) -> dict:
    """Weights of another scale's network, with a last layer of zeros for this scale."""
    theirs, ours = other.last_layer, spec.last_layer
    if not theirs or not ours or theirs == ours:
        return found
    params = flatten_dict(found["params"], sep="/")
    kept = {path: x for path, x in params.items() if not path.startswith(theirs)}
    zeros = {
        path: np.zeros(x.shape, np.float32)
        for path, x in flatten_dict(here["params"], sep="/").items()
        if path.startswith(ours)
    }
    return found | {"params": unflatten_dict(kept | zeros, sep="/")}


def first_variables(experiment: Experiment) -> dict[str, Any]:
    """The variables at step 0 of a network without fitted base, which the report compares with
    the trained ones."""
    spec, module = experiment.spec, experiment.module
    example = {
        name: jnp.zeros(x.shape, x.dtype) for name, x in spec.example(spec.side, spec.side).items()
    }
    key = jax.random.key(experiment.config.seed)
    found = dict(jax.jit(lambda key: module.init(key, example, train=False))(key))
    found.pop("intermediates", None)
    found["params"] = zero_start(spec)(found["params"])
    other = experiment.config.init_from
    return _merged(found, weights_of(other, spec)) if other else found


def _merged(variables: Mapping, others: Mapping) -> dict[str, Any]:
    names = variables.keys() | others.keys()
    return {name: {**variables.get(name, {}), **others.get(name, {})} for name in names}


def with_variables(state: TrainState, found: Mapping, trainer: Trainer) -> TrainState:
    """The state with these variables, placed as the trainer wants them."""
    rest = {name: tree for name, tree in found.items() if name not in ("params", "batch_stats")}
    params = found.get("params", {})
    new = state.replace(
        params=state.params | params,
        batch_stats=state.batch_stats | found.get("batch_stats", {}),
        constants=_merged(state.constants, rest),
        ema=state.ema | params if state.ema else {},
    )

    def placed(x, sharding):
        return x if isinstance(x, jax.Array) else put(np.asarray(x), sharding)

    return jax.tree.map(placed, new, trainer.shardings)
