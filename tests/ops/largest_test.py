"""The largest value, and its gradient at one place: PyTorch's, whatever is equal or rounded."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hsisr_jax.ops.largest import largest


@pytest.mark.parametrize("axes", [(2, 4), (1, 2), -1])
def test_values_and_gradients_are_those_of_max(axes):
    x = jax.random.normal(jax.random.key(0), (2, 3, 2, 4, 2, 3))
    weights = jax.random.normal(jax.random.key(1), x.max(axes).shape)
    np.testing.assert_array_equal(largest(x, axes), x.max(axes))
    found = jax.jit(jax.grad(lambda x: (largest(x**3, axes) * weights).sum()))(x)
    expected = jax.grad(lambda x: ((x**3).max(axes) * weights).sum())(x)
    np.testing.assert_allclose(found, expected, rtol=1e-6)
    moved = jax.random.normal(jax.random.key(2), x.shape)
    _, found = jax.jvp(lambda x: largest(x, axes), (x,), (moved,))
    _, expected = jax.jvp(lambda x: x.max(axes), (x,), (moved,))
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16])
def test_of_equal_values_the_first_has_the_gradient(dtype):
    """By PyTorch 2: `torch.nn.functional.max_pool2d(x, 2).sum().backward()`."""
    x = jnp.asarray([[1, 2, 0, 0], [2, 2, 0, 0]], dtype)
    found = jax.grad(lambda x: largest(x.reshape(1, 2, 2, 2), (1, 3)).sum())(x)
    assert found.dtype == dtype
    np.testing.assert_array_equal(found, [[0, 1, 1, 0], [0, 0, 0, 0]])


def test_every_window_has_one_winner_in_a_compiled_program():
    """Windows of nearly equal values, computed from something that a compiler may round twice."""
    x = 0.2 + 1e-7 * jax.random.normal(jax.random.key(0), (8, 16, 2, 16, 2, 32))

    def total(moved):
        y = jax.nn.leaky_relu(jnp.tanh(3 * x) * 1.7 - 0.4, 0.2) + moved
        return largest(y, (2, 4)).sum()

    for level in (0, 3):
        options = {"xla_backend_optimization_level": level}
        gradient = jax.jit(jax.grad(total), compiler_options=options)(jnp.zeros_like(x))
        np.testing.assert_array_equal(gradient.sum((2, 4)), 1)
        assert set(np.unique(gradient)) == {0, 1}
