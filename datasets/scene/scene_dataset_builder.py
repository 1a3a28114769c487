"""Scenes of the user: one file or several with the same bands, split spatially."""

import hashlib
import json
import os
import re
from collections.abc import Iterable, Mapping
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import numpy as np

from hsisr_jax.data.builder import (
    Fractions,
    Normaliser,
    PickedCube,
    RawScene,
    Region,
    SceneBuilder,
    SceneConfig,
    SplitDefinition,
    UserError,
    of_files,
    open_any,
    options,
    storage_dtype,
    twin_of,
)
from hsisr_jax.formats import SceneMeta

NEGATIVE = ("noise", "error", "keep", "clip")
PATCH = 32
SCORED = 16  # pixels on a side that every protocol can score
GIVE = "give a file: --config.data.path=FILE"
END = options.Kind("", lambda x: x is None or isinstance(x, int))
REGION = options.fixed("", options.TEXT, options.WHOLE, END, options.WHOLE, END)
KINDS = {
    "path": options.FILES,
    "variable": options.TEXT,
    "msi": options.FILES,
    "fractions": options.fixed("three numbers: training, validation, test", *[options.NUMBER] * 3),
    "axis": options.TEXT,
    "multiple": options.SIZE,
    "regions": options.lists("lists of role, first row, end row, first column, end column", REGION),
    "patch": options.SIZE,
    "stride": options.SIZE,
    "bands": options.fixed("two whole numbers: first and end", options.WHOLE, options.WHOLE),
    "normaliser": options.TEXT,
    "normaliser_args": options.NUMBERS,
    "negative": options.TEXT,
    "fill": options.NUMBER,
    "validation_patches": options.SHARE,
    "test_tile": options.SIZE,
    "test_stride": options.SIZE,
}


def _opened(paths: list[Path], variable: str | None, stack: ExitStack) -> list[tuple]:
    """Cubes, metadata and files, without the bands that one of the files flags as bad."""
    found = [open_any(path, variable, stack) for path in paths]
    flags = [meta.bad_bands for _, meta, _ in found if meta.bad_bands is not None]
    if not flags or len({cube.bands for cube, _, _ in found}) > 1:
        return found
    good = np.flatnonzero(~np.any(flags, axis=0))
    if len(good) in (0, len(flags[0])):
        return found
    return [(PickedCube(cube, good), meta.select(good), files) for cube, meta, files in found]


