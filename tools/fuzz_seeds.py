"""Small valid files that `tools.fuzz` damages: sensors' products, in their published layouts."""

from pathlib import Path

import numpy as np


def example() -> tuple[np.ndarray, dict]:
    """A cube and metadata with something in every field."""
    cube = np.arange(6 * 5 * 4, dtype="u2").reshape(6, 5, 4)
    meta = dict(
        wavelengths=np.linspace(450.5, 900, 4), fwhm=[5.0] * 4, bad_bands=[0, 1, 0, 0], nodata=0
    )
    meta |= dict(band_names=list("abcd"), scale=1e-4, description="a test", sensor="none")
    return cube, meta | dict(transform=(2.0, 0, 5e5, 0, -2.0, 4e6), extra={"note": "{1, 2}"})


def _prisma(folder: Path) -> Path:
    import h5py

    cube, _ = example()
    with h5py.File(folder / "prisma.he5", "w") as file:
        for name, bands in (("Vnir", 3), ("Swir", 4)):
            place = f"HDFEOS/SWATHS/PRS_L2D_HCO/Data Fields/{name.upper()}_Cube"
            file[place] = cube[..., :bands].transpose(0, 2, 1)
            file.attrs[f"List_Cw_{name}"] = np.linspace(900, 400, bands, dtype="f4") + 50 * bands
            file.attrs[f"List_Fwhm_{name}"] = np.full(bands, 9, "f4")
            file.attrs[f"L2Scale{name}Min"], file.attrs[f"L2Scale{name}Max"] = 0.0, 0.9
        file.attrs["Epsg_Code"] = 32632
        for corner, value in (("UL", 500000.0), ("LR", 500120.0)):
            for axis in ("easting", "northing"):
                file.attrs[f"Product_{corner}corner_{axis}"] = value
    return folder / "prisma.he5"


def _emit(folder: Path) -> Path:
    import h5py

    cube, _ = example()
    with h5py.File(folder / "emit.nc", "w") as file:
        file.create_dataset("reflectance", data=cube.astype("f4"), chunks=(3, 5, 4))
        file["sensor_band_parameters/wavelengths"] = np.linspace(400, 900, 4)
        file["sensor_band_parameters/good_wavelengths"] = np.ones(4)
        for key in ("lat", "lon", "glt_x", "glt_y"):
            file[f"location/{key}"] = np.ones((6, 5), "i4")
        file.attrs["geotransform"] = [10.0, 1e-3, 0, 50.0, 0, -1e-3]
    return folder / "emit.nc"


def _neon(folder: Path) -> Path:
    import h5py

    cube, _ = example()
    with h5py.File(folder / "neon.h5", "w") as file:
        file["A/Reflectance/Reflectance_Data"] = cube.astype("i2")
        for key, value in (("Scale_Factor", 1e4), ("Data_Ignore_Value", -9999.0)):
            file["A/Reflectance/Reflectance_Data"].attrs[key] = value
        file["A/Reflectance"].attrs["Band_Window_1_Nanometers"] = [500, 600]
        file["A/Reflectance/Metadata/Spectral_Data/Wavelength"] = np.linspace(400, 900, 4)
        place = "A/Reflectance/Metadata/Coordinate_System/"
        file[place + "Map_Info"] = b"UTM, 1, 1, 257000, 4113000, 1, 1, 11, North, WGS-84"
        file[place + "EPSG Code"] = b"32611"
    return folder / "neon.h5"


def _xml(fields: tuple[str, ...], gain: float) -> str:
    rows = ((400 + 10 * i, 9, gain, 0) for i in range(4))
    return "".join("".join(f"<{f}>{v}</{f}>" for f, v in zip(fields, row)) for row in rows)


def _enmap(folder: Path) -> Path:
    from hsisr_jax.formats import write_scene

    write_scene(folder / "ENMAP01-L2A-SPECTRAL_IMAGE.TIF", example()[0])
    fields = ("wavelengthCenterOfBand", "FWHMOfBand", "GainOfBand", "OffsetOfBand")
    path = folder / "ENMAP01-L2A-METADATA.XML"
    path.write_text(_xml(fields, 1e-4) + "<backgroundValue>-32768</backgroundValue>")
    return path


