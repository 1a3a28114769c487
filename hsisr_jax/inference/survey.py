"""What is found out about a scene before it is super-resolved: bands, range, colours."""

from collections.abc import Callable

import numpy as np

from hsisr_jax.data.normalise import Normaliser, from_physical
from hsisr_jax.errors import UserError
from hsisr_jax.formats import SceneMeta, SceneReader
from hsisr_jax.inference.trained import Trained, of_stored
from hsisr_jax.inference.wavelengths import alike, band_map, shown
from hsisr_jax.report.pictures import colour_bands

PLACES, ROWS = 16, 8  # rows that are looked at, spread over the scene
PIXELS = 20_000
BYTES = 64 << 20  # read at a time
COUNTS = 20  # whole numbers between dark and bright, or else an integer type loses the scene


def choose_domain(
    card: Trained, scene: SceneReader, resample: bool
) -> tuple[dict, np.ndarray | None]:
    """The spectral range of the model that a scene belongs to, and the map to its bands."""
    if card.msi_bands:
        if scene.bands != card.msi_bands:
            raise UserError(
                f"{scene.path} has {scene.bands} bands and the model reads {card.msi_bands}"
            )
        if not alike(card.msi_centres, scene.meta.wavelengths):
            raise UserError(
                f"{scene.path}: its bands are not those that the model reads, in that order.\n"
                f"  model: {shown(card.msi_centres, card.msi_bands)}\n"
                f"  scene: {shown(scene.meta.wavelengths, scene.bands)}\n"
                "give a file with the model's bands"
            )
        return card.domains[0], None
    refused: UserError | None = None
    for domain in card.domains:
        try:
            return domain, _map(card, domain, scene, resample=False)
        except UserError as error:
            refused = refused or error
    if resample or refused is None:
        return card.domains[0], _map(card, card.domains[0], scene, resample=True)
    raise refused


def _map(card: Trained, domain: dict, scene: SceneReader, *, resample: bool) -> np.ndarray | None:
    meta = scene.meta
    return band_map(
        domain["wavelengths"],
        card.bands,
        scene=meta.wavelengths,
        scene_bands=scene.bands,
        bad=meta.bad_bands,
        resample=resample,
    )


def sample(scene: SceneReader) -> np.ndarray:
    """Some stored pixels `n c` from all over the scene, as float32; hidden ones are NaN."""
    few = scene.height <= PLACES * ROWS
    starts = [0] if few else np.linspace(0, scene.height - ROWS, PLACES).astype(int).tolist()
    rows = scene.height if few else ROWS
    step = max(scene.width * rows * len(starts) // PIXELS, 1)
    parts = [
        scene.read(slice(row, row + rows))[:, ::step].reshape(-1, scene.bands) for row in starts
    ]
    return _hidden_as_nan(np.concatenate(parts), scene.meta.nodata)


def _hidden_as_nan(stored: np.ndarray, nodata: float | None) -> np.ndarray:
    values = stored.astype(np.float32)
    if nodata is not None:
        values[values == np.float32(nodata)] = np.nan
    return values


def normaliser(
    card: Trained, domain: dict, scene: SceneReader, which: str, say: Callable[[str], None]
) -> Normaliser:
    """Of the scene's stored values: the model's own, or one by the scene's maximum."""
    known, meta = Normaliser(**domain["normaliser"]), scene.meta
    if which == "model" or known.floor is not None or not (which or card.own_range):
        return of_stored(known, meta.scale, meta.offset)
    top = _maximum(scene)
    say(f"the scene is divided by its own maximum, {top:g}, as the scenes in training were")
    return from_physical(meta.scale, meta.offset, 0.0, top)


def _maximum(scene: SceneReader) -> float:
    """Of all physical values."""
    step = max(BYTES // (4 * scene.width * scene.bands), 1)
    top = -np.inf
    for row in range(0, scene.height, step):
        values = _hidden_as_nan(scene.read(slice(row, row + step)), scene.meta.nodata)
        values = values[np.isfinite(values)]
        top = max(top, float(values.max())) if values.size else top
    top = top * scene.meta.scale + scene.meta.offset
    if not 0 < top < np.inf:
        raise UserError(f"{scene.path}: has no positive values; use --normalise=model")
    return top


def warn_of_range(known: Normaliser, stored: np.ndarray, say: Callable[[str], None]) -> None:
    """Values far from those in training are most often a matter of units."""
    seen = known.apply(stored, np)
    seen = seen[np.isfinite(seen)]
    if not seen.size:
        return
    low, high = np.percentile(seen, [2, 98])
    if high > 3 or high < 0.02 or low < -1:
        say(
            f"warning: the network sees values of {low:.3g} to {high:.3g} and was trained on about "
            "0 to 1; check the scene's scale factor, or use --normalise=scene"
        )


def warn_of_dtype(
    stored: np.ndarray,
    before: SceneMeta,
    after: SceneMeta,
    dtype: np.dtype,
    say: Callable[[str], None],
) -> None:
    """Integers that would lose the scene: a handful of different values, or clipped ones."""
    values = stored[np.isfinite(stored)]
    if dtype.kind not in "iu" or not values.size:
        return
    limits, physical = np.iinfo(dtype), np.percentile(values, [2, 98]) * before.scale
    physical = physical + before.offset
    low, high = (physical - after.offset) / after.scale
    fits = limits.min - 1 < low and high < limits.max + 1
    if fits and not 0 < high - low < COUNTS:
        return
    # A round number, with room for values twice as bright.
    scale = 10.0 ** np.ceil(np.log10(2 * np.abs(physical).max() / limits.max))
    signed = low > -1 or dtype.kind == "i"
    say(
        f"warning: --dtype={dtype} would store most of the scene as {low:.3g} to {high:.3g}, "
        f"rounded and clipped to {limits.min}..{limits.max}: use "
        + (f"--output_scale={scale:g}" if signed else "a signed --dtype")
    )


def colours(
    stored: np.ndarray, bands: np.ndarray | None, meta: SceneMeta, card: Trained
) -> tuple[tuple[int, int, int], np.ndarray, np.ndarray]:
    """The output's bands to show, and black and white in the input's stored units."""
    chosen, _ = colour_bands(card.bands, meta.wavelengths)
    values = stored[np.isfinite(stored).all(1)]
    if card.msi_bands:  # the input lacks these bands: its overall brightness serves all three
        values = np.repeat(values.reshape(-1, 1), 3, 1)
    else:
        values = (values if bands is None else values @ bands)[:, list(chosen)]
    if not len(values):
        return chosen, np.zeros(3), np.ones(3)
    low, high = np.percentile(values, [2, 98], axis=0)
    return chosen, low, np.where(high > low, high, low + 1e-6)
