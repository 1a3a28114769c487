"""Files that hold several arrays: which is the cube, and which are its wavelengths."""

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from hsisr_jax.errors import UserError
from hsisr_jax.formats.envi_header import NANOMETRES
from hsisr_jax.formats.scene import NUMERIC, SceneMeta

WAVELENGTHS = (
    *("wavelengths", "wavelength", "wavelengths_nm", "wavelength_nm", "wl", "wvl"),
    *("lambda", "wave", "bands"),
)
WIDTHS = ("fwhm",)
SPECTRAL = (  # names of the axis of bands
    *("band", "bands", "wavelength", "wavelengths", "lambda", "wl", "channel", "channels"),
    *("spectral", "spectral_band", "number_of_bands"),
)
META = "scene_meta"  # our own metadata, as JSON text
CUBE = "cube"


def choose(path: object, shapes: Mapping[str, Sequence[int]], variable: str | None) -> str:
    """The name of the cube: as asked for, else the only array with three axes."""
    listed = ", ".join(f"{name} ({'x'.join(map(str, shape))})" for name, shape in shapes.items())
    listed = listed[:2000] or "none"
    if variable is not None:
        if variable not in shapes:
            raise UserError(f"{path}: no array {variable!r}; arrays there: {listed}")
        if len(shapes[variable]) not in (2, 3):
            raise UserError(f"{path}: {variable!r} is no cube; arrays there: {listed}")
        return variable
    cubes = [name for name, shape in shapes.items() if len(shape) == 3]
    if CUBE in cubes:
        return CUBE
    if len(cubes) != 1:
        word = "several arrays" if cubes else "no array"
        raise UserError(f"{path}: {word} with three axes; name one of (variable=): {listed}")
    return cubes[0]


def cube_shape(path: object, name: str, shape: Sequence[int]) -> tuple[int, int, int]:
    """`(h, w, c)`; an array with two axes is one band."""
    shape = tuple(int(size) for size in shape)
    if len(shape) == 2:
        shape = (*shape, 1)
    if len(shape) != 3 or min(shape) < 1:
        raise UserError(f"{path}: {name!r} is {shape}, not (height, width, bands)")
    return shape


def as_wavelengths(
    values: np.ndarray | None, bands: int, unit: str = "", *, micrometres_below: float = 100
) -> np.ndarray | None:
    """Values in nanometres, if they can be wavelengths of so many bands."""
    if values is None or values.dtype.kind not in NUMERIC[:3] or values.size != bands:
        return None
    values = np.asarray(values, float).reshape(-1)
    if not np.isfinite(values).all() or (values < 0).any():
        return None
    factor = NANOMETRES.get(unit.strip().lower())
    if factor is None:
        micrometres = values.max() < micrometres_below
        if micrometres and (values == np.round(values)).all():
            return None  # numbers of bands
        factor = 1e3 if micrometres else 1.0
    return values * factor


def companion(
    names: Sequence[str],
    wanted: Sequence[str],
    bands: int,
    load: Callable[[str], np.ndarray | None],
    unit: Callable[[str], str] = lambda name: "",
) -> np.ndarray | None:
    """Wavelengths (or widths) among a file's other arrays, by the usual names."""
    below = 0.5 if wanted is WIDTHS else 100
    for want in wanted:
        for name in names:
            if name.rpartition("/")[2].lower() == want:
                values = load(name)
                found = as_wavelengths(values, bands, unit(name), micrometres_below=below)
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
    if text:
        try:
            return SceneMeta.from_json(text).check(bands, META)
        except Exception:  # untrusted text of any kind; the cube itself is not in doubt
            pass
    return SceneMeta(wavelengths=wavelengths)
