"""Token graphs against SciPy and NumPy in float64, and the originals' adjacency bit for bit."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from golden import Case, cases
from scipy.spatial.distance import cdist

from hsisr_jax.ops import graphs


def tokens(b, n, d, seed=0):
    return np.random.default_rng(seed).standard_normal((b, n, d)).astype(np.float32)


@jax.jit
def released(x):
    euclidean, chebyshev = graphs.distances(x)
    correlation = graphs.correlations(x)
    scores = graphs.mix(euclidean, chebyshev, correlation, scale=64**-0.5)
    edges = graphs.strongest_edges(scores, graphs.edge_count(x.shape[1]))
    return euclidean, chebyshev, correlation, scores, edges


@pytest.mark.parametrize("case", cases("srlsgat_*.npz"))
def test_adjacency_equals_the_published_code_bit_for_bit(case):
    case = Case(case)
    euclidean, chebyshev, correlation, scores, edges = released(case["intermediate/tokens"])
    np.testing.assert_array_equal(edges, case["intermediate/adjacency_binary"] > 0)
    np.testing.assert_allclose(euclidean, case["intermediate/adj_euclidean"], atol=2e-6)
    np.testing.assert_allclose(chebyshev, case["intermediate/adj_chebyshev"], atol=0)
    np.testing.assert_allclose(correlation, case["intermediate/adj_correlation"], atol=2e-6)
    np.testing.assert_allclose(scores, case["intermediate/adj_scores"], atol=2e-6)


@pytest.mark.parametrize("shape", [(2, 13, 21), (1, 1, 3), (3, 5, 8)])
def test_relations_equal_scipy_in_float64(shape):
    x = tokens(*shape)
    euclidean, chebyshev, correlation, scores, _ = released(x)
    for i, sample in enumerate(x.astype(np.float64)):
        e, c = cdist(sample, sample), cdist(sample, sample, "chebyshev")
        r = np.corrcoef(sample).reshape(c.shape)
        np.testing.assert_allclose(euclidean[i], e, atol=2e-6)
        np.testing.assert_allclose(chebyshev[i], c, atol=1e-6)
        np.testing.assert_allclose(correlation[i], r, atol=1e-6)
        weights = np.exp(e @ c.T / 8 - (e @ c.T / 8).max(1, keepdims=True))
        np.testing.assert_allclose(scores[i], weights / weights.sum(1)[:, None] @ r, atol=5e-5)


def test_a_constant_token_correlates_with_nothing():
    x = tokens(1, 4, 6)
    x[0, 2] = 0.25
    found = np.asarray(graphs.correlations(x))[0]
    assert (found[2] == 0).all() and (found[:, 2] == 0).all()
    np.testing.assert_allclose(np.diag(found), [1, 1, 0, 1], atol=1e-6)


def test_large_graphs_are_mixed_by_blocks_of_rows(monkeypatch):
    relations = [tokens(2, 21, 21, seed) for seed in range(3)]
    whole = graphs.mix(*relations, scale=0.5)
    monkeypatch.setattr(graphs, "ROWS", 8)  # 21 rows: two blocks and a part
    np.testing.assert_allclose(graphs.mix(*relations, scale=0.5), whole, atol=1e-6)


def stable_ranking(scores, count):
    """The published rule with a sort that keeps the order of equals."""
    flat = scores.reshape(len(scores), -1)
    rank = flat.argsort(1, kind="stable").argsort(1, kind="stable")
    return (rank >= flat.shape[1] - count).reshape(scores.shape)


SELECTIONS = {
    "random": lambda x: x,
    "ties": lambda x: np.round(x, 1),
    "many ties": np.round,
    "all equal": np.zeros_like,
    "equal rows": lambda x: np.broadcast_to(x[:, :1], x.shape).copy(),
    "both zeros": lambda x: np.where(x > 0.5, x, np.where(x > 0, 0.0, -0.0)),
    "extremes": lambda x: np.where(x > 1, np.inf, np.where(x < -1, -np.inf, x * 1e-40)),
    "not numbers": lambda x: np.where(x > 1, np.nan, np.where(x < -1, -np.nan, x)),
}


@pytest.mark.parametrize("kind", SELECTIONS)
@pytest.mark.parametrize("n", [3, 12])
def test_selects_what_a_stable_sort_selects(kind, n):
    scores = SELECTIONS[kind](tokens(4, n, n)).astype(np.float32)
    for count in (1, graphs.edge_count(n), n * n):
        found = np.asarray(graphs.strongest_edges(jnp.asarray(scores), count))
        assert (found.sum((1, 2)) == count).all()
        # XLA on a CPU flushes denormals, so they tie with zero; NumPy is asked about the same
        np.testing.assert_array_equal(found, stable_ranking(np.where(
            np.abs(scores) < 1e-38, 0, scores), count))  # fmt: skip


@pytest.mark.parametrize("n", [1, 2])
def test_graphs_too_small_for_an_edge(n):
    assert graphs.edge_count(n) == 0
    assert not released(tokens(2, n, 4))[-1].any()


def test_edge_list():
    edges = np.zeros((3, 4, 4), bool)
    edges[0, 1, 2] = edges[0, 3, 0] = edges[2, 0, 3] = True
    senders, receivers = graphs.edge_list(jnp.asarray(edges), 2)
    np.testing.assert_array_equal(senders[:3], [2, 0, 11])
    np.testing.assert_array_equal(receivers, [1, 3, 8, 12, 12, 12])  # 12: no such node


def sizes(jaxpr):
    """Elements of every array that a program makes, inner programs included."""
    for equation in jaxpr.eqns:
        yield from (np.prod(v.aval.shape) for v in equation.outvars)
        for inner in jax.tree.leaves(list(equation.params.values())):
            if hasattr(inner, "eqns") or hasattr(inner, "jaxpr"):
                yield from sizes(getattr(inner, "jaxpr", inner))


def test_no_array_is_larger_than_the_relations():
    b, n, d = 2, 24, 64
    program = jax.make_jaxpr(released)(tokens(b, n, d))
    found = list(sizes(program.jaxpr))
    assert len(found) > 50  # it does look inside the loops
    assert max(found) <= max(b * n * n, b * n * d)
