"""Batch normalisation: the plain formulas in float64, parts of a batch, and what it sends."""

import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import NamedSharding
from jax.sharding import PartitionSpec as P

from hsisr_jax import mesh, models
from hsisr_jax.errors import UserError
from hsisr_jax.layers.norm import BatchNorm

EPSILON = 1e-5


def made_up(mean=0.0, shape=(8, 5, 3, 4)):
    random = np.random.default_rng(0)
    x = random.normal(mean, [1, 2, 0.5, 3], shape).astype(np.float32)
    return jnp.asarray(x), jnp.asarray(random.normal(size=shape).astype(np.float32))


def variables(mean=0.0):
    return {
        "params": {"scale": jnp.array([1.0, 2, 3, -1]), "bias": jnp.array([0.0, 1, 2, 3])},
        "batch_stats": {"mean": jnp.full(4, mean), "var": jnp.ones(4)},
    }


def plain(x, scale, bias, groups):
    """What the paper says, in two passes."""
    scale, bias = scale.reshape(1, 1, -1), bias.reshape(1, 1, -1)
    y = x.reshape(groups, -1, x.shape[-1])
    mean = y.mean(1, keepdims=True)
    var = jnp.square(y - mean).mean(1, keepdims=True)
    y = (y - mean) / jnp.sqrt(var + EPSILON) * scale + bias
    return y.reshape(x.shape), mean, var


def gradients(function, weights, params, x):
    return jax.jit(jax.grad(lambda p, x: (function(p, x) * weights).sum(), (0, 1)))(params, x)


@pytest.mark.parametrize("groups", [1, 2, 8])
@pytest.mark.parametrize("mean", [0.0, 100.0])
def test_equals_the_plain_formulas(groups, mean):
    (x, weights), start = made_up(mean), variables(mean)
    norm = BatchNorm(groups=groups)

    def ours(params, x):
        return norm.apply({**start, "params": params}, x, train=True, mutable=["batch_stats"])

    y, moved = ours(start["params"], x)
    found = gradients(lambda p, x: ours(p, x)[0], weights, start["params"], x)
    with jax.enable_x64(True):
        wide = [jax.tree.map(lambda a: a.astype(np.float64), a) for a in (start["params"], x)]
        expected, means, variances = plain(wide[1], **wide[0], groups=groups)
        wanted = gradients(lambda p, x: plain(x, **p, groups=groups)[0], weights, *wide)
    expected, means, variances = map(np.asarray, (expected, means, variances))
    np.testing.assert_allclose(y, expected, atol=1e-5 * max(mean, 1))
    for a, b in zip(*map(jax.tree.leaves, (found, wanted))):
        np.testing.assert_allclose(a, b, atol=1e-4 * np.abs(b).max())
    n = x[..., 0].size // groups
    stats = moved["batch_stats"]
    np.testing.assert_allclose(
        stats["mean"], 0.9 * mean + 0.1 * means.mean((0, 1)), rtol=1e-5, atol=1e-6
    )
    np.testing.assert_allclose(
        stats["var"], 0.9 + 0.1 * variances.mean((0, 1)) * n / (n - 1), rtol=1e-4
    )


def test_a_mean_that_is_not_known_yet_costs_little():
    x, _ = made_up(10.0)
    y, _ = BatchNorm().apply(variables(), x, train=True, mutable=["batch_stats"])
    np.testing.assert_allclose(y, plain(x, *variables()["params"].values(), 1)[0], atol=2e-3)


def test_evaluation_takes_the_running_statistics():
    x, _ = made_up()
    start = variables(0.5)
    y = BatchNorm(groups=3).apply(start, x, train=False)  # parts are an affair of training
    scale, bias = map(np.asarray, start["params"].values())
    x = np.asarray(x)
    np.testing.assert_allclose(y, (x - 0.5) / np.sqrt(1 + EPSILON) * scale + bias, atol=1e-5)


@pytest.mark.parametrize("groups", [0, 3])
def test_parts_are_equal(groups):
    x, _ = made_up()
    with pytest.raises(UserError, match=f"batch of 8 .* {groups} equal parts.*norm_groups"):
        BatchNorm(groups=groups).apply(variables(), x, train=True, mutable=["batch_stats"])


@pytest.mark.parametrize(("groups", "sums"), [(1, 2), (8, 0)])
def test_two_sums_a_channel_are_sent_each_way_and_none_for_parts(groups, sums):
    grid = mesh.make(8, 1)
    batch, alike = mesh.batch(grid), NamedSharding(grid, P())
    start = jax.device_put(variables(), alike)

    def forward(x):
        return BatchNorm(groups=groups).apply(start, x, train=True, mutable=["batch_stats"])[0]

    def both(x):
        y, pull = jax.vjp(forward, x)
        return y, pull(jnp.cos(y))[0]

    x = jax.device_put(made_up()[0], batch)
    text = jax.jit(both, out_shardings=(batch, batch)).lower(x).compile().as_text()
    messages = re.findall(r"= (.*?) all-reduce(?:-start)?\(", text)
    assert "all-gather" not in text and "all-to-all" not in text
    assert sum(len(re.findall(r"f32\[[\d,]*4\]", shape)) for shape in messages) == 2 * sums


@pytest.mark.parametrize(
    ("network", "options"),
    [
        ("srlsgat", {"bands": 4, "features": 16, "blocks": 1}),
        ("asnlsr", {"bands": 4, "features": 4}),
        ("asnlsr", {"bands": 4, "features": 4, "discriminator": "conv1d"}),
        ("asnlsr", {"bands": 4, "features": 4, "discriminator": "fc"}),
    ],
)
def test_networks_hand_the_number_of_parts_on(network, options):
    module = models.create(network, scale=2, norm_groups=2, **options)
    batch = {"lr": jnp.zeros((3, 8, 8, 4)), "lms": jnp.zeros((3, 16, 16, 4))}
    start = jax.eval_shape(lambda: module.init(jax.random.key(0), batch))
    with pytest.raises(UserError, match="batch of 3 .* 2 equal parts"):
        jax.eval_shape(
            lambda v: module.apply(
                v, batch, train=True, mutable=["batch_stats"], rngs={"dropout": jax.random.key(0)}
            ),
            start,
        )
