"""Forms of operations for CPUs, where XLA's own are slow.

`ops.convolution` and `ops.depthwise` choose them by `ops.platforms.platform()`; nothing else does.
"""

from hsisr_jax.ops.cpu.convolution import convolver
from hsisr_jax.ops.cpu.rows import by_rows

__all__ = ["by_rows", "convolver"]
