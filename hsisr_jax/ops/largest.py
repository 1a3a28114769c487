"""The largest value along some axes, with a gradient that is finite whatever the compiler does.

JAX's own gradient is shared by the places that equal the largest value, divided by their number.
A compiler may compute those places twice, with other roundings: then none equals it, and 0 / 0
spoils the whole training step (seen on a CPU with LLVM's optimisations off).
"""

from collections.abc import Sequence
from functools import partial

import jax
import jax.numpy as jnp


@partial(jax.custom_jvp, nondiff_argnums=(1,))
def largest(x: jax.Array, axes: int | Sequence[int]) -> jax.Array:
    """`x.max(axes)`."""
    return x.max(axes)


@largest.defjvp
def _shared(axes, primals, tangents):
    (x,), (moved,) = primals, tangents
    y = largest(x, axes)
    wide = jnp.promote_types(x.dtype, jnp.float32)
    here = (x == jnp.expand_dims(y, axes)).astype(wide)
    shared = (here * moved).sum(axes) / jnp.maximum(here.sum(axes), 1)
    return y, shared.astype(y.dtype)
