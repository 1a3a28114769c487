"""PRISMA L1, L2B, L2C and L2D: VNIR and SWIR as one cube; the panchromatic band as `PAN`.

Layout: PRISMA Products Specification Document (ASI, 2020). Bands lie in the middle, from long to
short wavelengths; those with the wavelength 0 are empty. Where the two spectrometers overlap the
SWIR's bands are taken. Level 1: radiance = DN / scale - offset; level 2: DN of 0 to 65535 stand for
the range `L2Scale...Min` to `...Max`. A pixel that is 0 in all bands lies outside the image.
"""

from collections.abc import Mapping
from pathlib import Path

import h5py
import numpy as np

from hsisr_jax.errors import UserError
from hsisr_jax.formats.crs import wkt
from hsisr_jax.formats.hdf5_meta import attribute, number
from hsisr_jax.formats.products.base import Part, PartsReader, control_points, unused
from hsisr_jax.formats.scene import SceneMeta

KIND = "a PRISMA product"
MAX_DN = 65535.0
PAN = "PAN"


def recognised(file: h5py.File, found: Mapping) -> bool:
    return any(name.endswith("_HCO/Data Fields/VNIR_Cube") for name in found) and (
        "List_Cw_Vnir" in file.attrs
    )


def open_scene(
    path: Path, file: h5py.File, found: Mapping, variable: str | None
) -> PartsReader | None:
    """The joined cube, or the panchromatic band; None for any other variable."""
    if variable not in (None, PAN):
        return None
    level = str(attribute(file, "Processing_Level") or "")
    if variable == PAN:
        cube = _named(path, found, "_PCO/Data Fields/Cube")
        gain, offset = _units(path, file, level, "Pan")
        part = Part(cube, "hw", np.arange(1), gain, offset, fill=0)
        meta = SceneMeta(sensor="PRISMA PAN", units=_unit(level), nodata=np.nan,
                         **_map(file, cube.shape))  # fmt: skip
        return PartsReader(path, KIND, [part], meta, owner=file)
    parts: list[Part] = []
    centres: list[np.ndarray] = []
    widths: list[np.ndarray] = []
    notes: tuple[str, ...] = ()
    for name in ("Vnir", "Swir"):
        cube = _named(path, found, f"_HCO/Data Fields/{name.upper()}_Cube")
        waves, fwhm, used = _bands(path, file, name, cube.shape[1])
        if name == "Swir":  # in the overlap its bands are the better ones
            first = waves[used].min()
            kept = centres[0] < first
            if left := int((~kept).sum()):
                notes = (f"VNIR bands from {first:.0f} nm on ({left}) are left out: "
                         "the SWIR has that range too",)  # fmt: skip
            parts[0] = Part(parts[0].data, "hbw", parts[0].bands[kept], parts[0].gain,
                            parts[0].offset, blank=0)  # fmt: skip
            centres[0], widths[0] = centres[0][kept], widths[0][kept]
        gain, offset = _units(path, file, level, name)
        parts.append(Part(cube, "hbw", used, gain, offset, blank=0))
        centres.append(waves[used])
        widths.append(fwhm[used])
    shape = parts[0].data.shape
    where = _map(file, (int(shape[0]), int(shape[2])))
    layers = (name.split("/")[-1] for name in found)
    notes += unused(name for name in layers if name.endswith(("_ERR_MATRIX", "_Mask")))
    if not where:
        points = _located(found, (int(shape[0]), int(shape[2])))
        where = {"extra": points, "crs": wkt(4326)} if points else {}
        kept = "its latitudes and longitudes are kept as ground control points"
        notes += (f"level {level or 1} has no map grid" + (f": {kept}" if points else ""),)
    meta = SceneMeta(
        wavelengths=np.concatenate(centres), fwhm=np.concatenate(widths), nodata=np.nan,
        sensor="PRISMA", units=_unit(level), **where)  # fmt: skip
    return PartsReader(path, KIND, parts, meta, notes=notes, owner=file)


