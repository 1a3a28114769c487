"""Optimizers and schedules by name, from plain configuration."""

import math
from collections.abc import Callable, Mapping

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax.traverse_util import flatten_dict, unflatten_dict

from hsisr_jax.errors import UserError
from hsisr_jax.models.bases import FILTERS

Schedule = Callable[[jax.Array], jax.Array]

SCHEDULES: dict[str, Callable[..., Schedule]] = {
    "constant": lambda rate, steps: optax.constant_schedule(rate),
    "step": lambda rate, steps, every, factor=0.1, first=0: _drops(rate, every, factor, first),
    "cosine": lambda rate, steps, final=0.0, flat=0.0: _cosine(rate, steps, final, flat),
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


# What every optimizer's configuration holds; further keys are options of the optimizer that `name`
# names. Their defaults are those of `configs/common.py`.
KEYS = ("name", "learning_rate", "schedule", "weight_decay", "clip", "accumulate", "freeze",
        "skip_unused")  # fmt: skip


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


def _drops(rate: float, every: int, factor: float, first: int) -> Schedule:
    """Multiplies by `factor` after `first` steps (default: `every`), then after every `every`."""
    rates = optax.exponential_decay(rate, every, factor, staircase=True)
    return lambda step: rates(step + (every - first if first else 0))


def _cosine(rate: float, steps: int, final: float, flat: float) -> Schedule:
    """A half cosine to the fraction `final`, after the fraction `flat` of steps at full rate."""
    if not 0 <= flat < 1:
        raise UserError(
            f"config.optimizer.schedule (cosine): flat is {flat}: use a share from 0 to below 1"
        )
    first = round(flat * steps)
    falls = optax.cosine_decay_schedule(rate, max(steps - first, 1), final)
    return lambda step: falls(jnp.maximum(step - first, 0))


def _held(rate: Schedule, length: int) -> Schedule:
    """A schedule that changes only every `length` steps, as when it is set once an epoch."""
    return lambda step: rate(step // length * length)


def _restarts(rate: float, steps: int, period: int, factor: float, final: float) -> Schedule:
    if period < 1 or factor < 1:
        raise UserError(
            f"config.optimizer.schedule (cosine_restarts): period is {period} and factor {factor}: "
            "use 1 or more for both"
        )
    cycles, start, length = [], 0, period
    while start < steps:
        cycles.append({"init_value": rate, "peak_value": rate, "warmup_steps": 0,
                       "decay_steps": int(length), "end_value": rate * final})  # fmt: skip
        start, length = start + int(length), length * factor
    return optax.sgdr_schedule(cycles)


def schedule(config: Mapping, learning_rate: float, steps: int) -> Schedule:
    """The learning rate at a step: `{"name": "cosine", "warmup": 100, ...}`.

    `hold` keeps it constant for that many steps; `hold_epochs=1` changes it once an epoch.
    """
    if "name" not in config:
        raise UserError(f"config.optimizer.schedule has no name: use {', '.join(SCHEDULES)}")
    return _schedule(learning_rate, steps, **config)


def _schedule(
    learning_rate: float, steps: int, *, name: str, warmup: int = 0, hold: int = 0, **options
) -> Schedule:
    make = _pick("schedule", SCHEDULES, name)
    for key, value in (("warmup", warmup), ("hold", hold)):
        if not isinstance(value, (int, np.integer)) or isinstance(value, bool) or value < 0:
            raise UserError(f"config.optimizer.schedule: {key}={value!r}: use a number of steps")
    try:
        after = make(learning_rate, max(steps - warmup, 1), **options)
    except TypeError as error:
        raise UserError(f"config.optimizer.schedule ({name}): {_reason(error)}") from None
    if hold:
        after = _held(after, hold)
    if not warmup:
        return after
    return optax.join_schedules(
        [optax.linear_schedule(0.0, learning_rate, warmup), after], [warmup]
    )


def build(config: Mapping, steps: int) -> tuple[optax.GradientTransformation, Schedule]:
    """One optimizer from its configuration, and its learning rate as a function of the step."""
    missing = [key for key in KEYS if key not in config]
    if missing:
        raise UserError(
            f"config.optimizer has no {', '.join(missing)}: start from configs.common.base()"
        )
    options = dict(config)
    name, rate, rates, decay, clip, accumulate, frozen, skip_unused = map(options.pop, KEYS)
    freeze = tuple(frozen)
    learning_rate = schedule(rates, rate, steps)
    if accumulate < 1:
        raise UserError(f"config.optimizer.accumulate is {accumulate}: use 1 or more")
    try:
        core = _pick("optimizer", OPTIMIZERS, name)(**options)
    except TypeError as error:
        raise UserError(f"config.optimizer ({name}): {_reason(error)}") from None
    chain = [optax.clip_by_global_norm(clip)] if clip else []
    if decay and name != "adamw":  # as in PyTorch: added to the gradient
        chain.append(optax.add_decayed_weights(decay, _decayed))
    chain.append(core)
    if decay and name == "adamw":
        chain.append(optax.add_decayed_weights(decay, _decayed))
    # an update counts once, and takes `accumulate` steps
    chain.append(optax.scale_by_learning_rate(lambda count: learning_rate(count * accumulate)))
    if rates["name"] == "plateau":
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
    """Leaves parameters and their moments unchanged in steps without any gradient for them.

    PyTorch does so if a loss term is absent, as in A-SNLSR's batches without a source sample.
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
    if "schedule" not in config:
        return dict(config)  # `build` says what is missing
    options = dict(config["schedule"])
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


def _decayed(params: Mapping) -> Mapping:
    """The parameters with weight decay: all but fitted filters, which are not trained."""
    return jax.tree_util.tree_map_with_path(
        lambda path, _: all(key.key != FILTERS for key in path), params
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
