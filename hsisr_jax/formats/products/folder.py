"""A product by its folder or its metadata file: which file holds the image."""

from pathlib import Path

from hsisr_jax.errors import UserError
from hsisr_jax.formats.scene import SceneReader

IMAGES = ("*SPECTRAL_IMAGE*.TIF", "*SPECTRAL_IMAGE*.tif", "*.he5", "*.h5", "*.nc", "*.hdr", "*.tif",
          "*.TIF")  # fmt: skip


def hyperion(folder: Path) -> SceneReader | None:
    """A folder of bands, where it is one."""
    from hsisr_jax.formats.products.hyperion import HyperionReader, bands_of

    return HyperionReader(folder) if len(bands_of(folder)) > 1 else None


def image_of(path: Path) -> Path:
    """The one image of a folder, or that which belongs to a `...METADATA.XML`."""
    if path.is_dir():
        for pattern in IMAGES:
            found = sorted(path.glob(pattern))
            if len(found) == 1:
                return found[0]
            if found:
                names = ", ".join(file.name for file in found[:8])
                raise UserError(f"{path}: holds several images; give one of {names}")
        raise UserError(f"{path}: is a folder without a product that is known here; give a file")
    stem = path.stem.upper()
    if path.suffix.lower() == ".xml" and stem.endswith("METADATA"):
        names = path.stem[: -len("METADATA")]
        found = sorted(path.parent.glob(f"{names}SPECTRAL_IMAGE*.[tT][iI][fF]"))
        if len(found) == 1:
            return found[0]
        listed = ", ".join(file.name for file in found) or f"none named {names}SPECTRAL_IMAGE.TIF"
        raise UserError(f"{path}: give its image; beside it there is {listed}")
    return path
