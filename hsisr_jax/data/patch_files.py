"""Patch files as published with many papers: MATLAB v5 or v7.3 with `gt`, `ms`, `ms_bicubic`.

`trains/block_1.mat`, ... hold a patch each, `(h, w, c)`; a file of `tests` may hold one image or a
stack of them, `(n, h, w, c)`.
"""

from collections.abc import Iterable
from pathlib import Path

import numpy as np

from hsisr_jax.errors import UserError
from hsisr_jax.formats import matlab5
from hsisr_jax.formats.scene import readable

TOLERANCE = 2e-3  # of the largest value: float32 and MATLAB's rounding of integers


def arrays_of(path: Path, names: Iterable[str]) -> dict[str, np.ndarray]:
    """The arrays of these names that a file holds, in MATLAB's order of axes."""
    with readable(path, "a MATLAB file"):
        with open(path, "rb") as file:
            start = file.read(520)
        if b"\x89HDF" in (start[:4], start[512:516]):
            import h5py

            with h5py.File(path) as held:
                return {name: np.asarray(held[name]).T for name in names if name in held}
        order, found = matlab5.scan(path)
        return {
            item.name: matlab5.load(path, item, order).T
            for item in found
            if item.name in names and not item.text and not item.unread
        }


def partner_sizes(path: Path) -> tuple[tuple[int, ...], np.dtype, int]:
    """Shape of `gt` as a stack `(n, h, w, c)`, its type, and how many times larger than `ms` it is
    (0 without `ms`)."""
    arrays = arrays_of(path, ("gt", "ms"))
    if "gt" not in arrays or arrays["gt"].ndim not in (3, 4):
        raise UserError(f"{path} has no cube 'gt': a patch file holds gt, ms and ms_bicubic")
    gt = arrays["gt"]
    shape = gt.shape if gt.ndim == 4 else (1, *gt.shape)
    if "ms" not in arrays:
        return shape, gt.dtype, 0
    low = arrays["ms"].shape[-3:]
    scale = shape[1] // max(low[0], 1)
    if arrays["ms"].ndim != gt.ndim or shape[1:] != (scale * low[0], scale * low[1], low[2]):
        raise UserError(f"{path}: gt is {gt.shape} and ms {arrays['ms'].shape}: not a pair")
    return shape, gt.dtype, scale


def check_reduction(path: Path, scale: int) -> None:
    """Checks that `ms` is MATLAB's bicubic reduction of `gt`, which training recomputes."""
    from hsisr_jax import resize

    arrays = arrays_of(path, ("gt", "ms"))
    gt = np.asarray(arrays["gt"], np.float32)
    expected = np.asarray(resize.imresize(gt, 1 / scale))
    error = float(np.abs(expected - arrays["ms"]).max() / max(np.abs(gt).max(), 1e-12))
    if error > TOLERANCE:
        raise UserError(
            f"{path}: ms is not the bicubic reduction of gt (they differ by {error:.2g} of the "
            "largest value). Training makes its inputs from gt by config.data.degradation: set "
            "that, and config.data.options.check=False"
        )
