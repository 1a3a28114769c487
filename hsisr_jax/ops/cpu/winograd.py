"""3x3 convolutions by Winograd's minimal filtering: F(2x2, 3x3), and F(3x3, 2x2) for gradients.

Lavin and Gray, "Fast algorithms for convolutional neural networks", CVPR 2016. Windows of 4x4
pixels and the kernel are transformed, multiplied, and transformed back to 2x2 outputs: 16 products
of matrices where the direct form takes 36. The gradient of the kernel is a sum over the same
windows. The transforms are sums and differences, so float32 keeps its digits (a few units in the
last place more than the direct form).
"""

from collections.abc import Callable
from functools import partial

import jax
import jax.numpy as jnp

Rows = tuple[jax.Array, ...]


@partial(jax.jit, static_argnames=("padding", "turned"))  # traced once for all layers of a shape
def convolution(x: jax.Array, kernel: jax.Array, padding, *, turned: bool = False) -> jax.Array:
    """Cross-correlation of `b h w i` with `3 3 i o`, zero padding given per side.

    With `turned`, of `b h w o` with the kernel flipped and transposed, as the gradient of the
    input needs it: its transforms are those of the kernel in reverse order, and transposing them
    is far cheaper than transforming a transposed kernel.
    """
    size = [n + low + high - 2 for n, (low, high) in zip(x.shape[1:3], padding)]
    windows = _windows(x, size, padding)  # 4 4 of b s t i
    factors = [_kernel_rows(row) for row in _kernel_rows(kernel)]  # 4 4 of i o
    if turned:
        factors = [tuple(_flipped(a.T for a in row)) for row in _flipped(factors)]
    products = [tuple(a @ b for a, b in zip(*rows)) for rows in zip(windows, factors)]
    rows = zip(*(_result_rows(row) for row in products))  # 2 of 4
    pairs = [jnp.stack(_result_rows(column), 2) for column in rows]  # 2 of b s 2 t o
    y = jnp.stack(pairs, 4)  # b s 2 t 2 o
    y = y.reshape(x.shape[0], 2 * y.shape[1], 2 * y.shape[3], -1)
    return y[:, : size[0], : size[1]]


@partial(jax.jit, static_argnames="padding")
def weight_gradient(x: jax.Array, dy: jax.Array, padding) -> jax.Array:
    """`b h w i` and `b h' w' o` -> `3 3 i o`; `padding` is that of the forward convolution."""
    size = dy.shape[1:3]
    windows = _windows(x, size, padding)
    ends = [(0, n % 2) for n in size]
    outputs = _both_axes(jnp.pad(dy, ((0, 0), *ends, (0, 0))), _output_rows)
    products = [
        [over_pixels(a, b) for a, b in zip(*rows)] for rows in zip(windows, outputs)
    ]  # 4 4 of i o
    rows = _filter_rows(tuple(jnp.stack(row) for row in products))  # 3 of 4 i o
    return jnp.stack([jnp.stack(_filter_rows(tuple(row))) for row in rows])


def over_pixels(a: jax.Array, b: jax.Array) -> jax.Array:
    """`... i`, `... o` -> `i o`, as a product of two matrices, which spares a copy."""
    return a.reshape(-1, a.shape[-1]).T @ b.reshape(-1, b.shape[-1])


def _windows(x: jax.Array, size, padding) -> list[Rows]:
    """The transformed 4x4 windows of `b h w i`, two pixels apart, that `size` outputs need."""
    tiles = [-(-n // 2) for n in size]
    ends = [(low, 2 * t + 2 - n - low) for t, n, (low, _) in zip(tiles, x.shape[1:3], padding)]
    return _both_axes(jnp.pad(x, ((0, 0), *ends, (0, 0))), _input_rows)


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
    """The transform of output gradients: `b 2t ...` -> four of `b t ...`."""
    b, n, *rest = dy.shape
    pairs = dy.reshape(b, n // 2, 2, *rest)
    y0, y1 = pairs[:, :, 0], pairs[:, :, 1]
    return y0, y0 + y1, y0 - y1, -y1


def _kernel_rows(g) -> Rows:
    """The kernel transform, G of F(2x2, 3x3): three rows to four."""
    ends, middle = 0.5 * (g[0] + g[2]), 0.5 * g[1]
    return g[0], ends + middle, ends - middle, g[2]


def _flipped(rows) -> list:
    """The transform of a flipped kernel from that of the kernel: the outer rows change places."""
    first, *middle, last = rows
    return [last, *middle, first]


def _result_rows(m) -> Rows:
    """The output transform, A^T of F(2x2, 3x3): four rows to two."""
    return m[0] + m[1] + m[2], m[1] - m[2] - m[3]


def _filter_rows(u: Rows) -> Rows:
    """The output transform of the weight gradient, A^T of F(3x3, 2x2): four rows to three."""
    half = 0.5 * (u[1] + u[2])
    return u[0] + half, 0.5 * (u[1] - u[2]), half + u[3]
