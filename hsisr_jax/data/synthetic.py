"""Synthetic scenes: linear mixing of smooth spectra over fields, roads, water and small objects.

`reflectance(pixel, band) = light * brightness * sum_m abundance_m * endmember_m(band) + noise`.
Borders are sharp (drawn twice as finely and averaged, so border pixels are mixed), roads are thin,
texture has many scales, light falls off across the scene, and the noise depends on the band. The
geometry depends only on seed and size: the same seed with other wavelengths shows the same area in
another spectral range. Plain numpy.
"""

import numpy as np

FINE = 2  # sub-pixels on a side
FIRST, LAST = 400.0, 2500.0
# Centre (nm), width (nm) and depth of absorptions; see `_spectrum` for the slopes and edges.
WATER_VAPOUR = ((760, 8, 0.15), (940, 25, 0.2), (1135, 30, 0.25), (1400, 45, 0.5), (1900, 55, 0.6))
LEAF = ((480, 45, 0.5), (670, 30, 0.8), (980, 40, 0.12), (1200, 50, 0.2), (1450, 80, 0.6))
MATERIALS = {
    # name: (level at 400, 1000, 1700, 2500 nm; absorptions)
    "grass": ((0.10, 0.55, 0.35, 0.12), (*LEAF, (1930, 90, 0.7))),
    "trees": ((0.05, 0.38, 0.22, 0.07), (*LEAF, (1930, 90, 0.8))),
    "soil": ((0.08, 0.30, 0.42, 0.36), ((500, 60, 0.2), (900, 90, 0.12), (2205, 35, 0.25))),
    "sand": ((0.20, 0.50, 0.62, 0.55), ((480, 50, 0.15), (1920, 60, 0.25), (2340, 40, 0.2))),
    "asphalt": ((0.07, 0.12, 0.15, 0.16), ((1730, 40, 0.05), (2310, 40, 0.12))),
    "water": ((0.08, 0.02, 0.008, 0.004), ((680, 30, 0.15), (980, 60, 0.5))),
    "roof": ((0.06, 0.34, 0.40, 0.33), ((530, 50, 0.55), (860, 70, 0.25), (2200, 40, 0.15))),
    "metal": ((0.45, 0.62, 0.66, 0.60), ((840, 90, 0.12),)),
    "plastic": ((0.35, 0.55, 0.45, 0.25), ((1215, 30, 0.2), (1730, 35, 0.5), (2310, 50, 0.5))),
    "concrete": ((0.18, 0.33, 0.38, 0.30), ((1940, 60, 0.25), (2340, 35, 0.2))),
}


