"""Files that hold several arrays: which is the cube, and which are its wavelengths."""

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from hsisr_jax.errors import UserError
from hsisr_jax.formats.envi_header import NANOMETRES, are_numbers
from hsisr_jax.formats.scene import NUMERIC, SceneMeta

WAVELENGTHS = (
    *("wavelengths", "wavelength", "wavelengths_nm", "wavelength_nm", "wl", "wvl"),
    *("lambda", "wave", "bands", "band"),
)
WIDTHS = ("fwhm",)
SPECTRAL = (  # names of the axis of bands
    *("band", "bands", "wavelength", "wavelengths", "lambda", "wl", "channel", "channels"),
    *("spectral", "spectral_band", "number_of_bands"),
)
ROWS = ("y", "lat", "latitude", "northing", "row", "rows", "line", "lines")
COLS = ("x", "lon", "longitude", "easting", "col", "cols", "column", "sample", "samples")
META = "scene_meta"  # our own metadata, as JSON text
CUBE = "cube"
KILOMETRES = ("km", "kilometer", "kilometers", "kilometre", "kilometres")
EVEN = 0.01  # of a step: how far coordinates may lie from even ones, or from those of a transform


def choose(path: object, shapes: Mapping[str, Sequence[int]], variable: str | None) -> str:
    """The name of the cube: as asked for, else the only array with three axes, else the only one
    with three beside those of length 1."""
    listed = ", ".join(f"{name} ({'x'.join(map(str, shape))})" for name, shape in shapes.items())
    listed = listed[:2000] or "none"
    if variable is not None:
        if variable not in shapes:
            raise UserError(f"{path}: no array {variable!r}; arrays there: {listed}")
        if len(kept_axes(shapes[variable])) not in (2, 3):
            raise UserError(f"{path}: {variable!r} is no cube; arrays there: {listed}")
        return variable
    cubes = [name for name, shape in shapes.items() if len(shape) == 3]
    cubes = cubes or [name for name, shape in shapes.items() if len(kept_axes(shape)) == 3]
    if CUBE in cubes:
        return CUBE
    if len(cubes) != 1:
        word = "several arrays" if cubes else "no array"
        advice = f"name one of (--variable=): {listed}"
        if not shapes:
            advice = "it holds no numbers that can be read; save the cube itself as one array"
        raise UserError(f"{path}: {word} with three axes; {advice}")
    return cubes[0]


def kept_axes(shape: Sequence[int]) -> list[int]:
    """The axes that a cube has: of more than three, the first ones of length 1 are left out."""
    kept = list(range(len(shape)))
    while len(kept) > 3 and (ones := [axis for axis in kept if shape[axis] == 1]):
        kept.remove(ones[0])
    return kept


def axes_of(names: Sequence[str], shape: Sequence[int], said: object, bands: set[int]) -> str:
    """Names the axes of a cube h, w and b, in the order of storage.

    The bands are the axis that the file names (`said`), else the only one as long as a list of
    wavelengths (`bands`: the lengths), one with a spectral name, the one beside rows and columns,
    else the last. The other axes tell rows from columns by their names.
    """
    if len(shape) == 2:
        names, said = [*names, ""], 2
    fits = [axis for axis, size in enumerate(shape) if size in bands]
    spectral = [axis for axis, name in enumerate(names) if name in SPECTRAL]
    placed = [axis for axis, name in enumerate(names) if name in ROWS + COLS]
    if isinstance(said, int | float) and said in (0, 1, 2):
        band = int(said)
    elif len(fits) == 1:
        band = fits[0]
    elif spectral:
        band = spectral[0]
    else:
        band = 3 - sum(placed) if len(placed) == 2 else max(fits, default=2)
    first, second = (axis for axis in range(3) if axis != band)
    swapped = names[first] in COLS and names[second] in ROWS
    letters = {band: "b", first: "w" if swapped else "h", second: "h" if swapped else "w"}
    return "".join(letters[axis] for axis in range(3))


