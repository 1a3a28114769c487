"""Standard deviations from how much a network changes a scene, calibrated on the scene itself.

What a network adds to the bicubic image is what it may have invented: its local size (`Detail`) is
larger where the error is. At reduced resolution the error is known, so that it can be said for
each band how large it is where so much was added (`fit`), and checked on another part of the scene
(`reliability`). Two things change from there to the output: its pixels are smaller, so that the
noise of a sensor is larger in them (`smaller_pixels`), and other errors shrink with the scale, as
they did from one scale coarser (`shrunk`) or, in a scene too small to tell, as the ground's detail
does on average (`usual_shrink`).
"""

from dataclasses import dataclass, replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from hsisr_jax import resize
from hsisr_jax.inference.frontend import HALO, Frontend
from hsisr_jax.layers.back_projection import Observe
from hsisr_jax.ops.noise import band_noise
from hsisr_jax.ops.sharpness import USUAL

ONE_SIGMA = 0.6827  # of a normal distribution's values lie within one standard deviation
LEVELS = 8  # of what was added, each with as many pixels
LEAST = 24  # pixels a level
BLOCK = 16  # high-resolution pixels on the side of the parts that are checked against each other
SHRUNK = 1 / 1.5  # what errors shrink to from one scale to the next finer one, at most
NOMINAL = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, ONE_SIGMA, 0.8, 0.9, 0.95)


@dataclass(frozen=True, eq=False)
class Detail:
    """Called as a `Frontend`: the mean square of what its network adds to the bicubic image, in a
    window around each pixel, in the network's range; NaN where the output is hidden."""

    frontend: Frontend

    def __call__(self, variables: dict, stored: jax.Array, bits: jax.Array) -> jax.Array:
        return self.estimate(variables, stored, bits)

    def finished(self, square: jax.Array, stored: jax.Array, bits: jax.Array) -> jax.Array:
        return square

    def estimate(self, variables: dict, stored: jax.Array, bits: jax.Array) -> jax.Array:
        """The mean square of one pass; how passes over flips differ is part of their mean."""
        front = self.frontend
        sr = front(variables, stored, bits)
        edge = HALO * front.scale
        lms = resize.imresize(front.seen(stored), front.scale)[:, edge:-edge, edge:-edge]
        added = jnp.square(sr - lms)
        known = jnp.isfinite(added)
        size = 2 * front.scale + 1
        total, share = (_box(x, size) for x in (jnp.where(known, added, 0), known.astype(sr.dtype)))
        return jnp.where(known, total / jnp.maximum(share, 1e-6), jnp.nan)


def _box(x: jax.Array, size: int) -> jax.Array:
    """Sums over a window of `b H W c`; beyond the border nothing is added."""
    window, steps = (1, size, size, 1), (1, 1, 1, 1)
    return jax.lax.reduce_window(x, 0.0, jax.lax.add, window, steps, "SAME")


@dataclass(frozen=True, eq=False)
class Table:
    """Standard deviations of each band at some sizes of what was added, in physical units."""

    added: np.ndarray  # [levels, c], rising
    sigma: np.ndarray  # [levels, c], not falling
    noise: np.ndarray | float = 0.0  # [c]: what a truth of smaller pixels has of it more
    shrink: float = 1.0  # of the rest, from the scale of the table to the finer one

    def __call__(self, added: np.ndarray) -> np.ndarray:
        """Standard deviations for `added` (`... c`): linear between levels and beyond the last."""
        found = np.broadcast_to(self.sigma[0], added.shape).astype(np.float32)
        for level in range(len(self.added) - 1):
            low, high = self.added[level : level + 2]
            rise = (self.sigma[level + 1] - self.sigma[level]) / np.maximum(high - low, 1e-30)
            last = level == len(self.added) - 2
            found = found + rise * np.clip(added - low, 0, None if last else high - low)
        found = np.hypot(found * self.shrink, self.noise).astype(np.float32)
        return np.where(np.isfinite(added), found, np.nan)

    def to_json(self) -> dict[str, Any]:
        """Plain JSON types."""
        noise = np.broadcast_to(self.noise, self.added.shape[1:]).tolist()
        rest = {"noise": noise, "shrink": self.shrink}
        return {"added": self.added.tolist(), "sigma": self.sigma.tolist(), **rest}


