"""Scores of a sharper scene whose truth nobody has.

Two questions have an answer without the truth. *Consistency*: does the output, seen by the sensor
again, give the input back? *Reduced resolution* (Wald's protocol): the scene is degraded by the
scale, sharpened, and compared with itself, so that the gain is one of this very scene. Both count
only pixels that have data. `hsisr_jax.assess` runs them on files.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from scipy.ndimage import binary_dilation

from hsisr_jax import metrics, resize
from hsisr_jax.errors import UserError
from hsisr_jax.formats import SceneReader
from hsisr_jax.formats.raw import ArrayReader
from hsisr_jax.formats.scene import hidden_values
from hsisr_jax.inference import survey
from hsisr_jax.inference.pairs import ROUNDS
from hsisr_jax.inference.projection import back_project
from hsisr_jax.layers.back_projection import Observe
from hsisr_jax.metrics.errors import spatial_mean
from hsisr_jax.ops.fill import filled
from hsisr_jax.ops.spectral import spectral_angle

VALUES = 32_000_000  # of the part of a large scene that is scored
LEAST = 8  # low-resolution pixels on a side
MARGIN = 8  # low-resolution pixels around a block that the sensor's blur may reach
ENOUGH = 0.9  # of a part's pixels have data, or another part is looked at


@dataclass(frozen=True)
class Scores:
    """How near an estimate is to a reference, over the pixels and bands that have data."""

    psnr: float  # dB, mean over bands; the peak is the reference's largest value, less the smallest
    # where that is negative
    sam: float  # mean spectral angle, degrees
    ergas: float
    rmse: float  # in physical units
    psnr_by_band: list[float]  # NaN for a band without data, or flagged as bad
    rmse_by_band: list[float]
    pixels: int  # that were counted


@dataclass(frozen=True)
class Assessment:
    """Scores of a prediction whose truth is not known, in plain JSON types (`to_json`)."""

    scene: str  # the file's name
    network: str
    scale: int
    degradation: Mapping[str, Any]  # what the sensor was taken to do
    bands: int
    wavelengths: list[float] | None  # nm, of the output's bands
    consistency: Scores | None  # None: there was no output to look at
    reduced: Mapping[str, Scores]  # by method, see `METHODS`
    part: tuple[int, int, int, int]  # rows and columns (first, end) of the input in `reduced`
    facts: Mapping[str, Any] = field(default_factory=dict)

    @property
    def gain(self) -> dict[str, float]:
        """The network against bicubic: PSNR in dB (more is better), angle in degrees (less is)."""
        network, bicubic = self.reduced["network"], self.reduced["bicubic"]
        return {"psnr": network.psnr - bicubic.psnr, "sam": network.sam - bicubic.sam}

    def to_json(self) -> dict[str, Any]:
        """Plain JSON types; NaN is None."""
        return _plain({**asdict(self), "gain": self.gain})


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, float):
        return value if np.isfinite(value) else None
    return value


class Tally:
    """Sums of errors over blocks of a scene, and the scores that they come to."""

    def __init__(self, used: np.ndarray, ratio: float):
        self.used, self.ratio = used, ratio  # used: which bands count
        self.square, self.total = np.zeros(len(used)), np.zeros(len(used))
        self.angle, self.angles, self.pixels = 0.0, 0, 0
        self.low, self.high = 0.0, -np.inf

    def add(self, reference: np.ndarray, estimate: np.ndarray, counted: np.ndarray) -> None:
        """A block `h w c` in physical units and which of its pixels count, `h w`."""
        pixels = int(counted.sum())
        if not pixels:
            return
        mask = counted[..., None] & self.used
        reference, estimate = (
            np.where(mask, x, 0).astype(np.float32) for x in (reference, estimate)
        )
        square, mean, angle, angles = map(np.asarray, _sums(reference, estimate))
        self.square += square.astype(float) * counted.size
        self.total += mean.astype(float) * counted.size
        self.angle, self.angles = self.angle + float(angle), self.angles + int(angles)
        self.pixels += pixels
        self.low = min(self.low, float(np.min(reference)))
        self.high = max(self.high, float(np.max(reference)))

    def scores(self) -> Scores:
        """The scores of all blocks that were added."""
        if not self.pixels or not self.used.any():
            raise UserError("no pixel of the scene has data and neighbours with data to be scored")
        peak = self.high - self.low if self.high > self.low else 1.0
        mse, mean = self.square / self.pixels, self.total / self.pixels
        with np.errstate(divide="ignore", invalid="ignore"):
            decibels = np.minimum(10 * np.log10(peak**2 / mse), metrics.PSNR_CEILING)
            relative = (mse / mean**2)[self.used & (mean != 0)]
        psnr, rmse = (np.where(self.used, x, np.nan) for x in (decibels, np.sqrt(mse)))
        return Scores(
            psnr=float(psnr[self.used].mean()),
            sam=self.angle / max(self.angles, 1),
            ergas=float(100 / self.ratio * np.sqrt(relative.mean())) if relative.size else 0.0,
            rmse=float(np.sqrt(mse[self.used].mean())),
            psnr_by_band=psnr.tolist(),
            rmse_by_band=rmse.tolist(),
            pixels=self.pixels,
        )


@jax.jit
def _sums(reference: jax.Array, estimate: jax.Array) -> tuple[jax.Array, ...]:
    """Means of squares and of the reference by band; the sum of angles (degrees) and how many."""
    known = (reference != 0).any(-1) & (estimate != 0).any(-1)
    angle = jnp.where(known, spectral_angle(reference, estimate), 0) * (180 / jnp.pi)
    square = spatial_mean(jnp.square(reference - estimate))
    return square, spatial_mean(reference), angle.sum(-1).sum(-1), known.sum()


@dataclass(frozen=True, eq=False)
class Seen:
    """A cube in physical units, `h w c` float32, and which of its values are hidden."""

    values: np.ndarray
    hidden: np.ndarray

    def through(self, bands: np.ndarray | None) -> "Seen":
        """The cube in a model's bands, by a map `[c, bands]`."""
        if bands is None:
            return self
        known = np.where(self.hidden, 0, self.values)
        gone = (self.hidden.astype(np.float32) @ (bands != 0).astype(np.float32)) > 0
        return Seen((known @ bands).astype(np.float32), gone)

    @property
    def whole(self) -> np.ndarray:
        """The cube with hidden values filled from their neighbours."""
        mean = np.mean(self.values, (0, 1), where=~self.hidden) if self.hidden.any() else 0.0
        return filled(self.values, self.hidden, np.nan_to_num(mean))


