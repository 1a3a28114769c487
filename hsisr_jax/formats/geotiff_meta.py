"""Metadata in a GeoTIFF: GDAL's tags, read and written."""

import math
import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from hsisr_jax.errors import UserError
from hsisr_jax.formats import carried, crs, enmap, envi_header
from hsisr_jax.formats.scene import SceneMeta, nanometres_of_one

IN_NAME = re.compile(r"([0-9]+(?:\.[0-9]+)?) ?(nm|um|µm|nanometers|micrometers)\b", re.IGNORECASE)
# Dataset-level tags of TIFF itself, or that GDAL makes; the rest is carried along.
GDALS = ("AREA_OR_POINT", "TIFFTAG_", "INTERLEAVE", "COMPRESSION")
WKT = "crs_wkt"  # only for a reference system that GDAL does not know
OURS = {"description": "TIFFTAG_IMAGEDESCRIPTION", "sensor": "sensor", "units": "data_units"}


def tags_of(dataset: Any) -> list[dict[str, str]]:
    """The tags of every band, by lower-case names."""
    bands = range(1, dataset.count + 1)
    return [{k.lower(): v for k, v in dataset.tags(band).items()} for band in bands]


def meta_of(
    path: Path, dataset: Any, bands: Sequence[int], every: Sequence[dict[str, str]]
) -> SceneMeta:
    """The metadata in the file itself, of these bands; `every`: the tags of all."""
    tags = dataset.tags()
    each = [every[band - 1] for band in bands]
    imagery = [dataset.tags(band, ns="IMAGERY") for band in bands]
    names = tuple(dataset.descriptions[band - 1] or "" for band in bands)
    gains, shifts = ([x[band - 1] for band in bands] for x in (dataset.scales, dataset.offsets))
    if len({str(dataset.nodatavals[band - 1]) for band in bands}) > 1:  # of its .aux.xml
        raise UserError(
            f"{path}: its no-data values differ from band to band; give all bands the same one"
        )
    wavelengths, fwhm = _wavelengths(each, imagery, names)
    if wavelengths and list(names) == [f"{centre:g} nm" for centre in wavelengths]:
        names = ()  # ours, for the lists of other programs
    bad = [tag.get("bad_band") for tag in each]
    known = {WKT, *(tag.lower() for tag in OURS.values())}
    extra = {
        key: value
        for key, value in tags.items()
        if not key.startswith(GDALS) and key.lower() not in known
    }
    own = [f"Band_{band}" for band in bands]  # as GDAL keeps the names of an ENVI header's bands
    if set(own) <= set(extra):
        kept = tuple(extra.pop(key) for key in own)
        names = names if any(names) else kept
    scales, offsets = (
        set(np.unique(values).tolist())
        for values in (gains, shifts)  # one NaN
    )
    if len(scales) > 1 or len(offsets) > 1:
        both = (carried.listed(values) for values in (gains, shifts))
        extra |= dict(zip(carried.GAINS, both))
        scales, offsets = {1.0}, {0.0}
    identity, system = dataset.transform.is_identity, dataset.crs
    points, of_points = dataset.gcps
    if points and identity:
        system = of_points
        numbers = (n for p in points for n in (p.col, p.row, p.x, p.y, p.z or 0.0))
        extra[carried.GCPS] = carried.listed(numbers)
    return SceneMeta(
        wavelengths=wavelengths,
        fwhm=fwhm,
        band_names=names if any(names) else (),
        bad_bands=np.array([value == "1" for value in bad]) if any(bad) else None,
        nodata=dataset.nodata,
        scale=scales.pop(),
        offset=offsets.pop(),
        units=tags.get(OURS["units"], (dataset.units[0] or "") if dataset.units else ""),
        description=tags.get(OURS["description"], ""),
        sensor=tags.get(OURS["sensor"], ""),
        crs=system.to_wkt() if system else tags.get(WKT, ""),
        transform=None if identity else tuple(dataset.transform)[:6],
        extra=extra,
    )


def _wavelengths(each: list[dict], imagery: list[dict], names: tuple[str, ...]) -> tuple:
    """Wavelengths and widths in nm, from tags, from GDAL's IMAGERY domain, or from band names; none
    where a band has no number."""
    centres, widths, unsaid = [], [], False
    for tags, optics, name in zip(each, imagery, names):
        said = tags.get("wavelength_units", "unknown").lower()
        unit = 1.0 if said == "unknown" else envi_header.NANOMETRES.get(said)
        unsaid = unsaid or (said == "unknown" and "wavelength" in tags)
        in_name = IN_NAME.search(tags.get("wavelength", "")) or IN_NAME.search(name)
        if unit and not math.isnan(centre := _number(tags, "wavelength")):
            centres.append(centre * unit)
            widths.append(_number(tags, "fwhm") * unit)
        elif not math.isnan(centre := _number(optics, "CENTRAL_WAVELENGTH_UM")):
            centres.append(centre * 1e3)
            widths.append(_number(optics, "FWHM_UM") * 1e3)
        elif in_name:
            centres.append(float(in_name[1]) * envi_header.NANOMETRES[in_name[2].lower()])
            widths.append(math.nan)
        else:
            return None, None
    if unsaid and envi_header.are_numbers(np.array(centres)):
        return None, None
    if unsaid:
        factor = nanometres_of_one(centres)
        centres, widths = ([value * factor for value in values] for values in (centres, widths))
    return centres, None if np.isnan(widths).any() else widths


