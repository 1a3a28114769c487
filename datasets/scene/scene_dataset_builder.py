"""Any scene of the user's: one file or several with the same bands, split across space."""

import hashlib
import json
import re
from collections.abc import Iterable, Mapping
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from hsisr_jax.data.builder import (
    Fractions,
    Normaliser,
    RawScene,
    Region,
    SceneBuilder,
    SceneConfig,
    SplitDefinition,
    UserError,
    open_cube,
    open_pixels,
    options,
    storage_dtype,
    twin_of,
)
from hsisr_jax.formats import SceneMeta

NEGATIVE = ("error", "keep", "clip")
PATCH = 32
GIVE = "give a file: --config.data.path=FILE"
END = options.Kind("", lambda x: x is None or isinstance(x, int))
REGION = options.fixed("", options.TEXT, options.WHOLE, END, options.WHOLE, END)
KINDS = {
    "path": options.either(options.TEXT, options.lists("a list of them", options.TEXT)),
    "variable": options.TEXT,
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
    "protocol": options.TEXT,
}


def _open(path: Path, variable: str | None, stack: ExitStack):
    """A cube, or a MATLAB matrix with one column a pixel."""
    pixels = open_pixels(path, variables=(variable,) if variable else ("Y", "V"))
    if pixels is not None:
        return pixels, SceneMeta()
    cube = stack.enter_context(open_cube(path, (None, None, None), variable=variable))
    return cube, cube.meta


def _config(
    *,
    path: str | list[str],
    variable: str | None = None,
    fractions: tuple[float, float, float] = (0.67, 0.0, 0.33),
    axis: str = "cols",
    multiple: int = 8,
    regions: list | None = None,
    patch: int | None = None,
    stride: int = 8,
    bands: tuple[int, int] | None = None,
    normaliser: str = "max_of_scene",
    normaliser_args: Mapping[str, float] | None = None,
    negative: str = "error",
    fill: float | None = None,
    validation_patches: float = 0.0,
    test_tile: int | None = None,
    test_stride: int | None = None,
    protocol: str = "sspsr",
) -> SceneConfig:
    """A config from a user's options; its name changes with the file and with every option.

    `regions` are lists of role, first row, end row, first column, end column (of the first scene)
    and replace `fractions`. `negative` and `fill` say what becomes of negative values, and of NaN
    and no-data values; without a `patch` it is 32 pixels, or less where the training region is
    smaller; `validation_patches` is a share of the training patches to set aside.
    """
    given = {k: v for k, v in locals().items() if v is not None}
    paths = [Path(p).expanduser() for p in ([path] if isinstance(path, str | Path) else path)]
    if negative not in NEGATIVE:
        raise UserError(f"config.data.options.negative is one of {', '.join(NEGATIVE)}")
    shape, dtype, size = _look(paths, variable)
    given["path"] = [str(p.resolve()) for p in paths]
    given["stamps"] = [(p.stat().st_size, p.stat().st_mtime_ns) for p in paths]
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
        rule=None if regions else Fractions(*fractions, axis=axis, multiple=multiple),
        patch=patch or PATCH,
        stride=stride,
        bands=tuple(bands) if bands else None,
        normaliser=Normaliser(normaliser, dict(normaliser_args or {})),
        validation=_validation(regions, fractions, validation_patches),
        test_tile=test_tile,
        test_stride=test_stride,
        protocol=protocol,
    )
    return SceneConfig(
        name=split.name,
        description=f"Your scene {paths[0].name}.",
        split=split,
        shape=shape,
        dtype=dtype,
        options={**given, "sizes": size},
    )


def _validation(regions: list | None, fractions: tuple, patches: float) -> tuple | None:
    """Regions if there are any for it, else a share of the training patches, else nothing."""
    if any(r[0] == "validation" for r in regions) if regions else fractions[1] > 0:
        return ("regions",)
    return ("patches", patches, 2020) if patches else None


def _scene_names(paths: list[Path]) -> list[str]:
    stems = [path.stem for path in paths]
    unique = len(set(stems)) == len(stems)
    return stems if unique else [f"{i}_{stem}" for i, stem in enumerate(stems)]


def _look(paths: list[Path], variable: str | None) -> tuple[tuple, str, list]:
    """Sizes and storage type of the files."""
    found: list[Any] = []
    for path in paths:
        if not path.exists():
            raise UserError(f"there is no scene {path}; {GIVE}")
        with ExitStack() as stack:
            cube, _ = _open(path, variable, stack)
            found.append((cube.height, cube.width, cube.bands, storage_dtype(cube.dtype)))
    if len({(item[2], item[3]) for item in found}) > 1:
        listed = ", ".join(f"{p.name}: {f[2]} bands of {f[3]}" for p, f in zip(paths, found))
        raise UserError(f"the scenes differ ({listed}); use scenes of one sensor")
    size = (found[0][:2]) if len(found) == 1 else (None, None)
    return (*size, found[0][2]), str(found[0][3]), [item[:2] for item in found]


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
        if unknown := sorted(set(given) - set(KINDS)):
            problem = f"'{unknown[0]}' is unknown; they are {', '.join(KINDS)}"
            raise UserError(f"options of 'scene': {problem}")
        given = {key: _plain(value) for key, value in given.items() if value is not None}
        if "path" not in given:
            raise UserError(f"options of 'scene': 'path' is missing; {GIVE}")
        options.check(given, KINDS)
        return _config(**given)

    def open(self, files: Mapping[str, Path], stack: ExitStack) -> Iterable[RawScene]:
        given = self.builder_config.options
        paths = [Path(path) for path in given["path"]]
        for name, path in zip(_scene_names(paths), paths):
            cube, meta = _open(path, given.get("variable"), stack)
            yield RawScene(
                name,
                cube,
                meta,
                gsd=_pixel_size(meta),
                negative=given["negative"],
                fill=given.get("fill"),
            )

    def define(self, raws: list[RawScene], files: Mapping[str, Path]) -> SplitDefinition:
        split = super().define(raws, files)
        if not {"train", "test"} <= {region.role for region in split.regions}:
            raise UserError("a split needs training and test regions; give both in the options")
        if "patch" in self.builder_config.options:
            return split
        side = min(min(region.shape) for region in split.role("train"))
        return replace(split, patch=min(PATCH, max(side // 8 * 8, 1)))


def _plain(value: Any) -> Any:
    """What a config or a command line gives, in lists and dicts."""
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return str(value) if isinstance(value, Path) else value


def _pixel_size(meta: SceneMeta) -> float:
    return float(np.hypot(meta.transform[0], meta.transform[3])) if meta.transform else np.nan
