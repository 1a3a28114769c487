"""Paris: Hyperion and ALI of the EO-1 satellite on one grid, a real pair of two instruments."""

from collections.abc import Iterable, Mapping
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import numpy as np

from hsisr_jax.data.builder import (
    Normaliser,
    RawScene,
    Region,
    SceneBuilder,
    SceneConfig,
    Source,
    SplitDefinition,
    band_means,
    open_cube,
    with_smoke,
)
from hsisr_jax.formats import SceneMeta

PAGE = "https://github.com/alfaiate/HySure"
PAIR = Source(
    file="paris_data_hs_ms.mat",
    urls=(
        "https://raw.githubusercontent.com/alfaiate/HySure/"
        "8652a5838b95c29ca056f7921f8ac58def6bbaf7/data/paris_data_hs_ms.mat",
        "https://raw.githubusercontent.com/alfaiate/HySure/"
        "e2a3daf2350dd8e136165d3d737a429a73938496/data/paris_data_hs_ms.mat",
    ),
    sha256="81e13528535ff32a0e0069368daa3aa9206d1393317391571a29958f5f57d839",
    size=2_899_131,
    page=PAGE,
    aliases=("paris_hs_ms.mat",),
)
KEPT = ((8, 56), (83, 96), (102, 118), (135, 162), (194, 196), (202, 214), (216, 219))
MSI_BANDS = 9

SSRAN = SplitDefinition(
    name="ssran",
    citation="SSRAN: W. Chen et al., SSRAN.py of the authors",
    regions=(
        Region("paris", (0, 72), (0, 36), "train"),
        Region("paris", (0, 72), (36, 72), "test"),
    ),
    patch=4,
    stride=1,
    normaliser=Normaliser("none"),
    test_tile=4,
    test_stride=4,
    stitched=True,
    protocol="ssran",
    notes="Values are used as they are, 0.0009 to 1.45.",
)


def wavelengths() -> np.ndarray:
    """Nominal centres of the kept Hyperion bands, of the two spectrometers."""
    numbers = np.concatenate([np.arange(first, last + 1) for first, last in KEPT])
    return np.where(numbers <= 57, 427 + 10.18 * (numbers - 8), 912 + 10.09 * (numbers - 77))


class Builder(SceneBuilder):
    """Paris (72x72, 128 Hyperion and 9 ALI bands)."""

    HOMEPAGE = PAGE
    SENSOR = "EO-1 Hyperion"
    LICENCE = "GPL-3.0 (the repository that publishes the file)."
    BUILDER_CONFIGS = with_smoke(
        [
            SceneConfig(
                name="ssran",
                description=SSRAN.citation,
                split=SSRAN,
                shape=(72, 72, 128),
                dtype="float32",
                extras={"msi": MSI_BANDS},
                wavelengths=(427.0, 2345.0),
            )
        ]
    )

    def sources(self) -> tuple[Source, ...]:
        return (PAIR,)

    def open(self, files: Mapping[str, Path], stack: ExitStack) -> Iterable[RawScene]:
        path, (height, width, bands) = files[PAIR.file], self.builder_config.shape
        cube = stack.enter_context(open_cube(path, (height, width, bands), variable="HSim"))
        other = stack.enter_context(open_cube(path, (height, width, MSI_BANDS), variable="MSim"))
        meta = SceneMeta(wavelengths=wavelengths())

        def beside(block: np.ndarray, rows: slice, cols: slice) -> dict[str, np.ndarray]:
            return {"msi": other.read(rows, cols).astype(np.float32)}

        yield RawScene("paris", cube, meta, gsd=30.0, extras=beside)

    def finish(self, raw: RawScene) -> RawScene:
        if not self.builder_config.smoke:
            return raw
        parts = np.array_split(np.arange(raw.cube.bands), MSI_BANDS)
        return replace(raw, extras=band_means((int(p[0]), int(p[-1]) + 1) for p in parts))
