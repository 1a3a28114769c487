"""The depthwise convolution and its gradients against XLA's grouped one."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

from hsisr_jax.ops.depthwise import _filter_gradient, _pad, convolve_depthwise


def reference(x, kernel):
    return lax.conv_general_dilated(
        x,
        kernel[:, :, None],
        (1, 1),
        "SAME",
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
        feature_group_count=x.shape[-1],
    )


@pytest.mark.parametrize(("shape", "k"), [((2, 6, 7, 3), (5, 5)), ((1, 2, 9, 4), (3, 5))])
def test_values_and_gradients_equal_a_grouped_convolution(shape, k):
    keys = jax.random.split(jax.random.key(0), 3)
    x = jax.random.normal(keys[0], shape)
    kernel = jax.random.normal(keys[1], (*k, shape[-1]))
    dy = jax.random.normal(keys[2], shape)
    expected, pull = jax.vjp(reference, x, kernel)
    found, pull_ours = jax.vjp(convolve_depthwise, x, kernel)
    np.testing.assert_allclose(found, expected, atol=1e-5)
    for ours, theirs in zip(pull_ours(dy), pull(dy)):
        np.testing.assert_allclose(ours, theirs, atol=2e-5)
    # the form that other backends than the CPU take
    all_at_once = _filter_gradient(_pad(x, *k), dy, *k).reshape(kernel.shape)
    np.testing.assert_allclose(all_at_once, pull(dy)[1], atol=2e-5)


def test_filter_gradient_is_summed_in_float32():
    x = jnp.ones((1, 64, 64, 1), jnp.bfloat16)
    grad = jax.grad(lambda k: convolve_depthwise(x, k).astype(jnp.float32).sum())
    centre = grad(jnp.zeros((3, 3, 1), jnp.bfloat16))[1, 1, 0]
    assert centre == 4096  # a bfloat16 sum of ones stops at 256
