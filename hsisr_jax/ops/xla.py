"""XLA's own convolution, in the one layout that this library uses."""

import jax
from jax import lax

Pads = tuple[tuple[int, int], tuple[int, int]]
LAYOUT = ("NHWC", "HWIO", "NHWC")


def convolve(x: jax.Array, kernel: jax.Array, stride: int, padding: Pads) -> jax.Array:
    """Cross-correlation of `b h w i` with `kh kw i o`, zero padding given per side."""
    return lax.conv_general_dilated(x, kernel, (stride, stride), padding, dimension_numbers=LAYOUT)
