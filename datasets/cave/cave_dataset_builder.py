"""CAVE: 32 objects under a lamp, 31 bands as 16-bit PNG files."""

from collections.abc import Iterable, Mapping
from contextlib import ExitStack
from pathlib import Path

import numpy as np

from hsisr_jax.data.builder import (
    FirstScenes,
    LazyCube,
    Normaliser,
    RawScene,
    Region,
    SceneBuilder,
    SceneConfig,
    Source,
    SplitDefinition,
    UserError,
    with_smoke,
)
from hsisr_jax.formats import SceneMeta
from hsisr_jax.formats.png import read_png_bands

ARCHIVE = Source(
    file="complete_ms_data.zip",
    urls=(
        "https://www.cs.columbia.edu/CAVE/databases/multispectral/zip/complete_ms_data.zip",
        "https://cave.cs.columbia.edu/old/databases/multispectral/zip/complete_ms_data.zip",
    ),
    size=405_988_465,
    page="https://www.cs.columbia.edu/CAVE/databases/multispectral/",
    aliases=("complete_ms_data",),
)
SCENES = (  # noqa: SIM905
    "balloons beads cd chart_and_stuffed_toy clay cloth egyptian_statue face "
    "fake_and_real_beers fake_and_real_food fake_and_real_lemon_slices "
    "fake_and_real_lemons fake_and_real_peppers fake_and_real_strawberries "
    "fake_and_real_sushi fake_and_real_tomatoes feathers flowers glass_tiles hairs "
    "jelly_beans oil_painting paints photo_and_face pompoms real_and_fake_apples "
    "real_and_fake_peppers sponges stuffed_toys superballs thread_spools watercolors"
).split()
TESTS = (  # noqa: SIM905
    "balloons cd chart_and_stuffed_toy clay fake_and_real_beers "
    "fake_and_real_lemon_slices fake_and_real_tomatoes feathers flowers hairs jelly_beans"
).split()
BANDS = 31
FULL_SCALE = Normaliser("divide", {"divisor": 65535.0})

SSPSR = SplitDefinition(
    name="sspsr",
    citation="J. Jiang et al., Learning Spatial-Spectral Prior ..., IEEE TCI 6, 2020",
    rule=FirstScenes(train=20),
    patch={2: 64, 4: 64, 8: 128},
    stride={2: 32, 4: 32, 8: 64},
    normaliser=FULL_SCALE,
    validation=("patches", 0.1, 2020),
    notes="The list is not in the authors' repository: the first 20 scenes by name train, as in "
    "follow-up work; the test scenes that the authors show are among the other 12.",
)
NO_WATERCOLORS = SplitDefinition(
    name="no_watercolors",
    citation="a list in use in follow-up work: 20 scenes train, 11 test, watercolors is dropped",
    regions=tuple(
        Region(name, (0, None), (0, None), "test" if name in TESTS else "train")
        for name in SCENES
        if name != "watercolors"
    ),
    normaliser=FULL_SCALE,
    validation=("patches", 0.1, 2020),
)


def _config(split: SplitDefinition) -> SceneConfig:
    return SceneConfig(
        name=split.name,
        description=split.citation,
        split=split,
        shape=(None, None, BANDS),
        wavelengths=(400.0, 700.0),
    )


class Builder(SceneBuilder):
    """CAVE multispectral images (32 scenes of 512x512x31, 16 bits)."""

    HOMEPAGE = ARCHIVE.page
    SENSOR = "Apogee Alta U260 with VariSpec filter"
    LICENCE = "For the research community; no licence stated. Cite Yasuma et al., 2010."
    BUILDER_CONFIGS = with_smoke([_config(SSPSR), _config(NO_WATERCOLORS)])

    def sources(self) -> tuple[Source, ...]:
        return (ARCHIVE,)

    def open(self, files: Mapping[str, Path], stack: ExitStack) -> Iterable[RawScene]:
        path = files[ARCHIVE.file]
        folder = path if path.is_dir() else self.unpacked(path)
        bands = {scene: _bands(folder, scene) for scene in SCENES}
        for scene, band_files in bands.items():
            height, width, _ = read_png_bands(band_files[:1]).shape
            cube = LazyCube(lambda f=band_files: _read(f), (height, width, BANDS), np.uint16)
            yield RawScene(scene, cube, SceneMeta(wavelengths=np.linspace(400, 700, BANDS)))


def _bands(folder: Path, scene: str) -> list[Path]:
    """The 31 files of a scene; its folder is nested twice in the published archive."""
    found = sorted(folder.rglob(f"{scene}_ms_[0-9][0-9].png"))
    if len(found) != BANDS:
        raise UserError(
            f"{folder}: scene '{scene}' has {len(found)} of {BANDS} files {scene}_ms_NN.png; "
            f"unpack {ARCHIVE.file} from {ARCHIVE.page} again"
        )
    return found


def _read(files: list[Path]) -> np.ndarray:
    """16 bits; all bands of `watercolors` have 8, and 255 * 257 is 65535."""
    cube = read_png_bands(files)
    return cube if cube.dtype == np.uint16 else cube.astype(np.uint16) * 257
