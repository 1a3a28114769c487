"""Adversarial training against a domain discriminator: A-SNLSR's step and GAN objectives.

The task's loss (`snlsr` with `source_only`) and the adversarial terms are separate. The
discriminator minimises its loss on the abundances, `losses.create("domain", kind=...,
label_smoothing=...)`, and the generator receives the opposite gradient, `strength` times:

- `reversal`: minus the gradient of that loss, by the reversal layer inside the network (Ganin and
  Lempitsky, ICML 2015). With `strength` 0.01 and two equal optimizers this is the published step.
- `non_saturating`: the gradient of the same loss with the other domains as targets, from a
  fixed discriminator (Goodfellow et al., 2014). With `kind="least_squares"` that is the
  least-squares GAN.

One compiled step updates both sides at once from one gradient, since neither depends on the other's
terms. With `discriminator_steps` above 1, further updates of the discriminator alone come first, on
the same batch with other dropout. The strength may grow as `2 / (1 + exp(-ramp p)) - 1` with the
fraction `p` of the run completed; Ganin and Lempitsky use a ramp of 10, 0 keeps it constant.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import optax
from flax import linen as nn

from hsisr_jax import losses
from hsisr_jax.errors import UserError
from hsisr_jax.training.state import DISCRIMINATOR, TrainState
from hsisr_jax.training.steps import Step, cast, make_forward, optimise, with_progress

OBJECTIVES = ("reversal", "non_saturating")
FEATURES = "abundance"  # what the discriminator reads


@dataclass(frozen=True)
class Game:
    """`config.adversarial`: the objectives of generator and discriminator."""

    objective: str
    strength: float
    ramp: float
    domain_loss: str
    label_smoothing: float
    discriminator_steps: int

    def __post_init__(self):
        if self.objective not in OBJECTIVES:
            known = " or ".join(OBJECTIVES)
            raise UserError(f"config.adversarial.objective {self.objective!r} is unknown: {known}")
        if self.discriminator_steps < 1:
            raise UserError("config.adversarial.discriminator_steps must be 1 or more")

    def strength_at(self, batch: Mapping) -> jax.Array:
        """The current strength, from the batch's `progress`."""
        if not self.ramp:
            return jnp.float32(self.strength)
        growth = 2 / (1 + jnp.exp(-self.ramp * batch["progress"])) - 1
        return jnp.asarray(self.strength * growth, jnp.float32)


def make_adversarial_step(
    module: nn.Module,
    loss: Callable,
    optimizers: Mapping[str, optax.GradientTransformation],
    *,
    precision: str,
    ema_decay: float,
    remat: bool,
    steps: int,
    discriminator: nn.Module,
    **game,
) -> Step:
    """The step of `loss` and of a `Game` between the network and its `discriminator`."""
    rules = _game(game)
    if rules.ramp and not steps:
        raise UserError("config.adversarial.ramp needs the number of steps of the run")
    if rules.discriminator_steps > 1 and DISCRIMINATOR not in optimizers:
        raise UserError(
            "config.adversarial.discriminator_steps above 1 needs config.optimizer as a pair: "
            "generator and discriminator"
        )
    judge = losses.create("domain", kind=rules.domain_loss, label_smoothing=rules.label_smoothing)
    forward = make_forward(module, precision=precision, remat=remat)
    discriminate = make_discriminate(discriminator, precision)
    by_reversal = rules.objective == "reversal"

    def objective(params, state: TrainState, batch, key):
        batch = with_progress(batch, state, steps)
        strength = rules.strength_at(batch)
        reversal = strength if by_reversal else jnp.zeros_like(strength)
        out, stats = forward(params, state, batch | {"reversal": reversal}, key)
        total, terms = loss(out, batch)
        verdict, domain_terms = judge(out, batch)
        total, terms = total + verdict, terms | domain_terms | {"adversarial_strength": strength}
        if not by_reversal:
            still = jax.lax.stop_gradient(params)
            logits, _ = discriminate(still, state, out[FEATURES], jax.random.fold_in(key, 1))
            terms["domain_confusion"] = as_another(judge, logits, batch["domain"])
            total = total + strength * terms["domain_confusion"]
        return total, (terms, stats)

    both = optimise(objective, optimizers, ema_decay)
    if rules.discriminator_steps == 1:
        return both

    def features(state: TrainState, batch, key):
        return forward(state.params, state, batch, key)[0][FEATURES]

    def step(state: TrainState, batch: dict, key: jax.Array):
        found = features(state, batch, key)
        keys = jax.random.split(jax.random.fold_in(key, 2), rules.discriminator_steps - 1)
        learn = make_discriminator_step(discriminate, judge, optimizers[DISCRIMINATOR])
        state, _ = jax.lax.scan(lambda s, k: (learn(s, found, batch, k), None), state, keys)
        return both(state, batch, key)

    return step


def make_discriminate(discriminator: nn.Module, precision: str) -> Callable:
    """`(params, state, features, key) -> (logits, batch_stats)` of the discriminator alone."""

    def discriminate(params, state: TrainState, features, key):
        variables = {
            "params": cast(params[DISCRIMINATOR], precision),
            "batch_stats": state.batch_stats.get(DISCRIMINATOR, {}),
        }
        logits, updates = discriminator.apply(
            variables,
            cast(features, precision),
            train=True,
            rngs={"dropout": key},
            mutable=["batch_stats"],
        )
        return cast(logits, "float32"), updates.get("batch_stats", {})

    return discriminate


def make_discriminator_step(
    discriminate: Callable, judge: losses.Loss, tx: optax.GradientTransformation
) -> Callable:
    """`(state, features, batch, key) -> state`: updates only the discriminator."""

    def learn(state: TrainState, features, batch, key) -> TrainState:
        def objective(part):
            params = state.params | {DISCRIMINATOR: part}
            logits, stats = discriminate(params, state, features, key)
            return judge({"domain_logits": logits}, batch)[0], stats

        part = state.params[DISCRIMINATOR]
        (value, stats), grads = jax.value_and_grad(objective, has_aux=True)(part)
        updates, opt_state = tx.update(
            {DISCRIMINATOR: grads},
            state.opt_state[DISCRIMINATOR],
            {DISCRIMINATOR: part},
            value=value,
        )
        kept = {DISCRIMINATOR: stats} if stats else {}
        new = state.replace(
            params=state.params | optax.apply_updates({DISCRIMINATOR: part}, updates),
            opt_state=state.opt_state | {DISCRIMINATOR: opt_state},
            batch_stats=state.batch_stats | kept,
        )
        finite = jnp.isfinite(value) & jnp.isfinite(optax.global_norm(grads))
        return jax.tree.map(lambda a, b: jnp.where(finite, a, b), new, state)

    return learn


def as_another(judge: losses.Loss, logits: jax.Array, domain: jax.Array) -> jax.Array:
    """The discriminator's loss with another domain as the target; the mean over all others."""
    domains = logits.shape[-1]
    found = [
        judge({"domain_logits": logits}, {"domain": (domain + shift) % domains})[0]
        for shift in range(1, domains)
    ]
    return sum(found) / max(len(found), 1)


def _game(options: Mapping) -> Game:
    try:
        return Game(**options)
    except TypeError:
        known = ", ".join(Game.__dataclass_fields__)
        raise UserError(f"config.adversarial has {', '.join(options)}: known are {known}") from None
