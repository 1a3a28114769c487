"""Optimizers and schedules by name, from plain configuration."""

import math
from collections.abc import Callable, Mapping

import jax
import jax.numpy as jnp
import optax
from flax.traverse_util import flatten_dict, unflatten_dict

from hsisr_jax.errors import UserError

Schedule = Callable[[jax.Array], jax.Array]

SCHEDULES: dict[str, Callable[..., Schedule]] = {
    "constant": lambda rate, steps: optax.constant_schedule(rate),
    "step": lambda rate, steps, every, factor=0.1: optax.exponential_decay(
        rate, every, factor, staircase=True
    ),
    "cosine": lambda rate, steps, final=0.0: optax.cosine_decay_schedule(rate, steps, final),
    "cosine_restarts": lambda rate, steps, period, factor=2.0, final=0.0: _restarts(
        rate, steps, period, factor, final
    ),
    "plateau": lambda rate, steps, **options: optax.constant_schedule(rate),
}

OPTIMIZERS: dict[str, Callable[..., optax.GradientTransformation]] = {
    "adam": lambda b1=0.9, b2=0.999, eps=1e-8: scale_by_adam(b1, b2, eps),
    "adamw": lambda b1=0.9, b2=0.999, eps=1e-8: scale_by_adam(b1, b2, eps),
    "sgd": lambda momentum=0.9, nesterov=False: (
        optax.trace(momentum, nesterov) if momentum else optax.identity()
    ),
}


def scale_by_adam(b1: float, b2: float, eps: float) -> optax.GradientTransformation:
    """Adam as PyTorch computes it: optax's, but for the bias corrections.

    optax takes `1 - b**t` in float32, which loses four digits of the first steps' `1 - 0.999**t`;
    a ten-step run then ends 2e-4 away from the published code's.
    """
    adam = optax.scale_by_adam(b1, b2, eps)

    def update(grads, state, params=None):
        del params
        count = optax.safe_increment(state.count)
        mu = optax.tree.update_moment(grads, state.mu, b1, 1)
        nu = optax.tree.update_moment_per_elem_norm(grads, state.nu, b2, 2)
        first, second = (-jnp.expm1(count * math.log(b)) if b else 1.0 for b in (b1, b2))
        updates = jax.tree.map(lambda m, v: m / first / (jnp.sqrt(v / second) + eps), mu, nu)
        return updates, optax.ScaleByAdamState(count=count, mu=mu, nu=nu)

    return optax.GradientTransformation(adam.init, update)


def _restarts(rate: float, steps: int, period: int, factor: float, final: float) -> Schedule:
    cycles, start, length = [], 0, period
    while start < steps:
        cycles.append({"init_value": rate, "peak_value": rate, "warmup_steps": 0,
                       "decay_steps": int(length), "end_value": rate * final})  # fmt: skip
        start, length = start + int(length), length * factor
    return optax.sgdr_schedule(cycles)


def schedule(config: Mapping, learning_rate: float, steps: int) -> Schedule:
    """The learning rate at a step: `{"name": "cosine", "warmup": 100, ...}`."""
    options = dict(config)
    name, warmup = options.pop("name", "constant"), options.pop("warmup", 0)
    make = _pick("schedule", SCHEDULES, name)
    try:
        after = make(learning_rate, max(steps - warmup, 1), **options)
    except TypeError as error:
        raise UserError(f"config.optimizer.schedule ({name}): {_reason(error)}") from None
    if not warmup:
        return after
    return optax.join_schedules(
        [optax.linear_schedule(0.0, learning_rate, warmup), after], [warmup]
    )


