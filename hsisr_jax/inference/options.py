"""The flags of `--mode=predict`, checked."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from hsisr_jax.errors import UserError
from hsisr_jax.formats.scene import LARGEST
from hsisr_jax.ops import sharpness

PRECISIONS = ("float32", "bfloat16")
COMPRESSIONS = ("deflate", "zstd", "lzw", "none")


def _flag(default: Any, text: str) -> Any:
    return field(default=default, metadata={"help": f"predict: {text}"})


@dataclass(frozen=True)
class Options:
    """The flags of `--mode=predict`."""

    tile: int = _flag(0, "side of a tile, low-resolution pixels; 0: automatic")
    overlap: int = _flag(-1, "overlap of tiles, low-resolution pixels; -1: automatic")
    precision: str = _flag("float32", "compute in float32 or bfloat16")
    dtype: str = _flag("float32", "the type of the output's values")
    output_scale: float = _flag(0.0, "output: physical = stored * this; 0: as the input")
    compress: str = _flag("deflate", "compression of a GeoTIFF: deflate, zstd, lzw or none")
    zarr_format: int = _flag(3, "the version of a Zarr output, 3 or 2")
    input_scale: float = _flag(0.0, "input: physical = stored * this; 0: as in the file")
    resample_bands: bool = _flag(False, "resample to the model's wavelengths")
    self_ensemble: bool | None = _flag(
        None, "mean over flips and rotations; not given: as evaluated"
    )
    normalise: str = _flag("", "model (the range in training) or scene (its maximum)")
    mtf: str = _flag(
        "", "what the sensor passes at Nyquist (0.3), its name (enmap, prisma), or auto"
    )
    limits: str = _flag("input", "clip to the widened range of the input bands, or none")
    variable: str = _flag("", "name of the cube in a file with several arrays")
    quicklook: bool = _flag(True, "a false-colour PNG beside the output")

    def __post_init__(self):
        if self.tile < 0:
            raise UserError(f"--tile={self.tile}: use a number of pixels, or 0 to have it chosen")
        if self.precision not in PRECISIONS:
            raise UserError(f"--precision={self.precision}: use {' or '.join(PRECISIONS)}")
        if self.normalise not in ("", "model", "scene"):
            raise UserError(f"--normalise={self.normalise}: use model or scene")
        if self.mtf:
            _check_mtf(self.mtf)
        if self.limits not in ("input", "none"):
            raise UserError(f"--limits={self.limits}: use input or none")
        try:
            kind = np.dtype(self.dtype).kind
        except TypeError:
            kind = "?"
        if kind not in "iuf":
            raise UserError(f"--dtype={self.dtype}: use float32, uint16, int16 or the like")
        for name in ("input_scale", "output_scale"):
            if not (value := getattr(self, name)) == 0 and not 1 / LARGEST < value < LARGEST:
                raise UserError(
                    f"--{name}={value}: use a number from {1 / LARGEST:g} to {LARGEST:g}"
                )
        if self.zarr_format not in (2, 3):
            raise UserError(f"--zarr_format={self.zarr_format}: use 3 or 2")
        if self.compress not in COMPRESSIONS:
            raise UserError(f"--compress={self.compress}: use {', '.join(COMPRESSIONS)}")


def _check_mtf(text: str) -> None:
    if text.lower() != sharpness.AUTO:
        try:
            sharpness.named(text)
        except UserError as error:
            raise UserError(f"--mtf={text}: {error}") from None
