"""Statistics of a whole scene that its tiles share, so that their results fit together.

`facts_of` computes those of one block, `joined` combines blocks, and `Facts.scene` derives the
range of the values, the limits of each band and the components of the spectra. The result does not
depend on how the scene was divided into blocks, except that with few bands the noise is found in
differences of pixels within one block.
"""

import os
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from hsisr_jax.errors import UserError
from hsisr_jax.formats.scene import hidden_values
from hsisr_jax.ops import components, noise
from hsisr_jax.ops.components import Basis

PIXELS = 40_000  # that a scene's components are found from
SPARE = 2  # times as many are kept, for those that turn out to be hidden
BEYOND = 1.0  # of a band's range: how far the output may leave it; small objects do
LARGEST, SMALLEST = 1e37, 1e-30  # of values: float32 reaches 3e38, and 1e-38 in full
FAR = 1e5  # times the range of most values, that float32 can hold beside them
MIX = 0x9E3779B97F4A7C15  # 2**64 over the golden ratio: multiples of it are spread evenly


class Scene(NamedTuple):
    """A whole scene's middle value and half range (`offset`, `size`), the smallest and largest
    value of each band (`c`, infinite if it has none), and its components in the range
    `(values - offset) / size`."""

    offset: float
    size: float
    low: np.ndarray
    high: np.ndarray
    basis: Basis | None

    def limits(self) -> tuple[np.ndarray, np.ndarray]:
        """The limits of each sharpened band; one without negative values stays non-negative."""
        return widened(self.low, self.high)

    def neutral(self) -> np.ndarray:
        """One value per band, for pixels without any valid value nearby."""
        low, high = (np.where(np.isfinite(x), x, self.offset) for x in (self.low, self.high))
        return low / 2 + high / 2


class Facts(NamedTuple):
    """Facts of some pixels: extremes of each band `c` (infinite without values), spectra `n c` with
    their numbers in the scene, `n`, and `m c` differences of neighbouring pixels, for noise."""

    low: np.ndarray
    high: np.ndarray
    spectra: np.ndarray
    places: np.ndarray
    details: np.ndarray

    def scene(self, count: int) -> Scene:
        """The facts of the whole scene, with `count` components; 0 for none."""
        if not np.isfinite(self.low).any():
            raise UserError("every value of the cube is NaN: there is nothing to sharpen")
        low, high = float(self.low.min()), float(self.high.max())
        check_values(self.low, self.high, self.sample())
        offset, size = (low + high) / 2, (high - low) / 2 or 1.0
        basis = self.basis(count, offset, size) if count else None
        return Scene(offset, size, self.low, self.high, basis)

    def basis(self, count: int, offset: float = 0.0, size: float = 1.0) -> Basis:
        """The components of `(values - offset) / size`; bands without any value are in none."""
        seen = np.isfinite(self.low)
        spectra = np.where(seen, (self.sample() - offset) / size, 0)
        return components.basis(spectra, count, np.where(seen, self.details / size, 0))

    def sample(self) -> np.ndarray:
        """Spectra without gaps from all over the scene; bands without any value stay NaN."""
        whole = (np.isfinite(self.spectra) | ~np.isfinite(self.low)).all(1)
        spectra, places = self.spectra[whole], self.places[whole]
        chosen = np.argsort(places * np.uint64(MIX))[:PIXELS]
        return spectra[chosen[np.argsort(places[chosen])]]