def generate(
    height: int,
    width: int,
    bands: int,
    *,
    seed: int,
    wavelengths: np.ndarray | None = None,
    materials: int = 8,
    snr: tuple[float, float] = (35.0, 50.0),
    shift: float = 0.0,
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """A scene: reflectance [h, w, c] float32, wavelengths [c] in nm, abundances [h, w, m] and
    endmembers [m, c].

    `snr` is the signal-to-noise ratio in dB of the worst and the best band; `shift` distorts the
    endmembers smoothly (0.1: by about 10 %), as another sensor or atmosphere would.
    """
    if wavelengths is None:
        wavelengths = np.linspace(FIRST, LAST, bands)
    wavelengths = np.asarray(wavelengths, float)
    abundances, light = ground(height, width, seed=seed, materials=materials)
    spectra = endmembers(wavelengths, materials, seed=seed, shift=shift)
    cube = np.empty((height, width, len(wavelengths)), np.float32)
    rng = np.random.default_rng([seed, 3])
    for start in range(0, height, 64):  # bounded memory, whatever the size
        rows = slice(start, start + 64)
        clean = (abundances[rows] @ spectra) * light[rows, :, None]
        noise = rng.standard_normal(clean.shape, np.float32)
        cube[rows] = np.maximum(clean + noise * noise_level(wavelengths, spectra, snr), 1e-4)
    return cube, wavelengths, abundances, spectra


def endmembers(
    wavelengths: np.ndarray, materials: int, *, seed: int, shift: float = 0.0
) -> np.ndarray:
    """Spectra [m, c]: the ten named materials with small changes, then variations of them."""
    rng = np.random.default_rng([seed, 2])
    recipes = list(MATERIALS.values())
    spectra = []
    for index in range(materials):
        points, recipe = recipes[index % len(recipes)]
        spread = 0.06 if index < len(recipes) else 0.35
        levels = np.array(points) * np.exp(spread * rng.standard_normal(4))
        dips = [
            (c + rng.normal(0, 4), w, min(d * rng.uniform(0.8, 1.2), 0.95)) for c, w, d in recipe
        ]
        spectra.append(_spectrum(wavelengths, levels, dips))
    drift = rng.standard_normal((materials, 3))
    phase = np.stack([np.sin(wavelengths / p) for p in (70.0, 130.0, 290.0)])
    return (np.stack(spectra) * np.exp(shift * drift @ phase / 1.7)).astype(np.float32)


def _spectrum(wavelengths: np.ndarray, levels: np.ndarray, dips) -> np.ndarray:
    continuum = np.interp(wavelengths, (FIRST, 1000, 1700, LAST), levels)
    if levels[1] > 3 * levels[0] and len(dips) > 4:  # leaves: dark below the red edge at 715 nm
        edge = 1 / (1 + np.exp(-(wavelengths - 715) / 12))
        continuum = levels[0] + (continuum - levels[0]) * edge
    for centre, width, depth in dips:
        continuum = continuum * (1 - depth * np.exp(-0.5 * ((wavelengths - centre) / width) ** 2))
    return continuum


def noise_level(
    wavelengths: np.ndarray, spectra: np.ndarray, snr: tuple[float, float]
) -> np.ndarray:
    """Standard deviation by band: worst at both ends and where water vapour takes the light."""
    worst, best = snr
    middle = 1 - ((wavelengths - 0.5 * (FIRST + LAST)) / (LAST - FIRST)) ** 2
    for centre, width, depth in WATER_VAPOUR:
        middle = middle * (1 - depth * np.exp(-0.5 * ((wavelengths - centre) / width) ** 2))
    decibel = worst + (best - worst) * np.clip(middle, 0, 1)
    signal = np.sqrt((spectra.astype(float) ** 2).mean(axis=0))
    return (signal * 10 ** (-decibel / 20)).astype(np.float32)


def ground(
    height: int, width: int, *, seed: int, materials: int = 8
) -> tuple[np.ndarray, np.ndarray]:
    """Abundances [h, w, m], which sum to one, and light [h, w]."""
    rng = np.random.default_rng([seed, 1])
    fine = np.zeros((height * FINE, width * FINE, materials), np.float32)
    fields, label = _fields(fine.shape, rng)
    fine[...] = fields[label]
    _mix_in_texture(fine, rng)
    # Materials by place in the table; a scene of few materials uses what it has.
    road, water, objects = (np.array(ids) % materials for ids in (4, 5, (0, 1, 6, 7, 8, 9)))
    _cover(fine, _lake(fine.shape, rng), int(water))
    for mask in _roads(fine.shape, rng):
        _cover(fine, mask, int(road))
    _place_objects(fine, rng, objects)
    abundances = fine.reshape(height, FINE, width, FINE, materials).mean(axis=(1, 3))
    return abundances, _light(height, width, label, rng)


def _grid(shape: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
    rows, cols = np.ogrid[: shape[0], : shape[1]]
    return rows.astype(np.float32), cols.astype(np.float32)


def _fields(shape: tuple[int, ...], rng) -> tuple[np.ndarray, np.ndarray]:
    """Fields with straight borders: cuts by parallel families of lines in two directions each."""
    rows, cols = _grid(shape)
    label = np.zeros(shape[:2], np.int64)
    for spacing in rng.uniform(36, 90, 3):
        angle = rng.uniform(0, np.pi)
        along = cols * np.cos(angle) + rows * np.sin(angle) + rng.uniform(0, spacing)
        across = cols * -np.sin(angle) + rows * np.cos(angle)
        strips = np.floor(along / spacing).astype(np.int64)
        offset = (strips * 40503 % 101) / 101 * spacing
        parts = np.floor((across + offset) / (2.3 * spacing)).astype(np.int64)
        label = (label * 7919 + strips * 1009 + parts * 31) % 4093
    count, materials = 4093, shape[2]
    main, second = rng.integers(0, materials, (2, count))
    share = rng.choice([0.0, 0.1, 0.25, 0.45], count).astype(np.float32)
    mixtures = np.zeros((count, materials), np.float32)
    mixtures[np.arange(count), main] += 1 - share
    mixtures[np.arange(count), second] += share
    return mixtures, label


def _mix_in_texture(fine: np.ndarray, rng) -> None:
    """Fractal noise moves every pixel towards another material, more in some places."""
    amount = np.clip(0.12 + 0.12 * _fractal(fine.shape, rng, 1.1), 0, 0.6)[..., None]
    other = np.roll(fine, rng.integers(20, 60), axis=1)
    fine *= 1 - amount
    fine += amount * other


def _fractal(shape: tuple[int, ...], rng, slope: float) -> np.ndarray:
    """Noise with amplitude falling as frequency ** -slope, of unit deviation."""
    size = tuple(2 ** int(np.ceil(np.log2(max(side, 8)))) for side in shape[:2])
    size = tuple(min(side, 1024) for side in size)  # larger scenes repeat it
    fy, fx = np.fft.fftfreq(size[0])[:, None], np.fft.rfftfreq(size[1])[None]
    weight = 1 / np.maximum(np.hypot(fy, fx), 1 / max(size)) ** slope
    weight[0, 0] = 0
    noise = np.fft.irfft2(np.fft.rfft2(rng.standard_normal(size)) * weight, s=size)
    noise = (noise / noise.std()).astype(np.float32)
    tiles = [-(-side // period) for side, period in zip(shape, size)]
    return np.tile(noise, tiles)[: shape[0], : shape[1]]


def _lake(shape: tuple[int, ...], rng) -> np.ndarray:
    rows, cols = _grid(shape)
    y, x = rng.uniform(0.1, 0.9, 2) * shape[:2]
    radius = 0.16 * min(shape[:2])
    turn = np.arctan2(rows - y, cols - x)
    shore = radius * (1 + 0.25 * np.sin(3 * turn + rng.uniform(0, 6)) + 0.1 * np.sin(7 * turn))
    return np.hypot(rows - y, 0.7 * (cols - x)) < shore


def _roads(shape: tuple[int, ...], rng) -> list[np.ndarray]:
    """Thin lines, some gently curved, one for each 90 pixels of the scene's side."""
    rows, cols = _grid(shape)
    masks = []
    for _ in range(max(4, max(shape[:2]) // (90 * FINE))):
        angle = rng.uniform(0, np.pi)
        along = cols * np.cos(angle) + rows * np.sin(angle)
        across = cols * -np.sin(angle) + rows * np.cos(angle)
        bend = rng.uniform(0, 12) * np.sin(along / rng.uniform(80, 200) + rng.uniform(0, 6))
        extent = float(across.max() - across.min())
        place = across.min() + rng.uniform(0.1, 0.9) * extent
        masks.append(np.abs(across + bend - place) < rng.uniform(0.5, 2.0) * FINE)
    return masks


def _cover(fine: np.ndarray, mask: np.ndarray, material: int) -> None:
    fine[mask] = 0
    fine[mask, material] = 1


def _place_objects(fine: np.ndarray, rng, materials: np.ndarray) -> None:
    """Houses, cars and single trees: one small rectangle for each 160 pixels of the scene."""
    height, width = fine.shape[:2]
    count = height * width // (160 * FINE * FINE)
    sizes = (rng.gamma(2.0, 1.6, (count, 2)) * FINE).astype(int) + FINE
    places = (rng.uniform(0, 1, (count, 2)) * (height, width)).astype(int)
    for (row, col), (tall, wide), material in zip(places, sizes, rng.choice(materials, count)):
        fine[row : row + tall, col : col + wide] = 0
        fine[row : row + tall, col : col + wide, material] = 1


def _light(height: int, width: int, label: np.ndarray, rng) -> np.ndarray:
    """Brightness: a gradient across the scene, one factor a field, fine texture."""
    rows, cols = np.linspace(-1, 1, height)[:, None], np.linspace(-1, 1, width)[None]
    angle = rng.uniform(0, 2 * np.pi)
    slope = 1 + 0.08 * (rows * np.sin(angle) + cols * np.cos(angle))
    by_field = rng.uniform(0.85, 1.15, 4093)[label[::FINE, ::FINE]]
    return (slope * by_field * np.exp(0.04 * _fractal((height, width), rng, 0.8))).astype(
        np.float32
    )
