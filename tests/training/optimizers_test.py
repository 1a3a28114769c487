"""Schedules and optimizers against closed forms and PyTorch's numbers."""

import defaults
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from hsisr_jax.errors import UserError
from hsisr_jax.training import optimizers

PARAMS = {"a": jnp.array([1.0, -2.0]), "discriminator": {"w": jnp.array([0.5])}}
GRADS = {"a": jnp.array([0.3, 0.1]), "discriminator": {"w": jnp.array([-0.2])}}


def run(config, steps=5, grads=GRADS, params=PARAMS, total=100):
    tx, _ = optimizers.build(defaults.optimizer(learning_rate=0.1, **config), total)
    state = tx.init(params)
    for _ in range(steps):
        updates, state = tx.update(grads, state, params, value=jnp.float32(1.0))
        params = optax.apply_updates(params, updates)
    return params


def rates(config, steps, learning_rate=1.0, total=100):
    schedule = optimizers.schedule(config, learning_rate, total)
    return [float(schedule(step)) for step in steps]


def test_schedules():
    assert rates({"name": "constant"}, [0, 99]) == [1.0, 1.0]
    np.testing.assert_allclose(
        rates({"name": "step", "every": 30}, [0, 29, 30, 59, 60]), [1, 1, 0.1, 0.1, 0.01], rtol=1e-5
    )
    np.testing.assert_allclose(rates({"name": "cosine"}, [0, 50, 100]), [1, 0.5, 0], atol=1e-6)
    flat = {"name": "cosine", "flat": 0.5, "final": 0.01}
    np.testing.assert_allclose(rates(flat, [0, 50, 75, 100]), [1, 1, 0.505, 0.01], atol=1e-6)
    np.testing.assert_allclose(
        rates({"name": "cosine", "warmup": 10}, [0, 5, 10, 55, 100]), [0, 0.5, 1, 0.5, 0], atol=1e-6
    )
    found = rates(
        {"name": "cosine_restarts", "period": 20, "factor": 1.0, "final": 0.1}, [0, 10, 20, 30, 40]
    )
    np.testing.assert_allclose(found, [1, 0.55, 1, 0.55, 1], atol=1e-5)


