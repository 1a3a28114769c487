"""The series against the whole matrix in float64, values and gradients."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hsisr_jax.ops.platforms import platform, tracing_for
from hsisr_jax.ops.series import full_attention, series_attention


def make(d, pixels, *, seed=0):
    draw = np.random.default_rng(seed)
    q, k, v, weight = draw.standard_normal((4, d, pixels))
    return q / np.linalg.norm(q, axis=0), k / np.linalg.norm(k, axis=0), v, weight


def matrix_form(q, k, v, weight):
    """Output and the gradients of its product with `weight`, by hand in float64."""
    e = np.exp(np.einsum("ip,jp->ijp", q, k))
    a = e / e.sum(1, keepdims=True)
    out = np.einsum("ijp,jp->ip", a, v)
    ds = a * (v[None] - out[:, None]) * weight[:, None]
    dq, dk = np.einsum("ijp,jp->ip", ds, k), np.einsum("ijp,ip->jp", ds, q)
    return out, (dq, dk, np.einsum("ijp,ip->jp", a, weight))


def series_for_gpus(q, k, v):
    """Traced, with its gradient, as GPUs get it."""
    return series_attention(q, k, v)


@pytest.mark.parametrize("function", [series_attention, series_for_gpus, full_attention])
@pytest.mark.parametrize("d", [1, 4, 16, 64])
def test_equals_the_softmax_in_double_precision(function, d):
    *arrays, weight = make(d, 50)
    expected, expected_grads = matrix_form(*arrays, weight)
    arrays = [jnp.asarray(a, jnp.float32) for a in arrays]
    with tracing_for("gpu" if function is series_for_gpus else platform()):
        out, back = jax.vjp(function, *arrays)
        grads = back(jnp.asarray(weight, jnp.float32))
    np.testing.assert_allclose(out, expected, atol=1e-6)
    for found, grad in zip(grads, expected_grads):
        np.testing.assert_allclose(found, grad, atol=3e-6)


def test_gpus_get_no_sum_of_twenty_arrays_at_once():
    """XLA's kernel for it does not compile: it wants more shared memory than a GPU has."""
    q, k, v, _ = map(jnp.asarray, make(4, 10))
    for name in ("cpu", "gpu"):
        with tracing_for(name):
            program = jax.make_jaxpr(jax.grad(lambda *a: series_attention(*a).sum()))(q, k, v)
        sums = [x for x in str(program).splitlines() if " reduce[" in x or " reduce(" in x]
        assert bool(sums) == (name == "cpu"), name


def test_the_worst_case_is_exact_too():
    """All the length in one channel: products of -1 and 1, where the series converges slowest."""
    d = 8
    q = np.repeat(np.eye(d)[:, :1], d, axis=1)
    k = np.eye(d) * np.where(np.arange(d) % 2, -1, 1)
    v = np.random.default_rng(0).uniform(-1, 1, (d, d))
    expected, _ = matrix_form(q, k, v, v)
    found = series_attention(*(jnp.asarray(a, jnp.float32) for a in (q, k, v)))
    np.testing.assert_allclose(found, expected, atol=2e-7)


def test_vmap_is_a_loop():
    q, k, v = (jnp.asarray(a, jnp.float32) for a in make(4, 6)[:3])
    batched = jax.vmap(series_attention, in_axes=(1, 1, 1), out_axes=1)(
        *(a.reshape(4, 2, 3) for a in (q, k, v))
    )
    np.testing.assert_allclose(batched.reshape(4, 6), series_attention(q, k, v), atol=1e-6)