def build(config: Mapping, steps: int) -> tuple[optax.GradientTransformation, Schedule]:
    """One optimizer from its configuration, and its learning rate as a function of the step."""
    options = dict(config)
    rates = dict(options.pop("schedule", {}))
    rate = options.pop("learning_rate")
    clip, decay = options.pop("clip", 0.0), options.pop("weight_decay", 0.0)
    accumulate, freeze = options.pop("accumulate", 1), tuple(options.pop("freeze", ()))
    skip_unused = options.pop("skip_unused", False)
    name = options.pop("name", "adam")
    learning_rate = schedule(rates, rate, steps)
    try:
        core = _pick("optimizer", OPTIMIZERS, name)(**options)
    except TypeError as error:
        raise UserError(f"config.optimizer ({name}): {_reason(error)}") from None
    chain = [optax.clip_by_global_norm(clip)] if clip else []
    if decay and name != "adamw":
        chain.append(optax.add_decayed_weights(decay))  # PyTorch's Adam: part of the gradient
    chain.append(core)
    if decay and name == "adamw":
        chain.append(optax.add_decayed_weights(decay))
    chain.append(optax.scale_by_learning_rate(learning_rate))
    if rates.get("name") == "plateau":
        chain.append(optax.contrib.reduce_on_plateau(**_plateau(rates)))
    tx = optax.chain(*chain)
    if skip_unused:
        tx = skip_zero_gradients(tx)
    if freeze:
        tx = optax.multi_transform(
            {"train": tx, "freeze": optax.set_to_zero()}, lambda params: _labels(params, freeze)
        )
    if accumulate > 1:
        tx = optax.MultiSteps(tx, accumulate).gradient_transformation()
    return optax.with_extra_args_support(tx), learning_rate


def build_all(
    config: Mapping, steps: int, steps_per_epoch: float = 1.0
) -> tuple[dict, dict[str, Schedule]]:
    """Optimizers by group: one for `model`, or a pair for generator and discriminator.

    A schedule's `every_epochs`, `period_epochs` and `warmup_epochs` are turned into steps.
    """
    paired = {"generator", "discriminator"} & set(config)
    if paired and len(paired) != 2:
        raise UserError("config.optimizer needs both 'generator' and 'discriminator', or neither")
    configs = (
        {name: config[name] for name in ("generator", "discriminator")}
        if paired
        else {"model": config}
    )
    configs = {name: _in_steps(options, steps_per_epoch) for name, options in configs.items()}
    built = {name: build(options, steps) for name, options in configs.items()}
    return {n: tx for n, (tx, _) in built.items()}, {n: rate for n, (_, rate) in built.items()}


def skip_zero_gradients(tx: optax.GradientTransformation) -> optax.GradientTransformation:
    """Leaves a tensor and its moments as they are at a step that gives it no gradient at all.

    PyTorch does so when a loss term is absent: A-SNLSR's batches without a source sample.
    """

    def update(grads, state, params=None, **extra):
        updates, new = optax.with_extra_args_support(tx).update(grads, state, params, **extra)
        used = jax.tree.map(lambda g: jnp.any(g != 0), grads)
        updates = jax.tree.map(lambda u, keep: jnp.where(keep, u, 0.0), updates, used)
        keep = optax.tree_map_params(
            tx, lambda _, used: used, new, used, transform_non_params=lambda _: True
        )
        kept = jax.tree.map(jnp.where, keep, new, state)
        return updates, kept

    return optax.GradientTransformationExtraArgs(tx.init, update)


def _in_steps(config: Mapping, steps_per_epoch: float) -> dict:
    options = dict(config.get("schedule", {}))
    for key in [key for key in options if key.endswith("_epochs")]:
        steps = max(round(options.pop(key) * steps_per_epoch), 1)
        options[key.removesuffix("_epochs")] = steps
    return {**config, "schedule": options}


def _labels(params: Mapping, freeze: tuple[str, ...]) -> dict:
    flat = flatten_dict(params)
    paths = {path: "/".join(path) for path in flat}
    for prefix in freeze:
        if not any(path.startswith(prefix) for path in paths.values()):
            tops = ", ".join(sorted({path[0] for path in flat}))
            raise UserError(f"config.optimizer.freeze: no parameter starts with {prefix!r}: {tops}")
    return unflatten_dict(
        {path: "freeze" if name.startswith(freeze) else "train" for path, name in paths.items()}
    )


def _plateau(rates: Mapping) -> dict:
    names = {"factor", "patience", "rtol", "atol", "cooldown", "accumulation_size", "min_scale"}
    options = {k: v for k, v in rates.items() if k not in ("name", "warmup")}
    if set(options) - names:
        raise UserError(f"config.optimizer.schedule (plateau) takes {', '.join(sorted(names))}")
    return options


def _pick(kind: str, table: Mapping, name: str):
    if name not in table:
        raise UserError(f"unknown {kind} {name!r}: known are {', '.join(table)}")
    return table[name]


def _reason(error: TypeError) -> str:
    return str(error).replace("<lambda>() ", "")
