"""The noise of each band of a scene, found in its spectra."""

import numpy as np

ENOUGH, PIXELS = 24, 2  # bands, and pixels a band, that an estimate takes
FACTORS = 15  # rounds that take the noise of other bands out of a band's


def band_noise(spectra: np.ndarray) -> np.ndarray | None:
    """The deviation of the noise in each band of `n c` spectra: what the other bands do not explain
    of it by linear regression (as Bioucas-Dias and Nascimento's HySime begins), less what is due to
    the noise of those (principal factors). Rows with NaN are left out; None where there are too few
    spectra or bands."""
    spectra = np.asarray(spectra, np.float64)
    spectra = spectra[np.isfinite(spectra).all(1)]
    count, bands = spectra.shape
    if bands < ENOUGH or count < PIXELS * bands:
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


def snr(spectra: np.ndarray) -> np.ndarray | None:
    """The signal-to-noise ratio of each band in dB, as `degrade.add_noise` has it: the mean square
    of `n c` physical values over the variance of the noise. None where it cannot be estimated."""
    noise = band_noise(spectra)
    if noise is None:
        return None
    power = np.nanmean(np.square(spectra.astype(np.float64)), 0)
    return 10 * np.log10(np.maximum(power, 1e-30) / np.maximum(noise**2, 1e-9 * power + 1e-30))
