"""Hidden (no-data) pixels filled from what lies beside them, so that nothing rings at their edge.

A border is filled with the mirror image of what it borders on, as `resize.imresize` does beyond the
end of an image: beside a straight border the result is that of the scene without it. A gap no wider
than a few pixels is bridged between its two sides.
"""

from collections.abc import Iterator

import numpy as np

BRIDGED = 4  # how many times farther than the nearest valid pixel the one behind a gap may lie


def filled(values: np.ndarray, hidden: np.ndarray, neutral: np.ndarray | float = 0.0) -> np.ndarray:
    """`values` (`h w c`) with those that are `hidden` (`h w c` or `h w`) filled in, band by band.

    A band that is hidden everywhere becomes `neutral` (one value, or one a band).
    """
    if not hidden.any():
        return values
    hidden = np.broadcast_to(hidden.reshape(*hidden.shape[:2], -1), values.shape)
    neutral = np.broadcast_to(np.asarray(neutral, float), values.shape[-1:])
    out = values.copy()
    for bands, mask in _alike(hidden):
        if mask.all():
            out[..., bands] = _as(values.dtype, neutral[bands])
        elif mask.any():
            _fill(out, bands, mask)
    return out


def _alike(hidden: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Bands that hide the same pixels, and those."""
    bands = hidden.shape[-1]
    if (hidden == hidden[..., :1]).all():
        yield np.arange(bands), hidden[..., 0]
        return
    rows = np.ascontiguousarray(np.packbits(hidden.reshape(-1, bands), axis=0).T)
    _, first, group = np.unique(rows, axis=0, return_index=True, return_inverse=True)
    for number, band in enumerate(first):
        yield np.flatnonzero(group.reshape(-1) == number), hidden[..., band]


def _fill(values: np.ndarray, bands: np.ndarray, mask: np.ndarray) -> None:
    from scipy.ndimage import distance_transform_edt

    places = distance_transform_edt(mask, return_distances=False, return_indices=True)
    holes = np.stack(np.nonzero(mask))  # 2 n
    nearest = places[:, holes[0], holes[1]].astype(np.intp)
    step = nearest - holes
    mirror = nearest + step - np.sign(step)
    source = np.where(_valid(mirror, mask), mirror, nearest)
    found = values[source[0], source[1]][:, bands].astype(np.float64)
    behind, times = nearest.copy(), np.zeros(holes.shape[1])
    for factor in range(1, BRIDGED + 1):
        other = holes - factor * step
        new = (times == 0) & _valid(other, mask)
        behind[:, new], times[new] = other[:, new], factor
    gap = times > 0
    near, far = (values[at[0, gap], at[1, gap]][:, bands].astype(float) for at in (nearest, behind))
    weight = (times[gap] / (1 + times[gap]))[:, None]  # the nearer side counts more
    found[gap] = weight * near + (1 - weight) * far
    values[holes[0][:, None], holes[1][:, None], bands] = _as(values.dtype, found)


def _valid(place: np.ndarray, mask: np.ndarray) -> np.ndarray:
    size = np.array(mask.shape)[:, None]
    inside = ((place >= 0) & (place < size)).all(0)
    row, col = np.where(inside, place, 0)
    return inside & ~mask[row, col]


def _as(dtype: np.dtype, values: np.ndarray) -> np.ndarray:
    return (np.rint(values) if dtype.kind in "iu" else values).astype(dtype)
