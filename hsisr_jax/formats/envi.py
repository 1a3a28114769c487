"""ENVI cubes: a text header beside plain values, in any of the three interleaves."""

import math
from pathlib import Path
from typing import Any

import numpy as np

from hsisr_jax.errors import UserError
from hsisr_jax.formats import crs, envi_header
from hsisr_jax.formats.carried import SYSTEM, gains, items
from hsisr_jax.formats.envi_header import integer, parse
from hsisr_jax.formats.raw import ORDERS, RawLayout, RawReader, RawWriter
from hsisr_jax.formats.scene import NewScene, SceneMeta, SceneReader

INTERLEAVES = ("bsq", "bil", "bip")
DATA_ENDINGS = ("", ".img", ".dat", ".bsq", ".bil", ".bip", ".raw", ".bin", ".rad", ".rfl",
                ".hyspex")  # fmt: skip


def open_scene(path: Path, *, variable: str | None = None) -> SceneReader:
    """Open by the header's name or by the data's; the other is looked for beside it."""
    header_path = path if path.suffix.lower() == ".hdr" else _header_of(path)
    header = parse(header_path)
    if header_path == path:
        path = _data_of(path, header)
    if path.suffix.lower() in (".tif", ".tiff"):  # a header that goes with a GeoTIFF
        from hsisr_jax.formats import geotiff

        return geotiff.open_scene(path)
    layout = _layout(header_path, header)
    try:
        layout.check(path)
    except UserError as error:
        raise UserError(f"{error}; or correct {header_path.name}") from None
    meta = envi_header.meta_of(header_path, header, layout.bands)
    reader = RawReader(header_path, layout, meta, kind="an ENVI cube", data=path)
    if system := envi_header.unknown_system(meta.extra):
        reader.notes = (
            f"its reference system ({system}) is not known here: it is kept as text, and other "
            "programs may not find it in the output",
        )
    if "rpc info" in meta.extra:
        reader.notes += ("its rational polynomials (rpc info) are not kept",)
    return reader


def _layout(path: Path, header: dict[str, str]) -> RawLayout:
    if integer(path, header, "file compression", 0):
        raise UserError(f"{path}: 'file compression' is on; save the cube uncompressed")
    frames = header.get("major frame offsets", ""), header.get("minor frame offsets", "")
    if any(item != "0" for frame in frames for item in items(frame)):
        raise UserError(f"{path}: frame offsets are not known here; save the cube without them")
    interleave = header.get("interleave", "bsq").lower()
    if interleave not in INTERLEAVES:
        raise UserError(f"{path}: 'interleave' is {interleave!r}; it is one of bsq, bil, bip")
    code = integer(path, header, "data type")
    if code not in envi_header.TYPES:
        known = ", ".join(f"{key} ({value})" for key, value in envi_header.TYPES.items())
        raise UserError(f"{path}: 'data type' is {code}; known: {known}")
    order = integer(path, header, "byte order", 0)
    if order not in (0, 1):
        raise UserError(f"{path}: 'byte order' is {order}; it is 0 (little) or 1 (big-endian)")
    height, width, bands = (integer(path, header, key) for key in ("lines", "samples", "bands"))
    if min(height, width, bands) < 1:
        raise UserError(f"{path}: lines, samples and bands are {height}, {width}, {bands}")
    dtype = np.dtype("<>"[order] + envi_header.TYPES[code])
    offset = integer(path, header, "header offset", 0)
    return RawLayout(height, width, bands, dtype, ORDERS[interleave], offset)


def _header_of(data: Path) -> Path:
    """`cube.hdr` or `cube.img.hdr` for `cube.img`."""
    for ending in (".hdr", ".HDR"):
        for name in (data.with_suffix(ending), data.with_name(data.name + ending)):
            if name.is_file():
                return name
    raise UserError(
        f"{data}: no ENVI header {data.with_suffix('.hdr').name} beside it; put it there"
    )


