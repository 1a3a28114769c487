"""The largest value along some axes; the gradient goes to the first place that holds it.

As PyTorch's pooling does it. JAX's own gradient is shared by the places that equal the largest
value, divided by their number; a compiler may compute those places twice, with other roundings:
then none equals it, and 0 / 0 spoils the whole training step (seen on a CPU with LLVM's
optimisations off). An index is always exactly one place.
"""

import math
from collections.abc import Sequence
from functools import partial

import jax


@partial(jax.custom_jvp, nondiff_argnums=(1,))
def largest(x: jax.Array, axes: int | Sequence[int]) -> jax.Array:
    """`x.max(axes)`."""
    return x.max(axes)


@largest.defjvp
def _of_one_place(axes, primals, tangents):
    (x,), (moved,) = primals, tangents
    moved = _last(moved, axes)  # ... n
    here = jax.nn.one_hot(_last(x, axes).argmax(-1), moved.shape[-1], dtype=moved.dtype)
    return largest(x, axes), (here * moved).sum(-1)


def _last(x: jax.Array, axes: int | Sequence[int]) -> jax.Array:
    """The axes as one, behind the others."""
    axes = [axis % x.ndim for axis in ([axes] if isinstance(axes, int) else axes)]
    kept = [axis for axis in range(x.ndim) if axis not in axes]
    size = math.prod(x.shape[axis] for axis in axes)
    return x.transpose(*kept, *axes).reshape(*(x.shape[axis] for axis in kept), size)
