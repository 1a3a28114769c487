"""Overlapping groups of neighbouring bands: cut a cube into them, average them back.

SSPSR (Jiang et al., IEEE TCI 2020, section III-A). The last group is shifted back so that it ends
at the last band; a band that lies in several groups is the mean over them.
"""

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from hsisr_jax.errors import UserError


def group_indices(bands: int, size: int, overlap: int) -> tuple[int, ...]:
    """The first band of every group of `size` bands, neighbours sharing `overlap`."""
    if not 1 <= size <= bands:
        raise UserError(f"group_size {size} does not fit {bands} bands: use 1 to {bands}")
    if not 0 <= overlap < size:
        raise UserError(f"group_overlap {overlap} must be at least 0 and below group_size {size}")
    groups = -(-(bands - overlap) // (size - overlap))
    return tuple(min(g * (size - overlap), bands - size) for g in range(groups))


def split_groups(x: jax.Array, starts: tuple[int, ...], size: int) -> jax.Array:
    """`b h w c` -> `g b h w s`: the bands `start ... start + size - 1` of every group."""
    cut = jax.vmap(lambda start: lax.dynamic_slice_in_dim(x, start, size, axis=-1))
    return cut(jnp.asarray(starts, jnp.int32))


def fold_groups(groups: jax.Array) -> jax.Array:
    """`g b ...` -> `b*g ...`: all groups as one batch, those of an image side by side.

    The other way round a device's images would lie apart in the new axis, and XLA would give every
    device all of them.
    """
    return groups.swapaxes(0, 1).reshape(-1, *groups.shape[2:])


def unfold_groups(y: jax.Array, groups: int) -> jax.Array:
    """The inverse: `b*g ...` -> `g b ...`."""
    return y.reshape(-1, groups, *y.shape[1:]).swapaxes(0, 1)


def merge_groups(y: jax.Array, starts: tuple[int, ...], bands: int) -> jax.Array:
    """`g b h w s` -> `b h w c`: every band is the mean over the groups that hold it."""
    places, counts = _membership(starts, y.shape[-1], bands)
    # a product with zeros and ones: exact, and its gradient is a product too, not a scatter
    total = jnp.einsum(
        "gbhws,gsc->bhwc",
        y,
        places.astype(y.dtype),
        precision=lax.Precision.HIGHEST,
        preferred_element_type=jnp.float32,
    )
    return (total / counts.reshape(1, 1, 1, bands)).astype(y.dtype)


def _membership(starts: tuple[int, ...], size: int, bands: int) -> tuple[np.ndarray, np.ndarray]:
    """One-hot bands of each group's entries (`g s c`), and the number of groups per band (`c`)."""
    where = np.asarray(starts)[:, None] + np.arange(size)  # g s
    places = (where[..., None] == np.arange(bands)).astype(np.float32)
    return places, places.sum((0, 1))
