"""HySpecNet-11k: 11,483 patches of 250 EnMAP scenes, with the published splits."""

import csv
from collections.abc import Iterable, Mapping
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import numpy as np

from hsisr_jax.data.builder import (
    LazyCube,
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

PAGE = "https://hyspecnet.rsim.berlin"
SIDE, BANDS = 128, 224
# Left out by the authors: the water vapour bands 127-141 and 161-167, counted from 1.
INVALID = (*range(126, 141), *range(160, 167))
VALID = np.setdiff1d(np.arange(BANDS), INVALID)
FULL = 10_000  # a reflectance of 1
FOLDER = Source("hyspecnet-11k", page=PAGE)
FILES = {"train": "train", "val": "validation", "test": "test"}  # a split's file -> our role
STORED, LISTED = "SPECTRAL_IMAGE.TIF", "DATA.npy"


def _config(name: str, words: str) -> SceneConfig:
    split = SplitDefinition(
        name=name,
        citation="M. H. P. Fuchs and B. Demir, HySpecNet-11k, IGARSS 2023",
        patch={2: 64, 4: 64, 8: 128},
        stride={2: 64, 4: 64, 8: 128},
        normaliser=Normaliser("divide", {"divisor": float(FULL)}),
        validation=("regions",),
        notes=f"{words} Values are clipped to 0 ... {FULL}, as by the authors.",
    )
    return SceneConfig(
        name=name,
        description=f"{words} 70 % of the patches train, 20 % validate, 10 % test.",
        split=split,
        shape=(SIDE, SIDE, len(VALID)),
        wavelengths=(418.0, 2445.0),  # EnMAP's range
        options={"split": name},
    )


class Builder(SceneBuilder):
    """HySpecNet-11k (EnMAP, 128x128x202)."""

    HOMEPAGE = PAGE
    SENSOR = "EnMAP"
    LICENCE = "CC0 1.0 (doi.org/10.5061/dryad.fttdz08zh)."
    EVENLY_SPACED = False
    BUILDER_CONFIGS = with_smoke(
        [
            _config("easy", "Patches of one scene may be in several parts."),
            _config("hard", "All patches of a scene are in one part."),
        ]
    )

    def sources(self) -> tuple[Source, ...]:
        return (FOLDER,)

    def open(self, files: Mapping[str, Path], stack: ExitStack) -> Iterable[RawScene]:
        folder = files[FOLDER.file]
        self._roles: dict[str, str] = {}
        for file, role in FILES.items():
            for path in _listed(folder, self.builder_config.options["split"], file):
                name = path.parent.name
                if name in self._roles:
                    raise UserError(f"{folder}: the splits name the patch {name} twice")
                self._roles[name] = role
                cube = LazyCube(lambda p=path: _read(p), (SIDE, SIDE, len(VALID)), np.uint16)
                yield RawScene(name, cube, gsd=30.0)

    def define(self, raws: list[RawScene], files: Mapping[str, Path]) -> SplitDefinition:
        if self.builder_config.smoke:
            return super().define(raws, files)
        regions = tuple(Region(r.name, (0, SIDE), (0, SIDE), self._roles[r.name]) for r in raws)
        return replace(self.builder_config.split, regions=regions)


def _listed(folder: Path, split: str, file: str) -> list[Path]:
    """The patches' files in the order of a split's file; each line is a path inside `patches`."""
    table = folder / "splits" / split / f"{file}.csv"
    if not table.is_file():
        raise UserError(f"{folder} has no splits/{split}/{file}.csv; unpack the splits of {PAGE}")
    with table.open(newline="") as lines:
        names = [row[0].strip() for row in csv.reader(lines) if row]
    paths = [folder / "patches" / name.replace(LISTED, STORED) for name in names]
    inside = (folder / "patches").resolve()
    for path in paths:
        if inside not in path.resolve().parents:
            raise UserError(f"{table} names {path}, which is not in {inside}")
        if not path.is_file():
            raise UserError(f"{path} is not there, but {table.name} names it: unpack all parts")
    if not paths:
        raise UserError(f"{table} names no patch")
    return paths


def _read(path: Path) -> np.ndarray:
    """The valid bands of a patch; what is not in the range of reflectance, no data included, is
    clipped."""
    with open_cube(path, (SIDE, SIDE, BANDS)) as cube:
        values = cube.read(slice(0, SIDE), slice(0, SIDE))
    return np.clip(values[..., VALID], 0, FULL).astype(np.uint16)
