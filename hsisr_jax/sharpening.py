"""`sharpen`: super-resolution of a cube in memory, by the packaged network or one of your runs."""

import os
from collections.abc import Mapping
from typing import Any

import numpy as np

from hsisr_jax.inference import pieces, sensed
from hsisr_jax.inference.facts import Facts, as_array, facts_of
from hsisr_jax.inference.pieces import Request
from hsisr_jax.ops.components import Basis


def sharpen(
    cube: np.ndarray,
    scale: int = 4,
    *,
    degradation: str | Mapping[str, Any] = "bicubic",
    workdir: str | os.PathLike | None = None,
    limits: bool = True,
    basis: Basis | None = None,
) -> np.ndarray:
    """Super-resolves a hyperspectral cube without any training.

    Args:
        cube: `(H, W, C)` of any real type and any number of bands. NaN, or a masked value of a
            masked array, means no data: its `scale x scale` output pixels are NaN, and its
            neighbours are not affected.
        scale: 2, 3, 4 or 8 times as many pixels on each side; with `workdir`, that of its network.
        degradation: the blur of the sensor: `"bicubic"` (for cubes that were reduced by MATLAB's
            `imresize`), `"area"` (square detectors), or `{"name": "mtf", "mtf": 0.3}`, a Gaussian
            MTF of that value at the cube's Nyquist frequency, typical of real sensors;
            `"mtf": "auto"` estimates it from the cube. The default is cautious: a sensor that
            blurs more could be sharpened more.
        workdir: a trained run whose network is used instead of the packaged one. The cube must be
            in the physical units of its training data. Only a run of `anyband` takes a degradation.
        limits: clips each band to the range of the input, widened by its own width to each side,
            and to non-negative values if the input has no negative ones.
        basis: the components of a larger scene that the cube is a part of, as
            `hsisr_jax.sharpening.scene_basis` finds them.

    Returns:
        float32 of `(scale * H, scale * W, C)` in the units of the input.

    Raises:
        UserError: if the cube, the scale or the degradation cannot be used.

    Example:
        >>> sharper = hsisr_jax.sharpen(cube, scale=4, degradation={"name": "mtf", "mtf": 0.3})
    """
    cube = as_array(cube)
    facts = facts_of(cube)  # which checks it
    degradation, _ = sensed.resolved(
        degradation, lambda: [np.where(np.isfinite(cube), cube, np.nan)]
    )
    request = pieces.request(cube.shape, scale, degradation, workdir, limits=limits)
    return _sharpened(cube, request, facts, basis)


def sharpen_request(cube: np.ndarray, request: Request, facts: Facts | None = None) -> np.ndarray:
    """Sharpens a cube as a request says, with its own facts or those of a larger scene."""
    return _sharpened(cube, request, facts or facts_of(cube, request.nodata))


def _sharpened(
    cube: np.ndarray, request: Request, facts: Facts, basis: Basis | None = None
) -> np.ndarray:
    work = pieces.Work(request) if request.workdir else pieces.work(request)
    scene = facts.scene(0 if basis else work.components)
    if basis and work.components:
        basis = basis.moved(1 / scene.size, -scene.offset / scene.size)
        scene = scene._replace(basis=basis)
    tiles = (
        (corner, work.tile(corner, cube[work.window(corner)], scene))
        for corner in work.plan.corners()
    )
    height, width = (n * work.card.scale for n in cube.shape[:2])
    return work.blend(tiles, (slice(0, height), slice(0, width)), scene)


def scene_basis(cube: np.ndarray, components: int = 32) -> Basis:
    """The principal components of a scene, from a sample of pixels, for `sharpen(basis=...)`."""
    return facts_of(cube).basis(components)
