"""The text of an ENVI header: fields in and out, and what they say about a scene.

Fields follow the ENVI header description by NV5; `map info` counts pixels from 1 at the outer
corner of the first pixel. Projections other than UTM and geographic need the header's `coordinate
system string`, for `map info` does not describe them.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from hsisr_jax.errors import UserError
from hsisr_jax.formats import crs
from hsisr_jax.formats.carried import GAINS, SYSTEM, gains, is_number, items, listed
from hsisr_jax.formats.scene import SceneMeta, nanometres_of_one

MAX_HEADER = 1 << 24
TYPES = {1: "u1", 2: "i2", 3: "i4", 4: "f4", 5: "f8", 6: "c8", 9: "c16", 12: "u2", 13: "u4"}
TYPES |= {14: "i8", 15: "u8"}
NANOMETRES = {
    "nanometers": 1.0, "nanometer": 1.0, "nanometres": 1.0, "nm": 1.0, "angstroms": 0.1,
    "micrometers": 1e3, "micrometer": 1e3, "um": 1e3, "µm": 1e3, "microns": 1e3, "mm": 1e6,
    "millimeters": 1e6, "centimeters": 1e7, "cm": 1e7, "meters": 1e9, "m": 1e9,
}  # fmt: skip


@dataclass(frozen=True)
class Datum:
    """EPSG codes of a datum of `map info`: UTM zones follow `north` and `south`."""

    words: frozenset[str]
    geographic: int
    north: int
    south: int
    zones: range

    def zone(self, code: int) -> tuple[int, str] | None:
        """The UTM zone that a code stands for, and its half of the earth."""
        for base, half in ((self.north, "North"), (self.south, "South")):
            if base and code - base in self.zones:
                return code - base, half
        return None


def _datum(words: str, geographic: int, *, north: int = 0, south: int = 0, zones: range) -> Datum:
    return Datum(frozenset(words.split()), geographic, north, south, zones)


DATUMS = {
    "WGS-84": _datum("wgs84", 4326, north=32600, south=32700, zones=range(1, 61)),
    "North America 1983": _datum("northamerica1983 nad83", 4269, north=26900, zones=range(1, 24)),
    "North America 1927": _datum("northamerica1927 nad27", 4267, north=26700, zones=range(1, 23)),
    "ETRS-89": _datum("etrs89 etrs1989", 4258, north=25800, zones=range(28, 39)),
    "Geocentric Datum of Australia 1994": _datum(
        "geocentricdatumofaustralia1994 gda94 gda1994", 4283, south=28300, zones=range(48, 59)
    ),
}
UNITS = {"utm": ("meters", "metres", "m"), "geographic": ("degrees", "degree")}  # of `map info`
INVERSE = {"wavenumber": 1e7, "ghz": 299792458.0, "mhz": 299792458e3}  # nm = constant / value
OURS = (
    "samples", "lines", "bands", "header offset", "file type", "data type", "interleave",
    "byte order", "wavelength", "wavelength units", "fwhm", "band names", "bbl", "map info",
    "data ignore value", "reflectance scale factor", "data gain values", "data offset values",
    "coordinate system string", "description", "sensor type", "data units",
    "major frame offsets", "file compression", "affine transform",
)  # fmt: skip


def parse(path: Path) -> dict[str, str]:
    """Fields of a header by lower-case name; lists keep their braces."""
    if path.stat().st_size > MAX_HEADER:
        raise UserError(f"{path}: larger than a header can be; give the header, not the data")
    data = path.read_bytes()
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError:
        text = data.decode("latin-1")
    if not text.lstrip().startswith("ENVI"):
        raise UserError(f"{path}: not an ENVI header: its first line must be ENVI")
    found: dict[str, str] = {}
    # At line feeds only: a form feed or a separator of Unicode inside a text begins no field.
    lines = iter(text.replace("\r\n", "\n").replace("\r", "\n").split("\n"))
    for line in lines:
        key, equals, value = line.partition("=")
        if not equals or line.lstrip().startswith(";"):
            continue
        key, value = " ".join(key.lower().split()), value.strip()
        if value.startswith("{"):
            value = _braces(path, key, value, lines)
        found[key] = value
    return found


def _braces(path: Path, key: str, value: str, lines) -> str:
    """A value up to its closing brace, over as many lines as it takes."""
    parts = [value]
    while "}" not in parts[-1]:
        line = next(lines, None)
        if line is None:
            raise UserError(f"{path}: the list of {key!r} has no closing brace; add it")
        parts.append(line.strip())
    return "\n".join(parts)


def integer(path: Path, header: dict[str, str], key: str, default: int | None = None) -> int:
    """A whole number of the header, or the default."""
    if key not in header:
        if default is None:
            raise UserError(f"{path}: the header has no {key!r}; add it")
        return default
    try:
        return int(header[key])
    except ValueError:
        raise UserError(f"{path}: {key!r} is {header[key]!r}, not a whole number") from None


def number(path: Path, header: dict[str, str], key: str, default: float | None) -> float | None:
    """A number of the header, or the default."""
    if key not in header:
        return default
    listed = items(header[key]) if header[key].startswith("{") else [header[key]]
    if len(set(listed)) > 1:
        raise UserError(
            f"{path}: {key!r} lists values that differ from band to band; give one for all"
        )
    try:
        return float(listed[0])
    except (ValueError, IndexError):
        raise UserError(f"{path}: {key!r} is {header[key]!r}, not a number") from None


def listing(path: Path, header: dict[str, str], key: str, bands: int) -> list[str] | None:
    """A list with one entry a band."""
    entries = items(header.get(key, ""))
    if not entries:
        return None
    if len(entries) != bands:
        raise UserError(
            f"{path}: {key!r} lists {len(entries)} entries for {bands} bands; correct the list or "
            "remove it"
        )
    return entries


def numbers(path: Path, header: dict[str, str], key: str, bands: int) -> np.ndarray | None:
    """A list with one number a band."""
    entries = listing(path, header, key, bands)
    try:
        return None if entries is None else np.array([float(entry) for entry in entries])
    except ValueError:
        raise UserError(f"{path}: {key!r} holds something that is not a number") from None


def meta_of(path: Path, header: dict[str, str], bands: int) -> SceneMeta:
    """The metadata in a header; fields without a place in `SceneMeta` are kept as `extra`."""
    wavelengths, fwhm = _wavelengths(path, header, bands)
    bbl = numbers(path, header, "bbl", bands)
    gain, shift = (numbers(path, header, key, bands) for key in GAINS)
    SceneMeta(extra=header).check_units(path)
    factor = number(path, header, "reflectance scale factor", None)
    if factor == 0:
        raise UserError(f"{path}: 'reflectance scale factor' is 0; correct it or remove it")
    scale = 1 / factor if factor else 1.0
    extra = {key: value for key, value in header.items() if key not in OURS}
    each = gains(header, bands)
    if each:  # one a band: for the user to apply
        extra |= {key: header[key] for key in each}
        gain = shift = None
    scale = scale if gain is None else float(gain[0])
    transform, system = _georeference(path, header)
    words = items(header.get("map info", ""))
    words = words[:1] + [word for word in words[7:] if not word.lower().startswith("rotation=")]
    if not system and [word.lower() for word in words] not in ([], ["arbitrary"]):
        extra[SYSTEM] = listed(words)
    return SceneMeta(
        wavelengths=wavelengths,
        fwhm=fwhm,
        band_names=tuple(listing(path, header, "band names", bands) or ()),
        bad_bands=None if bbl is None else bbl == 0,
        nodata=number(path, header, "data ignore value", None),
        scale=scale,
        offset=0.0 if shift is None else float(shift[0]),
        units=header.get("data units", ""),
        description=header.get("description", "").strip("{}").strip(),
        sensor=header.get("sensor type", ""),
        crs=system,
        transform=transform,
        extra=extra,
    )


def _wavelengths(path: Path, header: dict[str, str], bands: int) -> tuple:
    """Wavelengths and widths in nanometres."""
    values = numbers(path, header, "wavelength", bands)
    widths = numbers(path, header, "fwhm", bands)
    units = header.get("wavelength units", "").strip().lower()
    if units == "index" or values is None:
        return None, (widths if values is None else None)
    if units in INVERSE:
        with np.errstate(divide="ignore", invalid="ignore"):
            centres = INVERSE[units] / values
            return centres, None if widths is None else widths * centres / values
    if units not in NANOMETRES and are_numbers(values):
        return None, None
    factor = NANOMETRES.get(units) or nanometres_of_one(values)  # no unit, or "Unknown"
    return values * factor, None if widths is None else widths * factor


def are_numbers(values: np.ndarray) -> bool:
    """Whether a list without a unit holds the bands' numbers in place of their wavelengths."""
    return bool(values.min() < 100 and (values == np.round(values)).all())


