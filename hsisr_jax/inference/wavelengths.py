"""Matches a scene's bands to those a network was trained on, or resamples them."""

from collections.abc import Sequence

import numpy as np

from hsisr_jax import degrade
from hsisr_jax.errors import UserError

TOLERANCE = 0.25  # of the distance between bands
ASSUMED = 12.0  # nm: how far wavelengths that nobody measured may be off
FINER = 0.75  # a scene whose bands are closer than that is averaged, not interpolated


def band_map(
    wavelengths: Sequence[float] | None,
    bands: int,
    *,
    scene: Sequence[float] | None,
    scene_bands: int,
    bad: Sequence[bool] | None = None,
    resample: bool = False,
) -> np.ndarray | None:
    """The linear map `[scene_bands, bands]` from a scene's to a model's bands; None: identity.

    The model has `bands` bands, at `wavelengths` where they are known. A scene that has them
    without its bad bands is taken without those. Anything else is an error, unless `resample`.
    """
    if resample and (wavelengths is None or scene is None):
        who = "the model" if wavelengths is None else "the scene"
        raise UserError(f"--resample_bands needs wavelengths, and {who} has none")
    if scene_bands == bands and alike(wavelengths, scene):
        return None
    good = np.ones(scene_bands, bool) if bad is None else ~np.asarray(bad, bool)
    centres = None if scene is None else np.asarray(scene, float)[good]
    if good.sum() == bands and alike(wavelengths, centres):
        return np.eye(scene_bands, dtype=np.float32)[:, good]
    if not resample:
        way = "use --resample_bands to bring the scene to the model's wavelengths"
        if why := _hindrance(centres, wavelengths):
            way = f"they cannot be resampled ({why}): use a network that was trained on such bands"
        raise UserError(
            f"the scene's bands are not the model's.\n  model: {shown(wavelengths, bands)}\n"
            f"  scene: {shown(scene, scene_bands)}\n{way}"
        )
    result = np.zeros((scene_bands, bands), np.float32)
    result[good] = resampling(centres, np.asarray(wavelengths, float))
    return result


def _hindrance(source: np.ndarray | None, target: Sequence[float] | None) -> str:
    """The reason why a scene cannot be resampled to a model's wavelengths; empty if it can."""
    if source is None or target is None:
        return f"the {'scene' if source is None else 'model'} has no wavelengths"
    try:
        resampling(source, np.asarray(target, float))
    except UserError as error:
        return str(error).partition(":")[0]
    return ""


def alike(a: Sequence[float] | None, b: Sequence[float] | None) -> bool:
    """Equal within a fraction of the band distance; unknown wavelengths agree with all. Where one
    of the two is evenly spaced to the last digit, and so assumed, within a band or so."""
    if a is None or b is None or len(a) != len(b):
        return a is None or b is None
    a, b = np.asarray(a, float), np.asarray(b, float)
    allowed = np.maximum(TOLERANCE * spacing(a), 1.0)
    if assumed(a) != assumed(b):
        allowed = np.maximum(allowed, np.minimum(1.5 * spacing(a), ASSUMED))
    return bool((np.abs(a - b) <= allowed).all())


def assumed(centres: Sequence[float] | np.ndarray) -> bool:
    """Whether wavelengths are spaced evenly, as no sensor's are: drawn between two ends. Where
    bands are left out, a step is a whole number of the others."""
    steps = np.diff(np.asarray(centres, float))
    if len(steps) < 8 or not (usual := float(np.median(steps))):
        return False
    times = steps / usual
    return bool((np.round(times) >= 1).all() and (np.abs(times - np.round(times)) < 1e-6).all())


def spacing(centres: np.ndarray) -> np.ndarray:
    """The distance from each band to its neighbours, nm."""
    if len(centres) < 2:
        return np.full(len(centres), 10.0)
    order = np.argsort(centres, kind="stable")
    result = np.empty(len(centres))
    result[order] = np.maximum(np.gradient(centres[order]), 1e-3)
    return result


def resampling(source: np.ndarray, target: np.ndarray) -> np.ndarray:
    """Columns that sum to 1: Gaussian responses as wide as the target's band distance where the
    source's bands lie closer than that, else linear interpolation."""
    order = np.argsort(source, kind="stable")
    between = spacing(target)
    near = np.interp(target, source[order], spacing(source)[order])
    reach = 0.5 * np.maximum(between, near)
    outside = (target < source.min() - reach) | (target > source.max() + reach)
    if outside.any():
        raise UserError(
            f"the model needs {target[outside][0]:.0f} nm and the scene covers "
            f"{source.min():.0f}-{source.max():.0f} nm: its bands cannot be resampled"
        )
    linear = np.stack([np.interp(target, source[order], row[order]) for row in np.eye(len(source))])
    if len(source) < 2:
        return linear.astype(np.float32)
    gaussian = np.asarray(degrade.gaussian_response(target, between, source))
    return np.where(near < FINER * between, gaussian, linear).astype(np.float32)


def shown(wavelengths: Sequence[float] | None, bands: int) -> str:
    """`128 bands, 400-1000 nm (400, 404.7, 409.4 ... 1000)`."""
    if wavelengths is None:
        return f"{bands} bands of unknown wavelengths"
    numbers = [f"{value:.5g}" for value in wavelengths]
    some = numbers if bands <= 6 else [*numbers[:3], "...", *numbers[-2:]]
    text = ", ".join(some).replace(", ...,", " ...")
    return f"{bands} bands, {min(wavelengths):.0f}-{max(wavelengths):.0f} nm ({text})"
