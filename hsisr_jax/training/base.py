"""What the base of a correction learns before the first step, in closed form."""

from dataclasses import replace

import jax
import numpy as np

from hsisr_jax.data.batches import draw_on_host
from hsisr_jax.losses import SOURCE
from hsisr_jax.models.residual import FILTERS
from hsisr_jax.ops import filters
from hsisr_jax.training.state import TrainState
from hsisr_jax.training.trainer import Trainer, put

PATCHES = 256  # hundreds of thousands of pixels, for a few hundred taps


def first_state(trainer: Trainer) -> TrainState:
    """The state at step 0, with the base's filters where the network has such a base."""
    state = trainer.first_state()
    if not getattr(trainer.module, "radius", 0):
        return state
    fitted = put({FILTERS: fitted_filters(trainer)}, trainer.shardings.params[FILTERS])
    average = state.ema and state.ema | jax.tree.map(lambda x: x.copy(), fitted)
    return state.replace(params=state.params | fitted, ema=average)


def fitted_filters(trainer: Trainer) -> np.ndarray:
    """Least squares over training patches in all their flips and rotations.

    Without augmentations, which are against what a network might learn by heart; without samples
    of other domains, whose targets nobody has.
    """
    plain = replace(trainer.recipe, augmentations=())

    @jax.jit
    def equations(drawn, key):
        batch = plain(drawn, key)
        if "domain" in batch:
            known = (batch["domain"] == SOURCE)[:, None, None, None]
            batch |= {name: batch[name] * known for name in ("lr", "lms", "hr")}
        return trainer.module.normal_equations(batch)

    patches = jax.device_get(trainer.patches)
    gram, right = 0.0, 0.0
    for step in range(-(-min(PATCHES, patches.per_epoch(augment=True)) // trainer.batch_size)):
        drawn = draw_on_host(patches, trainer.seed, step, trainer.batch_size, augment=True)
        sums = jax.device_get(equations(drawn, jax.random.key(step)))
        gram, right = gram + np.float64(sums[0]), right + np.float64(sums[1])
    return np.float32(filters.solve(gram, right))
