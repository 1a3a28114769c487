"""EnMAP's metadata: the TIFF of a scene has no wavelengths, the XML beside it has them.

Read with patterns, not with an XML parser: the file is untrusted and four lists are all we want.
"""

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from hsisr_jax.formats.scene import SceneMeta

MAX_XML = 1 << 26
IMAGE = re.compile(r"SPECTRAL_IMAGE\w*$")
FIELDS = {
    "wavelengths": "wavelengthCenterOfBand",
    "fwhm": "FWHMOfBand",
    "scale": "GainOfBand",
    "offset": "OffsetOfBand",
}


def completed(path: Path, meta: SceneMeta, bands: int) -> SceneMeta:
    """The metadata with what `...-METADATA.XML` says, if it is there and fits."""
    name = IMAGE.sub("METADATA", path.stem)
    beside = [path.with_name(name + ending) for ending in (".XML", ".xml")]
    found = [file for file in beside if name != path.stem and file.is_file()]
    if not found or found[0].stat().st_size > MAX_XML:
        return meta
    text = found[0].read_text("utf-8", "replace")
    values = {key: _listed(text, field) for key, field in FIELDS.items()}
    known: dict[str, Any] = {
        key: values[key] for key in ("wavelengths", "fwhm") if len(values[key]) == bands
    }
    known |= {
        key: float(values[key][0])
        for key in ("scale", "offset")
        if len(values[key]) == bands and not np.ptp(values[key])
    }
    return replace(meta, **known, sensor=meta.sensor or "EnMAP")


def _listed(text: str, field: str) -> np.ndarray:
    """The values of every `<field>`."""
    found = re.findall(rf"<{field}>\s*([-+0-9.eE]{{1,40}})\s*</{field}>", text)
    try:
        return np.array([float(value) for value in found])
    except ValueError:
        return np.array([])