def _georeference(path: Path, header: dict[str, str]) -> tuple[tuple[float, ...] | None, str]:
    """Affine transform of pixel corners, and the reference system as WKT."""
    wkt = header.get("coordinate system string", "").strip("{}").strip()
    wkt = wkt.replace("\n", "")
    entries = items(header.get("map info", ""))
    if not entries:
        return None, from_wkt(wkt)
    if len(entries) < 7:
        raise UserError(f"{path}: 'map info' has {len(entries)} entries, at least 7 are needed")
    try:
        column, row, east, north, dx, dy = (float(entry) for entry in entries[1:7])
    except ValueError:
        raise UserError(f"{path}: 'map info' holds something that is not a number") from None
    named = dict(e.lower().split("=", 1) for e in entries[7:] if "=" in e)
    try:
        angle = math.radians(float(named.get("rotation", 0)))
    except ValueError:
        raise UserError(f"{path}: the rotation in 'map info' is not a number") from None
    # Positive angles turn the image counter-clockwise, about the reference pixel.
    a, b, d, e = dx, 0.0, 0.0, -dy
    if math.isclose(abs(angle), math.pi):  # GDAL's word for rows from south to north
        e = dy
    elif angle:
        cos, sin = math.cos(angle), math.sin(angle)
        a, b, d, e = dx * cos, dy * sin, dx * sin, -dy * cos
    column, row = column - 1, row - 1
    left, top = east - a * column - b * row, north - d * column - e * row
    transform: tuple[float, ...] = (a, b, left, d, e, top)
    saved = [float(x) for x in items(header.get("affine transform", "")) if is_number(x)]
    if len(saved) == 6:  # ours, where `map info` cannot say it
        transform = tuple(saved)
    return transform, from_wkt(wkt) or _named_system(entries)


