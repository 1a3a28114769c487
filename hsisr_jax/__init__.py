"""Hyperspectral image super-resolution in JAX.

`hsisr_jax.sharpen(cube, scale=4)` sharpens a cube with the network in the package. Networks, losses
and metrics are in `hsisr_jax.models`, `.losses` and `.metrics`.
"""

from importlib import import_module
from typing import Any

__all__ = ["sharpen"]


def __getattr__(name: str) -> Any:
    """Imports `sharpen`, and JAX with it, on first use."""
    if name == "sharpen":
        return import_module("hsisr_jax.sharpening").sharpen
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
