"""The residual block: its skip, its scale, its order of layers."""

import jax
import jax.numpy as jnp
import numpy as np
import parity
import pytest
from flax import linen as nn

from hsisr_jax.layers.residual import ResidualBlock
from hsisr_jax.ops.convolution import convolve
from hsisr_jax.port.blocks import residual_block

X = jax.random.normal(jax.random.key(0), (2, 4, 5, 16))


def conv(params, x):
    pads = ((1, 1), (1, 1))
    return convolve(x, params["kernel"], padding=pads) + params["bias"].reshape(1, 1, 1, -1)


@pytest.mark.parametrize("scale", [0.0, 0.1, 1.0])
def test_the_residual_is_scaled_and_added(scale):
    shapes = jax.eval_shape(ResidualBlock().init, jax.random.key(1), X)["params"]
    draw = lambda s: jnp.asarray(parity.made_up(str(s.shape), s.shape))  # noqa: E731
    params = jax.tree.map(draw, shapes)
    found = ResidualBlock(scale=scale).apply({"params": params}, X)
    residual = conv(params["conv_1"], nn.relu(conv(params["conv_0"], X)))
    np.testing.assert_allclose(found, X + scale * residual, atol=1e-5)


@pytest.mark.parametrize("norm", [False, True])
@pytest.mark.parametrize("attention", [False, True])
def test_the_port_table_names_every_variable(norm, attention):
    block = ResidualBlock(1, norm=norm, attention=attention)
    shapes = jax.eval_shape(lambda key: block.init(key, X, train=True), jax.random.key(0))
    ours = {
        "/".join(k.key for k in path) for path, _ in jax.tree_util.tree_leaves_with_path(shapes)
    }
    table = residual_block("block", "k", norm=norm, attention=attention)
    named = {e.path.replace("/block", "", 1) for e in table if e.default is None}
    assert named == ours


def test_statistics_follow_the_batch_in_training_only():
    block = ResidualBlock(1, norm=True)
    variables = block.init(jax.random.key(0), X)
    _, same = block.apply(variables, X, train=False, mutable=["batch_stats"])
    jax.tree.map(np.testing.assert_array_equal, same["batch_stats"], variables["batch_stats"])
    _, moved = block.apply(variables, X, train=True, mutable=["batch_stats"])
    assert np.abs(moved["batch_stats"]["norm_0"]["mean"]).max() > 0
