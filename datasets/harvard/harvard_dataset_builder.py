"""Harvard real-world hyperspectral images: 50 daylight and 27 artificially lit scenes."""

from collections.abc import Iterable, Mapping
from contextlib import ExitStack
from pathlib import Path

import numpy as np

from hsisr_jax.data.builder import (
    FirstScenes,
    LazyCube,
    Normaliser,
    RawScene,
    SceneBuilder,
    SceneConfig,
    Source,
    SplitDefinition,
    UserError,
    open_cube,
    with_smoke,
)
from hsisr_jax.formats import SceneMeta

PAGE = "http://vision.seas.harvard.edu/hyperspec/download.html"
BASE = "http://vision.seas.harvard.edu/hyperspec/d2x5g3/"
ARCHIVES = {
    "daylight": Source("CZ_hsdb.tgz", (BASE + "CZ_hsdb.tgz",), page=PAGE, aliases=("CZ_hsdb",)),
    "artificial": Source(
        "CZ_hsdbi.tgz", (BASE + "CZ_hsdbi.tgz",), page=PAGE, aliases=("CZ_hsdbi",)
    ),
}
SCENES = {"daylight": 50, "artificial": 27}
BANDS = 31


def _config(name: str, train: int) -> SceneConfig:
    """MCNet's tests are the top-left 512x512 pixels; its list of scenes is not published."""
    split = SplitDefinition(
        name=name,
        citation="Q. Li et al., Mixed 2D/3D Convolutional Network (MCNet), Remote Sensing 2020",
        rule=FirstScenes(train=train, test=512),
        patch={2: 64, 4: 128, 8: 256},
        stride={2: 64, 4: 128, 8: 256},
        normaliser=Normaliser("max_of_scene"),
        validation=("patches", 0.05, 2020),
        notes=f"The first {train} scenes by name train. Each is divided by its own maximum.",
    )
    return SceneConfig(
        name=name,
        description=f"{SCENES[name]} scenes under {name} light.",
        split=split,
        shape=(None, None, BANDS),
        dtype="float32",
        wavelengths=(420.0, 720.0),
        options={"light": name},
    )


class Builder(SceneBuilder):
    """Harvard hyperspectral images (1040x1392x31)."""

    HOMEPAGE = PAGE
    SENSOR = "Nuance FX"
    LICENCE = "Research and academic use (archive); non-commercial (site). Cite CVPR 2011."
    BUILDER_CONFIGS = with_smoke([_config("daylight", 40), _config("artificial", 21)])

    def sources(self) -> tuple[Source, ...]:
        return (ARCHIVES[self.builder_config.options["light"]],)

    def open(self, files: Mapping[str, Path], stack: ExitStack) -> Iterable[RawScene]:
        light = self.builder_config.options["light"]
        path = files[ARCHIVES[light].file]
        folder = path if path.is_dir() else self.unpacked(path)
        found = sorted(folder.rglob("img*.mat"))
        if len(found) != SCENES[light]:
            raise UserError(
                f"{folder} has {len(found)} of {SCENES[light]} files img*.mat; unpack "
                f"{ARCHIVES[light].file} from {PAGE} again"
            )
        meta = SceneMeta(wavelengths=np.linspace(420, 720, BANDS))
        for file in found:
            with open_cube(file, (None, None, BANDS), variable="ref") as cube:
                shape, dtype = (cube.height, cube.width, BANDS), cube.dtype
            yield RawScene(file.stem, LazyCube(lambda f=file: _read(f), shape, dtype), meta)


def _read(file: Path) -> np.ndarray:
    with open_cube(file, (None, None, BANDS), variable="ref") as cube:
        return cube.read()
