"""The linear upscaling that fits best: a filter for each place inside a low-resolution pixel.

All bands share the `scale**2` filters of `2 radius + 1` taps a side (Romano, Isidoro and Milanfar,
"RAISR", IEEE TCI 2017, with one class of pixels). They read differences to the pixel in the middle,
so that a flat area gets nothing; borders are mirrored.
"""

import jax
import jax.numpy as jnp
import numpy as np

from hsisr_jax.ops import xla

RIDGE = 1e-2  # of the taps' mean square


def taps(radius: int) -> int:
    """How many low-resolution pixels a filter reads."""
    return (2 * radius + 1) ** 2


def detail(lr: jax.Array, filters: jax.Array, scale: int) -> jax.Array:
    """`b h w c` under `taps scale*scale` filters: `b H W c`."""
    b, h, w, c = lr.shape
    side = round(len(filters) ** 0.5)
    middle = jnp.arange(len(filters)) == len(filters) // 2
    kernel = filters - jnp.where(middle[:, None], filters.sum(0), 0)  # of differences to it
    x = jnp.moveaxis(_padded(lr, side // 2), 3, 1).reshape(b * c, h + side - 1, w + side - 1, 1)
    y = xla.convolve(x, kernel.reshape(side, side, 1, -1).astype(lr.dtype), 1, ((0, 0), (0, 0)))
    y = y.reshape(b, c, h, w, scale, scale).transpose(0, 2, 4, 3, 5, 1)  # b h s w s c
    return y.reshape(b, h * scale, w * scale, c)


def normal_equations(lr: jax.Array, wanted: jax.Array, radius: int) -> tuple[jax.Array, jax.Array]:
    """`taps taps` and `taps scale*scale`: sums over all pixels and bands, an image at a time."""
    h, w = lr.shape[1:3]
    scale, side = wanted.shape[1] // h, 2 * radius + 1

    def add(sums, pair):
        x, y = pair
        x = _padded(x[None], radius)[0]
        shifted = [x[i : i + h, j : j + w] for i in range(side) for j in range(side)]
        read = (jnp.stack(shifted, -1) - shifted[taps(radius) // 2][..., None]).reshape(
            -1, taps(radius)
        )  # hwc taps
        y = y.reshape(h, scale, w, scale, -1).transpose(0, 2, 4, 1, 3).reshape(-1, scale**2)
        return (sums[0] + read.T @ read, sums[1] + read.T @ y), None

    start = jnp.zeros((taps(radius),) * 2), jnp.zeros((taps(radius), scale**2))
    return jax.lax.scan(add, start, (lr, wanted))[0]


def solve(gram: np.ndarray, right: np.ndarray, ridge: float = RIDGE) -> np.ndarray:
    """The filters, `taps scale*scale`, of summed normal equations."""
    weight = ridge * np.trace(gram) / len(gram)
    weight = weight or 1.0  # of scenes without any detail
    return np.linalg.solve(gram + weight * np.eye(len(gram)), right)


def _padded(x: jax.Array, radius: int) -> jax.Array:
    return jnp.pad(x, ((0, 0), (radius, radius), (radius, radius), (0, 0)), mode="symmetric")
