"""The flags of `--mode=predict`, checked."""

from dataclasses import dataclass

import numpy as np

from hsisr_jax.errors import UserError
from hsisr_jax.ops import sharpness

PRECISIONS = ("float32", "bfloat16")
COMPRESSIONS = ("deflate", "zstd", "lzw", "none")


@dataclass(frozen=True)
class Options:
    """The flags of `--mode=predict`."""

    tile: int = 0  # low-resolution pixels; 0: chosen
    overlap: int = -1  # -1: chosen
    precision: str = "float32"
    dtype: str = "float32"  # of the output file
    output_scale: float = 0.0  # physical = stored * scale in the output; 0: as the input
    compress: str = "deflate"  # of a GeoTIFF, which is cloud-optimised then; or none
    zarr_format: int = 3  # of a Zarr output; or 2
    input_scale: float = 0.0  # physical = stored * scale in the input; 0: as the file says
    resample_bands: bool = False
    self_ensemble: bool | None = None  # mean over flips and rotations; None: as in the evaluation
    normalise: str = ""  # model or scene; empty: as in training
    mtf: str = ""  # at Nyquist: a number, a sensor's name, auto; empty: as in training
    limits: str = "input"  # or none: whether the output keeps to the range of each input band
    variable: str = ""  # the name of the cube in a file of several
    quicklook: bool = True

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
            if not 0 <= getattr(self, name) < np.inf:
                raise UserError(f"--{name}={getattr(self, name)}: use a positive number")
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