def _data_of(header_path: Path, header: dict[str, str]) -> Path:
    """The data beside a header; of several, the one named like its interleave."""
    stem = header_path.with_suffix("")
    stem = stem if stem.suffix.lower() not in DATA_ENDINGS[1:] else stem.with_suffix("")
    names = [header_path.with_suffix("")] + [stem.with_name(stem.name + e) for e in DATA_ENDINGS]
    names += [name.with_suffix(name.suffix.upper()) for name in names if name.suffix]
    names += [stem.with_name(stem.name + ending) for ending in (".tif", ".tiff")]
    found = [name for name in dict.fromkeys(names) if name.is_file()]
    interleave = "." + header.get("interleave", "").lower()
    found.sort(key=lambda name: name.suffix.lower() != interleave)
    if not found:
        raise UserError(
            f"{header_path}: the data are not beside it; looked for {stem.name} with "
            f"{' '.join(ending for ending in DATA_ENDINGS if ending)} and without an ending"
        )
    return found[0]


def written_files(path: Path) -> tuple[Path, Path]:
    """Data and header of a cube that is written under this name."""
    if path.suffix.lower() == ".hdr":
        return path.with_suffix(".img"), path
    return path, path.with_suffix(".hdr")


def check_free(path: Path) -> None:
    """Refuse a name whose header is that of other data: those could not be read any more."""
    data, header = written_files(path)
    try:
        owner = _data_of(header, parse(header))
    except (OSError, UserError):  # no header, none of ENVI, or one that lost its data
        return
    if owner != data:
        raise UserError(
            f"{path} is written with the header {header.name}, which belongs to {owner.name}: "
            "choose another name"
        )


def check_dtype(path: Path, dtype: np.dtype) -> None:
    """Refuse a type that the format does not hold."""
    if dtype.newbyteorder("=") not in _codes():
        names = " ".join(str(known) for known in _codes())
        raise UserError(f"{path}: ENVI has no {dtype.newbyteorder('=')}; choose one of {names}")


def _codes() -> dict[np.dtype, int]:
    return {np.dtype(name): code for code, name in envi_header.TYPES.items()}


def create_scene(path: Path, new: NewScene, interleave: str | None = None) -> RawWriter:
    """Begin a header and its data; `cube.hdr` gets `cube.img`, and the reverse."""
    ending = path.suffix.lower().lstrip(".")
    implied = ending if ending in INTERLEAVES else None
    interleave = interleave or implied or "bsq"
    if interleave not in INTERLEAVES:
        raise UserError(f"{path}: interleave {interleave!r} is not one of bsq, bil, bip")
    if implied not in (None, interleave):
        raise UserError(f"{path}: interleave {interleave!r} contradicts the file's ending")
    data, header = written_files(path)
    layout = RawLayout(*new.shape, new.stored, ORDERS[interleave])
    height, width, bands = new.shape
    first = {
        "samples": width, "lines": height, "bands": bands, "header offset": 0,
        "file type": "ENVI Standard", "data type": _codes()[new.dtype.newbyteorder("=")],
        "interleave": interleave, "byte order": 0,
    }  # fmt: skip
    text = _text({key: str(value) for key, value in first.items()} | _fields(new.meta, bands))
    return RawWriter.begin(
        path, layout, data=data, beside={header: text.encode()}, resume=new.resume
    )


def _text(header: dict[str, str]) -> str:
    lines = ["ENVI", *(f"{key} = {value}" for key, value in header.items())]
    return "\n".join(lines) + "\n"


