"""Scaled dot-product attention over tokens, softmax in float32, memory bounded."""

from collections.abc import Callable

import jax
import jax.numpy as jnp

# Above this many scores a head and group of tokens, queries are taken in blocks of so many.
FULL_SCORES, BLOCK = 1024 * 1024, 256


def attend(
    q: jax.Array,
    k: jax.Array,
    v: jax.Array,
    *,
    bias: jax.Array | None = None,
    drop: Callable[[jax.Array], jax.Array] | None = None,
) -> jax.Array:
    """`b n q h d`, `b n k h d` twice -> `b n q h d`: tokens of the same group `n` see each other.

    `q` is already scaled; `bias` is added to the scores `b n h q k`; `drop` acts on the weights.
    """
    scores = jnp.einsum("bnqhd,bnkhd->bnhqk", q, k, preferred_element_type=jnp.float32)
    if bias is not None:
        scores += bias.astype(jnp.float32)
    weights = jax.nn.softmax(scores, -1).astype(v.dtype)
    weights = weights if drop is None else drop(weights)
    return jnp.einsum("bnhqk,bnkhd->bnqhd", weights, v)


def attend_in_blocks(q: jax.Array, k: jax.Array, v: jax.Array) -> jax.Array:
    """`attend` that never holds more than `BLOCK` rows of a large score matrix.

    The weights are made again in the backward pass, so that memory grows with the tokens only.
    """
    tokens = q.shape[2]
    if tokens * k.shape[2] <= FULL_SCORES:
        return attend(q, k, v)
    count = -(-tokens // BLOCK)
    q = jnp.pad(q, ((0, 0), (0, 0), (0, count * BLOCK - tokens), (0, 0), (0, 0)))
    b, n, _, h, d = q.shape
    blocks = q.reshape(b, n, count, BLOCK, h, d).transpose(2, 0, 1, 3, 4, 5)
    out = jax.lax.map(jax.checkpoint(lambda block: attend(block, k, v)), blocks)
    return out.transpose(1, 2, 0, 3, 4, 5).reshape(b, n, -1, h, d)[:, :, :tokens]
