"""Every network in training: forward mode, forward over reverse, and a batch of parameters."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import parity
import pytest
from zoo import ROWS, make_batch, tiny

# A reversed gradient is no gradient of the loss; with this strength it is.
OPTIONS = {"asnlsr": {"reversal": -1.0}}
SMALL = {"srlsgat": (4, 3), "sspsr": (3, 2), "ssran": (3, 2), "rcam": (3, 2), "esrt": (3, 2),
         "srformer": (4, 4), "snlsr": (4, 3), "asnlsr": (4, 4), "anyband": (4, 3)}  # fmt: skip
NETWORKS = [name for name in ROWS if name != "bicubic"]


def training_loss(name: str):
    """The loss of a network's parameters, and two sets of them."""
    module = tiny(name, **OPTIONS.get(name, {}))
    batch = make_batch(module, SMALL[name])
    variables = parity.made_up_variables(module, batch)
    params = variables.pop("params")

    def loss(params):
        out, _ = module.apply(
            {"params": params, **variables},
            batch,
            train=True,
            rngs={"dropout": jax.random.key(1)},
            mutable=list(variables) or ["batch_stats"],
        )
        total = jnp.sum(jnp.sin(5 * out["sr"]))
        return total + jnp.sum(jnp.sin(out["domain_logits"])) if "domain_logits" in out else total

    return loss, params, like(params, 2, 0.02, around=params)


def like(params, seed, size, around=None):
    """A random tree of the same shapes."""
    leaves, tree = jax.tree.flatten(params)
    rng = np.random.default_rng(seed)
    made = [jnp.asarray(size * rng.standard_normal(x.shape), x.dtype) for x in leaves]
    made = tree.unflatten(made)
    return made if around is None else jax.tree.map(jnp.add, around, made)


def dot(a, b):
    return sum(jax.tree.leaves(jax.tree.map(lambda x, y: jnp.sum(x * y), a, b)))


def close(got, expected, tolerance=2e-4):
    scale = max(np.abs(x).max() for x in jax.tree.leaves(expected))
    jax.tree.map(
        lambda x, y: np.testing.assert_allclose(x, y, rtol=0, atol=tolerance * scale), got, expected
    )


def everything(loss, params, other, along):
    both = jax.tree.map(lambda *x: jnp.stack(x), params, other)
    return {
        "slope": jax.jvp(loss, (params,), (along,))[1],
        "gradient": jax.grad(loss)(params),
        "forward over reverse": jax.jvp(jax.grad(loss), (params,), (along,))[1],
        "reverse over forward": jax.grad(lambda p: jax.jvp(loss, (p,), (along,))[1])(params),
        "gradients": jax.vmap(jax.grad(loss))(both),
    }


def assert_numbers_agree(name):
    loss, params, other = training_loss(name)
    along = like(params, 3, 1.0)
    found = jax.jit(partial(everything, loss))(params, other, along)
    gradient = found["gradient"]
    size = np.sqrt(dot(gradient, gradient) * dot(along, along))
    assert size > 0
    np.testing.assert_allclose(found["slope"], dot(gradient, along), atol=1e-5 * size)
    close(found["forward over reverse"], found["reverse over forward"])
    close(jax.tree.map(lambda x: x[0], found["gradients"]), gradient)


def test_forward_mode_agrees_with_gradients_written_by_hand():
    """A network that compiles soon; tests/ops/derivatives_test.py has each gradient alone."""
    assert_numbers_agree("ssran")


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in NETWORKS if name != "ssran"])
def test_forward_mode_agrees_with_gradients_written_by_hand_in_every_network(name):
    assert_numbers_agree(name)


@pytest.mark.parametrize("name", NETWORKS)
def test_every_network_has_tangents(name):
    """By shapes alone: nothing is compiled."""
    loss, params, other = training_loss(name)
    found = jax.eval_shape(lambda p, v: jax.jvp(jax.grad(loss), (p,), (v,)), params, other)
    jax.tree.map(lambda x, y: x.shape == y.shape or pytest.fail(str(x)), found[1], params)