def test_rates_that_epochs_set():
    """Epochs of ten steps; `0.1 ** ((e + 1) // 30)` for e from 0, and cosine restarts by epoch."""
    found = rates({"name": "step", "every": 300, "first": 290}, range(0, 700, 10), total=700)
    np.testing.assert_allclose(found, [0.1 ** ((e + 1) // 30) for e in range(70)], rtol=1e-5)
    by_epoch = {"name": "cosine_restarts", "period": 20, "factor": 1.0, "final": 0.1, "hold": 10}
    np.testing.assert_allclose(
        rates(by_epoch, [0, 9, 10, 19, 20]), [1, 1, 0.55, 0.55, 1], atol=1e-5
    )


@pytest.mark.parametrize("options", [{"period": 1000, "factor": 0.5}, {"period": 0}])
def test_restarts_that_would_never_end_are_refused(options):
    with pytest.raises(UserError, match="cosine_restarts.*use 1 or more"):
        optimizers.schedule({"name": "cosine_restarts", **options}, 1.0, 5000)


def test_the_schedule_spans_the_steps_of_a_run_that_accumulates():
    """Every second step updates, at the rate of the run's steps: the last rate is near zero."""
    config = {"name": "sgd", "momentum": 0.0, "schedule": {"name": "cosine"}, "accumulate": 2}
    found = PARAMS["a"] - run(config, steps=10, total=10)["a"]
    rate = optimizers.schedule({"name": "cosine"}, 0.1, 10)
    expected = sum(float(rate(step)) for step in range(0, 10, 2)) * GRADS["a"]
    np.testing.assert_allclose(found, expected, rtol=1e-5)
    with pytest.raises(UserError, match="accumulate is 0"):
        run({"accumulate": 0})


def test_plateau_lowers_the_rate_when_the_loss_stays():
    plain = run({"name": "sgd", "momentum": 0.0}, steps=6)["a"]
    stuck = run(
        {"name": "sgd", "momentum": 0.0, "schedule": {"name": "plateau", "patience": 1}}, steps=6
    )["a"]
    assert np.abs(stuck - PARAMS["a"]).max() < np.abs(plain - PARAMS["a"]).max()


@pytest.mark.parametrize(
    ("config", "name", "options"),
    [
        ({}, "Adam", {}),
        ({"weight_decay": 0.1}, "Adam", {"weight_decay": 0.1}),
        ({"name": "adamw", "weight_decay": 0.1}, "AdamW", {"weight_decay": 0.1}),
        ({"name": "sgd", "momentum": 0.9}, "SGD", {"momentum": 0.9}),
    ],
)
def test_equal_to_pytorch(config, name, options):
    torch = pytest.importorskip("torch")
    p = torch.tensor([1.0, -2.0], requires_grad=True)
    theirs = getattr(torch.optim, name)([p], lr=0.1, **options)
    for _ in range(5):
        p.grad = torch.tensor([0.3, 0.1])
        theirs.step()
    np.testing.assert_allclose(run(config)["a"], p.detach().numpy(), rtol=2e-5)


def test_clip_accumulate_and_freeze():
    clipped = run({"name": "sgd", "momentum": 0.0, "clip": 0.1}, steps=1)
    moved = optax.global_norm(jax.tree.map(lambda a, b: a - b, clipped, PARAMS))
    np.testing.assert_allclose(moved, 0.1 * 0.1, rtol=1e-4)
    held = run({"name": "sgd", "momentum": 0.0, "accumulate": 4}, steps=3)
    np.testing.assert_array_equal(held["a"], PARAMS["a"])
    frozen = run({"freeze": ("discriminator",)})
    np.testing.assert_array_equal(frozen["discriminator"]["w"], PARAMS["discriminator"]["w"])
    assert (frozen["a"] != PARAMS["a"]).all()


@pytest.mark.parametrize("name", ["adam", "adamw", "sgd"])
def test_weight_decay_leaves_fitted_filters_alone(name):
    params = {"base_filters": jnp.ones(2), "w": jnp.ones(2)}
    grads = jax.tree.map(jnp.zeros_like, params)
    found = run({"name": name, "weight_decay": 0.1}, steps=2, grads=grads, params=params)
    np.testing.assert_array_equal(found["base_filters"], params["base_filters"])
    assert (found["w"] < params["w"]).all()


def test_a_tensor_without_gradient_keeps_its_moments():
    tx, _ = optimizers.build(defaults.optimizer(learning_rate=0.1, skip_unused=True), 10)
    state = tx.init(PARAMS)
    updates, state = tx.update(GRADS, state, PARAMS, value=1.0)
    nothing = jax.tree.map(jnp.zeros_like, GRADS) | {"a": GRADS["a"]}
    updates, after = tx.update(nothing, state, PARAMS, value=1.0)
    assert float(updates["discriminator"]["w"][0]) == 0.0
    moments = [optax.tree_utils.tree_get(s, "mu") for s in (state, after)]
    np.testing.assert_array_equal(
        moments[0]["discriminator"]["w"], moments[1]["discriminator"]["w"]
    )
    assert (moments[0]["a"] != moments[1]["a"]).all()


def test_pairs_and_epochs():
    txs, schedules = optimizers.build_all(
        {
            "generator": defaults.optimizer(
                learning_rate=1e-3, schedule={"name": "step", "every_epochs": 2}
            ),
            "discriminator": defaults.optimizer(),
        },
        steps=100,
        steps_per_epoch=10,
    )
    assert set(txs) == {"generator", "discriminator"}
    assert float(schedules["generator"](19)) == pytest.approx(1e-3)
    assert float(schedules["generator"](20)) == pytest.approx(1e-4)
    with pytest.raises(UserError, match="both"):
        optimizers.build_all({"generator": {"learning_rate": 1.0}}, 10)


def test_what_a_configuration_lacks_is_named():
    """There are no defaults here: they stand in `configs/common.py`."""
    with pytest.raises(UserError, match="has no name, schedule, weight_decay, clip"):
        optimizers.build_all({"learning_rate": 1.0}, 10)
    with pytest.raises(UserError, match="schedule has no name: use constant"):
        optimizers.build_all(defaults.optimizer(schedule={"warmup": 5}), 10)


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"name": "adm"}, "unknown optimizer 'adm'"),
        ({"betas": 1}, "betas"),
        ({"schedule": {"name": "stairs"}}, "unknown schedule"),
        ({"schedule": {"name": "step", "evry": 3}}, "evry"),
        ({"schedule": {"name": "cosine", "warmup": "x"}}, "warmup='x': use a number of steps"),
        ({"schedule": {"name": "step", "every": 3, "hold": -1}}, "hold=-1: use a number of steps"),
        ({"freeze": ("nothing",)}, "no parameter starts with"),
    ],
)
def test_mistakes_are_named(config, message):
    with pytest.raises(UserError, match=message):
        run(config)