def _named(path: Path, found: Mapping, ending: str) -> h5py.Dataset:
    names = [name for name in found if name.endswith(ending)]
    if not names:
        raise UserError(f"{path}: a PRISMA product without .../{ending.lstrip('_')}; copy it again")
    data = found[names[0]]
    if data.ndim != (2 if names[0].endswith("Fields/Cube") else 3):
        raise UserError(f"{path}: {names[0]} has {data.ndim} axes; copy it again")
    return data


def _bands(path: Path, file: h5py.File, name: str, count: int) -> tuple:
    """Wavelengths, widths, and the numbers of the bands in use, from short to long."""
    lists = []
    for key in (f"List_Cw_{name}", f"List_Fwhm_{name}"):
        values = attribute(file, key)
        if not isinstance(values, np.ndarray) or values.size != count:
            raise UserError(f"{path}: {key} does not list one value for each of {count} bands")
        lists.append(values.astype(float))
    waves, fwhm = lists
    flags = attribute(file, f"List_Cw_{name}_Flags")
    used = waves > 0
    if isinstance(flags, np.ndarray) and flags.size == count and (used & (flags != 0)).any():
        used &= flags != 0
    if not used.any():
        raise UserError(f"{path}: none of its {name.upper()} bands is in use")
    order = np.argsort(waves, kind="stable")
    return waves, fwhm, order[used[order]]


def _units(path: Path, file: h5py.File, level: str, name: str) -> tuple[float, float]:
    """Gain and offset of the stored numbers."""
    gain, shift = _stated(path, file, level, name)
    SceneMeta(scale=gain, offset=shift).check_units(path)
    return gain, shift


def _stated(path: Path, file: h5py.File, level: str, name: str) -> tuple[float, float]:
    low, high = (number(file, f"L2Scale{name}{end}") for end in ("Min", "Max"))
    if low is not None and high is not None:
        return (high - low) / MAX_DN, low
    scale, offset = number(file, f"ScaleFactor_{name}"), number(file, f"Offset_{name}")
    if not scale:
        raise UserError(
            f"{path}: neither L2Scale{name}Min/Max nor ScaleFactor_{name} says what its numbers "
            f"stand for (level {level or 'unknown'}); copy it again"
        )
    return 1 / scale, -(offset or 0.0)


def _unit(level: str) -> str:
    return "reflectance" if level.startswith(("2C", "2D")) else "W/(m^2 sr um)"


def _map(file: h5py.File, shape: tuple[int, int]) -> dict:
    """Reference system and transform of L2D: its corners are centres of pixels."""
    code = number(file, "Epsg_Code")
    corners = [number(file, f"Product_{corner}corner_{axis}")
               for corner in ("UL", "LR") for axis in ("easting", "northing")]  # fmt: skip
    if not code or None in corners:
        return {}
    left, top, right, bottom = (float(value) for value in corners)  # type: ignore[arg-type]
    steps = [(right - left) / max(shape[1] - 1, 1), (bottom - top) / max(shape[0] - 1, 1)]
    whole = [(right - left) / shape[1], (bottom - top) / shape[0]]
    # Pixels of 30 or 5 m: whichever reading of the corners gives whole metres.
    centres = abs(steps[0] - round(steps[0])) <= abs(whole[0] - round(whole[0]))
    dx, dy = steps if centres else whole
    half = 0.5 if centres else 0.0
    return {"crs": wkt(int(code)), "transform": (dx, 0, left - half * dx, 0, dy, top - half * dy)}


def _located(found: Mapping, shape: tuple[int, int]) -> dict[str, str]:
    latitude, longitude = (
        next((found[name] for name in found if name.endswith((f"{axis}_VNIR", axis))), None)
        for axis in ("Latitude", "Longitude")
    )
    return control_points(latitude, longitude, shape)
