"""Indian Pines (AVIRIS, 1992): 145 x 145 pixels of 20 m, 200 bands."""

import importlib.util
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
    as_domain,
    open_cube,
    spectral_range,
    with_smoke,
)
from hsisr_jax.formats import SceneMeta

BASE = "https://www.ehu.eus/ccwintco/uploads/"
SCENE = Source(
    file="Indian_pines_corrected.mat",
    urls=(BASE + "6/67/Indian_pines_corrected.mat",),
    page="https://www.ehu.eus/ccwintco/index.php/Hyperspectral_Remote_Sensing_Scenes",
    aliases=("Indian_pines_corrected.npy", "indian_pines_corrected.mat", "indian_pines.mat"),
)
SHAPE = (145, 145, 200)
BANDS = 30  # of each domain
# The four spectrometers: first centre, first and last step in nm, bands of the 220.
SPECTROMETERS = (
    (400.02, 9.80, 9.97, 31),
    (686.91, 9.64, 9.57, 63),
    (1273.00, 9.965, 9.885, 63),
    (1883.30, 10.00, 9.855, 63),
)
REMOVED = (*range(104, 109), *range(150, 164), 220)  # counted from 1: water vapour


def wavelengths() -> np.ndarray:
    """Nominal centres of the 200 bands, which fall back where one spectrometer follows another.

    A list of 200 in circulation leaves out bands 104-109 and 151-164 instead of 104-108, 150-163
    and 220, and has two misprints: by it, carbon dioxide absorbs at 2018 and 2068 nm in this scene.
    By these centres it does at 2008 and 2058 nm, where it should.
    """
    centres = [
        np.cumsum([first, *np.linspace(step, last, count - 1)])
        for first, step, last, count in SPECTROMETERS
    ]
    return np.delete(np.concatenate(centres), np.array(REMOVED) - 1)


def _split(name: str, train: list[Region], scene: str, domain: int = 0) -> SplitDefinition:
    tests = [
        Region(scene, (48 * i, 48 * (i + 1)), (96, 144), "test", domain=domain) for i in range(3)
    ]
    return SplitDefinition(
        name=name,
        citation="this library's protocol on small scenes: spatial split, global maximum",
        regions=(*train, *tests),
        patch=32,
        stride=8,
        normaliser=Normaliser("max_of_scene"),
        protocol="asnlsr" if domain else "sspsr",
    )


def _train(scene: str, domain: int = 0) -> Region:
    return Region(scene, (0, 145), (0, 96), "train", domain=domain)


WHOLE = SceneConfig(
    name="whole",
    description="All bands. Spatial split: columns 0-95 train, 3 tiles beside them test.",
    split=_split("whole", [_train("indian_pines")], "indian_pines"),
    shape=SHAPE,
    wavelengths=(400.0, 2490.0),
)
SOURCE, TARGET = _train("indian_pines_VNIR"), _train("indian_pines_SWIR", 1)


def _domains(name: str, train: list[Region], which: str) -> SceneConfig:
    return SceneConfig(
        name=name,
        description=f"VNIR and SWIR, 30 even bands each: {which}, SWIR is tested.",
        split=_split(name, train, TARGET.scene, 1),
        shape=(145, 145, BANDS),
        dtype="float32",
        wavelengths=(450.0, 1000.0),
        options={"domains": ("VNIR", "SWIR")},
    )


DOMAINS = [
    _domains("domains", [SOURCE, TARGET], "both train"),
    _domains("single", [SOURCE], "VNIR trains"),
]


VNIR = SceneConfig(
    name="vnir",
    description="VNIR alone, 30 even bands: columns 0-71 train, 72-95 select, 96-143 test.",
    split=SplitDefinition(
        name="vnir",
        citation=WHOLE.split.citation,
        regions=tuple(
            Region(SOURCE.scene, (0, 144), columns, role)
            for role, columns in (("train", (0, 72)), ("validation", (72, 96)), ("test", (96, 144)))
        ),
        patch=32,
        stride=8,
        normaliser=Normaliser("max_of_scene"),
        validation=("regions",),
    ),
    shape=(145, 145, BANDS),
    dtype="float32",
    wavelengths=(450.0, 1000.0),
    options={"domains": ("VNIR",)},
)


class Builder(SceneBuilder):
    """Indian Pines (145x145x200), the "corrected" file without the bands of water vapour."""

    HOMEPAGE = "https://doi.org/10.4231/R7RX991C"
    SENSOR = "AVIRIS"
    LICENCE = "CC-BY 3.0: Baumgardner, Biehl, Landgrebe, Purdue University, 2015."
    EVENLY_SPACED = False
    BUILDER_CONFIGS = with_smoke([WHOLE, *DOMAINS, VNIR])

    def sources(self) -> tuple[Source, ...]:
        """The scene's source: a package on this machine if it has the scene, else the network."""
        return (replace(SCENE, urls=(), optional=True) if _packaged() else SCENE,)

    def open(self, files: Mapping[str, Path], stack: ExitStack) -> Iterable[RawScene]:
        path = files.get(SCENE.file) or _packaged()
        assert path is not None
        variable = "indian_pines_corrected" if path.suffix == ".mat" else None
        cube = stack.enter_context(open_cube(path, SHAPE, variable=variable))
        raw = RawScene("indian_pines", cube, SceneMeta(wavelengths=wavelengths()), gsd=20.0)
        domains = self.builder_config.options.get("domains")
        if not domains:
            yield raw
        for domain, asked in enumerate(domains or ()):
            yield as_domain(raw, spectral_range(asked), BANDS, domain)


def _packaged() -> Path | None:
    """The scene inside the PyPI package tensorly, where that is installed."""
    found = importlib.util.find_spec("tensorly")
    if found is None or found.origin is None:
        return None
    path = Path(found.origin).parent / "datasets" / "data" / "Indian_pines_corrected.npy"
    return path if path.is_file() else None
