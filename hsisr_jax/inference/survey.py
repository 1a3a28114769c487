"""Checks of a scene before it is super-resolved: bands, range, colours."""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from hsisr_jax.data.normalise import Normaliser, from_physical
from hsisr_jax.errors import UserError
from hsisr_jax.formats import SceneMeta, SceneReader, carried, crs
from hsisr_jax.formats.scene import hidden_values
from hsisr_jax.inference.facts import BEYOND, widened
from hsisr_jax.inference.trained import Trained, of_stored, physical
from hsisr_jax.inference.wavelengths import alike, assumed, band_map, shown, spacing
from hsisr_jax.report.pictures import colour_bands

PLACES, ROWS = 16, 8  # rows that are looked at, spread over the scene
PIXELS = 20_000
STEPS = 1 << 14  # of float32 that the contrast of a scene has at least
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
    if not card.bands:  # the network takes the bands that there are
        return {**card.domains[0], "wavelengths": scene.meta.wavelengths}, None
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


def rescale(scene: SceneReader, scale: float) -> None:
    """Sets what stored values are multiplied by (`--input_scale`); 0 leaves what the file says."""
    if scale:
        scene.meta = replace(scene.meta, scale=scale)


def tell(scene: SceneReader, say: Callable[[str], None]) -> None:
    """Reports the properties of the file that the output does not keep."""
    for note in scene.notes:
        say(f"{scene.path.name}: {note}")
    meta = scene.meta
    if meta.transform is None and not carried.points(meta.extra):
        say("warning: the scene has no map coordinates, and the output will have none")
    elif carried.SYSTEM not in meta.extra and not crs.known(lambda CRS: CRS.from_wkt(meta.crs)):
        say(
            "warning: the scene's map has no reference system that is known here (as WKT), and "
            "other programs may find none in the output"
        )


def tell_of_bands(
    model: list[float] | None,
    scene: SceneReader,
    bands: np.ndarray | None,
    say: Callable[[str], None],
) -> None:
    """Reports flagged bands that are left out, and bands that were matched to the model's although
    their wavelengths differ."""
    centres, bad = scene.meta.wavelengths, scene.meta.bad_bands
    if bands is not None and bad is not None:
        left_out = int((bad & ~bands.any(1)).sum())
        if left_out:
            say(f"bands flagged as bad, which are left out: {left_out}")
    if model is None or centres is None or (bands is not None and not np.isin(bands, (0, 1)).all()):
        return
    centres = centres if bands is None else centres[bands.argmax(0)]
    if len(centres) != len(model):  # a multispectral input
        return
    off = np.abs(centres - np.asarray(model))
    if assumed(model) != assumed(centres) and (off > np.maximum(1, 0.25 * spacing(centres))).any():
        who = "model" if assumed(model) else "scene"
        say(
            f"warning: the {who}'s wavelengths are evenly spaced, so somebody assumed them; they "
            f"are up to {off.max():.3g} nm from the other's, and bands are taken in their order"
        )


