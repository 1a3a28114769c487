"""Pavia Centre and Pavia University (ROSIS), as published, with the splits of the papers."""

from collections.abc import Iterable, Mapping
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

from hsisr_jax.data.builder import (
    Fractions,
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

BASE = "https://www.ehu.eus/ccwintco/uploads/"
PAGE = "https://www.ehu.eus/ccwintco/index.php/Hyperspectral_Remote_Sensing_Scenes"
CENTRE = Source(
    file="Pavia.mat",
    urls=(BASE + "e/e3/Pavia.mat",),
    page=PAGE,
    aliases=("Pavia_centre.mat", "Pavia_Centre.mat", "pavia.mat"),
)
UNIVERSITY = Source(
    file="PaviaU.mat",
    urls=(BASE + "e/ee/PaviaU.mat",),
    sha256="28447fa87f7a5797845e9a189c0da85e23b1d06a4ba7361e5ff44efbf834d2fb",
    page=PAGE,
    aliases=("paviaU.mat", "Pavia_University.mat"),
)
# The four IKONOS bands as SSRAN's D_103 has them, of the 103 bands, counted from 0.
IKONOS = ((3, 20), (18, 39), (48, 64), (78, 101))
SEED = 2020  # of the validation patches, which the papers move aside by hand


def _region(rows, cols, role, scene="pavia_centre") -> Region:
    return Region(scene, rows, cols, role)


def _ssran(name: str, bands: tuple[int, int]) -> SplitDefinition:
    return SplitDefinition(
        name=name,
        citation="SSRAN: W. Chen et al., SSRAN.py of the authors",
        regions=(
            _region((0, 610), (0, 100), "train", "pavia_university"),
            _region((0, 610), (100, 340), "test", "pavia_university"),
        ),
        bands=bands,
        patch=4,
        stride=1,
        test_tile=4,
        test_stride=4,
        stitched=True,
        protocol="ssran",
        notes="610 rows are no multiple of 4: the last 2 are not scored (the original scores "
        "them as zeros). The division by the maximum is inferred from the scores' factor 255.",
    )


SSPSR = SplitDefinition(
    name="sspsr",
    citation="J. Jiang et al., Learning Spatial-Spectral Prior ..., IEEE TCI 6, 2020",
    regions=(
        _region((0, 1096), (224, 715), "train"),
        *(_region((top, top + 224), (0, 224), "test") for top in (0, 224, 448, 672)),
    ),
    patch={2: 64, 4: 64, 8: 128},
    stride={2: 32, 4: 32, 8: 64},
    normaliser=Normaliser("divide", {"divisor": 8000.0}),
    validation=("patches", 0.1, SEED),
    notes="The authors' repository holds the divisor and not the split: four tests of 224x224 "
    "from the left part as the paper says, training right of the seam at column 223. Patches at "
    "x8 as in SRLSGAT.",
)
SRLSGAT = SplitDefinition(
    name="srlsgat",
    citation="Dongyx1128/SRLSGAT, mcodes",
    regions=(_region((0, 1096), (0, 512), "train"), _region((0, 1096), (512, 715), "test")),
    bands=(34, 65),
    patch={2: 64, 4: 64, 8: 128},
    stride={2: 32, 4: 32, 8: 64},
    normaliser=Normaliser("max_of_region"),
    validation=("patches", 0.1, SEED),
    test_tile=128,
    test_stride=64,
    notes="Training and test are each divided by their own maximum, as crop_image.m does. The "
    "split by columns is a comment in the authors' script. Test tiles overlap.",
)
UNIVERSITY_SPLIT = SplitDefinition(
    name="university",
    citation="this library: left 70 % train, next 10 % validate, right 20 % test",
    rule=Fractions(0.7, 0.1, 0.2),
    validation=("regions",),
)


def _config(name: str, split: SplitDefinition, shape, **more) -> SceneConfig:
    return SceneConfig(
        name=name,
        split=split,
        shape=shape,
        wavelengths=(430.0, 860.0),
        description=split.citation,
        **more,
    )


CENTRE_SHAPE, UNIVERSITY_SHAPE = (1096, 715, 102), (610, 340, 103)


class Builder(SceneBuilder):
    """Pavia Centre (1096x715x102) and Pavia University (610x340x103)."""

    HOMEPAGE = PAGE
    SENSOR = "ROSIS"
    LICENCE = "No licence stated; the provider asks to credit P. Gamba, University of Pavia."
    BUILDER_CONFIGS = with_smoke(
        [
            _config("sspsr", SSPSR, CENTRE_SHAPE),
            _config("srlsgat", SRLSGAT, CENTRE_SHAPE),
            _config("ssran", _ssran("ssran", (0, 103)), UNIVERSITY_SHAPE, extras={"msi": 4}),
            _config("ssran93", _ssran("ssran93", (10, 103)), UNIVERSITY_SHAPE, extras={"msi": 4}),
            _config("university", UNIVERSITY_SPLIT, UNIVERSITY_SHAPE),
        ]
    )

    def _centre(self) -> bool:
        return self.builder_config.shape[2] == 102

    def sources(self) -> tuple[Source, ...]:
        return (CENTRE,) if self._centre() else (UNIVERSITY,)

    def open(self, files: Mapping[str, Path], stack: ExitStack) -> Iterable[RawScene]:
        name = "pavia_centre" if self._centre() else "pavia_university"
        variable = "pavia" if self._centre() else "paviaU"
        (path,) = files.values()
        cube = stack.enter_context(open_cube(path, self.builder_config.shape, variable=variable))
        yield RawScene(name, cube, cube.meta, gsd=1.3)

    def finish(self, raw: RawScene) -> RawScene:
        if "msi" in self.builder_config.extras:
            return replace(raw, extras=band_means(IKONOS))
        return raw
