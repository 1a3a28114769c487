"""Reads the XML beside the TIFFs of EnMAP and DESIS: wavelengths, widths, gains of each band.

Read with patterns, not with an XML parser: the file is untrusted and a few lists are all we want.
Level 1 has a gain for each band, level 2 one for all.
"""

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from hsisr_jax.formats import carried
from hsisr_jax.formats.scene import SceneMeta

MAX_XML = 1 << 26
IMAGE = re.compile(r"SPECTRAL_IMAGE\w*$")
FIELDS = {
    "wavelengths": ("wavelengthCenterOfBand",),
    "fwhm": ("FWHMOfBand", "wavelengthWidthOfBand"),
    "scale": ("GainOfBand",),
    "offset": ("OffsetOfBand",),
}


def completed(path: Path, meta: SceneMeta, bands: int) -> SceneMeta:
    """The metadata with what `...-METADATA.XML` says, if it is there and fits."""
    found = beside(path)
    if found is None:
        return meta
    text = found.read_text("utf-8", "replace")
    values = {
        key: _of_file(_listed(text, names), path.stem.upper(), bands)
        for key, names in FIELDS.items()
    }
    known: dict[str, Any] = {
        key: values[key]
        for key in ("wavelengths", "fwhm")
        if len(values[key]) == bands and np.isfinite(values[key]).all()
    }
    if all(len(values[key]) == bands for key in ("scale", "offset")):
        if not (np.ptp(values["scale"]) == np.ptp(values["offset"]) == 0):
            lists = dict(
                zip(carried.GAINS, map(carried.listed, (values["scale"], values["offset"])))
            )
            known["extra"] = dict(meta.extra) | lists
        else:
            known |= {key: float(values[key][0]) for key in ("scale", "offset")}
    background = _listed(text, ("backgroundValue",))
    if meta.nodata is None and background.size and np.isfinite(background[0]):
        known["nodata"] = float(background[0])
    sensor = "DESIS" if "DESIS" in path.stem.upper() or "<mission>DESIS" in text else "EnMAP"
    return replace(meta, **known, sensor=meta.sensor or sensor)


def is_image(path: Path) -> bool:
    """Whether a file is named as the image of such a product, and its metadata lie beside it."""
    return bool(IMAGE.search(path.stem)) and beside(path) is not None


def quality_layers(path: Path) -> list[str]:
    """The names of the files of quality layers beside an image."""
    name = IMAGE.sub("QL_", path.stem)
    found = path.parent.glob("*QL_*") if name != path.stem else ()
    return [
        file.name
        for file in found
        if file.name.startswith(name) and file.suffix.lower() in (".tif", ".tiff")
    ]


def _of_file(values: np.ndarray, name: str, bands: int) -> np.ndarray:
    """EnMAP L1B lists the bands of both its files: those of the VNIR first."""
    if len(values) > bands and name.endswith("VNIR"):
        return values[:bands]
    return values[-bands:] if len(values) > bands and name.endswith("SWIR") else values


def beside(path: Path) -> Path | None:
    """The `...-METADATA.XML` of an image, where there is one."""
    name = IMAGE.sub("METADATA", path.stem)
    files = [path.with_name(name + ending) for ending in (".XML", ".xml")]
    found = [file for file in files if name != path.stem and file.is_file()]
    return found[0] if found and found[0].stat().st_size <= MAX_XML else None


def _listed(text: str, fields: tuple[str, ...]) -> np.ndarray:
    """The values of every `<field>`, of whatever case; NaN where it is no number."""
    names = "|".join(fields)
    found = re.findall(rf"<({names})>\s*([^<>]{{1,40}}?)\s*</\1>", text, re.IGNORECASE)
    return np.array([float(value) if carried.is_number(value) else np.nan for _, value in found])
