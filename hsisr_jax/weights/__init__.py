"""Weights that come with the package, see the model card beside them; and how to make such a file:

python -m hsisr_jax.weights runs/anyband_x4 runs/anyband_x2 --output=anyband.npz
"""

from functools import lru_cache
from importlib.resources import files
from pathlib import Path

import numpy as np

from hsisr_jax.errors import UserError

TRUNK = "trunk"
TAIL = "tail_x"  # and the scale: the last layer, which alone differs between scales


def packaged() -> Path:
    """The file that comes with the package."""
    return Path(str(files(__name__).joinpath("anyband.npz")))


@lru_cache(maxsize=4)
def read(file: Path) -> dict[str, np.ndarray]:
    """Arrays by `layer/name`, in float32."""
    with np.load(file) as stored:
        return {path: stored[path].astype(np.float32) for path in stored.files}


def anyband(scale: int, file: Path | None = None) -> dict:
    """The variables of `models.create("anyband", scale=scale)`, in float32."""
    params: dict = {}
    for path, values in read(file or packaged()).items():
        layer, name = path.split("/")
        if not layer.startswith(TAIL) or layer == f"{TAIL}{scale}":
            params.setdefault(layer, {})[name] = values
    if f"{TAIL}{scale}" not in params:
        raise UserError(f"{file or packaged()} holds no weights for scale {scale}")
    return {"params": {TRUNK: params}}


def sizes(file: Path | None = None) -> dict[str, int]:
    """The options of the network that the weights fit."""
    arrays = read(file or packaged())
    blocks = sum(path.startswith("block_") and path.endswith("_0/bias") for path in arrays)
    return {"features": len(arrays["head/bias"]), "blocks": blocks}
