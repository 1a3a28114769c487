"""Jasper Ridge, Samson and Urban: small scenes from unmixing, stored as one column a pixel."""

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
    UserError,
    as_domain,
    check_shape,
    open_cube,
    open_pixels,
    spectral_range,
    with_smoke,
)
from hsisr_jax.formats import SceneMeta

PAGE = "https://rslab.ut.ac.ir/data"
RAW = "https://raw.githubusercontent.com/"
SOURCES = {
    "jasper_ridge": Source(
        file="jasperRidge2_R198.mat",
        urls=(
            RAW + "MeiShaohui/Spectral-Variability-Augmented-Sparse-Unmixing/"
            "9d0ce1f384d5d395374e0c24d44e49485bcb1d80/data/jasperRidge2_R198.mat",
        ),
        sha256="7dd702f9958510f35c7fee35f7f18ecfca393c9eebd39bddf6c9b7d147754caa",
        page=PAGE,
        aliases=("jasperRidge2_R198.hdr", "jasperRidge2_R198.img.hdr"),
    ),
    "samson": Source(
        file="samson_1.mat",
        urls=(
            RAW + "ricardoborsoi/MUA_SparseUnmixing/"
            "508d637e30d314a4f4db9c8606d25cc183e0e464/real_data/samson_1.mat",
        ),
        sha256="1ebacaf7cd32bfc31c0ee3fd56c63a7f29a434893a8b45705fb59cd8a0c8beb6",
        size=3_604_014,
        page=PAGE,
        aliases=("Samson.mat",),
    ),
    "urban": Source(
        file="Urban_R162.mat",
        page="https://huggingface.co/datasets/danaroth/urban",
        aliases=("Urban_R162.hdr", "Urban_R162.img.hdr"),
    ),
}
SHAPES = {"jasper_ridge": (100, 100, 198), "samson": (95, 95, 156), "urban": (307, 307, 162)}
BANDS = 30  # of each domain
# AVIRIS channels of Jasper Ridge (counted from 1), over 380-2500 nm.
KEPT = ((4, 107), (113, 153), (167, 219))


def _split(name: str, side: int, train: int, tile: int, tests: int) -> SplitDefinition:
    """Columns left of `train` train; `tests` tiles right of them, one below the other, test."""
    return SplitDefinition(
        name=name,
        citation="this library's protocol on small scenes: spatial split, global maximum",
        regions=(
            Region(name, (0, side), (0, train), "train"),
            *(
                Region(name, (tile * i, tile * (i + 1)), (train, train + tile), "test")
                for i in range(tests)
            ),
        ),
        patch=32,
        stride=8,
        normaliser=Normaliser("max_of_scene"),
    )


def _config(name, shape, dtype, nm, train, tile, tests) -> SceneConfig:
    return SceneConfig(
        name=name,
        description=f"Spatial split: columns 0-{train - 1} train, {tests} tiles beside them test.",
        split=_split(name, shape[0], train, tile, tests),
        shape=shape,
        dtype=dtype,
        wavelengths=nm,
        options={"scene": name},
    )


def _domains(name: str, train: int, which: str) -> SceneConfig:
    """VNIR to SWIR: the first `train` of them train on the left, SWIR is tested on the right."""
    source, target = "jasper_ridge_VNIR", "jasper_ridge_SWIR"
    regions = [Region(source, (0, 100), (0, 64), "train"),
               Region(target, (0, 100), (0, 64), "train", domain=1)][:train]  # fmt: skip
    for top in (0, 32, 64):
        regions.append(Region(target, (top, top + 32), (64, 96), "test", domain=1))
    split = _split("jasper_ridge", 100, 64, 32, 0)
    return SceneConfig(
        name=name,
        description=f"VNIR and SWIR of Jasper Ridge, 30 even bands each: {which}, SWIR is tested.",
        split=replace(split, name=name, regions=tuple(regions), protocol="asnlsr"),
        shape=(100, 100, BANDS),
        dtype="float32",
        wavelengths=(450.0, 1000.0),
        options={"scene": "jasper_ridge", "domains": ("VNIR", "SWIR")},
    )


def jasper_wavelengths() -> np.ndarray:
    """Nominal: 224 channels at even distances, without those that water vapour takes."""
    numbers = np.concatenate([np.arange(first, last + 1) for first, last in KEPT])
    return np.linspace(380, 2500, 224)[numbers - 1]


class Builder(SceneBuilder):
    """Jasper Ridge (100x100x198), Samson (95x95x156) and Urban (307x307x162)."""

    HOMEPAGE = PAGE
    SENSOR = "AVIRIS, SAMSON, HYDICE"
    LICENCE = "No licence stated. Cite F. Zhu, arXiv:1708.05125."
    EVENLY_SPACED = False
    BUILDER_CONFIGS = with_smoke(
        [
            _config("jasper_ridge", SHAPES["jasper_ridge"], "uint16", (408.0, 2453.0), 64, 32, 3),
            _config("samson", SHAPES["samson"], "float32", (401.0, 889.0), 60, 32, 2),
            _config("urban", SHAPES["urban"], "uint16", (400.0, 2500.0), 224, 64, 4),
            _domains("jasper_ridge_domains", 2, "both train"),
            _domains("jasper_ridge_single", 1, "VNIR trains"),
        ]
    )

    def sources(self) -> tuple[Source, ...]:
        return (SOURCES[self.builder_config.options["scene"]],)

    def open(self, files: Mapping[str, Path], stack: ExitStack) -> Iterable[RawScene]:
        config = self.builder_config
        name = config.options["scene"]
        shape = SHAPES[name]
        (path,) = files.values()
        if path.suffix.lower() == ".mat":
            cube = open_pixels(path, size=shape[:2])
            if cube is None:
                raise UserError(f"{path} has no matrix Y or V of pixels; see {PAGE}")
            check_shape(cube, shape, path)
            meta = SceneMeta()
        else:
            cube = stack.enter_context(open_cube(path, shape))
            meta = cube.meta
        if meta.wavelengths is None and name != "urban":
            nominal = jasper_wavelengths() if name == "jasper_ridge" else np.linspace(401, 889, 156)
            meta = SceneMeta(wavelengths=nominal)
        sensors = {"jasper_ridge": "AVIRIS", "samson": "SAMSON", "urban": "HYDICE"}
        meta = SceneMeta(wavelengths=meta.wavelengths, sensor=sensors[name])
        raw = RawScene(name, cube, meta, gsd=2.0 if name == "urban" else np.nan)
        domains = config.options.get("domains")
        if not domains:
            yield raw
        for domain, asked in enumerate(domains or ()):
            yield as_domain(raw, spectral_range(asked), BANDS, domain)
