"""Estimates of a sensor from its scene: the MTF, and the noise of each band."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from hsisr_jax.errors import UserError
from hsisr_jax.formats import SceneReader
from hsisr_jax.inference import survey
from hsisr_jax.inference.options import Options
from hsisr_jax.inference.trained import Trained
from hsisr_jax.layers import sensor
from hsisr_jax.ops import components, noise, sharpness
from hsisr_jax.ops.sharpness import AUTO, Estimate

ROWS, STRIPS, COLUMNS = 64, 8, 2048  # of a scene that its MTF is estimated from
COMPONENTS = 8
FAR = 1.3  # times beyond its interval: an assumed MTF that is told to differ
POOR = 20.0  # dB: below it a band is named


def mtf_of(cubes: Iterable[np.ndarray], spectra: np.ndarray) -> Estimate:
    """The MTF at the Nyquist frequency from cubes `h w c` of one scene (NaN where hidden), whose
    components are found from its `spectra`, `n c`."""
    good = np.isfinite(spectra).any(0)
    basis = components.basis(spectra[:, good], COMPONENTS)
    shown = basis.vectors / basis.deviations
    parts = ((cube[..., good] - basis.mean) @ shown for cube in cubes)
    return sharpness.estimate(parts, basis.noise)


def mtf(scene: SceneReader, sample: np.ndarray | None = None) -> Estimate:
    """The same of a scene's file, of which some strips are read; `sample` is `survey.sample`'s."""
    sample = survey.sample(scene) if sample is None else sample
    good = _good(scene, sample)
    return mtf_of(_strips(scene, good), sample[:, good])


def details(scene: SceneReader, sample: np.ndarray) -> np.ndarray:
    """`noise.differences` of a scene's stored values, `n c`, from some strips of it; 0 in bands
    that are of no use. None at all (`0 c`) where noise is not found in them."""
    if not noise.uses_differences(scene.bands):
        return np.empty((0, scene.bands))
    good = _good(scene, sample)
    strips = (noise.differences(x.astype(np.float64)) for x in _strips(scene, good))
    found = np.concatenate([x.reshape(-1, len(good)) for x in strips])
    whole = np.zeros((len(found), scene.bands))
    whole[:, good] = found
    return whole


def asked(text: str, scene: SceneReader, say: Callable[[str], None]) -> float:
    """The value of `--mtf` for a scene; with `auto` it is estimated and reported."""
    if text.lower() != AUTO:
        return sharpness.named(text)
    found = mtf(scene)
    say(f"MTF at the Nyquist frequency, estimated from the scene: {found}")
    return found.mtf


def numbered(options: Options, scene: SceneReader, say: Callable[[str], None]) -> Options:
    """The options of a scene with a number where `--mtf` is a name or `auto`; told once, so that
    what is made beside the output (page, deviations) need not estimate it again."""
    return replace(options, mtf=str(asked(options.mtf, scene, say))) if options.mtf else options


def tell(
    card: Trained,
    text: str,
    scene: SceneReader,
    sample: np.ndarray,
    differences: np.ndarray,
    say: Callable[[str], None],
) -> None:
    """The noise of a scene; and that it was blurred otherwise than a network assumes, where
    `--mtf` (`text`) does not say how."""
    tell_noise(scene, sample, differences, say)
    assumed = None if text or card.msi_bands else _assumed(card)
    if assumed is None or min(scene.height, scene.width) < 2 * sharpness.BLOCK:
        return
    try:
        found = mtf(scene, sample)
    except UserError:
        return
    how = (
        "blurrier" if assumed > FAR * found.high else "sharper" if assumed * FAR < found.low else ""
    )
    if how:
        say(
            f"the scene looks {how} than the network assumes: {found} of the contrast is left at "
            f"the Nyquist frequency, not {assumed:.2f}; --mtf=auto takes that into account"
        )


def _assumed(card: Trained) -> float | None:
    """The MTF at Nyquist of the sensor in a network's training; None where that is not known."""
    options = card.degradation or {}
    if options.get("name") not in sensor.KNOWN:
        return None
    value = float(np.mean(options.get("mtf", 0.3)))
    return sensor.transfer(card.scale, options["name"], value)[-1]


