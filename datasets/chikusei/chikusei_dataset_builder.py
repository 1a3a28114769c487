"""Chikusei (Headwall Hyperspec-VNIR-C): the MATLAB 7.3 file or the ENVI copy, whole crop."""

from collections.abc import Iterable, Mapping
from contextlib import ExitStack
from pathlib import Path

from hsisr_jax.data.builder import (
    Normaliser,
    RawScene,
    Region,
    SceneBuilder,
    SceneConfig,
    Source,
    SplitDefinition,
    UserError,
    open_cube,
    with_smoke,
)

STEM = "HyperspecVNIR_Chikusei_20140729"
CUBE = Source(
    file="Hyperspec_Chikusei_MATLAB.zip",
    urls=("http://park.itc.u-tokyo.ac.jp/sal/hyperdata/Hyperspec_Chikusei_MATLAB.zip",),
    page="https://naotoyokoya.com/Download.html",
    aliases=(f"{STEM}.mat", f"{STEM}.hdr", f"{STEM}.bsq.hdr"),
)
# 107:2410 and 144:2191 of the authors' MATLAB script.
TOP, LEFT, BOTTOM, RIGHT = 106, 143, 2410, 2191
WINDOW = ((TOP, BOTTOM), (LEFT, RIGHT))
SEED = 2020  # of the validation patches, which the papers move aside by hand
TRAIN = Region("chikusei", (TOP + 512, BOTTOM), (LEFT, RIGHT), "train")

SSPSR = SplitDefinition(
    name="sspsr",
    citation="J. Jiang et al., Learning Spatial-Spectral Prior ..., IEEE TCI 6, 2020",
    regions=(
        TRAIN,
        *(
            Region("chikusei", (TOP, TOP + 512), (left, left + 512), "test")
            for left in range(LEFT, RIGHT, 512)
        ),
    ),
    window=WINDOW,
    patch={2: 64, 4: 64, 8: 128},
    stride={2: 32, 4: 32, 8: 64},
    normaliser=Normaliser("max_of_scene"),
    validation=("patches", 0.1, SEED),
    notes="The divisor is the maximum of the crop. Which 10 % of the patches validated is not "
    "recorded; here a fixed seed chooses. Patches at x8 as in SRLSGAT.",
)
SRLSGAT = SplitDefinition(
    name="srlsgat",
    citation="Dongyx1128/SRLSGAT, mcodes",
    regions=(TRAIN, Region("chikusei", (TOP, TOP + 512), (LEFT, RIGHT), "test")),
    window=WINDOW,
    bands=(49, 80),
    patch={2: 64, 4: 64, 8: 128},
    stride={2: 32, 4: 32, 8: 64},
    normaliser=Normaliser("max_of_region"),
    validation=("patches", 0.1, SEED),
    test_tile=128,
    test_stride=64,
    notes="Training and test are each divided by their own maximum, as crop_image.m does. Test "
    "tiles overlap.",
)


def _config(split: SplitDefinition) -> SceneConfig:
    return SceneConfig(
        name=split.name,
        description=split.citation,
        split=split,
        shape=(2517, 2335, 128),
        wavelengths=(363.0, 1018.0),
    )


class Builder(SceneBuilder):
    """Chikusei (2517x2335x128, 16 bits)."""

    HOMEPAGE = "https://naotoyokoya.com/Download.html"
    SENSOR = "Headwall Hyperspec-VNIR-C"
    LICENCE = "CC BY 3.0, with acknowledgement and citation of SAL-2016-05-27."
    BUILDER_CONFIGS = with_smoke([_config(SSPSR), _config(SRLSGAT)])

    def sources(self) -> tuple[Source, ...]:
        return (CUBE,)

    def open(self, files: Mapping[str, Path], stack: ExitStack) -> Iterable[RawScene]:
        path = files[CUBE.file]
        if path.suffix == ".zip":
            found = sorted(self.unpacked(path).rglob(f"{STEM}.mat"))
            if not found:
                raise UserError(f"{path} holds no {STEM}.mat; fetch it again from {CUBE.page}")
            path = found[0]
        variable = "chikusei" if path.suffix == ".mat" else None
        cube = stack.enter_context(open_cube(path, self.builder_config.shape, variable=variable))
        yield RawScene("chikusei", cube, cube.meta, gsd=2.5)
