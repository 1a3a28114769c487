"""Matrices of a sensor along one axis of an image: blur and sampling in one."""

import math
from functools import lru_cache

import jax
import jax.numpy as jnp
import numpy as np

from hsisr_jax import resize
from hsisr_jax.errors import UserError

KNOWN = ("bicubic", "area", "mtf")
FREQUENCIES = (0.25, 0.5, 0.75, 1.0)  # of the low resolution's Nyquist frequency
MTFS = tuple(round(0.1 + 0.05 * i, 2) for i in range(9))  # of the Gaussians among them
FAMILY = (("bicubic", 0.3), ("area", 0.3), *(("mtf", mtf) for mtf in MTFS))  # to train for


@lru_cache(maxsize=64)
def matrix(n: int, scale: int, name: str, mtf: float) -> np.ndarray:
    """The float64 matrix `[n, n * scale]` from an axis at high resolution to n pixels: MATLAB's
    bicubic, the mean of a pixel's area, or a Gaussian that passes the share `mtf` at Nyquist."""
    if name == "bicubic":
        return resize.weights(n * scale, 1 / scale)
    if name == "area":
        return np.kron(np.eye(n), np.full(scale, 1 / scale))
    if name == "mtf" and 0 < mtf < 1:
        return resize.gaussian_weights(n * scale, scale, deviation(mtf, scale))
    raise UserError(
        f"the degradation {name!r} with mtf={mtf} is not one that can be told to the network: use "
        f"{', '.join(KNOWN)}, and an mtf between 0 and 1"
    )


def deviation(mtf: float, scale: int) -> float:
    """The deviation in high-resolution pixels of a Gaussian that passes the share `mtf` at the low
    resolution's Nyquist frequency: exp(-2 pi^2 d^2 f^2) = mtf at f = 1 / (2 scale)."""
    return scale / math.pi * math.sqrt(-2 * math.log(mtf))


@lru_cache(maxsize=64)
def transfer(scale: int, name: str, mtf: float) -> tuple[float, ...]:
    """How much contrast passes at `FREQUENCIES`."""
    n = 16 * scale
    row = matrix(16, scale, name, mtf)[8]
    distance = np.arange(n) - (8.5 * scale - 0.5)
    return tuple(float(row @ np.cos(np.pi * distance * f / scale)) for f in FREQUENCIES)


def of_family(n: int, scale: int, number: jax.Array) -> jax.Array:
    """The matrices `b n n*scale` of sensors of the family, by their numbers in it."""
    matrices = np.stack([matrix(n, scale, *sensor) for sensor in FAMILY])
    return jnp.asarray(matrices, jnp.float32)[number]


def transfer_of_family(scale: int, number: jax.Array) -> jax.Array:
    """How much contrast they pass, `b 4`."""
    return jnp.asarray([transfer(scale, *sensor) for sensor in FAMILY], jnp.float32)[number]


def apply(rows: np.ndarray | jax.Array, x: jax.Array, columns: np.ndarray | jax.Array) -> jax.Array:
    """One matrix along the rows and one along the columns of `b h w c`; or one for each image."""
    rows, columns = (jnp.asarray(m, x.dtype) for m in (rows, columns))
    each = "b" if rows.ndim == 3 else ""
    return jnp.einsum(f"{each}ij,bjkc,{each}lk->bilc", rows, x, columns, optimize="optimal")
