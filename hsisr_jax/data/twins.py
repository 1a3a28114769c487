"""Small synthetic stand-ins for the published scenes: same bands, same storage, no files needed."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np

from hsisr_jax.data.cubes import ArrayCube, RawScene
from hsisr_jax.data.splits import Fractions, Region, SplitDefinition
from hsisr_jax.data.synthetic import generate
from hsisr_jax.formats import SceneMeta

SIZE = (128, 192)
PATCHES = {2: 32, 4: 64, 8: 64}  # large enough for 8 low-resolution pixels on a side
COUNTS = 8000  # the brightest pixel, where the normaliser does not say


def definition(split: SplitDefinition) -> tuple[SplitDefinition, tuple[int, int]]:
    """The definition on a scene of SIZE: left two thirds train, the right third tests."""
    validates = split.validation == ("regions",) or (
        isinstance(split.rule, Fractions) and split.rule.validation > 0
    )
    regions = [
        Region("synthetic", (0, 128), (0, 128), "train"),
        Region("synthetic", (0, 64), (128, 192), "test"),
    ]
    if validates:
        regions.append(Region("synthetic", (64, 128), (128, 192), "validation"))
    patches = {scale: min(split.patch_at(scale), most) for scale, most in PATCHES.items()}
    strides = {
        scale: min(split.stride_at(scale), max(patch // 2, 1)) for scale, patch in patches.items()
    }
    small = replace(
        split,
        name=f"{split.name}_smoke",
        notes=f"Synthetic twin. {split.notes}".strip(),
        regions=tuple(regions),
        rule=None,
        window=None,
        patch=patches,
        stride=strides,
        test_tile=split.test_tile if split.test_tile and split.test_tile <= 64 else None,
        test_stride=split.test_stride if split.test_tile and split.test_tile <= 64 else None,
    )
    return small, SIZE


def in_domains(split: SplitDefinition) -> SplitDefinition:
    """A twin's definition for two domains: both train, the target is validated and tested."""
    target = [replace(region, scene="target", domain=1) for region in split.regions]
    return replace(split, regions=(*split.role("train"), *target))


def scenes(config: Any) -> Iterator[RawScene]:
    """The synthetic scene of a smoke config; of one with domains, also with its bands turned."""
    scene = _scene(config)
    yield scene
    if config.options.get("domains"):
        turned = np.ascontiguousarray(scene.cube.read(slice(None), slice(None))[..., ::-1])
        yield replace(scene, name="target", cube=ArrayCube(turned), domain=1)


def _scene(config: Any) -> RawScene:
    height, width, bands = config.shape
    first, last = config.wavelengths or (400.0, 2500.0)
    wavelengths = np.linspace(first, last, bands)
    cube, *_ = generate(height, width, bands, seed=0, wavelengths=wavelengths)
    dtype = np.dtype(config.dtype)
    if dtype.kind in "iu":
        peak = config.split.normaliser.args.get("divisor", COUNTS)
        cube = np.round(cube * (min(peak, np.iinfo(dtype).max) / cube.max()))
        if dtype.kind == "i":
            cube -= 20  # a dark offset, so that negative values occur as in HYDICE's
    meta = SceneMeta(wavelengths=wavelengths, sensor="synthetic")
    return RawScene("synthetic", ArrayCube(cube.astype(dtype)), meta, negative="keep")