def _config(
    *,
    path: str | list[str],
    variable: str | None = None,
    msi: str | list[str] | None = None,
    fractions: tuple[float, float, float] = (0.67, 0.0, 0.33),
    axis: str = "cols",
    multiple: int = 8,
    regions: list | None = None,
    patch: int | None = None,
    stride: int = 8,
    bands: tuple[int, int] | None = None,
    normaliser: str = "max_of_scene",
    normaliser_args: Mapping[str, float] | None = None,
    negative: str = "noise",
    fill: float | None = None,
    validation_patches: float = 0.0,
    test_tile: int | None = None,
    test_stride: int | None = None,
) -> SceneConfig:
    """A config from a user's options; its name changes with the file and with every option.

    `regions` are lists of role, first row, end row, first column, end column (of the first scene)
    and replace `fractions`. Values without data are filled from their neighbours, or by `fill`:
    training leaves their pixels out. `negative` says what becomes of negative values; by default
    they are kept as the noise of dark pixels, unless they are large. Bands flagged as bad are left
    out, and `bands` counts the others. Without a `patch` it is 32 pixels, or less where the
    training region is smaller; `validation_patches` is a share of the training patches to set
    aside. `msi` is a multispectral image of the same pixels, for SSRAN.
    """
    given = {k: v for k, v in locals().items() if v is not None}
    paths = [Path(p).expanduser() for p in ([path] if isinstance(path, str | Path) else path)]
    if negative not in NEGATIVE:
        raise UserError(f"config.data.options.negative is one of {', '.join(NEGATIVE)}")
    shape, dtype, size, stamps, left_out = _look(paths, variable)
    given["path"] = [os.path.abspath(p) for p in paths]
    partners = [Path(p).expanduser() for p in ([msi] if isinstance(msi, str) else msi or [])]
    given |= {"msi": [os.path.abspath(p) for p in partners]} if partners else {}
    extras = _partners(partners, size)
    given["stamps"] = stamps
    given |= {"msi_stamps": [of_files((p,)) for p in partners]} if partners else {}
    digest = hashlib.sha256(json.dumps(given, sort_keys=True).encode()).hexdigest()[:12]
    stem = re.sub(r"[^A-Za-z0-9_-]", "_", paths[0].stem)[:60]
    if bands is not None and not 0 <= bands[0] < bands[1] <= shape[2]:
        raise UserError(f"bands {tuple(bands)} do not lie within the scene's {shape[2]}")
    names = _scene_names(paths)
    split = SplitDefinition(
        name=f"{stem}-{digest}",
        citation="the user's own scene",
        regions=tuple(
            Region(names[0], (r[1], r[2]), (r[3], r[4]), str(r[0])) for r in regions or ()
        ),
        rule=None if regions else Fractions(*fractions, axis, multiple, scored=SCORED),
        patch=patch or PATCH,
        stride=stride,
        bands=tuple(bands) if bands else None,
        normaliser=Normaliser(normaliser, dict(normaliser_args or {})),
        validation=_validation(regions, fractions, validation_patches),
        test_tile=test_tile,
        test_stride=test_stride,
        notes=_told(left_out),
    )
    return SceneConfig(
        name=split.name,
        description=f"Your scene {paths[0].name}.",
        split=split,
        shape=shape,
        dtype=dtype,
        extras=extras | ({} if fill is not None else {"hidden": 1}),
        options={**given, "sizes": size},
    )


def _validation(regions: list | None, fractions: tuple, patches: float) -> tuple | None:
    """Regions if there are any for it, else a share of the training patches, else nothing."""
    if any(r[0] == "validation" for r in regions) if regions else fractions[1] > 0:
        return ("regions",)
    return ("patches", patches, 2020) if patches else None


def _partners(paths: list[Path], sizes: list) -> dict[str, int]:
    """Multispectral bands beside the scenes, none without partners."""
    if paths and len(paths) != len(sizes):
        raise UserError(f"{len(sizes)} scenes and {len(paths)} multispectral images: give one each")
    bands = set()
    for path, size in zip(paths, sizes):
        if not path.exists():
            raise UserError(f"there is no file {path}: config.data.options.msi")
        with ExitStack() as stack:
            cube, *_ = open_any(path, None, stack)
            if (cube.height, cube.width) != tuple(size):
                raise UserError(
                    f"{path} has {cube.height}x{cube.width} pixels and its scene "
                    f"{size[0]}x{size[1]}: give an image of the same pixels"
                )
            bands.add(cube.bands)
    if len(bands) > 1:
        raise UserError(f"the multispectral images have {sorted(bands)} bands: give one sensor's")
    return {"msi": bands.pop()} if bands else {}


def _beside(path: str, meta: SceneMeta, stack: ExitStack):
    """Reads a partner in the units in which the scene is stored."""
    cube, own, _ = open_any(Path(path), None, stack)

    def read(block: np.ndarray, rows: slice, cols: slice) -> dict[str, np.ndarray]:
        physical = cube.read(rows, cols) * own.scale + own.offset
        return {"msi": ((physical - meta.offset) / meta.scale).astype(np.float32)}

    return read


def _scene_names(paths: list[Path]) -> list[str]:
    stems = [path.stem for path in paths]
    unique = len(set(stems)) == len(stems)
    return stems if unique else [f"{i}_{stem}" for i, stem in enumerate(stems)]


def _told(bands: list[int]) -> str:
    """`3 bands flagged as bad are left out: 2, 5-6`, counted from 1."""
    if not bands:
        return ""
    runs = np.split(np.array(bands) + 1, np.flatnonzero(np.diff(bands) > 1) + 1)
    shown = [f"{run[0]}-{run[-1]}" if len(run) > 1 else str(run[0]) for run in runs]
    return f"{len(bands)} bands flagged as bad are left out: {', '.join(shown)}"


