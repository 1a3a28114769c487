"""Cubes stored as one PNG a band (CAVE).

CAVE's bands are 16-bit grey, but all 31 of `watercolors_ms` are 8-bit RGBA with grey in each colour
and opaque alpha; those keep their 8 bits, so that the caller divides by that scene's own maximum.
"""

from collections.abc import Sequence
from io import BytesIO
from pathlib import Path

import numpy as np

from hsisr_jax.errors import UserError
from hsisr_jax.formats.scene import check_size, readable

GREY = {"L": np.uint8, "I;16": np.uint16, "I;16B": np.uint16, "I": np.uint16}


def read_png_bands(files: Sequence[str | Path]) -> np.ndarray:
    """`(h, w, c)` from one file a band, in the order given: uint16, or uint8 if all are."""
    if not files:
        raise UserError("no PNG files to read; check the folder and the pattern of their names")
    first = read_png(files[0])
    cube = np.empty((*first.shape, len(files)), first.dtype)
    for band, file in enumerate(files):
        values = first if band == 0 else read_png(file)
        if values.shape != first.shape or values.dtype != first.dtype:
            raise UserError(
                f"{file}: {values.shape} {values.dtype}, but {files[0]} is {first.shape} "
                f"{first.dtype}; the bands of a cube are alike"
            )
        cube[..., band] = values
    return cube


def read_png(file: str | Path) -> np.ndarray:
    """One band `(h, w)`; colours must be equal (a grey picture saved as RGB or RGBA)."""
    from PIL import Image

    with readable(file, "a PNG"):
        # From memory: Pillow allocates whatever length a chunk of the file claims for itself.
        content = Path(file).read_bytes()
    with readable(file, "a PNG"), Image.open(BytesIO(content), formats=["PNG"]) as image:
        samples = len(image.getbands()) * (2 if image.mode.startswith("I") else 1)
        declared = image.width * image.height * samples
        check_size(file, declared, len(content), packed=True)
        if image.mode in GREY:
            return np.asarray(image).astype(GREY[image.mode])
        if image.mode not in ("RGB", "RGBA", "LA"):
            raise UserError(f"{file}: a PNG of mode {image.mode}; give grey values, 8 or 16 bits")
        values = np.asarray(image)
    colours = values[..., :-1] if image.mode.endswith("A") else values
    if (colours != colours[..., :1]).any():
        raise UserError(f"{file}: a colour picture, not one band; leave it out of the list")
    return np.ascontiguousarray(colours[..., 0])