def fit(added: np.ndarray, error: np.ndarray) -> Table:
    """The table of pixels `n c`: at each level the size that 68 % of its errors do not exceed."""
    levels = int(np.clip(len(added) // LEAST, 1, LEVELS))
    kept = len(added) // levels * levels
    order = np.argsort(added, 0)[:kept]
    added, error = (np.take_along_axis(x, order, 0) for x in (added, np.abs(error)))
    added, error = (x.reshape(levels, kept // levels, -1) for x in (added, error))
    return Table(added.mean(1), rising(np.quantile(error, ONE_SIGMA, axis=1)))


def rising(values: np.ndarray) -> np.ndarray:
    """The nearest `n c` that does not fall along `n`, in the mean of squares."""
    count = len(values)
    sums = np.concatenate([np.zeros_like(values[:1]), np.cumsum(values, 0)])

    def lowest(i: int, j: int) -> np.ndarray:
        """The least of the means from `i` to `j` or farther."""
        return np.min([(sums[k] - sums[i]) / (k - i) for k in range(j + 1, count + 1)], 0)

    levels = range(count)
    return np.stack([np.max([lowest(i, j) for i in levels[: j + 1]], 0) for j in levels])


def smaller_pixels(spectra: np.ndarray, observe: Observe, scale: int) -> np.ndarray | float:
    """The deviation of the noise that a truth with `scale` times smaller pixels has beyond that of
    a scene with these spectra (`n c`). 0 where the noise cannot be estimated."""
    noise, left = band_noise(spectra), noise_left(observe, scale)
    return 0.0 if noise is None else noise * np.sqrt(max(left**-2 - 1, 0.0))


def noise_left(observe: Observe, scale: int, side: int = 16) -> float:
    """The share of white noise (its deviation) that is left in larger pixels."""

    def pixel(fine: jax.Array) -> jax.Array:
        return observe(fine)["lr"][0, side // 2, side // 2, 0]

    weights = jax.grad(pixel)(jnp.zeros((1, side * scale, side * scale, 1)))
    return float(jnp.sqrt(jnp.square(weights).sum()))


def shrunk(table: Table, coarser: Table, added: np.ndarray, error: np.ndarray) -> Table:
    """The table for the next, finer scale: errors are taken to shrink as they did from `coarser`,
    the table of the scale before, to the pixels `n c` that this table was made of.

    Never to grow: the finer the scale, the less power the ground has, and a coarser one that was
    blurred by the sensor and again by degrading has too little error to say more.
    """
    sigma = np.maximum(coarser(added), 1e-30)
    ratio = np.quantile(np.abs(error) / sigma, ONE_SIGMA, axis=0)
    change = float(np.median(ratio))
    return replace(table, shrink=float(np.clip(change, SHRUNK, 1.0)))


def usual_shrink(scale: int) -> float:
    """The factor by which errors usually shrink from one scale to the next finer one: the power of
    images of the ground falls as f^-a, so the amplitude in as many octaves as f^(1 - a / 2)."""
    return float(scale ** (1 - USUAL[0] / 2))


def reliability(added: np.ndarray, error: np.ndarray, counted: np.ndarray) -> dict[str, Any]:
    """How many errors lie within intervals that should hold a share of them, for several shares.

    The cubes `h w c` are cut like a chessboard; each colour is judged by the other one's table.
    """
    from scipy.special import ndtri

    for block in (BLOCK, 1):  # of a small scene every second pixel
        rows, cols = (np.arange(n) // block for n in counted.shape)
        white = (rows[:, None] + cols[None]) % 2 == 0
        halves = [counted & white, counted & ~white]
        if min(half.sum() for half in halves) >= LEAST:
            break
    ratios = []
    for half, other in (halves, halves[::-1]):
        sigma = fit(added[other], error[other])(added[half])
        ratios.append(np.abs(error[half]) / np.maximum(sigma, 1e-30))
    ratio = np.concatenate(ratios)
    observed = [float(np.mean(ratio <= ndtri((1 + p) / 2))) for p in NOMINAL]
    within = observed[NOMINAL.index(ONE_SIGMA)]
    by_band = np.mean(ratio <= 1, 0).tolist()
    return {"nominal": list(NOMINAL), "observed": observed, "within": within, "by_band": by_band}
