"""Windows of an image: partition and merge, overlapping neighbourhoods, SRFormer's masks.

Masks and indices depend on sizes alone, so they are numpy arrays, made while tracing.
"""

import jax
import jax.numpy as jnp
import numpy as np


def partition(x: jax.Array, window: int) -> jax.Array:
    """`b h w d` -> `b n window*window d`, windows and pixels in row-major order."""
    b, h, w, d = x.shape
    x = x.reshape(b, h // window, window, w // window, window, d).swapaxes(2, 3)
    return x.reshape(b, -1, window * window, d)


def merge(x: jax.Array, size: tuple[int, int]) -> jax.Array:
    """The inverse of `partition` for an image of `size`."""
    (b, _, tokens, d), (h, w) = x.shape, size
    window = round(tokens**0.5)
    x = x.reshape(b, h // window, w // window, window, window, d).swapaxes(2, 3)
    return x.reshape(b, h, w, d)


def unfold(x: jax.Array, size: int = 3) -> jax.Array:
    """`b h w d` -> `b h w (d size size)`: every pixel's zero-padded neighbourhood."""
    b, h, w, d = x.shape
    x = _pad(x, size)
    taps = [x[:, i : i + h, j : j + w] for i in range(size) for j in range(size)]
    return jnp.stack(taps, -1).reshape(b, h, w, d * size * size)


def fold(x: jax.Array, size: int = 3) -> jax.Array:
    """The transpose of `unfold`: overlapping neighbourhoods are summed."""
    b, h, w, d = x.shape
    x = _pad(x, size).reshape(b, h + size - 1, w + size - 1, d // size**2, size**2)
    last = size - 1
    return sum(
        x[:, last - i : last - i + h, last - j : last - j + w, :, i * size + j]
        for i in range(size)
        for j in range(size)
    )


def _pad(x: jax.Array, size: int) -> jax.Array:
    half = size // 2
    return jnp.pad(x, ((0, 0), (half, half), (half, half), (0, 0)))


def permute(x: jax.Array, window: int) -> jax.Array:
    """`b n window*window d` -> `b n window*window/4 4*d`: 2x2 tokens go into the channels."""
    b, n, tokens, d = x.shape
    half = window // 2
    x = x.reshape(b, n, half, 2, half, 2, d).swapaxes(3, 4)  # b n half half 2 2 d
    return x.reshape(b, n, tokens // 4, 4 * d)


def permuted_position_index(window: int) -> np.ndarray:
    """`t t/4`: for a query token and a permuted key, the row of the table of position biases.

    The four tokens of a 2x2 block share the position of their block.
    """
    half = window // 2
    rows, columns = np.divmod(np.arange(half * half), half)
    distance_y = rows[:, None] - rows[None, :] + half - 1
    distance_x = columns[:, None] - columns[None, :] + half - 1
    index = distance_y * (2 * half - 1) + distance_x  # blocks by blocks
    block = np.arange(window)[:, None] // 2 * half + np.arange(window)[None, :] // 2
    return index[block.reshape(-1)].astype(np.int32)


def permuted_shift_mask(size: tuple[int, int], window: int, shift: int) -> np.ndarray:
    """`n t t/4`: -100 where query and key were not neighbours before the cyclic shift, else 0.

    The boundary between permuted regions is `(-shift) // 2` from the end, rounded away from it, as
    in the original: with an odd shift the region's last 2x2 block holds tokens of both sides.
    """
    queries = _regions(size, window, shift)
    half_size = (size[0] // 2, size[1] // 2)
    keys = _regions(half_size, window // 2, -(-shift // 2))
    return np.where(queries[:, :, None] == keys[:, None, :], 0, -100).astype(np.float32)


def _regions(size: tuple[int, int], window: int, shift: int) -> np.ndarray:
    """`n window*window`: the number (0 to 8) of the region that each pixel belongs to."""
    rows, columns = (
        (np.arange(n) >= n - window).astype(int) + (np.arange(n) >= n - shift) for n in size
    )
    regions = 3 * rows[:, None] + columns[None, :]
    h, w = size
    regions = regions.reshape(h // window, window, w // window, window).swapaxes(1, 2)
    return regions.reshape(-1, window * window)