def _number(tags: dict[str, str], key: str) -> float:
    text = tags.get(key, "").strip()
    return float(text) if carried.is_number(text) else math.nan


def completed(path: Path, meta: SceneMeta, bands: int) -> SceneMeta:
    """Wavelengths from EnMAP's XML or from an ENVI header beside the TIFF (Houston 2013); where the
    header says that it describes a TIFF (HySU), the scale, no-data value and bad bands as well."""
    if len(meta.band_names) not in (0, bands):  # the first page's alone
        meta = replace(meta, band_names=())
    if meta.bad_bands is not None and len(meta.bad_bands) != bands:
        meta = replace(meta, bad_bands=None)
    if meta.wavelengths is not None and len(meta.wavelengths) != bands:
        meta = replace(meta, wavelengths=None, fwhm=None)
    if meta.wavelengths is not None:
        return meta
    meta = enmap.completed(path, meta, bands)
    header_path = path.with_suffix(".hdr")
    if meta.wavelengths is not None or not header_path.is_file():
        return meta
    try:
        fields = envi_header.parse(header_path)
        found = envi_header.meta_of(header_path, fields, bands)
    except UserError:  # some other header that happens to have this name
        return meta
    units: dict[str, Any] = {}
    if enmap.is_image(path):  # DESIS: its header says more than its XML
        gains = {key: found.extra[key] for key in carried.GAINS if key in found.extra}
        units = {"scale": found.scale, "offset": found.offset, "extra": dict(meta.extra) | gains}
    elif fields.get("file type", "").upper() == "TIFF":  # of the TIFF itself, not of a copy
        if (meta.scale, meta.offset) == (1, 0):
            units = {"scale": found.scale, "offset": found.offset}
        units["bad_bands"] = found.bad_bands if meta.bad_bands is None else meta.bad_bands
        units["nodata"] = found.nodata if meta.nodata is None else meta.nodata
    return replace(meta, wavelengths=found.wavelengths, fwhm=found.fwhm, **units)


def beside(path: Path) -> set[Path]:
    """The files beside a TIFF in which `completed` looks."""
    found = {enmap.beside(path), path.with_suffix(".hdr")}
    return {file for file in found if file is not None and file.is_file()}


def system(wkt: str) -> Any:
    """The reference system, or none if GDAL does not know it; then its text goes into a tag."""
    return crs.known(lambda CRS: CRS.from_wkt(wkt)) if wkt else None


def describe(dataset: Any, meta: SceneMeta) -> None:
    """Everything but the values and the georeference, as tags."""
    texts = {OURS[name]: getattr(meta, name) for name in OURS}
    if not system(meta.crs):
        texts[WKT] = meta.crs
    extra = {key: value for key, value in meta.extra.items() if not key.startswith(GDALS)}
    if meta.scale != 1 or meta.offset:
        dataset.scales = [meta.scale] * dataset.count
        dataset.offsets = [meta.offset] * dataset.count
    elif gains := carried.gains(meta.extra, dataset.count):
        gain, offset = carried.GAINS
        dataset.scales = gains.get(gain, [1.0] * dataset.count)
        dataset.offsets = gains.get(offset, [0.0] * dataset.count)
        extra = {key: value for key, value in extra.items() if key not in gains}
    if meta.transform is None and carried.points(meta.extra):
        extra.pop(carried.GCPS)
    dataset.update_tags(**{key: value for key, value in (extra | texts).items() if value})
    for band in range(dataset.count):
        tags: dict[str, str] = {}
        optics: dict[str, str] = {}
        name = ""
        if meta.wavelengths is not None:
            centre = float(meta.wavelengths[band])
            tags |= {"wavelength": repr(centre), "wavelength_units": "Nanometers"}
            optics["CENTRAL_WAVELENGTH_UM"] = repr(centre / 1e3)
            name = f"{centre:g} nm"
        if meta.fwhm is not None:
            width = float(meta.fwhm[band])
            tags["fwhm"] = repr(width)
            optics["FWHM_UM"] = repr(width / 1e3)
        if meta.bad_bands is not None:
            tags["bad_band"] = str(int(meta.bad_bands[band]))
        if tags:
            dataset.update_tags(band + 1, **tags)
        if optics:
            dataset.update_tags(band + 1, ns="IMAGERY", **optics)
        name = meta.band_names[band] if meta.band_names else name
        if name:
            dataset.set_band_description(band + 1, name)
