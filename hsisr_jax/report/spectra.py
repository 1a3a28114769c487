"""Whole cubes small enough for a page: quantised principal components.

Cubes of one scene (truth, bicubic, every run) share a mean and a basis of principal components.
All scores are rounded with one step, which is the optimal allocation of bits for a given squared
error (reverse water-filling): components that vary by less than the step disappear. Rounded scores
are predicted from their left neighbour where that is shorter, split into low and high bytes and
deflated. The step is the finest that fits the budget, and the error of what a reader of the page
sees is measured by decoding again.
"""

import dataclasses
import zlib
from collections.abc import Mapping

import numpy as np

PRODUCTS = 45_000_000  # components x pixels, at most: what a browser sums for one picture
COMPONENTS = (8, 32)  # at least, whatever the size; at most, unless the scene is small
SMALL = 20_000_000  # components x pixels of a small scene
FINEST = 1e-3  # of the data's range: the step for small scenes
SAMPLE = 20_000  # pixels per cube from which the basis is computed


@dataclasses.dataclass(frozen=True)
class Packed:
    """One cube: `data` deflates to, per component, low bytes then high bytes of `h w` scores."""

    height: int
    width: int
    data: bytes
    predicted: tuple[bool, ...]  # per component: differences to the left neighbour are stored
    rms: float  # error of the decoded cube, in the cube's units
    worst: float


@dataclasses.dataclass(frozen=True)
class Group:
    """Cubes with the same bands. A spectrum is `mean + step * scores @ basis`."""

    mean: np.ndarray  # c
    basis: np.ndarray  # k c
    step: float
    span: float  # range of the data, to which errors are compared
    cubes: Mapping[str, Packed]


def pack(cubes: Mapping[str, np.ndarray], *, budget: float) -> Group:
    """Packs cubes `(h, w, c)` with equal `c` into about `budget` bytes, or fewer."""
    sample = np.concatenate([_sample(cube) for cube in cubes.values()])
    low, high = np.percentile(sample, [0.1, 99.9])
    span = float(high - low) or 1.0
    mean = sample.mean(0)
    variance, vectors = np.linalg.eigh(np.cov((sample - mean).T).reshape(mean.size, mean.size))
    pixels = sum(cube.shape[0] * cube.shape[1] for cube in cubes.values())
    most = max(COMPONENTS[0], min(COMPONENTS[1], PRODUCTS // pixels), SMALL // pixels)
    order = np.argsort(variance)[::-1][:most]
    deviation = np.sqrt(np.maximum(variance[order], 0.0))
    basis = vectors[:, order].T.astype(np.float32)
    mean = mean.astype(np.float32)

    step = FINEST * span
    rows = {key: cube[_rows(cube)] for key, cube in cubes.items()}
    scores = {key: _scores(part, mean, basis) for key, part in rows.items()}
    limit = max(float(np.abs(score).max()) for score in scores.values())
    step = max(step, limit / 16_000)  # int16 holds them, and pixels outside the sample too
    while True:
        kept = max(1, int(np.sum(deviation > 0.3 * step)))
        size = sum(
            len(_deflate(_quantise(scores[key][..., :kept], step))[0])
            * cubes[key].shape[0]
            / rows[key].shape[0]
            for key in cubes
        )
        if size <= budget or step > span:
            break
        step *= 1.4
    basis = basis[:kept]
    packed = {key: _pack_one(cube, mean, basis, step) for key, cube in cubes.items()}
    return Group(mean, basis, step, span, packed)


def _sample(cube: np.ndarray) -> np.ndarray:
    pixels = cube.reshape(-1, cube.shape[-1])
    return pixels[:: max(1, len(pixels) // SAMPLE)].astype(np.float64)


def _rows(cube: np.ndarray) -> slice:
    """Rows from which the packed size is estimated: rows are coded independently."""
    return slice(None, None, max(1, cube.shape[0] // 48))


def _scores(cube: np.ndarray, mean: np.ndarray, basis: np.ndarray) -> np.ndarray:
    return (cube.astype(np.float32) - mean) @ basis.T  # h w k


def _quantise(scores: np.ndarray, step: float) -> np.ndarray:
    return np.clip(np.rint(scores / step), -32_767, 32_767).astype(np.int16)


def _deflate(scores: np.ndarray) -> tuple[bytes, tuple[bool, ...]]:
    planes, predicted = [], []
    for plane in np.moveaxis(scores, -1, 0):
        change = plane.copy()
        change[:, 1:] -= plane[:, :-1]  # wraps round, and decodes by wrapping back
        better = np.abs(change.astype(np.float32)).sum() < np.abs(plane.astype(np.float32)).sum()
        chosen = change if better else plane
        zigzag = ((chosen << 1) ^ (chosen >> 15)).view(np.uint16)
        planes += [(zigzag & 255).astype(np.uint8), (zigzag >> 8).astype(np.uint8)]
        predicted.append(bool(better))
    return zlib.compress(np.stack(planes).tobytes(), 6), tuple(predicted)


def _pack_one(cube: np.ndarray, mean: np.ndarray, basis: np.ndarray, step: float) -> Packed:
    scores = np.empty((*cube.shape[:2], len(basis)), np.int16)
    squares, worst = 0.0, 0.0
    for start in range(0, cube.shape[0], 64):  # in strips: a float32 copy of a cube is large
        strip = cube[start : start + 64].astype(np.float32)
        rounded = _quantise(_scores(strip, mean, basis), step)
        scores[start : start + 64] = rounded
        error = mean + (rounded * np.float32(step)) @ basis - strip
        squares += float(np.square(error, dtype=np.float64).sum())
        worst = max(worst, float(np.abs(error).max()))
    data, predicted = _deflate(scores)
    return Packed(
        cube.shape[0], cube.shape[1], data, predicted, (squares / cube.size) ** 0.5, worst
    )