def _fields(meta: SceneMeta, bands: int) -> dict[str, str]:
    """Header fields of the metadata."""
    fields = {}
    if meta.description:
        fields["description"] = _listed([meta.description])
    if meta.wavelengths is not None:
        fields["wavelength units"] = "Nanometers"
        fields["wavelength"] = _listed(meta.wavelengths)
        if meta.fwhm is not None:
            fields["fwhm"] = _listed(meta.fwhm)
    if meta.band_names:
        fields["band names"] = _listed(name.replace(",", ";") for name in meta.band_names)
    if meta.bad_bands is not None:
        fields["bbl"] = _listed((~meta.bad_bands).astype(int))
    if meta.nodata is not None:
        fields["data ignore value"] = _plain(meta.nodata)
    if meta.scale != 1 and not meta.offset and meta.scale:
        fields["reflectance scale factor"] = _plain(1 / meta.scale)
    elif meta.offset:
        fields["data gain values"] = _listed([float(meta.scale)] * bands)
        fields["data offset values"] = _listed([float(meta.offset)] * bands)
    if meta.units:
        fields["data units"] = _one_line(meta.units)
    if meta.sensor:
        fields["sensor type"] = _one_line(meta.sensor)
    fields |= _map_info(meta)
    for key, values in gains(meta.extra, bands).items():
        fields.setdefault(key, _listed(values))
    said = {*envi_header.OURS, SYSTEM} if "map info" in fields else envi_header.OURS
    for key, value in meta.extra.items():
        key = " ".join(key.lower().replace("=", " ").split())
        if key and key not in fields and key not in said:
            value = str(value)
            listed = value.strip().startswith("{")
            fields[key] = _listed([value.strip().strip("{}")]) if listed else _one_line(value)
    return fields


def _listed(values) -> str:
    """A list in braces, a few entries a line."""
    entries = [
        _plain(float(v)) if isinstance(v, float | np.floating) else _one_line(v) for v in values
    ]
    rows = [", ".join(entries[i : i + 8]) for i in range(0, len(entries), 8)]
    return "{" + ",\n  ".join(rows) + "}"


def _plain(value: float) -> str:
    """Every digit that a reader needs, and no `.0` that is not needed."""
    return (
        str(int(value)) if float(value).is_integer() and abs(value) < 1e15 else repr(float(value))
    )


def _one_line(value: object) -> str:
    """Text that cannot end its list or its line early, nor begin one."""
    return " ".join(str(value).replace("{", "(").replace("}", ")").split())


def _map_info(meta: SceneMeta) -> dict[str, str]:
    """`map info` and `coordinate system string`; what they cannot say, in a field of our own."""
    fields: dict[str, str] = {}
    name, tail = "Arbitrary", list[str]()
    if meta.crs:
        name, tail, wkt = _named(meta.crs)
        fields["coordinate system string"] = "{" + _one_line(wkt) + "}"
    elif system := items(meta.extra.get(SYSTEM, "")):
        name, *tail = map(_one_line, system)
    if meta.transform is None:
        return fields
    a, b, c, d, e, f = meta.transform
    dx, dy = a, -e  # negative where rows run from south to north
    if b or d:
        dx, dy = math.hypot(a, d), math.hypot(b, e)
        fields["affine transform"] = _listed(meta.transform)
        tail.append(f"rotation={_plain(math.degrees(math.atan2(d, a)))}")
    entries = [name, "1", "1", *(_plain(value) for value in (c, f, dx, dy)), *tail]
    fields["map info"] = "{" + ", ".join(entries) + "}"
    return fields


def _named(wkt: str) -> tuple[str, list[str], str]:
    """Name and tail of `map info` for a reference system, and its WKT in Esri's dialect."""

    def described(CRS: Any) -> tuple[bool, str, int]:
        found = CRS.from_wkt(wkt)
        return found.is_geographic, found.to_wkt(version="WKT1_ESRI"), found.to_epsg() or 0

    geographic, esri, code = crs.known(described) or (False, wkt, 0)
    for name, datum in envi_header.DATUMS.items():
        if found := datum.zone(code):
            return "UTM", [str(found[0]), found[1], name, "units=Meters"], esri
        if code == datum.geographic:
            return "Geographic Lat/Lon", [name, "units=Degrees"], esri
    if geographic:
        return "Geographic Lat/Lon", ["units=Degrees"], esri
    return "Arbitrary", [], esri
