"""One optimisation step: `step(state, batch, key) -> (state, scalars)`, pure."""

from collections.abc import Callable, Mapping

import jax
import jax.numpy as jnp
import optax
from flax import linen as nn

from hsisr_jax.training.state import TrainState, join, split

Step = Callable[[TrainState, dict, jax.Array], tuple[TrainState, dict[str, jax.Array]]]


def make_step(
    module: nn.Module,
    loss: Callable,
    optimizers: Mapping[str, optax.GradientTransformation],
    *,
    precision: str,
    ema_decay: float,
    remat: bool,
    steps: int,
) -> Step:
    """The supervised step; with paired optimizers each updates its own part of the parameters.

    The loss is given the progress of a run of `steps`, `batch["progress"]` from 0 to 1. A step
    whose loss or gradient is not finite changes only its counters.
    """
    forward = make_forward(module, precision=precision, remat=remat)

    def objective(params, state: TrainState, batch, key):
        out, stats = forward(params, state, batch, key)
        total, terms = loss(out, with_progress(batch, state, steps))
        return total, (terms, stats)

    return optimise(objective, optimizers, ema_decay)


def make_forward(module: nn.Module, *, precision: str, remat: bool) -> Callable:
    """`(params, state, batch, key) -> (out, batch_stats)` in training, with float32 outputs."""

    def forward(params, state: TrainState, batch, key):
        params = cast(params, precision)
        variables = {"params": params, "batch_stats": state.batch_stats, **state.constants}

        def run(variables, inputs):
            return module.apply(
                variables, inputs, train=True, rngs={"dropout": key}, mutable=["batch_stats"]
            )

        run = jax.checkpoint(run) if remat else run
        out, updates = run(variables, cast(batch, precision))
        return cast(out, "float32"), updates.get("batch_stats", state.batch_stats)

    return forward


def with_progress(batch: dict, state: TrainState, steps: int) -> dict:
    """The batch with the progress of a run of `steps`, if that is known."""
    return batch | {"progress": state.step / steps} if steps else batch


def optimise(objective: Callable, optimizers: Mapping, ema_decay: float) -> Step:
    """The step that lowers `objective(params, state, batch, key) -> (total, (terms, stats))`."""

    def step(state: TrainState, batch: dict, key: jax.Array):
        gradient = jax.value_and_grad(objective, has_aux=True)
        (total, (terms, stats)), grads = gradient(state.params, state, batch, key)
        norm = optax.global_norm(grads)
        finite = jnp.isfinite(total) & jnp.isfinite(norm)
        new = apply_gradients(state, grads, optimizers, total, ema_decay)
        new = new.replace(batch_stats=stats)
        scalars = {"loss": total, "gradient_norm": norm, **terms}
        return keep_if_finite(finite, new, state), scalars

    return step


def apply_gradients(
    state: TrainState, grads: dict, optimizers: Mapping, value: jax.Array, ema_decay: float
) -> TrainState:
    """Every group's update, and the average of the weights."""
    params, gradients = split(state.params, optimizers), split(grads, optimizers)
    opt_state = {}
    for name, tx in optimizers.items():
        updates, opt_state[name] = tx.update(
            gradients[name], state.opt_state[name], params[name], value=value
        )
        params[name] = optax.apply_updates(params[name], updates)
    joined = join(params)
    return state.replace(
        params=joined, opt_state=opt_state, ema=average(state.ema, joined, state.step, ema_decay)
    )


def average(ema: dict, params: dict, step: jax.Array, decay: float) -> dict:
    """An exponential average that starts as a plain mean, so that the first values count little."""
    if not ema:
        return ema
    rate = jnp.minimum(decay, (1 + step) / (10 + step))
    return jax.tree.map(lambda a, p: a + (1 - rate) * (p - a), ema, params)


def keep_if_finite(finite: jax.Array, new: TrainState, old: TrainState) -> TrainState:
    """`new` if loss and gradient are finite, else `old` with the failure counted and the step."""
    chosen = jax.tree.map(lambda a, b: jnp.where(finite, a, b), new, old)
    return chosen.replace(
        step=old.step + 1,
        skipped=old.skipped + jnp.where(finite, 0, 1),
        streak=jnp.where(finite, 0, old.streak + 1),
    )


def cast(tree, precision: str):
    """Floating leaves in the compute type; the rest as they are."""
    dtype = jnp.dtype(precision)

    def leaf(x):
        is_float = hasattr(x, "dtype") and jnp.issubdtype(x.dtype, jnp.floating)
        return x.astype(dtype) if is_float else x

    return jax.tree.map(leaf, tree)
