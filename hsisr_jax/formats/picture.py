"""Ordinary pictures: PNG, JPEG and TIFF of 8 bits, as red, green and blue."""

from io import BytesIO
from pathlib import Path

import numpy as np

from hsisr_jax.errors import UserError
from hsisr_jax.formats.scene import check_size, readable

ENDINGS = (".png", ".jpg", ".jpeg", ".tif", ".tiff")
FORMATS = ("PNG", "JPEG", "TIFF")
MODES = ("1", "L", "LA", "P", "PA", "RGB", "RGBA", "RGBX", "CMYK", "YCbCr")  # of 8 bits or fewer


def picture_size(file: str | Path) -> tuple[int, int]:
    """Rows and columns, without decoding."""
    from PIL import Image

    with readable(file, "a picture"), Image.open(file, formats=FORMATS) as image:
        return image.height, image.width


def read_picture(file: str | Path) -> np.ndarray:
    """`(h, w, 3)` of uint8: grey in all three, transparency left out."""
    from PIL import Image

    with readable(file, "a picture"):
        content = Path(file).read_bytes()
    with readable(file, "a picture"), Image.open(BytesIO(content), formats=FORMATS) as image:
        if image.mode not in MODES:
            raise UserError(f"{file}: a picture of mode {image.mode}; give one of 8 bits a colour")
        check_size(file, image.width * image.height, len(content), packed=True)
        return np.asarray(image.convert("RGB"))
