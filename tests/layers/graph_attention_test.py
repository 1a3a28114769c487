"""Both implementations of graph attention, against each other and against a plain loop."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from parity import quick_jit as jit

from hsisr_jax.errors import UserError
from hsisr_jax.layers.graph_attention import GAT, GraphAttentionLayer, MultiAdjacency, choose
from hsisr_jax.ops import graphs

B, N, C, D = 2, 9, 5, 4


def made(seed=0):
    return np.random.default_rng(seed).standard_normal((B, N, C)).astype(np.float32)


def edges_of(kind):
    """Random graphs of the size that a network makes, by kind."""
    scores = np.random.default_rng(1).standard_normal((B, N, N))
    if kind == "isolated":
        scores[0, [2, 5]] = scores[1, 0] = -9
    if kind == "ties":
        scores = np.round(scores)
    if kind == "few":
        return jnp.asarray(scores > 2)
    if kind == "none":
        return jnp.zeros((B, N, N), bool)
    edges = graphs.strongest_edges(jnp.asarray(scores, jnp.float32), graphs.edge_count(N))
    if kind == "isolated":
        assert not edges[0, 2].any()
    return edges


def expected(x, params, edges, bias=None):
    """One head, an edge at a time, with the concatenation that the formula has; float64."""
    out = np.zeros((B, N, D))
    for b in range(B):
        h = x[b].astype(np.float64) @ params["kernel"][0]
        for i in range(N):
            neighbours = [j for j in range(N) if edges[b, i, j]]
            logits = []
            for j in neighbours:
                e = (np.concatenate([h[i], h[j]]) @ params["logits"][0])[0]
                logits.append(max(e, 0.2 * e) + (0 if bias is None else bias[b, i, j]))
            if not neighbours:
                neighbours, logits = list(range(N)), [0.0] * N
            weights = np.exp(np.asarray(logits) - max(logits))
            out[b, i] = weights / weights.sum() @ h[neighbours]
    return out


KINDS = ["random", "isolated", "ties", "few", "none"]


@pytest.fixture(scope="module", params=["dense", "jraph", "auto"])
def layer(request):
    """A layer, its parameters and its compiled call."""
    layer = GraphAttentionLayer(D, graph=request.param)
    params = {"kernel": jax.random.normal(jax.random.key(0), (1, C, D))}
    params["logits"] = jax.random.normal(jax.random.key(1), (1, 2 * D, 1))
    call = lambda x, edges, bias: layer.apply({"params": params}, x, edges, bias)[:, 0]  # noqa: E731
    return params, jit(call)


@pytest.mark.parametrize("kind", KINDS)
def test_a_layer_equals_a_plain_loop(layer, kind):
    (params, call), x, edges = layer, made(), edges_of(kind)
    bias = np.random.default_rng(2).standard_normal((B, N, N)).astype(np.float32)
    numbers = jax.tree.map(np.asarray, params)
    for given in (None, bias):
        found = call(x, edges, given)
        np.testing.assert_allclose(found, expected(x, numbers, edges, given), atol=1e-5)


@pytest.fixture(scope="module")
def both():
    """Both implementations of the whole network, with gradients: `(params, x, edges, bias)`."""

    def run(graph):
        def objective(params, x, bias, edges):
            y = GAT(D, graph=graph).apply(params, x, edges, bias)
            return jnp.square(y - 0.3).sum(), y

        return jit(jax.value_and_grad(objective, argnums=(0, 1, 2), has_aux=True))

    params = jit(GAT(D).init)(jax.random.key(0), made(), edges_of("random"))
    return params, run("dense"), run("jraph")


@pytest.mark.parametrize("kind", KINDS)
def test_both_implementations_agree_with_gradients(both, kind):
    params, dense, sparse = both
    bias = np.random.default_rng(2).standard_normal((B, N, N)).astype(np.float32)
    (_, expected), expected_grads = dense(params, made(), bias, edges_of(kind))
    (_, found), grads = sparse(params, made(), bias, edges_of(kind))
    np.testing.assert_allclose(found, expected, atol=1e-5)
    for a, b in zip(jax.tree.leaves(grads), jax.tree.leaves(expected_grads)):
        np.testing.assert_allclose(a, b, atol=1e-5 * max(1, np.abs(b).max()))


def test_permuting_the_tokens_permutes_the_output():
    x, edges = made(), edges_of("isolated")
    order = np.random.default_rng(3).permutation(N)
    net = GAT(D)
    params = jit(net.init)(jax.random.key(0), x, edges)
    apply = jit(net.apply)
    moved = apply(params, x[:, order], edges[:, order][:, :, order])
    np.testing.assert_allclose(moved, apply(params, x, edges)[:, order], atol=1e-6)


def test_what_is_not_a_neighbour_does_not_leak(layer):
    (_, call), x, edges = layer, made(), edges_of("random")
    before = np.asarray(call(x, edges, None))
    x[0, 4] += 1
    changed = np.abs(call(x, edges, None) - before).max(2) > 0  # b n
    reached = np.asarray(edges[0, :, 4]) | ~np.asarray(edges[0].any(-1))
    reached[4] |= edges[0, 4].any() and (np.asarray(edges[0, 4]).sum() > 1)
    assert not changed[1].any()
    np.testing.assert_array_equal(changed[0], reached)


def test_dropout_in_training_only():
    x, edges = made(), edges_of("random")
    net = GAT(D)
    params = jit(net.init)(jax.random.key(0), x, edges)

    @jit
    def train(seed):
        return net.apply(params, x, edges, train=True, rngs={"dropout": jax.random.key(seed)})

    np.testing.assert_array_equal(train(1), train(1))
    assert np.abs(train(1) - train(2)).max() > 0.01
    assert np.isfinite(net.apply(params, x, edges)).all()  # needs no key


def test_a_single_token_attends_to_itself():
    x = made()[:, :1]
    for graph in ("dense", "jraph"):
        layer = GraphAttentionLayer(D, graph=graph)
        variables = layer.init(jax.random.key(0), x, jnp.zeros((B, 1, 1), bool))
        found = layer.apply(variables, x, jnp.zeros((B, 1, 1), bool))[:, 0]
        np.testing.assert_allclose(found, x @ variables["params"]["kernel"][0], atol=1e-6)


def test_learned_projections_start_at_the_released_mix_and_get_gradients():
    x = made()
    released, learned = MultiAdjacency(), MultiAdjacency(learned=True)
    fixed = jit(released.init)(jax.random.key(0), x)
    assert fixed["params"]["qkv"]["kernel"].shape == (64, 192)
    edges, bias = jit(released.apply)(fixed, x)
    assert bias is None
    params = jit(learned.init)(jax.random.key(0), x)
    same, _ = jit(learned.apply)(params, x)
    np.testing.assert_array_equal(same, edges)

    def objective(params, x):
        return jnp.square(learned.apply(params, x)[1]).sum()

    grads, of_tokens = jit(jax.grad(objective, argnums=(0, 1)))(params, x)
    for name, grad in grads["params"].items():
        assert np.abs(grad).min() > 1e-6, name
    assert not of_tokens.any()  # relations are constants, as released


def test_unknown_implementations_are_refused():
    with pytest.raises(UserError, match="use dense, jraph, auto"):
        choose("sparse")


def test_logits_start_as_the_original_does():
    """Glorot uniform of gain 1.414 for every head alone."""
    init = jit(GAT(64).init)
    params = init(jax.random.key(0), jnp.zeros((1, 4, 64)), jnp.ones((1, 4, 4), bool))
    heads = params["params"]["heads"]
    bound = 1.414 * (6 / 128) ** 0.5
    for kernel in heads["kernel"]:
        assert 0.97 * bound < np.abs(kernel).max() <= bound
    bound = 1.414 * (6 / 129) ** 0.5
    assert 0.9 * bound < np.abs(heads["logits"]).max() <= bound