def corrected(
    stored: tuple[float, ...] | None, said: tuple[float, ...] | None
) -> tuple[float, ...] | None:
    """The stored transform, or that of coordinates that contradict it: other programs cut a scene
    and leave the transform as it was. Coordinates say nothing of a rotation."""
    if stored is None or said is None or stored[1] or stored[3]:
        return stored or said
    steps = [said[0], said[4]]
    near = np.allclose([stored[0], stored[4]], steps, rtol=1e-3)
    off = np.subtract([stored[2], stored[5]], [said[2], said[5]])
    return stored if near and (np.abs(off) < EVEN * np.abs(steps)).all() else said


def unpacked(values: np.ndarray, scale: float | None, offset: float | None) -> np.ndarray:
    """The values of a coordinate or a list of bands that may be packed as CF packs them."""
    if scale is None and offset is None:
        return values
    return values * (1.0 if scale is None else scale) + (offset or 0.0)


def metres(unit: object, crs: str) -> float:
    """The factor to metres of coordinates in kilometres, if those are not the system's own unit."""
    kilometres = str(unit).strip().lower() in KILOMETRES
    return 1e3 if kilometres and crs and "kilomet" not in crs.lower() else 1.0


def cube_shape(path: object, name: str, shape: Sequence[int]) -> tuple[int, int, int]:
    """`(h, w, c)`; an array with two axes is one band, axes of length 1 before them are none."""
    shape = tuple(int(shape[axis]) for axis in kept_axes(shape))
    if len(shape) == 2:
        shape = (*shape, 1)
    if len(shape) != 3 or min(shape) < 1:
        raise UserError(f"{path}: {name!r} is {shape}, not (height, width, bands)")
    return shape


def as_wavelengths(
    values: np.ndarray | None, bands: int, unit: str = "", *, widths: bool = False
) -> np.ndarray | None:
    """Values in nanometres, if they can be wavelengths (or widths) of so many bands."""
    if values is None or values.dtype.kind not in NUMERIC[:3] or values.size != bands:
        return None
    values = np.asarray(values, float).reshape(-1)
    if not np.isfinite(values).all() or (values < 0).any():
        return None
    factor = NANOMETRES.get(unit.strip().lower())
    if factor is None:
        if not widths and are_numbers(values):
            return None
        factor = 1e3 if values.max() < (0.5 if widths else 100) else 1.0
    return values * factor


def companion(
    names: Sequence[str],
    wanted: Sequence[str],
    bands: int,
    load: Callable[[str], np.ndarray | None],
    unit: Callable[[str], str] = lambda name: "",
) -> np.ndarray | None:
    """Wavelengths (or widths) among a file's other arrays, by the usual names."""
    for want in wanted:
        for name in names:
            if name.rpartition("/")[2].lower() == want:
                values = load(name)
                found = as_wavelengths(values, bands, unit(name), widths=wanted is WIDTHS)
                if found is not None:
                    return found
    return None


def meta_beside(
    text: str | None, names: Sequence[str], bands: int, load: Callable[[str], np.ndarray | None]
) -> SceneMeta:
    """Our own metadata, else the wavelengths and widths among a file's other arrays."""
    wavelengths = companion(names, WAVELENGTHS, bands, load)
    meta = meta_from(text, wavelengths, bands)
    if text is None and wavelengths is not None:
        meta = SceneMeta(wavelengths=wavelengths, fwhm=companion(names, WIDTHS, bands, load))
    return meta


def meta_from(text: str | None, wavelengths: np.ndarray | None, bands: int) -> SceneMeta:
    """Our own metadata where a file has them and they fit, else the wavelengths alone."""
    return own_meta(text, bands) or SceneMeta(wavelengths=wavelengths)


def own_meta(text: str | None, bands: int) -> SceneMeta | None:
    """Our own metadata where a file has them and they fit."""
    if text:
        try:
            return SceneMeta.from_json(text).check(bands, META)
        except Exception:  # untrusted text of any kind; the cube itself is not in doubt
            pass
    return None
