"""Graphs over image tokens: three relations between tokens, their mix, and the edges it selects.

SRLSGAT (Dong et al., Geo-spatial Information Science 2025), multi-adjacent weight matrix. Batched
and on the device, where the published code walks over samples in NumPy and SciPy; in float32, where
it takes distances in float64 and rounds. No array holds tokens x tokens x features.

Two places where the published code has no defined answer, and ours:

- Ties at the edge threshold. It ranks with an unstable sort. Here the set always has exactly
  `edge_count` edges, and of equal scores those that come last (row by row) win: what the published
  code computes when its sort is stable. Ties are real: a saturated softmax makes rows equal.
- A constant token has no correlation coefficient (there: NaN in every score). Here it is 0.
"""

import jax
import jax.numpy as jnp
from jax import lax

CHANNELS = 8  # per step of the distance scan: few passes over `b n n`, and still one fused loop
ROWS = 512  # per step of the mix, above which XLA's CPU code for one large mix degrades badly


def edge_count(tokens: int) -> int:
    """Edges kept per graph: the strongest sixth of all pairs."""
    return tokens * tokens // 6


def distances(x: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Euclidean and Chebyshev distances between the tokens `b n d`: two arrays `b n n`.

    Sums of squared differences: a Gram matrix would lose the digits that decide close calls.
    """
    x = x.astype(jnp.float32)
    b, n, d = x.shape
    size = min(CHANNELS, d)
    x = jnp.pad(x, ((0, 0), (0, 0), (0, -d % size)))
    blocks = x.reshape(b, n, -1, size).transpose(2, 3, 0, 1)  # blocks size b n

    def step(carry, block):
        squares, largest = carry
        for channel in block:
            difference = jnp.abs(channel[:, :, None] - channel[:, None, :])
            squares += difference * difference
            largest = jnp.maximum(largest, difference)
        return (squares, largest), None

    zeros = jnp.zeros((b, n, n), jnp.float32)
    (squares, largest), _ = lax.scan(step, (zeros, zeros), blocks)
    return jnp.sqrt(squares), largest


def correlations(x: jax.Array) -> jax.Array:
    """Correlation coefficients between the tokens `b n d` over their features: `b n n`."""
    x = x.astype(jnp.float32)
    x -= x.mean(-1, keepdims=True)
    length = jnp.sqrt(jnp.square(x).sum(-1, keepdims=True))
    x = jnp.where(length > 0, x / jnp.where(length > 0, length, 1), 0)
    products = jnp.einsum("bid,bjd->bij", x, x, precision=lax.Precision.HIGHEST)
    return jnp.clip(products, -1, 1)


def mix(query: jax.Array, key: jax.Array, value: jax.Array, *, scale: float) -> jax.Array:
    """`softmax(query @ key.T * scale) @ value` for relations `b n n`, in float32."""

    def of_rows(rows):  # b r n
        scores = jnp.einsum("bin,bjn->bij", rows, key, precision=lax.Precision.HIGHEST)
        weights = jax.nn.softmax(scores * scale, axis=-1)
        return jnp.einsum("bij,bjn->bin", weights, value, precision=lax.Precision.HIGHEST)

    b, n, _ = query.shape
    if n <= 2 * ROWS:
        return of_rows(query)
    blocks = jnp.pad(query, ((0, 0), (0, -n % ROWS), (0, 0))).reshape(b, -1, ROWS, n)
    mixed = lax.map(of_rows, blocks.transpose(1, 0, 2, 3))  # blocks b r n
    return mixed.transpose(1, 0, 2, 3).reshape(b, -1, n)[:, :n]


def strongest_edges(scores: jax.Array, count: int) -> jax.Array:
    """The `count` largest of each graph's `b n n` scores, as booleans: exactly `count` of them."""
    b, n, _ = scores.shape
    if count == 0:
        return jnp.zeros((b, n, n), bool)
    ranks = _order_preserving(scores)
    threshold = _kth_largest(ranks.reshape(b, -1), count).reshape(b, 1, 1)
    above, equal = ranks > threshold, ranks == threshold
    missing = count - above.sum((1, 2))  # b
    return above | (equal & _last(equal, missing))


def edge_list(edges: jax.Array, count: int) -> tuple[jax.Array, jax.Array]:
    """Senders and receivers, numbered over the whole batch, of at most `count` edges per graph.

    Entry `(i, j)` of the booleans `b n n` is an edge from token `j` to token `i`. Unused places get
    the receiver `b * n`, one more than there are.
    """
    b, n, _ = edges.shape
    graphs, receivers, senders = jnp.nonzero(edges, size=b * count, fill_value=(b, 0, 0))
    return graphs * n + senders, graphs * n + receivers


def _order_preserving(x: jax.Array) -> jax.Array:
    """float32 as uint32 of the same order; both zeros are equal, NaN is the largest."""
    bits = lax.bitcast_convert_type(jnp.where(x == 0, 0.0, x), jnp.uint32)
    negative = bits >> 31 == 1
    ranks = jnp.where(negative, ~bits, bits | jnp.uint32(1 << 31))
    return jnp.where(jnp.isnan(x), jnp.uint32(2**32 - 1), ranks)


def _kth_largest(ranks: jax.Array, count: int) -> jax.Array:
    """The `count`-th largest of each row of `b m`, bit by bit: exact, and far cheaper than a sort.

    The answer is the largest number that at least `count` entries reach.
    """

    def step(i, found):
        candidate = found | (jnp.uint32(1 << 31) >> i.astype(jnp.uint32))
        enough = (ranks >= candidate[:, None]).sum(1) >= count
        return jnp.where(enough, candidate, found)

    return lax.fori_loop(0, 32, step, jnp.zeros(ranks.shape[0], jnp.uint32))


def _last(marks: jax.Array, count: jax.Array) -> jax.Array:
    """A mask that holds exactly the last `count` of each graph's marks (row by row).

    Counted per row first: a running sum over all pairs would cost more than all the rest.
    """
    b, n, _ = marks.shape
    per_row = marks.sum(2)  # b n
    after = per_row[:, ::-1].cumsum(1)[:, ::-1] - per_row  # marks in later rows
    row = (after + per_row >= count[:, None]).sum(1) - 1  # the row where the count is reached
    row = row.clip(0)
    rest = count - jnp.take_along_axis(after, row[:, None], 1)[:, 0]
    cut = jnp.take_along_axis(marks, row[:, None, None], 1)[:, 0]  # b n
    kept = cut[:, ::-1].cumsum(1)[:, ::-1] <= rest[:, None]
    rows = jnp.arange(n).reshape(1, n, 1)
    row = row.reshape(b, 1, 1)
    return (rows > row) | ((rows == row) & kept[:, None])