def from_wkt(wkt: str) -> str:
    """WKT out of Esri's dialect, with its EPSG code, where rasterio knows it."""

    def translated(CRS: Any) -> str:
        found = CRS.from_wkt(wkt, morph_from_esri_dialect=True)
        code = found.to_epsg()
        return (CRS.from_epsg(code) if code else found).to_wkt()

    return (crs.known(translated) or wkt) if wkt else ""


def _named_system(entries: list[str]) -> str:
    """UTM and geographic systems by the words of `map info`."""
    name = entries[0].lower()
    words = {"".join(c for c in entry.lower() if c not in " -_") for entry in entries[7:]}
    found = [codes for codes in DATUMS.values() if words & codes.words] or [DATUMS["WGS-84"]]
    if words and not words & found[0].words:
        return ""
    kind = "geographic" if name.startswith("geographic") else name
    units = {word.removeprefix("units=") for word in words if word.startswith("units=")}
    if units - set(UNITS.get(kind, ())):  # degrees in radians, metres in feet
        return ""
    code = found[0].geographic if kind == "geographic" else 0
    zones = [int(entry) for entry in entries[7:9] if entry.isdecimal() and len(entry) < 3]
    if name == "utm" and zones and zones[0] in found[0].zones:
        base = found[0].south if "south" in words else found[0].north
        code = base and base + zones[0]
    return crs.wkt(code) if code else ""


def unknown_system(extra: Mapping[str, str]) -> str:
    """The words of a `map info` that stand for no reference system which is known here."""
    words = items(extra.get(SYSTEM, ""))
    return ", ".join(words) if words and words[0].lower() != "arbitrary" else ""
