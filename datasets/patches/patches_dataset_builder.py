"""Published patch files, `block_*.mat` with `gt`, `ms` and `ms_bicubic`, as a dataset."""

import hashlib
import json
import re
from collections.abc import Iterable, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np

from hsisr_jax.data.builder import (
    LazyCube,
    Normaliser,
    RawScene,
    Region,
    SceneBuilder,
    SceneConfig,
    SplitDefinition,
    UserError,
    arrays_of,
    check_reduction,
    of_files,
    options,
    partner_sizes,
    storage_dtype,
    twin_of,
)
from hsisr_jax.formats import SceneMeta

FOLDERS = {
    "train": ("trains", "train"),
    "validation": ("evals", "eval", "val", "validation"),
    "test": ("tests", "test"),
}
KINDS = {
    "path": options.TEXT,
    "divisor": options.NUMBER,
    "check": options.Kind("True or False", lambda x: isinstance(x, bool)),
    "protocol": options.TEXT,
}


def _files(folder: Path) -> dict[str, list[Path]]:
    """The MATLAB files of each role."""
    found = {}
    for role, names in FOLDERS.items():
        inside = [p for name in names for p in (folder / name).rglob("*.mat")]
        found[role] = sorted(inside, key=_by_number)
    missing = [role for role in ("train", "test") if not found[role]]
    if missing:
        raise UserError(
            f"{folder} has no {FOLDERS[missing[0]][0]}/*.mat: patch files lie in the folders "
            "trains, evals (may be absent) and tests"
        )
    return found


def _by_number(path: Path) -> list:
    """block_2 before block_10."""
    parts = re.split(r"(\d+)", str(path))
    return [int(part) if part.isdigit() else part for part in parts]


def _config(
    *, path: str, divisor: float | None = None, check: bool = True, protocol: str = "sspsr"
) -> SceneConfig:
    folder = Path(path).expanduser().resolve()
    if not folder.is_dir():
        raise UserError(f"there is no folder {folder}; give --config.data.path=FOLDER")
    files, sizes, regions = _files(folder), {}, []
    for role, listed in files.items():
        for file in listed:
            sizes[file] = partner_sizes(file)
            count, height, width, _ = sizes[file][0]
            regions += [
                Region(_name(folder, file, i), (0, height), (0, width), role) for i in range(count)
            ]
    bands, dtypes = {s[0][3] for s in sizes.values()}, {s[1] for s in sizes.values()}
    sides = {s[0][1:3] for file, s in sizes.items() if file in files["train"]}
    scales = {s[2] for s in sizes.values()} - {0}
    if len(bands) > 1 or len(dtypes) > 1 or len(scales) > 1:
        raise UserError(
            f"the files of {folder} differ: {sorted(bands)} bands, {sorted(map(str, dtypes))}, "
            f"scales {sorted(scales)}; give patches of one scene and scale"
        )
    if len(sides) > 1 or len(set(*sides)) > 1:
        raise UserError(f"training patches are squares of one size, not {sorted(sides)}")
    if check and scales:
        check_reduction(files["train"][0], min(scales))
    given = {"path": str(folder), "divisor": divisor, "protocol": protocol}
    stamps = [(str(f), of_files((f,))) for f in sizes]
    digest = hashlib.sha256(json.dumps([given, stamps]).encode()).hexdigest()[:12]
    (side, _) = sides.pop()
    split = SplitDefinition(
        name=f"patches-{digest}",
        citation="the user's own patch files",
        regions=tuple(regions),
        patch=side,
        stride=side,
        normaliser=Normaliser("divide", {"divisor": divisor}) if divisor else Normaliser("none"),
        validation=("regions",) if files["validation"] else None,
        protocol=protocol,
    )
    return SceneConfig(
        name=split.name,
        description=f"Patch files of {folder.name}.",
        split=split,
        shape=(None, None, bands.pop()),
        dtype=str(storage_dtype(dtypes.pop())),
        options={**given, "files": [str(f) for f in sizes]},
    )


def _name(folder: Path, file: Path, index: int) -> str:
    return f"{file.relative_to(folder).with_suffix('')}_{index}".replace("/", "_")


class Builder(SceneBuilder):
    """Folders `trains`, `evals` and `tests` of MATLAB files, as SSPSR's and SRLSGAT's scripts
    write them; inputs are made from `gt`, of which `ms` has to be the bicubic reduction."""

    SENSOR = "unknown"
    NEEDS_OPTIONS = True
    LICENCE = "The user's own data."
    EVENLY_SPACED = False
    BUILDER_CONFIGS = [
        twin_of(
            SceneConfig(
                name="any",
                split=SplitDefinition(
                    name="any",
                    citation="the user's own patch files",
                    regions=(),
                    patch=32,
                    stride=32,
                    normaliser=Normaliser("max_of_scene"),
                ),
                shape=(None, None, 31),
                dtype="float32",
                wavelengths=(400.0, 1000.0),
            ),
            "smoke",
        )
    ]

    @classmethod
    def config_from(cls, **given: Any) -> SceneConfig:
        missing = "give the folder: --config.data.path=FOLDER"
        return _config(**options.chosen("patches", given, KINDS, missing=missing))

    def open(self, files: Mapping[str, Path], stack: ExitStack) -> Iterable[RawScene]:
        config = self.builder_config
        folder = Path(config.options["path"])
        for file in map(Path, config.options["files"]):
            (count, *shape), _, _ = partner_sizes(file)
            for index in range(count):

                def load(file: Path = file, index: int = index, shape=tuple(shape)) -> np.ndarray:
                    gt = arrays_of(file, ("gt",))["gt"]
                    return gt.reshape(-1, *shape)[index] if gt.ndim == 3 else gt[index]

                cube = LazyCube(load, tuple(shape), np.dtype(config.dtype))
                yield RawScene(_name(folder, file, index), cube, SceneMeta(), negative="keep")
