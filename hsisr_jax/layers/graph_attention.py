"""Graph attention over image tokens, as a masked matrix and through jraph.

Velickovic et al., ICLR 2018, in the form that SRLSGAT uses. Token `i` attends to the tokens `j`
whose edge `(i, j)` is set, with logits `LeakyReLU(a @ [h_i, h_j])`; the published code builds every
concatenation (`b n n 2d`), here `a` is split, which gives the same sums from two products of `b n`.

A token without edges attends to all tokens equally. In the published code that follows from masking
with a finite number; jraph's segments would return zeros, which is corrected here.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import jraph
from flax import linen as nn

from hsisr_jax.errors import UserError
from hsisr_jax.layers.conv import Dense
from hsisr_jax.ops import graphs
from hsisr_jax.ops.convolution import linear

SLOPE = 0.2  # of the leaky ReLU
NO_EDGE = -1e12  # the published mask: finite, so that a row without edges is uniform

Attend = Callable[..., jax.Array]


def attend_dense(h, of_receiver, of_sender, edges, bias=None) -> jax.Array:
    """Attention-weighted sums of `h` (`b k n d`) from logits halves `b k n` and edges `b n n`."""
    logits = nn.leaky_relu(of_receiver[..., :, None] + of_sender[..., None, :], SLOPE)  # b k n n
    if bias is not None:
        logits += bias[:, None]
    logits = jnp.where(edges[:, None], logits, NO_EDGE)
    return jax.nn.softmax(logits, axis=-1).astype(h.dtype) @ h


def attend_jraph(h, of_receiver, of_sender, edges, bias=None) -> jax.Array:
    """The same as segment operations over one `GraphsTuple` for the whole batch.

    A graph may have at most `graphs.edge_count` edges, which makes all shapes static; a last graph
    of one token takes the places that are not used.
    """
    b, k, n, d = h.shape
    count = graphs.edge_count(n)
    senders, receivers = graphs.edge_list(edges, count)
    flat = {"h": h, "of_receiver": of_receiver[..., None], "of_sender": of_sender[..., None]}
    flat = {name: x.transpose(0, 2, 1, 3).reshape(b * n, k, -1) for name, x in flat.items()}
    flat = {name: jnp.pad(x, ((0, 1), (0, 0), (0, 0))) for name, x in flat.items()}
    used = edges.sum((1, 2))  # b
    graph = jraph.GraphsTuple(
        nodes=flat,
        edges=None if bias is None else jnp.take(bias, receivers * n + senders % n, mode="clip"),
        senders=senders,
        receivers=receivers,
        globals=None,
        n_node=jnp.asarray([n] * b + [1]),
        n_edge=jnp.append(used, b * count - used.sum()),
    )
    y = _attend_over_edges(graph)[:-1].reshape(b, n, k, d).transpose(0, 2, 1, 3)  # b k n d
    isolated = ~edges.any(-1)[:, None, :, None]  # b 1 n 1
    return jnp.where(isolated, h.mean(2, keepdims=True), y)


def _attend_over_edges(graph: jraph.GraphsTuple) -> jax.Array:
    """Softmax over the edges of each receiver, then the weighted sum of what they send."""
    nodes, senders, receivers = graph.nodes, graph.senders, graph.receivers
    total = nodes["h"].shape[0]
    logits = nodes["of_receiver"][receivers] + nodes["of_sender"][senders]  # e k 1
    logits = nn.leaky_relu(logits, SLOPE)
    if graph.edges is not None:
        logits += graph.edges.reshape(-1, 1, 1)
    weights = jraph.segment_softmax(logits, receivers, total).astype(nodes["h"].dtype)
    return jraph.segment_sum(weights * nodes["h"][senders], receivers, total)


def choose(graph: str) -> Attend:
    """The implementation by name: `dense`, `jraph`, or `auto`, which is dense.

    A sixth of all pairs are edges: over them jraph holds `d` numbers an edge, the matrix form one a
    pair, so the matrix form is ahead in time and memory (benchmarks/micro_srlsgat.py).
    """
    known = {"dense": attend_dense, "jraph": attend_jraph, "auto": attend_dense}
    if graph not in known:
        raise UserError(f"graph is {graph!r}: use {', '.join(known)}")
    return known[graph]


class MultiAdjacency(nn.Module):
    """Edges between tokens `b n c` from three relations: the paper's multi-adjacent weight matrix.

    Euclidean distances attend to Chebyshev distances, and the attention mixes correlations; the
    strongest sixth of all pairs become edges, a set without a gradient. Returns `(edges, bias)`.

    As released, the mix is fixed and `bias` is None; the parameters `qkv` and `proj`, for 64 tokens
    whatever the image, exist and are never used. `learned` is the paper's figure: query and key
    are projections of the distances, the value one of the correlations. Ours weigh whole matrices,
    not their columns, so that any token grid works; they start at the released mix. As choosing
    edges passes no gradient, the mix is also the `bias` of the attention logits on these edges.
    """

    learned: bool = False
    scale: float = 64**-0.5  # the released code's, for any number of tokens

    @nn.compact
    def __call__(self, x: jax.Array) -> tuple[jax.Array, jax.Array | None]:
        x = jax.lax.stop_gradient(x)
        euclidean, chebyshev = graphs.distances(x)
        correlation = graphs.correlations(x)  # b n n each
        self.sow("intermediates", "adj_euclidean", euclidean)
        self.sow("intermediates", "adj_chebyshev", chebyshev)
        self.sow("intermediates", "adj_correlation", correlation)
        if self.learned:
            scores = self._learned_mix(euclidean, chebyshev, correlation)
        else:
            self._unused_parameters()
            scores = graphs.mix(euclidean, chebyshev, correlation, scale=self.scale)
        edges = graphs.strongest_edges(jax.lax.stop_gradient(scores), graphs.edge_count(x.shape[1]))
        self.sow("intermediates", "adj_scores", scores)
        self.sow("intermediates", "adjacency_binary", edges)
        return edges, scores if self.learned else None

    def _learned_mix(self, euclidean, chebyshev, correlation) -> jax.Array:
        def weights(name, *start):
            init = lambda key, shape: jnp.asarray(start, jnp.float32)  # noqa: E731
            return self.param(name, init, (len(start),)).astype(jnp.float32)

        (q0, q1), (k0, k1), (v,) = weights("query", 1, 0), weights("key", 0, 1), weights("value", 1)
        query = q0 * euclidean + q1 * chebyshev
        key = k0 * euclidean + k1 * chebyshev
        return graphs.mix(query, key, v * correlation, scale=self.scale)

    def _unused_parameters(self) -> None:
        if self.is_initializing():
            Dense(192, use_bias=False, name="qkv")(jnp.zeros((1, 64)))
            Dense(64, name="proj")(jnp.zeros((1, 64)))


class GraphAttentionLayer(nn.Module):
    """Graph attention with `heads` heads side by side: `b n c` -> `b heads n d`."""

    features: int
    heads: int = 1
    graph: str = "auto"

    @nn.compact
    def __call__(self, x: jax.Array, edges: jax.Array, bias: jax.Array | None = None) -> jax.Array:
        init = nn.initializers.variance_scaling(1.414**2, "fan_avg", "uniform", batch_axis=0)
        kernel = self.param("kernel", init, (self.heads, x.shape[-1], self.features))
        a = self.param("logits", init, (self.heads, 2 * self.features, 1))
        wide = kernel.transpose(1, 0, 2).reshape(x.shape[-1], -1)  # c k*d: one product for all
        h = linear(x, wide).reshape(*x.shape[:2], self.heads, -1).transpose(0, 2, 1, 3)  # b k n d
        a = a.reshape(self.heads, 2, self.features)
        a = jnp.einsum("kcd,ksd->csk", kernel, a)  # a @ (x @ kernel) = x @ (kernel @ a), far less
        halves = jnp.einsum("bnc,csk->sbkn", x, a, preferred_element_type=jnp.float32)
        return choose(self.graph)(h, halves[0], halves[1], edges, bias)


class GAT(nn.Module):
    """Two attention layers on tokens `b n c`: heads with ReLU, then one head with ELU.

    Ends, as published, in a log-softmax over the features. Dropout is on both layers' inputs.
    `edges` is `b n n`, true where the first token attends to the second; `bias`, of the same shape,
    is added to the logits.
    """

    features: int
    heads: int = 2
    graph: str = "auto"
    dropout: float = 0.6

    @nn.compact
    def __call__(
        self, x: jax.Array, edges: jax.Array, bias: jax.Array | None = None, *, train: bool = False
    ) -> jax.Array:
        (b, n, _), dtype = x.shape, x.dtype
        x = nn.Dropout(self.dropout)(x, deterministic=not train)
        hidden = GraphAttentionLayer(self.features, self.heads, self.graph, name="heads")
        x = nn.relu(hidden(x, edges, bias))  # b k n d
        x = x.transpose(0, 2, 1, 3).reshape(b, n, -1)  # b n k*d
        x = nn.Dropout(self.dropout)(x, deterministic=not train)
        output = GraphAttentionLayer(self.features, 1, self.graph, name="output")
        x = output(x, edges, bias)[:, 0].astype(jnp.float32)  # b n d
        self.sow("intermediates", "gat_before_elu", x)
        return jax.nn.log_softmax(nn.elu(x), axis=-1).astype(dtype)