def widened(low: np.ndarray, high: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The limits of sharpened bands, given the range of each in the input: `BEYOND` of it further.
    Nothing is negative where the input has nothing negative."""
    room = BEYOND * (high - low)
    return np.where(low >= 0, np.maximum(low - room, 0), low - room), high + room


def check_values(low: np.ndarray, high: np.ndarray, sample: np.ndarray) -> None:
    """Refuses values that float32 cannot hold, or not beside the others: most often a number that
    stands for no data, and nobody said so. `low` and `high` of each band (`c`, not finite where it
    has none), `sample` some spectra `n c`."""
    size = np.fmax(np.abs(low), np.abs(high))
    size = np.where(np.isfinite(low), size, 0)
    band = int(size.argmax())
    where = f"band {band + 1} has values of {low[band]:.3g} to {high[band]:.3g}"
    if size[band] > LARGEST or 0 < size[band] < SMALLEST:
        raise UserError(
            f"{where}, and float32 holds {SMALLEST:g} to {LARGEST:g}: values that stand for no "
            "data must be NaN (of a file: its no-data value), others divided by a number"
        )
    seen = sample[np.isfinite(sample)]
    if not seen.size:
        return
    least, most = np.percentile(seen, [5, 95]).astype(float)
    if most > least and np.fmax.reduce(high - low) > FAR * (most - least):
        raise UserError(
            f"{where}, but 90 % of all values lie between {least:.4g} and {most:.4g}: what stands "
            "for no data must be NaN (of a file: its no-data value), what is wrong clipped"
        )


def as_array(cube: object) -> np.ndarray:
    """Converts what a user gives as a cube to an array; masked values become NaN."""
    if isinstance(cube, np.ma.MaskedArray):
        values, hidden = cube.data, np.ma.getmaskarray(cube)
        if not hidden.any() or values.dtype.kind not in "iufb":
            return values
        return np.where(hidden, np.nan, values.astype(np.promote_types(values.dtype, np.float32)))
    if hasattr(cube, "dims") and hasattr(cube, "coords"):
        raise UserError(
            f"a {type(cube).__name__} is sharpened by hsisr_jax.xarray.sharpen, which knows its "
            "dimensions and no-data value; here give its values as (rows, columns, bands)"
        )
    if isinstance(cube, str | os.PathLike):
        raise UserError(
            "a cube is an array, not a name: hsisr_jax.predict.sharpen takes scene files"
        )
    try:
        array = np.asarray(cube)
    except ValueError as error:
        raise UserError(
            f"a cube is one array (rows, columns, bands) of numbers ({error})"
        ) from None
    return array.astype(np.float32) if array.dtype.name == "bfloat16" else array


def checked(cube: np.ndarray, nodata: float | None = None) -> tuple[np.ndarray, np.ndarray]:
    """The cube in float64 where it needs that, else float32; and which values are hidden: those
    that are not finite, or `nodata`."""
    cube = np.asarray(cube)
    if cube.dtype.kind not in "iufb":
        raise UserError(f"a cube holds real numbers, not {cube.dtype}")
    if cube.ndim != 3 or 0 in cube.shape:
        raise UserError(
            f"a cube is (rows, columns, bands) with at least one of each, not {cube.shape}; of one "
            "band: image[:, :, None]"
        )
    hidden = hidden_values(cube, nodata)
    wide = cube.dtype.itemsize > 4 or (cube.dtype.kind in "iu" and cube.dtype.itemsize == 4)
    return cube.astype(np.float64 if wide else np.float32), hidden


def facts_of(
    block: np.ndarray,
    nodata: float | None = None,
    *,
    corner: tuple[int, int] = (0, 0),
    whole: tuple[int, int] | None = None,
) -> Facts:
    """The facts of a block `h w c` that lies at `corner` of a scene of `whole` rows and columns."""
    cube, hidden = checked(block, nodata)
    height, width = whole or cube.shape[:2]
    low = np.min(cube, (0, 1), where=~hidden, initial=np.inf)
    high = np.max(cube, (0, 1), where=~hidden, initial=-np.inf)
    rows, cols = (np.arange(at, at + n, dtype=np.uint64) for n, at in zip(cube.shape, corner))
    places = rows[:, None] * np.uint64(width) + cols
    share = SPARE * PIXELS / (height * width)
    some = (~hidden | ~np.isfinite(low)).all(-1)
    if share < 1:
        some &= places * np.uint64(MIX) < np.uint64(share * 2**64)
    spectra = np.where(hidden[some], np.nan, cube[some])
    return Facts(low, high, spectra, places[some], _details(cube, hidden, places, share))


def _details(cube: np.ndarray, hidden: np.ndarray, places: np.ndarray, share: float) -> np.ndarray:
    """A share of the differences within a block, where noise is found in them."""
    bands = cube.shape[2]
    if not noise.uses_differences(bands):
        return np.empty((0, bands))
    found = noise.differences(np.where(hidden, np.nan, cube.astype(np.float64)))
    if share < 1:
        return found[places[1:-1, 1:-1] * np.uint64(MIX) < np.uint64(share * 2**64)]
    return found.reshape(-1, bands)


def joined(parts: Sequence[Facts]) -> Facts:
    """The facts of several blocks as those of one."""
    low, high, spectra, places, details = zip(*parts)
    return Facts(
        np.minimum.reduce(low),
        np.maximum.reduce(high),
        np.concatenate(spectra),
        np.concatenate(places),
        np.concatenate(details),
    )