def sample(scene: SceneReader) -> np.ndarray:
    """A sample of stored pixels `n c` from the whole scene, as float32; hidden ones are NaN."""
    few = scene.height <= PLACES * ROWS
    starts = [0] if few else np.linspace(0, scene.height - ROWS, PLACES).astype(int).tolist()
    rows = scene.height if few else ROWS
    step = max(scene.width * rows * len(starts) // PIXELS, 1)
    parts = [
        scene.read(slice(row, row + rows))[:, ::step].reshape(-1, scene.bands) for row in starts
    ]
    return hidden_as_nan(np.concatenate(parts), scene.meta.nodata)


def of_use(sample: np.ndarray, meta: SceneMeta) -> np.ndarray:
    """The sample with zeros in bands that have no value at all or are flagged as bad, so that the
    components are those of the others."""
    good = np.isfinite(sample).any(0)
    if meta.bad_bands is not None and (good & ~meta.bad_bands).any():
        good &= ~meta.bad_bands
    return np.where(good, sample, 0)


def centre(dtype: np.dtype, sample: np.ndarray, bands: np.ndarray | None) -> float:
    """The value to subtract if float32 would otherwise lose the scene's contrast; else 0."""
    exact = dtype.itemsize < 4 or dtype == np.float32
    seen = sample[np.isfinite(sample)].astype(np.float64)
    if exact or not seen.size or (bands is not None and not np.allclose(bands.sum(0), 1)):
        return 0.0
    step = float(np.spacing(np.float32(np.abs(seen).max())))
    return 0.0 if np.ptp(seen) > STEPS * step else float(np.rint((seen.min() + seen.max()) / 2))


def hidden_as_nan(stored: np.ndarray, nodata: float | None) -> np.ndarray:
    """Stored values as float32, NaN where there are no data."""
    with np.errstate(over="ignore"):  # what float32 does not hold is refused where it matters
        values = stored.astype(np.float32)
    values[hidden_values(stored, nodata)] = np.nan
    return values


@dataclass(frozen=True)
class Extremes:
    """Extremes of all stored values of each band `[c]` (NaN for a band without any), and how many
    pixels are hidden in all bands, or in some."""

    low: np.ndarray
    high: np.ndarray
    hidden: int
    partly: int


def extremes(scene: SceneReader) -> Extremes:
    """One reading of the whole scene."""
    step = max(BYTES // (4 * scene.width * scene.bands), 1)
    low, high = np.full(scene.bands, np.inf), np.full(scene.bands, -np.inf)
    whole = partly = 0
    for row in range(0, scene.height, step):
        stored = scene.read(slice(row, row + step)).reshape(-1, scene.bands)
        hidden = hidden_values(stored, scene.meta.nodata)
        if hidden.any():
            all_bands = hidden.all(1)
            whole += int(all_bands.sum())
            partly += int((hidden.any(1) & ~all_bands).sum())
            stored = np.where(hidden, np.nan, stored.astype(np.promote_types(stored.dtype, "f4")))
            stored = stored[~all_bands]
        if len(stored):
            low, high = np.fmin(low, np.fmin.reduce(stored)), np.fmax(high, np.fmax.reduce(stored))
    empty = low > high
    return Extremes(np.where(empty, np.nan, low), np.where(empty, np.nan, high), whole, partly)


def limits(
    found: Extremes, bands: np.ndarray | None, before: SceneMeta, after: SceneMeta
) -> tuple[np.ndarray, np.ndarray]:
    """The least and the largest value of each output band, in its stored units; see `widened`."""
    low, high = (x * before.scale + before.offset for x in (found.low, found.high))
    low, high = widened(np.fmin(low, high), np.fmax(low, high))
    if bands is not None:
        known = np.isfinite(low)
        lost = (bands != 0)[~known].any(0)  # bands made from one that has no values
        low, high = (np.where(lost, np.nan, np.where(known, x, 0) @ bands) for x in (low, high))
    low, high = ((x - after.offset) / after.scale for x in (low, high))
    free = np.isnan(low)
    ends = np.where(free, -np.inf, np.fmin(low, high)), np.where(free, np.inf, np.fmax(low, high))
    return ends[0].astype(np.float32), ends[1].astype(np.float32)


def neutral(stored: np.ndarray, normaliser: Normaliser) -> np.ndarray:
    """The fill value of bands without values nearby: the mean, else the normaliser's zero."""
    known = np.isfinite(stored)
    zero = -normaliser.bias / normaliser.gain
    mean = np.where(known, stored, 0).sum(0, dtype=float) / np.maximum(known.sum(0), 1)
    return np.where(known.any(0), mean, zero)


def normaliser(
    card: Trained,
    domain: dict,
    scene: SceneReader,
    which: str,
    found: Callable[[], Extremes],
    say: Callable[[str], None],
) -> Normaliser:
    """Chooses the normaliser of a scene's stored values: the model's, or by the scene's maximum."""
    known, meta = Normaliser(**domain["normaliser"]), scene.meta
    if which == "model" or known.floor is not None or not (which or card.own_range):
        return of_stored(known, meta.scale, meta.offset)
    ends = np.stack([found().low, found().high]) * meta.scale + meta.offset
    top = float(np.fmax.reduce(ends, axis=None))
    if not 0 < top < np.inf:
        raise UserError(f"{scene.path}: has no positive values; use --normalise=model")
    say(f"the scene is divided by its own maximum, {top:g}, as the scenes in training were")
    return from_physical(meta.scale, meta.offset, 0.0, top)


def writer_units(normaliser: Normaliser, before: SceneMeta, after: SceneMeta) -> Normaliser:
    """The normaliser for values stored with another scale and offset."""
    values = physical(normaliser, before.scale, before.offset)
    return of_stored(values, after.scale, after.offset)


def warn_of_range(known: Normaliser, stored: np.ndarray, say: Callable[[str], None]) -> None:
    """Warns of values far from those in training, most often due to units."""
    seen = known.apply(stored, np)
    seen = seen[np.isfinite(seen)]
    if not seen.size:
        return
    low, high = np.percentile(seen, [2, 98])
    if high > 3 or high < 0.02 or low < -1:
        say(
            f"warning: the network sees values of {low:.3g} to {high:.3g} and was trained on about "
            "0 to 1; check the scene's scale factor (ENVI: 'reflectance scale factor'), give it by "
            "--input_scale=1e-4 or the like, or use --normalise=scene"
        )


def check_dtype(
    stored: np.ndarray,
    before: SceneMeta,
    after: SceneMeta,
    dtype: np.dtype,
    say: Callable[[str], None],
) -> None:
    """Warns of integers that would lose the scene: a handful of different values, or clipped ones.
    Floats that end below its values are refused: they would become infinite."""
    values = stored[np.isfinite(stored)]
    if not values.size:
        return
    if dtype.kind == "f":
        most = float(
            np.abs((values * before.scale + before.offset - after.offset) / after.scale).max()
        )
        last = float(np.finfo(dtype).max)
        if most * (1 + BEYOND) > last:
            raise UserError(
                f"--dtype={dtype} ends at {last:g} and the scene reaches {most:.4g}: use float32, "
                "or a larger --output_scale"
            )
        if 0 < most < COUNTS * np.finfo(dtype).tiny:
            say(
                f"warning: --dtype={dtype} holds values as small as the scene's, {most:.3g} at "
                "most, with few digits: use float32, or a smaller --output_scale"
            )
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
    chosen, _ = colour_bands(card.bands or stored.shape[1], meta.wavelengths)
    values = stored[np.isfinite(stored).all(1)]
    if card.msi_bands:  # the input lacks these bands: its overall brightness serves all three
        values = np.repeat(values.reshape(-1, 1), 3, 1)
    else:
        values = (values if bands is None else values @ bands)[:, list(chosen)]
    if not len(values):
        return chosen, np.zeros(3), np.ones(3)
    low, high = np.percentile(values, [2, 98], axis=0)
    return chosen, low, np.where(high > low, high, low + 1e-6)
