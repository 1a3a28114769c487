"""Pictures of cubes: colour bands, stretches, error and angle maps, per-band figures."""

import io
import zlib

import numpy as np

from hsisr_jax.formats.places import Place, Url

VISIBLE = (640.0, 550.0, 460.0)  # nm, where red, green and blue are looked for
NEAR = 35.0  # nm; blue of Sentinel-2 is 30 from ours
STRIP = 64  # rows at a time
FAILED = 8.0  # times the usual angle: such a method has no say in the bins
# Nine stops of two perceptually even colour maps, from dark to bright; also in explorer.js.
VIRIDIS = ["440154", "472d7b", "3b528b", "2c728e", "21918c", "28ae80", "5ec962", "addc30", "fde725"]


def colour_bands(bands: int, wavelengths: np.ndarray | None) -> tuple[tuple[int, int, int], bool]:
    """The bands to show as red, green and blue, and whether that is true colour."""
    if bands < 3:
        return (bands - 1, bands // 2, 0), False
    if bands == 3 and wavelengths is None:  # a picture
        return (0, 1, 2), False
    if wavelengths is not None:
        nearest = [int(np.argmin(np.abs(wavelengths - target))) for target in VISIBLE]
        found = np.abs(wavelengths[nearest] - VISIBLE) < NEAR
        if found.all() and len(set(nearest)) == 3:
            return (nearest[0], nearest[1], nearest[2]), True
        order = np.argsort(wavelengths)
        picked = order[[bands * 5 // 6, bands // 2, bands // 6]]
        return (int(picked[0]), int(picked[1]), int(picked[2])), False
    return (bands * 5 // 6, bands // 2, bands // 6), False


def stretch(cube: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Per band, the 2nd and 98th percentiles: black and white of every picture of that band."""
    pixels = cube.reshape(-1, cube.shape[-1])
    pixels = pixels[:: max(1, len(pixels) // 40_000)].astype(np.float32)
    low, high = np.percentile(pixels, [2, 98], axis=0)
    return low, np.where(high > low, high, low + 1e-6)


def compare(
    truth: np.ndarray, estimate: np.ndarray, data_range: float, hidden: np.ndarray | None = None
) -> dict[str, np.ndarray]:
    """`error` root mean square over bands (h w), `angle` in degrees (h w), `psnr` per band (c).

    Hidden pixels have neither error nor angle, and count for nothing.

    Strip by strip in float32, so that no float32 copy of a whole cube is made.
    """
    error = np.empty(truth.shape[:2], np.float32)
    angle = np.empty(truth.shape[:2], np.float32)
    squares = np.zeros(truth.shape[-1])
    for start in range(0, truth.shape[0], STRIP):
        rows = slice(start, start + STRIP)
        a, b = truth[rows].astype(np.float32), estimate[rows].astype(np.float32)
        if hidden is not None:
            b = np.where(hidden[rows, :, None], a, b)
        difference = np.square(a - b)
        error[rows] = np.sqrt(difference.mean(-1))
        squares += difference.sum((0, 1), dtype=np.float64)
        angle[rows] = _angle(a, b)
    mse = squares / max(1, error.size if hidden is None else np.sum(~hidden))
    with np.errstate(divide="ignore"):
        psnr = 10 * np.log10(data_range**2 / mse)
    return {"error": error, "angle": angle, "psnr": psnr}


def _angle(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Degrees between spectra. Two zero spectra agree; one zero spectrum is at a right angle.

    From half-angle chords, because the arc cosine of a float32 loses small angles.
    """
    norm_a = np.linalg.norm(a, axis=-1, keepdims=True)
    norm_b = np.linalg.norm(b, axis=-1, keepdims=True)
    chord = np.linalg.norm(a * norm_b - b * norm_a, axis=-1)
    total = np.linalg.norm(a * norm_b + b * norm_a, axis=-1)
    angle = np.degrees(2 * np.arctan2(chord, total))
    zero_a, zero_b = norm_a[..., 0] == 0, norm_b[..., 0] == 0
    return np.where(zero_a | zero_b, np.where(zero_a & zero_b, 0.0, 90.0), angle)


def ceiling(values: np.ndarray) -> tuple[float, float]:
    """Ends of a map's scale: of its colour bar, and of what is stored of it."""
    values = values[np.isfinite(values)]
    if not values.size:
        return 1.0, 1.0
    shown, stored = np.percentile(values, [98.5, 99.9])
    return float(shown) or 1.0, float(max(stored, shown)) or 1.0


def quantise(plane: np.ndarray, top: float) -> bytes:
    """A map as deflated bytes, 255 for `top` and all above it."""
    levels = np.clip(np.rint(np.nan_to_num(plane) * (255 / top)), 0, 255).astype(np.uint8)
    return zlib.compress(levels.tobytes(), 6)


def histogram(angles: dict[str, np.ndarray], bins: int = 64) -> tuple[list, dict[str, list]]:
    """Shares of pixels (percent) by spectral angle, with the same bins for all methods; the last
    one also holds what lies above it, so that a failed method does not squeeze the others."""
    tops = [float(np.percentile(plane, 99.5)) for plane in angles.values() if plane.size]
    usual = sorted(tops)[(len(tops) - 1) // 2] if tops else 0.0
    tops = [top for top in tops if 0 < top <= FAILED * usual]
    edges = np.linspace(0, max(tops, default=1.0), bins + 1)
    shares = {
        key: (np.histogram(np.minimum(plane, edges[-1]), edges)[0] * (100 / plane.size)).tolist()
        for key, plane in angles.items()
    }
    return edges.tolist(), shares


def notable(angle: np.ndarray, error: np.ndarray) -> dict[str, tuple[int, int]]:
    """Pixels to look at first (row, column): where a method is typical, and where it is worst."""
    order = np.argsort(angle.ravel(), kind="stable")
    places = {
        "typical angle": order[len(order) // 2],
        "largest angle": order[-1],
        "largest error": int(np.argmax(error)),
    }
    return {
        name: (int(place) // angle.shape[1], int(place) % angle.shape[1])
        for name, place in places.items()
    }


def png(plane: np.ndarray) -> bytes:
    """A map in [0, 1] as a palette PNG (viridis), at most 192 pixels a side."""
    from PIL import Image

    step = max(1, -(-max(plane.shape) // 192))
    levels = np.clip(np.rint(np.nan_to_num(plane[::step, ::step]) * 255), 0, 255).astype(np.uint8)
    image = Image.fromarray(levels)
    image.putpalette(_palette())
    file = io.BytesIO()
    image.save(file, "PNG")
    return file.getvalue()


def read(path: Place) -> np.ndarray | None:
    """A picture of a file as `h w 4` bytes; None where there is none that can be read."""
    from PIL import Image

    from hsisr_jax.formats import objects

    try:
        file = io.BytesIO(objects.get(path) or b"") if isinstance(path, Url) else path
        with Image.open(file) as picture:
            return np.asarray(picture.convert("RGBA"))
    except (OSError, ValueError):
        return None


def _palette() -> bytes:
    stops = np.array([[int(stop[i : i + 2], 16) for i in (0, 2, 4)] for stop in VIRIDIS])
    at = np.linspace(0, len(stops) - 1, 256)
    channels = [np.interp(at, np.arange(len(stops)), stops[:, i]) for i in range(3)]
    return np.rint(np.stack(channels, -1)).astype(np.uint8).tobytes()
