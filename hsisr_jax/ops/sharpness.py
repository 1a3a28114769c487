"""How a sensor blurs, found in a scene itself: the MTF at its Nyquist frequency, with an interval.

The power of images of the ground falls with the frequency f as f^-a, whatever the scale, with an
exponent a near 2.4; a sensor takes away MTF(f)^2 of it, folds what lies beyond the Nyquist
frequency back, and adds noise. The model is fitted to the mean power of blocks of the scene's
components (Whittle's likelihood) over a grid of MTFs and exponents. That the exponent of one scene
is not known in advance is what most of the interval comes from.
"""

import math
from collections.abc import Iterable
from functools import lru_cache
from typing import NamedTuple

import numpy as np

from hsisr_jax.errors import UserError

# Published or specified values at the Nyquist frequency, means of along and across track.
SENSORS = {
    # > 0.16 along and > 0.25 across track at 60 m, the Nyquist frequency: EnMAP HSI Instrument
    # Specification (DLR)
    "enmap": 0.2,
    # what the toolbox of Ciotola et al., "Hyperspectral Pansharpening: Critical Review, Tools and
    # Future Perspectives" (arXiv 2407.01355), degrades PRISMA's bands with
    "prisma": 0.3,
}
AUTO = "auto"

BLOCK, FEW = 32, 4  # pixels on a block's side, and how many blocks there are at least
SMALLER = 16  # the side for scenes that have fewer of the larger ones
MTFS = np.exp(np.linspace(math.log(0.02), math.log(0.95), 60))
EXPONENTS = np.arange(1.0, 4.21, 0.1)
USUAL = 2.4, 0.4  # exponents of images of the ground: mean and deviation
LOWEST = 0.08  # cycles a pixel: below it there are too few waves in a block
WEIGHT = 100.0  # how many independent values the mean power of a scene counts for
REACH = 2  # multiples of the sampling frequency that are folded back
NOISY = 0.3  # a share of noise above which a component is not used


class Estimate(NamedTuple):
    """An MTF at the Nyquist frequency, and between what it lies with 90 %."""

    mtf: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.mtf:.2f} ({self.low:.2f} to {self.high:.2f} with 90 %)"


def named(value: float | str) -> float:
    """The MTF that a number, or a sensor's name, means."""
    found = SENSORS.get(value.lower()) if isinstance(value, str) else value
    try:
        found = float(value) if found is None else float(found)
    except ValueError:
        found = math.nan
    if not 0.01 <= found < 1:
        raise UserError(
            f"an MTF of {value!r}: use a number from 0.01 to 1 (0.3), a sensor whose value is "
            f"published ({', '.join(SENSORS)}), or {AUTO}, which estimates it from a scene"
        )
    return found


def power(images: np.ndarray) -> tuple[np.ndarray, int]:
    """The sum of the power of blocks of `h w k` images, and their number; blocks with NaN are left
    out. As `n m k` over the frequencies of `np.fft.rfft2`."""
    side = BLOCK if min(images.shape[:2]) >= 2 * BLOCK else SMALLER
    if min(images.shape[:2]) < side:
        return np.zeros((side, side // 2 + 1, images.shape[-1])), 0
    cut = np.lib.stride_tricks.sliding_window_view(images, (side, side), (0, 1))
    blocks = cut[:: side // 2, :: side // 2].reshape(-1, images.shape[-1], side, side)
    blocks = blocks[np.isfinite(blocks).all((1, 2, 3))]
    window = np.hanning(side + 2)[1:-1]
    window = np.outer(window, window)
    mean = (blocks * window).sum((-2, -1), keepdims=True) / window.sum()
    waves = np.fft.rfft2((blocks - mean) * window)
    found = (np.abs(waves) ** 2 / (window**2).sum()).sum(0)
    return found.transpose(1, 2, 0), len(blocks)


def estimate(parts: Iterable[np.ndarray], noise: np.ndarray) -> Estimate:
    """The MTF from images `h w k` of a scene's components (parts of one scene, each component of
    deviation 1) and the share of noise `k` in each."""
    used = np.asarray(noise) < NOISY
    if not used.any():
        raise UserError("the scene is mostly noise, so its MTF cannot be estimated: give a number")
    used[np.cumsum(used) > 3] = False
    found = [power(part[..., used]) for part in parts]
    sizes = {len(total) for total, count in found if count}
    side = max(sizes, default=0)
    total = sum(t for t, count in found if len(t) == side)
    count = sum(count for t, count in found if len(t) == side)
    if count < FEW:
        raise UserError(
            f"the scene has {count} blocks of {side or SMALLER} x {side or SMALLER} pixels without "
            f"gaps, and its MTF is estimated from {FEW} at least: give a number"
        )
    floor = float((np.asarray(noise)[used] ** 2).mean())
    return _fitted(total.mean(-1) / count, floor)


def _fitted(mean: np.ndarray, noise: float) -> Estimate:
    """The best MTF for a mean power `n m`, over all exponents, and its interval."""
    side = len(mean)
    seen, share = _frequencies(side)
    shapes, observed = _shapes(side), mean[seen]
    height = (share * observed / shapes).sum(-1)
    for _ in range(6 if noise else 0):  # beside the noise: weighted least squares
        model = height[..., None] * shapes
        weight = share * (model / (model + noise)) ** 2
        height = (weight * (observed - noise) / shapes).sum(-1) / weight.sum(-1)
        height = np.maximum(height, 1e-9 * observed.max())
    model = height[..., None] * shapes + noise
    fit = -WEIGHT * (share * (np.log(model) + observed / model)).sum(-1)
    fit = fit - 0.5 * ((EXPONENTS - USUAL[0]) / USUAL[1]) ** 2
    likely = np.exp(fit - fit.max()).sum(1)
    below = np.cumsum(likely) / likely.sum()
    low, middle, high = np.exp(np.interp((0.05, 0.5, 0.95), below, np.log(MTFS)))
    return Estimate(float(middle), float(low), float(high))


@lru_cache(maxsize=2)
def _frequencies(side: int) -> tuple[np.ndarray, np.ndarray]:
    """The mask of a block's frequencies in use, and the weight of each (most stand for two)."""
    down, across = np.fft.fftfreq(side)[:, None], np.fft.rfftfreq(side)[None]
    seen = np.hypot(down, across) >= max(LOWEST, 2.5 / side)
    share = np.broadcast_to(np.where((across == 0) | (across == 0.5), 0.5, 1.0), seen.shape)[seen]
    return seen, share / share.sum()


@lru_cache(maxsize=2)
def _shapes(side: int) -> np.ndarray:
    """The power that each MTF and each exponent lead to, `[MTFS, EXPONENTS, frequencies]`."""
    seen, _ = _frequencies(side)
    down, across = np.fft.fftfreq(side)[:, None], np.fft.rfftfreq(side)[None]
    folds = np.arange(-REACH, REACH + 1)
    squares = (down + folds[:, None, None, None]) ** 2 + (across + folds[:, None, None]) ** 2
    squares = np.maximum(squares[:, :, seen].reshape(-1, seen.sum()), (0.5 / side) ** 2)
    logs = np.log(MTFS)[:, None, None]
    passed = np.exp(8 * logs * squares)  # MTF(f)^2 of a Gaussian, f = 1/2 at Nyquist
    ground = squares ** (-EXPONENTS[:, None, None] / 2)
    return np.einsum("mfw,efw->mew", passed, ground, optimize=True)