def resolved(degradation: Any, cubes: Callable[[], list[np.ndarray]]) -> tuple[Any, list[str]]:
    """A degradation (its name, or a mapping with options) with numbers for names of sensors and for
    `auto`, which is estimated from cubes `h w c`; and what to tell of it."""
    if not isinstance(degradation, Mapping):
        return degradation, []
    options, told = dict(degradation), []
    if isinstance(options.get("mtf"), str):
        if options["mtf"].lower() == AUTO:
            found = mtf_of(cubes(), _spectra(cubes()))
            told.append(f"MTF at the Nyquist frequency, estimated from the scene: {found}")
            options["mtf"] = round(found.mtf, 3)
        else:
            options["mtf"] = sharpness.named(options["mtf"])
    if options.get("noise_snr") == AUTO:
        given, details = cubes(), None
        if noise.uses_differences(given[0].shape[-1]):
            details = _spectra([noise.differences(cube.astype(np.float64)) for cube in given])
        ratios = noise.snr(_spectra(given), details)
        told.append(noise_line(ratios, None))
        options["noise_snr"] = None if ratios is None else np.round(ratios, 1).tolist()
    return options, told


def tell_noise(
    scene: SceneReader, sample: np.ndarray, differences: np.ndarray, say: Callable[[str], None]
) -> None:
    """One line about the noise of a scene, from a sample of its stored values and `details`."""
    good = _good(scene, sample)
    values = sample[:, good] * scene.meta.scale + scene.meta.offset
    ratios = noise.snr(values, differences[:, good] * scene.meta.scale)
    if ratios is not None:
        centres = scene.meta.wavelengths
        say(noise_line(ratios, None if centres is None else np.asarray(centres)[good]))


def noise_line(ratios: np.ndarray | None, wavelengths: np.ndarray | None) -> str:
    """The ratios of all bands in a line."""
    if ratios is None:
        return f"noise by band: not estimated, which takes {noise.FEW} bands and more pixels"
    worst = int(ratios.argmin())
    place = f"band {worst + 1}" if wavelengths is None else f"{wavelengths[worst]:.0f} nm"
    poor = int((ratios < POOR).sum())
    return (
        f"noise by band: signal-to-noise ratio {np.median(ratios):.0f} dB in the median, "
        f"{ratios[worst]:.0f} dB at {place}"
        + (f"; {poor} {'band' if poor == 1 else 'bands'} below {POOR:.0f} dB" if poor else "")
    )


def _good(scene: SceneReader, sample: np.ndarray) -> np.ndarray:
    """Bands that have values and are not flagged as bad."""
    seen = np.isfinite(sample).any(0)
    bad = scene.meta.bad_bands
    good = seen & ~np.asarray(bad, bool) if bad is not None else seen
    return np.flatnonzero(good if good.any() else np.ones_like(seen))


def _strips(scene: SceneReader, good: np.ndarray) -> Iterator[np.ndarray]:
    rows = min(ROWS, scene.height)
    count = min(STRIPS, scene.height // rows)
    left = max((scene.width - COLUMNS) // 2, 0)
    for start in np.linspace(0, scene.height - rows, count).astype(int).tolist():
        stored = scene.read(slice(start, start + rows), slice(left, left + COLUMNS))
        yield survey.hidden_as_nan(stored, scene.meta.nodata)[..., good]


def _spectra(cubes: list[np.ndarray]) -> np.ndarray:
    spectra = np.concatenate([cube.reshape(-1, cube.shape[-1]) for cube in cubes])
    return spectra[:: max(len(spectra) // survey.PIXELS, 1)]