def _desis(folder: Path) -> Path:
    from hsisr_jax.formats import write_scene

    write_scene(folder / "DESIS-HSI-L1C-X-SPECTRAL_IMAGE.tif", example()[0].astype("i2"))
    fields = ("wavelengthCenterOfBand", "wavelengthWidthOfBand", "gainOfBand", "offsetOfBand")
    path = folder / "DESIS-HSI-L1C-X-METADATA.xml"
    path.write_text(_xml(fields, 0.5))
    return path


def _hyperion(folder: Path) -> Path:
    from hsisr_jax.formats import write_scene

    cube = example()[0].astype("i2")
    for place, number in enumerate((8, 57, 100)):
        write_scene(folder / f"EO1H0430342003123110PZ_B{number:03d}_L1T.TIF", cube[..., [place]])
    return folder


def _tanager(folder: Path) -> Path:
    import h5py

    place = "HDFEOS/SWATHS/HYP/"
    with h5py.File(folder / "tanager.h5", "w") as file:
        values = example()[0].transpose(2, 0, 1).astype("f4")
        data = file.create_dataset(place + "Data Fields/toa_radiance", data=values)
        data.attrs["wavelengths"], data.attrs["fwhm"] = [400.0, 900, 1400, 2200], [5.0] * 4
        data.attrs["good_wavelengths"] = [1, 1, 0, 1]
        for name in ("Latitude", "Longitude"):
            file[place + f"Geolocation Fields/{name}"] = np.full((6, 5), 40.0)
    return folder / "tanager.h5"


def _aviris_3(folder: Path) -> Path:
    import h5py

    with h5py.File(folder / "AV3_RFL_ORT.nc", "w") as file:
        file["easting"], file["northing"] = 5e5 + 5.0 * np.arange(5), 4e6 - 5.0 * np.arange(6)
        file["transverse_mercator"] = np.bytes_("")
        file["transverse_mercator"].attrs["crs_wkt"] = "LOCAL"
        file["reflectance/reflectance"] = example()[0].transpose(2, 0, 1).astype("f4")
        file["reflectance/reflectance"].attrs["grid_mapping"] = "transverse_mercator"
        file["reflectance/reflectance"].attrs["_FillValue"] = np.float32(-9999)
        file["reflectance/wavelength"] = np.array([400.0, 900, 1400, 2200])
        file["reflectance/fwhm"] = np.full(4, 7.4)
    return folder / "AV3_RFL_ORT.nc"


def zarr_seeds(folder: Path) -> list[Path]:
    """Stores of both versions of the format: ours, and of the package `zarr` with shards, Blosc and
    several arrays."""
    import zarr

    from hsisr_jax.formats import SceneMeta, write_scene

    cube, meta = example()
    paths = [folder / f"{name}.zarr" for name in ("ours3", "ours2", "shards", "blosc", "group")]
    for path, version in zip(paths, (3, 2)):
        write_scene(path, cube, SceneMeta(**meta), zarr_format=version)
    zarr.create_array(paths[2], data=cube, chunks=(3, 5, 2), shards=(6, 5, 4))
    packed = {"id": "blosc", "cname": "lz4", "clevel": 5, "shuffle": 1}
    zarr.create_array(paths[3], data=cube, chunks=(3, 5, 2), zarr_format=2, compressors=packed)
    group = zarr.open_group(paths[4], mode="w", zarr_format=2)
    made = group.create_array("a/cube", data=cube.astype("f4"), chunks=(3, 5, 4))
    made.attrs.update({"_ARRAY_DIMENSIONS": ["y", "x", "band"], "scale_factor": 0.5})
    group.create_array("a/wavelength", data=np.linspace(450, 900, 4))
    return paths


# Each makes a product's files in a folder of their own and names what a user opens.
PRODUCTS = {
    "prisma": _prisma,
    "emit": _emit,
    "neon": _neon,
    "enmap": _enmap,
    "desis": _desis,
    "hyperion": _hyperion,
    "tanager": _tanager,
    "aviris_3": _aviris_3,
}