def _look(paths: list[Path], variable: str | None) -> tuple[tuple, str, list, list, list[int]]:
    """Sizes, storage type and digests of the files, and which bad bands are left out."""
    for path in paths:
        if not path.exists():
            raise UserError(f"there is no scene {path}; {GIVE}")
    with ExitStack() as stack:
        opened = _opened(paths, variable, stack)
        stamps = [of_files(files) for _, _, files in opened]
        cubes = [cube for cube, _, _ in opened]
        found = [(c.height, c.width, c.bands, storage_dtype(c.dtype)) for c in cubes]
        whole, kept = getattr(cubes[0], "cube", cubes[0]), getattr(cubes[0], "picked", None)
        left_out = [] if kept is None else sorted({*range(whole.bands)} - {*kept.tolist()})
    if len({(item[2], item[3]) for item in found}) > 1:
        listed = ", ".join(f"{p.name}: {f[2]} bands of {f[3]}" for p, f in zip(paths, found))
        raise UserError(f"the scenes differ ({listed}); use scenes of one sensor")
    size = (found[0][:2]) if len(found) == 1 else (None, None)
    sizes = [item[:2] for item in found]
    return (*size, found[0][2]), str(found[0][3]), sizes, stamps, left_out


class Builder(SceneBuilder):
    """The user's own scenes. `config` is a mapping of options, at least `path`."""

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
                    citation="the user's own scene",
                    rule=Fractions(),
                    patch=32,
                    stride=8,
                    validation=("regions",),
                ),
                shape=(None, None, 31),
                wavelengths=(400.0, 1000.0),
            ),
            "smoke",
        )
    ]

    @classmethod
    def config_from(cls, **given) -> SceneConfig:
        missing = f"'path' is missing; {GIVE}"
        return _config(**options.chosen("scene", given, KINDS, missing=missing))

    def open(self, files: Mapping[str, Path], stack: ExitStack) -> Iterable[RawScene]:
        given = self.builder_config.options
        paths = [Path(path) for path in given["path"]]
        partners = given.get("msi") or [None] * len(paths)
        opened = zip(_opened(paths, given.get("variable"), stack), partners, given["stamps"])
        for name, ((cube, meta, files), partner, stamps) in zip(_scene_names(paths), opened):
            if of_files(files) != stamps:
                where = ", ".join(map(str, paths))
                raise UserError(f"{where} has changed just now; run the same command again")
            yield RawScene(
                name,
                cube,
                meta,
                gsd=_pixel_size(meta),
                extras=_beside(partner, meta, stack) if partner else None,
                negative=given["negative"],
                fill=given.get("fill"),
                holes="fill" not in given,
            )

    def define(self, raws: list[RawScene], files: Mapping[str, Path]) -> SplitDefinition:
        split = super().define(raws, files)
        if not {"train", "test"} <= {region.role for region in split.regions}:
            raise UserError("a split needs training and test regions; give both in the options")
        if len(raws) == 1 and self.builder_config.options.get("regions"):
            split = replace(split, window=_around(split.regions))  # nothing else is looked at
        if "patch" in self.builder_config.options:
            return split
        side = min(min(region.shape) for region in split.role("train"))
        return replace(split, patch=min(PATCH, max(side // 8 * 8, 1)))


def _around(regions: Iterable[Region]) -> tuple[tuple[int, int], tuple[int, int]]:
    """The window that holds all regions."""
    rows, cols = (np.array([getattr(r, axis) for r in regions]) for axis in ("rows", "cols"))
    (top, left), (bottom, right) = (
        [int(f(x[:, i])) for x in (rows, cols)] for i, f in ((0, np.min), (1, np.max))
    )
    return (top, bottom), (left, right)


def _pixel_size(meta: SceneMeta) -> float:
    return float(np.hypot(meta.transform[0], meta.transform[3])) if meta.transform else np.nan
