"""Two spectral domains of the user: one cube divided by wavelength, or two cubes."""

import hashlib
import json
import os
import re
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
    SplitDefinition,
    UserError,
    as_domain,
    available,
    of_files,
    open_any,
    options,
    overlap,
    spectral_range,
    twin_of,
)

ENDS = options.fixed("", options.NUMBER, options.NUMBER)
KINDS = {
    "path": options.either(options.TEXT, options.lists("a list of two of them", options.TEXT)),
    "variable": options.TEXT,
    "domains": options.fixed(
        "two names (VNIR, SWIR, SWIR1, SWIR2) or pairs of ends in nm",
        *[options.either(options.TEXT, ENDS)] * 2,
    ),
    "bands": options.SIZE,
    "source_only": options.Kind("True or False", lambda x: isinstance(x, bool)),
    "fractions": options.fixed("three numbers: training, validation, test", *[options.NUMBER] * 3),
    "axis": options.TEXT,
    "patch": options.SIZE,
    "stride": options.SIZE,
    "test_tile": options.SIZE,
    "negative": options.TEXT,
    "fill": options.NUMBER,
}
MOST_BANDS = 30  # as A-SNLSR has them, where the cubes have as many


def _config(
    *,
    path: str | list[str],
    domains: tuple | list = ("VNIR", "SWIR"),
    bands: int | None = None,
    source_only: bool = False,
    variable: str | None = None,
    fractions: tuple[float, float, float] = (0.67, 0.0, 0.33),
    axis: str = "cols",
    patch: int = 32,
    stride: int = 8,
    test_tile: int | None = None,
    negative: str = "error",
    fill: float | None = None,
) -> SceneConfig:
    """A config from a user's options; its name changes with the files and with every option.

    With `source_only` nothing is trained on the target, for networks that cannot be adapted.
    """
    given = {k: v for k, v in locals().items() if v is not None}
    paths = [Path(p).expanduser() for p in ([path] if isinstance(path, str) else path)]
    if len(paths) > 2:
        raise UserError(f"two domains come from one file or from two, not {len(paths)}")
    ranges = [spectral_range(one) for one in domains]
    paths = paths * 2 if len(paths) == 1 else paths
    if paths[0] == paths[1] and overlap(*ranges):
        names = " and ".join(f"{r.name} ({r.begin:g} to {r.end:g} nm)" for r in ranges)
        raise UserError(f"the domains {names} overlap: cut the cube where they do not")
    counts, stamps = [], []
    for file, asked in zip(paths, ranges):
        if not file.exists():
            raise UserError(f"there is no scene {file}; give --config.data.path=FILE")
        with ExitStack() as stack:
            _, meta, held = open_any(file, variable, stack)
            stamps.append(of_files(held))
            usable = available(meta.wavelengths, meta.bad_bands, asked, str(file))
            counts.append(int(usable.sum()))
    count = bands or min(*counts, MOST_BANDS)
    if count > min(counts):
        raise UserError(
            f"{count} bands are asked for, and the domains have {counts[0]} and {counts[1]}: "
            f"set config.data.options.bands to {min(counts)} or fewer"
        )
    given |= {"path": [os.path.abspath(p) for p in paths], "bands": count, "stamps": stamps}
    digest = hashlib.sha256(json.dumps(given, sort_keys=True).encode()).hexdigest()[:12]
    stem = re.sub(r"[^A-Za-z0-9_-]", "_", paths[0].stem)[:40]
    split = SplitDefinition(
        name=f"{stem}-{digest}",
        citation="the user's own domains",
        rule=Fractions(*fractions, axis=axis),
        patch=patch,
        stride=stride,
        normaliser=Normaliser("max_of_scene"),
        validation=("regions",) if fractions[1] > 0 else None,
        test_tile=test_tile,
        protocol="asnlsr",
        notes="Source and target train left of the border, the target is tested right of it.",
    )
    return SceneConfig(
        name=split.name,
        description=f"{ranges[0].name} to {ranges[1].name} of {paths[0].name}.",
        split=split,
        shape=(None, None, count),
        dtype="float32",
        options=given,
    )


class Builder(SceneBuilder):
    """A source and a target domain of the user's own data, brought to as many bands each."""

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
                    citation="the user's own domains",
                    rule=Fractions(0.67, 0.0, 0.33),
                    patch=32,
                    stride=8,
                    protocol="asnlsr",
                ),
                shape=(None, None, 30),
                dtype="float32",
                wavelengths=(450.0, 1000.0),
                options={"domains": ("VNIR", "SWIR")},
            ),
            "smoke",
        )
    ]

    @classmethod
    def config_from(cls, **given) -> SceneConfig:
        missing = "'path' is missing; give --config.data.path=FILE"
        return _config(**options.chosen("domains", given, KINDS, missing=missing))

    def open(self, files: Mapping[str, Path], stack: ExitStack) -> Iterable[RawScene]:
        given = self.builder_config.options
        for domain, (path, asked) in enumerate(zip(given["path"], given["domains"])):
            cube, meta, _ = open_any(Path(path), given.get("variable"), stack)
            holes = {"negative": given["negative"], "fill": given.get("fill")}
            raw = RawScene(Path(path).stem, cube, meta, **holes)
            yield as_domain(raw, spectral_range(asked), given["bands"], domain)

    def define(self, raws: list[RawScene], files: Mapping[str, Path]) -> SplitDefinition:
        """Splits for training on both domains, validation and test on the target alone."""
        config, (source, target) = self.builder_config, raws
        if config.smoke:
            return super().define(raws, files)
        cut = config.split.rule({raw.name: raw.size for raw in raws})
        trains = {source.name} if config.options["source_only"] else {source.name, target.name}
        regions = [
            r for r in cut if (r.scene in trains if r.role == "train" else r.scene == target.name)
        ]
        if len(set(config.options["path"])) == 2:
            whole = (0, source.size[0]), (0, source.size[1])
            regions[0] = Region(source.name, *whole, "train")
        domains = {source.name: 0, target.name: 1}
        regions = [replace(r, domain=domains[r.scene]) for r in regions]
        return replace(config.split, rule=None, regions=tuple(regions))