def read(scene: SceneReader, rows: slice | None = None, cols: slice | None = None) -> Seen:
    """A window of a scene."""
    stored = scene.read(rows, cols)
    hidden = hidden_values(stored, scene.meta.nodata)
    values = np.where(hidden, 0, stored.astype(np.float64) * scene.meta.scale + scene.meta.offset)
    return Seen(values.astype(np.float32), hidden)


def part_of(scene: SceneReader, scale: int, *, values: int = VALUES) -> tuple[slice, slice]:
    """The part of a scene that is scored: whole blocks of `scale` pixels; of a large scene a window
    in the middle, or another one where that has much no-data."""
    least = check_size(scene, scale)
    pixels = values // scene.bands
    height = min(scene.height, max(int(pixels**0.5), least))
    width = min(scene.width, max(pixels // height, least))
    height = min(scene.height, max(pixels // width, least))
    height, width = (n // scale * scale for n in (height, width))
    rooms = scene.height - height, scene.width - width
    known: dict[tuple[int, int], float] = {}
    for place in [(r, c) for c in (0.5, 0.2, 0.8) for r in (0.5, 0.2, 0.8)]:
        row, col = (int(share * room) for share, room in zip(place, rooms))
        some = scene.read(slice(row + height // 2, row + height // 2 + 2), slice(col, col + width))
        known[row, col] = 1 - float(hidden_values(some, scene.meta.nodata).all(-1).mean())
        if known[row, col] >= ENOUGH or max(rooms) < scale:
            break
    row, col = max(known, key=lambda place: known[place])
    return slice(row, row + height), slice(col, col + width)


def check_size(scene: SceneReader, scale: int) -> int:
    """Refuses a scene that is too small to be degraded; returns the least pixels a side."""
    least = LEAST * scale
    if min(scene.height, scene.width) < least:
        raise UserError(
            f"{scene.path} is {scene.height} x {scene.width}: too small to be degraded by {scale} "
            f"and scored, which takes {least} pixels a side or more"
        )
    return least


def cropped(
    scene: SceneReader, rows: slice | None = None, cols: slice | None = None
) -> ArrayReader:
    """A window, or all of it, as a scene of its own in memory."""
    return ArrayReader(scene.path, scene.read(rows, cols), scene.meta, kind=scene.kind)


def degraded(scene: SceneReader, observe: Observe, scale: int) -> ArrayReader:
    """The scene as the sensor would see it at `scale` times larger pixels, in memory: float32 in
    stored units. A pixel has no data where one that it covers has none."""
    stored = scene.read()
    height, width = (n // scale * scale for n in stored.shape[:2])
    stored = stored[:height, :width]
    hidden = hidden_values(stored, scene.meta.nodata)
    centre = float(np.mean(stored, where=~hidden, dtype=float)) if not hidden.all() else 0.0
    values = np.where(hidden, 0, stored.astype(np.float64) - centre).astype(np.float32)
    lr = np.asarray(_observed(Seen(values, hidden).whole, observe)) + centre
    blocks = hidden.reshape(height // scale, scale, width // scale, scale, -1)
    lr = np.where(blocks.any((1, 3)), np.nan, lr).astype(np.float32)
    meta = replace(scene.meta.scaled(1 / scale), nodata=np.nan)
    return ArrayReader(scene.path, lr, meta, kind=scene.kind)


@partial(jax.jit, static_argnums=1)
def _observed(x: jax.Array, observe: Observe) -> jax.Array:
    return observe(x[None])["lr"][0]


def reduced_resolution(
    scene: SceneReader,
    sharpen: Callable[[SceneReader], np.ndarray],
    observe: Observe,
    *,
    scale: int,
    bands: np.ndarray | None = None,
) -> dict[str, Scores]:
    """The scores of each of `METHODS` on a scene that is degraded, sharpened and compared with
    itself.

    The scene is in memory or small enough for it, see `part_of` and `cropped`. `sharpen` makes of
    the degraded one a cube `(s*h, s*w, c)` in physical units. `bands` is a map from the scene's
    bands to the network's, where they differ.
    """
    lower = degraded(scene, observe, scale)
    height, width = lower.height * scale, lower.width * scale
    truth = read(scene, slice(0, height), slice(0, width)).through(bands)
    lr = read(lower).through(bands)
    used = _used(truth.hidden, scene.meta.bad_bands if bands is None else None)
    gone = (lr.hidden & used).any(-1).repeat(scale, 0).repeat(scale, 1)
    found = {}
    for name, estimate in _estimates(lower, lr.whole, sharpen, observe, scale):
        tally = Tally(used, scale)
        tally.add(truth.values, estimate, ~gone)
        found[name] = tally.scores()
    return found


def _estimates(
    lower: SceneReader, lr: np.ndarray, sharpen: Callable, observe: Observe, scale: int
) -> Iterator[tuple[str, np.ndarray]]:
    """One after the other: only one of them is held in memory."""
    bicubic = np.asarray(jax.jit(partial(resize.imresize, scale=scale))(lr))
    yield "bicubic", bicubic
    yield "back_projected", back_project(bicubic, lr, observe, scale=scale, rounds=ROUNDS)
    yield "network", sharpen(lower)


def _used(hidden: np.ndarray, bad: np.ndarray | None) -> np.ndarray:
    """Bands with some data that the file does not flag as bad."""
    used = ~hidden.all((0, 1))
    used = used if used.any() else ~used
    return used & ~bad if bad is not None and not bad.all() else used


def consistency(
    scene: SceneReader,
    output: SceneReader,
    observe: Observe,
    *,
    scale: int,
    bands: np.ndarray | None = None,
) -> Scores:
    """How near the output, seen by the sensor again, is to the input; block by block, so of any
    size. A pixel counts where it and its eight neighbours have data."""
    if (output.height, output.width) != (scene.height * scale, scene.width * scale):
        raise UserError(
            f"{output.path} is {output.height} x {output.width}: {scene.path} times {scale} is "
            f"{scene.height * scale} x {scene.width * scale}"
        )
    step = max(VALUES // (scale**2 * scene.width * output.bands), 4 * MARGIN)
    some = survey.sample(output)
    tally = Tally(_used(np.isnan(some[None]), output.meta.bad_bands), scale)
    for first in range(0, scene.height, step):
        last = min(first + step, scene.height)
        top, bottom = max(first - MARGIN, 0), min(last + MARGIN, scene.height)
        fine = read(output, slice(top * scale, bottom * scale))
        lr = read(scene, slice(top, bottom)).through(bands)
        again = np.asarray(_observed(fine.whole, observe))
        blocks = fine.hidden.reshape(bottom - top, scale, scene.width, scale, -1).any((1, 3))
        gone = binary_dilation(((lr.hidden | blocks) & tally.used).any(-1), np.ones((3, 3)))
        inner = slice(first - top, last - top)
        tally.add(lr.values[inner], again[inner], ~gone[inner])
    return tally.scores()
