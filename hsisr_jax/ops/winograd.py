"""The weight gradient of a 3x3 convolution by Winograd's minimal filtering, F(3x3, 2x2).

Lavin and Gray, "Fast algorithms for convolutional neural networks", CVPR 2016. The gradient is a
sum over tiles of 2x2 outputs; between the transforms it takes 16 products of matrices a tile where
the direct form takes 36. The transforms are sums and differences, so float32 keeps its digits (a
few units in the last place more than the direct form).
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp

Rows = tuple[jax.Array, ...]


def weight_gradient(x: jax.Array, dy: jax.Array, padding) -> jax.Array:
    """`b h w i` and `b h' w' o` -> `3 3 i o`; `padding` is that of the forward convolution."""
    tiles = [-(-size // 2) for size in dy.shape[1:3]]
    ends = [(0, 2 * t - size) for t, size in zip(tiles, dy.shape[1:3])]
    dy = jnp.pad(dy, ((0, 0), *ends, (0, 0)))
    ends = [
        (low, 2 * t + 2 - size - low) for t, size, (low, _) in zip(tiles, x.shape[1:3], padding)
    ]
    x = jnp.pad(x, ((0, 0), *ends, (0, 0)))
    inputs = _both_axes(x, _input_rows)
    outputs = _both_axes(dy, _output_rows)
    products = [
        [jnp.einsum("bhwi,bhwo->io", a, b) for a, b in zip(*rows)] for rows in zip(inputs, outputs)
    ]  # 4 4 of i o
    rows = _filter_rows(tuple(jnp.stack(row) for row in products))  # 3 of 4 i o
    return jnp.stack([jnp.stack(_filter_rows(tuple(row))) for row in rows])


def _both_axes(x: jax.Array, split: Callable[[jax.Array], Rows]) -> list[Rows]:
    """The transform along the rows, then along the columns."""
    rows = [row.swapaxes(1, 2) for row in split(x)]
    return [tuple(column.swapaxes(1, 2) for column in split(row)) for row in rows]


def _input_rows(x: jax.Array) -> Rows:
    """`b 2t+2 ...` -> four of `b t ...`: windows of four rows, two apart."""
    b, n, *rest = x.shape
    pairs = x.reshape(b, n // 2, 2, *rest)
    r0, r1, r2, r3 = pairs[:, :-1, 0], pairs[:, :-1, 1], pairs[:, 1:, 0], pairs[:, 1:, 1]
    return r0 - r2, r1 + r2, r2 - r1, r1 - r3


def _output_rows(dy: jax.Array) -> Rows:
    """`b 2t ...` -> four of `b t ...`."""
    b, n, *rest = dy.shape
    pairs = dy.reshape(b, n // 2, 2, *rest)
    y0, y1 = pairs[:, :, 0], pairs[:, :, 1]
    return y0, y0 + y1, y0 - y1, -y1


def _filter_rows(u: Rows) -> Rows:
    """Four to three."""
    half = 0.5 * (u[1] + u[2])
    return u[0] + half, 0.5 * (u[1] - u[2]), half + u[3]
