"""The noise of each band of a scene, found in its spectra or, of few bands, in its differences."""

import numpy as np

ENOUGH, PIXELS = 24, 2  # bands, and pixels a band, that an estimate takes
EDGE = 4.0  # times the median difference in a band: beyond it lie edges and faulty pixels
FEW = 6  # bands that are enough where differences of neighbouring pixels are given
FACTORS = 15  # rounds that take the noise of other bands out of a band's


def uses_differences(bands: int) -> bool:
    """Whether the noise of so many bands is found in `differences`."""
    return FEW <= bands < ENOUGH


def differences(cube: np.ndarray) -> np.ndarray:
    """Second differences along rows and columns, `h-2 w-2 c` of `h w c`; NaN where a pixel of the
    nine is. White noise keeps its deviation, and most of the detail is gone."""
    for axis in (0, 1):
        before, at, after = (
            np.take(cube, np.arange(first, max(cube.shape[axis] - 2 + first, first)), axis)
            for first in range(3)
        )
        cube = (2 * at - before - after) / 6**0.5
    return cube


def band_noise(spectra: np.ndarray, details: np.ndarray | None = None) -> np.ndarray | None:
    """The deviation of the noise in each band of `n c` spectra: what the other bands do not explain
    of it by linear regression (as Bioucas-Dias and Nascimento's HySime begins), less what is due to
    the noise of those (principal factors). Of few bands (`uses_differences`) it is found in
    `details`, `n c` differences. Rows with NaN are left out; None where there are too few rows or
    bands."""
    few = spectra.shape[1] < ENOUGH
    if few and (details is None or not uses_differences(spectra.shape[1])):
        return None
    spectra = np.asarray(details if few else spectra, np.float64)
    spectra = spectra[np.isfinite(spectra).all(1)]
    if few and len(spectra):
        spectra = spectra[(np.abs(spectra) <= EDGE * np.median(np.abs(spectra), 0)).all(1)]
    count, bands = spectra.shape
    if count < PIXELS * bands:
        return None
    spread = spectra.std(0)
    known = spread > 1e-12 * max(np.abs(spectra).max(), 1e-30)
    centred = (spectra[:, known] - spectra[:, known].mean(0)[None]) / spread[known]
    related = centred.T @ centred / count
    noise = 1 / np.diag(np.linalg.inv(related + 1e-10 * np.eye(len(related))))
    white = (1 + np.sqrt(bands / count)) ** 2 * 1.2  # no eigenvalue of noise alone lies above
    for _ in range(FACTORS):
        root = np.sqrt(noise)
        values, vectors = np.linalg.eigh(related / np.outer(root, root))
        signal = ((root[:, None] * vectors) ** 2 * np.where(values > white, values - 1, 0)).sum(1)
        noise = np.clip(1 - signal, 0.1 * noise, noise)
    found = np.zeros(bands)
    found[known] = spread[known] * np.sqrt(noise * count / (count - 1))
    return found


def snr(spectra: np.ndarray, details: np.ndarray | None = None) -> np.ndarray | None:
    """The signal-to-noise ratio of each band in dB, as `degrade.add_noise` has it: the mean square
    of `n c` physical values over the variance of the noise (see `band_noise`). None where it cannot
    be estimated."""
    noise = band_noise(spectra, details)
    if noise is None:
        return None
    power = np.nanmean(np.square(spectra.astype(np.float64)), 0)
    return 10 * np.log10(np.maximum(power, 1e-30) / np.maximum(noise**2, 1e-9 * power + 1e-30))
