"""Reads NEON's airborne reflectance (HDF5, DP3.30006 and DP1.30006) with its wavelengths and map.

Layout: as NEON's tutorials read it. `<SITE>/Reflectance/Reflectance_Data` holds integers that are
divided by `Scale_Factor`; beside it, under `Metadata`, lie wavelengths, widths and a `map info` of
ENVI's kind. The group names the windows of water vapour, whose bands are bad ones.
"""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np

from hsisr_jax.errors import UserError
from hsisr_jax.formats import envi_header
from hsisr_jax.formats.crs import wkt
from hsisr_jax.formats.hdf5_meta import attribute, number, text_at
from hsisr_jax.formats.products.base import Part, PartsReader, unused
from hsisr_jax.formats.scene import SceneMeta

KIND = "a NEON product"
CUBE = "/Reflectance/Reflectance_Data"
SPECTRA = "Metadata/Spectral_Data/"
PLACE = "Metadata/Coordinate_System/"
WINDOWS = ("Band_Window_1_Nanometers", "Band_Window_2_Nanometers")


def recognised(file: h5py.File, found: Mapping) -> bool:
    return any(name.endswith(CUBE) and "Scale_Factor" in found[name].attrs for name in found)


def open_scene(
    path: Path, file: h5py.File, found: Mapping, variable: str | None
) -> PartsReader | None:
    """The reflectance; None for any other variable."""
    name = next(name for name in found if name.endswith(CUBE))
    if variable not in (None, name, CUBE.rpartition("/")[2]):
        return None
    data, group = found[name], file[name].parent
    if data.ndim != 3:
        raise UserError(f"{path}: its reflectance has {data.ndim} axes, not three; copy it again")
    factor = number(data, "Scale_Factor")
    if not factor:
        raise UserError(f"{path}: its Scale_Factor is no number but 0; copy it again")
    SceneMeta(scale=1 / factor).check_units(path)
    bands = int(data.shape[2])
    centres, widths = (_listed(found, group, key, bands) for key in ("Wavelength", "FWHM"))
    part = Part(data, "hwb", np.arange(bands), 1 / factor, fill=number(data, "Data_Ignore_Value"))
    meta = SceneMeta(wavelengths=centres, fwhm=widths, nodata=np.nan, sensor="NEON AOP",
                     bad_bands=_bad(group, centres), units="reflectance")  # fmt: skip
    layers = (other for other in found if other.startswith(f"{group.name[1:]}/Metadata/Ancillary"))
    notes = unused(layer.rpartition("/")[2] for layer in layers)
    return PartsReader(path, KIND, [part], _placed(path, group, meta), notes=notes, owner=file)


def _listed(found: Mapping, group: h5py.Group, key: str, bands: int) -> np.ndarray | None:
    """Nanometres, one a band."""
    data = found.get(f"{group.name[1:]}/{SPECTRA}{key}")
    if data is None or data.size != bands:
        return None
    return np.asarray(data[()], float).reshape(-1)


def _bad(group: h5py.Group, centres: np.ndarray | None) -> np.ndarray | None:
    """Bands within the windows that the product names."""
    ends = [np.asarray(attribute(group, name)) for name in WINDOWS if name in group.attrs]
    ends = [pair.reshape(-1) for pair in ends if pair.size == 2 and pair.dtype.kind in "iuf"]
    if centres is None or not ends:
        return None
    return np.any([(low <= centres) & (centres <= high) for low, high in ends], axis=0)


def _placed(path: Path, group: h5py.Group, meta: SceneMeta) -> SceneMeta:
    """Adds the transform and the reference system, if the file has them."""
    said, code = (text_at(group, PLACE + key) or "" for key in ("Map_Info", "EPSG Code"))
    if not said:
        return meta
    there = envi_header.meta_of(path, {"map info": f"{{{said.strip('{} ')}}}"}, 0)
    crs = wkt(int(code)) if code.isdigit() else there.crs
    return replace(meta, transform=there.transform, crs=crs)
