"""Attention: against a loop, and the blocked form against the plain one."""

import jax
import jax.numpy as jnp
import numpy as np

from hsisr_jax.ops import attention


def random(*shapes):
    keys = jax.random.split(jax.random.key(0), len(shapes))
    return [jax.random.normal(key, shape) for key, shape in zip(keys, shapes)]


def test_equals_a_loop_over_heads():
    q, k, v, bias = random((2, 3, 4, 2, 5), (2, 3, 6, 2, 5), (2, 3, 6, 2, 5), (1, 3, 2, 4, 6))
    found = attention.attend(q, k, v, bias=bias)
    for b, n, h in np.ndindex(2, 3, 2):
        scores = np.float64(q[b, n, :, h]) @ np.float64(k[b, n, :, h]).T + np.float64(bias[0, n, h])
        weights = np.exp(scores - scores.max(-1, keepdims=True))
        expected = weights / weights.sum(-1, keepdims=True) @ np.float64(v[b, n, :, h])
        np.testing.assert_allclose(found[b, n, :, h], expected, atol=1e-5)


def test_blocks_of_rows_change_nothing(monkeypatch):
    q, k, v = random(*[(1, 2, 11, 2, 3)] * 3)

    def gradients(attend):
        value = lambda *qkv: jnp.sin(attend(*qkv)).sum()  # noqa: E731
        return jax.value_and_grad(value, argnums=(0, 1, 2))(q, k, v)

    monkeypatch.setattr(attention, "FULL_SCORES", 100)
    monkeypatch.setattr(attention, "BLOCK", 4)
    found = jax.jit(lambda: gradients(attention.attend_in_blocks))()
    scans = str(jax.make_jaxpr(attention.attend_in_blocks)(q, k, v)).count("scan")
    assert scans == 1  # the blocked form was run
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, atol=1e-5), found, gradients(attention.attend)
    )


def test_scores_are_float32_for_bfloat16_tokens():
    """Scores of 256 and 257 are one bfloat16 number; their softmax must tell them apart."""
    q = jnp.asarray([16.0, 1.0], jnp.bfloat16).reshape(1, 1, 1, 1, 2)
    k = jnp.asarray([[16.0, 0.0], [16.0, 1.0]], jnp.bfloat16).reshape(1, 1, 2, 1, 2)
    v = jnp.asarray([0.0, 1.0], jnp.bfloat16).reshape(1, 1, 2, 1, 1)
    found = attention.attend(q, k, v)
    assert found.dtype == jnp.bfloat16
    np.testing.assert_allclose(found.astype(jnp.float32).item(), 1 / (1 + np.exp(-1)), atol=4e-3)
