"""Synthetic scenes of any size: fields, roads, water and objects of known spectra."""

from collections.abc import Iterable, Mapping
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import numpy as np

from hsisr_jax.data.builder import (
    ArrayCube,
    Fractions,
    Normaliser,
    RawScene,
    SceneBuilder,
    SceneConfig,
    SplitDefinition,
    UserError,
    synthetic,
    twin_of,
)
from hsisr_jax.formats import SceneMeta

UNITS = 10_000  # stored uint16 = reflectance * UNITS


def _config(
    *,
    height: int = 256,
    width: int = 256,
    bands: int = 31,
    seed: int = 0,
    domains: int = 1,
    materials: int = 8,
    dtype: str = "uint16",
    patch: int = 64,
    stride: int = 32,
    fractions: tuple[float, float, float] = (0.625, 0.125, 0.25),
) -> SceneConfig:
    """A config from a user's options, with a name that tells them apart."""
    if dtype not in ("uint16", "float32"):
        raise UserError(f"synthetic scenes are stored as uint16 or float32, not {dtype}")
    if min(height, width, bands, domains, materials) < 1:
        raise UserError("a synthetic scene needs at least one row, column, band and material")
    split = SplitDefinition(
        name="synthetic",
        citation="this library: parts from left to right train, validate and test",
        rule=Fractions(*fractions),
        patch=patch,
        stride=stride,
        normaliser=Normaliser("divide", {"divisor": 1.0}),
        validation=("regions",) if fractions[1] else None,
    )
    name = f"{height}x{width}x{bands}_seed{seed}_domains{domains}_materials{materials}_{dtype}"
    name += f"_patch{patch}_stride{stride}_" + "_".join(f"{f:g}" for f in fractions)
    return SceneConfig(
        name=name,
        description="A synthetic scene of reflectance.",
        split=split,
        shape=(height, width, bands),
        dtype=dtype,
        wavelengths=(400.0, 1000.0 if bands < 100 and domains == 1 else 2500.0),
        options={"seed": seed, "domains": domains, "materials": materials},
    )


def _named(name: str, **options) -> SceneConfig:
    config = _config(**options)
    config.name = name
    return config


class Builder(SceneBuilder):
    """Synthetic scenes; no files are needed."""

    SENSOR = "synthetic"
    LICENCE = "Apache-2.0 (made by this library)."
    BUILDER_CONFIGS = [_named("default"), twin_of(_named("default"), "smoke")]

    @classmethod
    def config_from(cls, **options) -> SceneConfig:
        try:
            return _config(**{k: tuple(v) if k == "fractions" else v for k, v in options.items()})
        except (TypeError, ValueError):
            known = ", ".join(_config.__kwdefaults__)
            raise UserError(f"options of 'synthetic' are {known}; given: {options}") from None

    def open(self, files: Mapping[str, Path], stack: ExitStack) -> Iterable[RawScene]:
        """One scene; several domains show the same ground, each in its part of the spectrum."""
        config = self.builder_config
        height, width, bands = config.shape
        domains, integer = config.options["domains"], config.dtype == "uint16"
        edges = np.linspace(*config.wavelengths, domains + 1)
        for domain in range(domains):
            wavelengths = np.linspace(edges[domain], edges[domain + 1], bands)
            cube, *_ = synthetic.generate(
                height,
                width,
                bands,
                seed=config.options["seed"],
                wavelengths=wavelengths,
                materials=config.options["materials"],
                shift=0.1 * domain,
            )
            if integer:
                cube = np.round(np.minimum(cube * UNITS, 65535)).astype(np.uint16)
            meta = SceneMeta(wavelengths=wavelengths, scale=1 / UNITS if integer else 1.0)
            yield RawScene(f"synthetic_{domain}", ArrayCube(cube), meta, domain=domain)

    def define(self, raws: list[RawScene], files: Mapping[str, Path]) -> SplitDefinition:
        """Splits in which only the last of several domains, the target, validates and tests."""
        split = super().define(raws, files)
        target = max(raw.domain for raw in raws)
        kept = tuple(r for r in split.regions if r.role == "train" or r.domain == target)
        return replace(split, regions=kept)
