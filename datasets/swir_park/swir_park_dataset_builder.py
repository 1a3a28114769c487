"""SWIR Park (HySpex Mjolnir S-620): A-SNLSR's two spectral domains, as tiles or from radiance."""

import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import numpy as np

from hsisr_jax.data.builder import (
    ArrayCube,
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
    swir,
    synthetic,
    tile_origins,
)
from hsisr_jax.formats import SceneMeta

PAGE = "https://nextcloud.rma.ac.be/index.php/s/DtbtLjTqcFpETWB"
TILES = tuple(Source(file=f"swir_park_dom{n}_x4", page=PAGE) for n in (1, 2))
RADIANCE = Source(file="radiance", page=PAGE)
ADVERSARIAL = Source(file="swir1_swir2_adversarial_swir2_val.npz", page=PAGE)
SINGLE = Source(file="swir1_sisr_swir2_val.npz", page=PAGE)
KERNEL = Source(
    file="blur_kernel.mat",
    urls=(
        "https://raw.githubusercontent.com/RMA-4DPL/A-SNLSR/main/src/a_snlsr/data/blur_kernel.mat",
    ),
    sha256="94fb4f64c06df9df5ea123e8bc05f22ff30e09e887979b95849c122145c0931d",
    page="https://github.com/RMA-4DPL/A-SNLSR (src/a_snlsr/data)",
)
SIDE, BANDS = 128, 30
STEM = re.compile(r"(.+)_N(\d+)_SUBTILE")
CITATION = "Cross-Spectral Domain Adaptation for Hyperspectral Image Super-Resolution, RMA, 2025"
# ln(1e-4) and about ln 2, fixed in the authors' adversarial script for both domains.
FIXED = Normaliser("log_minmax", {"floor": 1e-4, "minimum": -9.2103405, "maximum": 0.6931473})


def _config(
    name: str,
    description: str,
    normaliser: Normaliser,
    *,
    side: int = SIDE,
    source_only: bool = False,
    **options,
) -> SceneConfig:
    """`source_only` leaves the target's training tiles out, for networks that do not adapt."""
    split = SplitDefinition(
        name=name,
        citation=CITATION,
        patch=side,
        stride=side,
        normaliser=normaliser,
        validation=("test",),
        protocol="asnlsr",
        notes="Domain 0 is SWIR_1, the source; domain 1 is SWIR_2, the target. The paper selects "
        "and scores on the same tiles of SWIR_2. A scene's last column of tiles shares 20 of its "
        "128 columns with the one before, so published splits by tile may share them as well.",
    )
    return SceneConfig(
        name=name,
        description=description,
        split=split,
        shape=(side, side, BANDS),
        dtype="float32",
        extras={"lr": BANDS, "lr_div2": BANDS, "msi": 3, "psf": 0},
        smoke=name.endswith("smoke"),
        options={"source_only": source_only, **options},
    )


def _with_twins(configs: list[SceneConfig]) -> list[SceneConfig]:
    """The configs, their twins, and `smoke`, the twin of the first."""
    names = [(c, f"{c.name}_smoke") for c in configs] + [(configs[0], "smoke")]
    text = "Synthetic twin: one ground in two spectral ranges, tiles of 64 pixels."
    return configs + [
        _config(name, text, c.split.normaliser, side=64, source_only=c.options["source_only"])
        for c, name in names
    ]


class Builder(SceneBuilder):
    """SWIR Park (6 scenes of 5809x620x300; tiles of 128x128x30 in two domains)."""

    HOMEPAGE = "https://github.com/RMA-4DPL/A-SNLSR"
    SENSOR = "HySpex Mjolnir S-620"
    EVENLY_SPACED = False
    BUILDER_CONFIGS = _with_twins(
        [
            _config("asnlsr", "Published tiles and split.", FIXED, tiles=True, split=ADVERSARIAL),
            _config(
                "single",
                "Published tiles: SWIR_1 trains, SWIR_2 tests, range of the training tiles.",
                Normaliser("log_minmax", {"floor": 1e-4}),
                tiles=True,
                split=SINGLE,
                source_only=True,
            ),
            _config(
                "asnlsr_radiance",
                "The published split on tiles made from the radiance scenes.",
                FIXED,
                tiles=False,
                split=ADVERSARIAL,
            ),
            _config(
                "scenes",
                "Tiles from radiance, whole scenes apart: no shared pixel, no split file.",
                FIXED,
                tiles=False,
            ),
            _config(
                "scenes_single",
                "As scenes, without training tiles of the target.",
                FIXED,
                tiles=False,
                source_only=True,
            ),
        ]
    )

    def sources(self) -> tuple[Source, ...]:
        options = self.builder_config.options
        split = (options["split"],) if "split" in options else ()
        return (*(TILES if options["tiles"] else (RADIANCE,)), KERNEL, *split)

    def open(self, files: Mapping[str, Path], stack: ExitStack) -> Iterable[RawScene]:
        options = self.builder_config.options
        self._roles: dict[str, str] = {}
        psf = swir.read_psf(files[KERNEL.file])
        if "split" in options:
            wanted = _wanted(swir.read_split(files[options["split"].file]))
            wanted = {
                (domain, stem): role
                for (domain, stem), role in wanted.items()
                if role == "test" or not self._left_out(domain)
            }
            if options["tiles"]:
                tiles = self._published(wanted, files, psf)
            else:
                tiles = self._cut(_by_name(wanted), files, psf, stack)
        else:
            tiles = self._cut(_by_scene, files, psf, stack)
        return list(tiles)

    def define(self, raws: list[RawScene], files: Mapping[str, Path]) -> SplitDefinition:
        regions = tuple(
            Region(raw.name, (0, raw.size[0]), (0, raw.size[1]), self._roles[raw.name], raw.domain)
            for raw in raws
        )
        split = replace(self.builder_config.split, regions=regions)
        return split.resolve({raw.name: raw.size for raw in raws})

    def _left_out(self, domain: int) -> bool:
        return self.builder_config.options["source_only"] and domain > 0

    def imitate(self) -> Iterator[RawScene]:
        """Six tiles of each domain train, four of the target test; none shares ground."""
        side, seed, materials = self.builder_config.shape[0], 0, 8
        self._roles = {}
        abundances, light = synthetic.ground(4 * side, 4 * side, seed=seed, materials=materials)
        rng = np.random.default_rng(seed)
        psf = swir.gaussian_psf()
        origins = tile_origins(4 * side, 4 * side, side)
        for number, (row, col) in enumerate(origins.tolist()):
            domain = 0 if number < 6 else 1
            spec = swir.DOMAINS[domain]
            centres = swir.nominal_centres(spec)
            spectra = synthetic.endmembers(centres, materials, seed=seed, shift=0.1 * domain)
            part = slice(row, row + side), slice(col, col + side)
            clean = 0.1 * (abundances[part] @ spectra) * light[part][..., None]
            noise = 2e-4 * rng.standard_normal(clean.shape)
            cube = np.maximum(clean + noise, 1e-5).astype(np.float32)
            if number < 12 and self._left_out(domain):
                continue
            name = f"{spec.name}_synthetic_N{number}"
            self._roles[name] = "train" if number < 12 else "test"
            yield self._tile(name, ArrayCube(cube), centres, domain, (row, col), psf)

    def _tile(self, name, cube, wavelengths, domain, origin, psf, arrays=None) -> RawScene:
        def beside(block: np.ndarray, rows: slice, cols: slice) -> Mapping[str, np.ndarray]:
            if arrays is not None:
                return arrays() | {"psf": psf.astype(np.float32)}
            return swir.beside(block.astype(float), wavelengths, swir.DOMAINS[domain], psf)

        meta = SceneMeta(wavelengths=wavelengths)
        return RawScene(
            name, cube, meta, domain=domain, origin=origin, extras=beside, negative="keep"
        )

    def _published(self, wanted, files, psf) -> Iterator[RawScene]:
        """The tile files that a split names."""
        shape = self.builder_config.shape
        for (domain, stem), role in wanted.items():
            folder = files[TILES[domain].file]
            path = folder / f"{stem}.mat"
            if not path.is_file():
                raise UserError(f"{folder} has no {path.name}, which the split names; see {PAGE}")
            spec = swir.DOMAINS[domain]
            centres = swir.nominal_centres(spec)
            cube = LazyCube(lambda p=path: _variable(p, "hr_hsi", shape), shape, np.float32)
            name = f"{spec.name}_{stem}"
            self._roles[name] = role
            origin = swir.tile_origin(path)
            yield self._tile(
                name, cube, centres, domain, origin, psf, lambda p=path: _beside(p, shape)
            )

    def _cut(self, choose, files, psf, stack: ExitStack) -> Iterator[RawScene]:
        """Tiles of the radiance scenes; `choose(domain, scene, number, index, scenes)` -> role."""
        side, _, bands = self.builder_config.shape
        headers = sorted(files[RADIANCE.file].rglob("*.hdr"))
        if not headers:
            raise UserError(f"{files[RADIANCE.file]} holds no ENVI scene (.hdr); see {PAGE}")
        for number, header in enumerate(headers):
            scene = stack.enter_context(open_cube(header, (None, None, None)))
            wavelengths = scene.meta.wavelengths
            if wavelengths is None:
                raise UserError(f"{header} has no wavelengths; use the published header")
            for index, (row, col) in enumerate(tile_origins(scene.height, scene.width, side)):
                for domain, spec in enumerate(swir.DOMAINS):
                    role = choose(domain, header.stem, number, index, len(headers))
                    if role is None or (role == "train" and self._left_out(domain)):
                        continue
                    window = slice(row, row + side), slice(col, col + side)
                    name = f"{spec.name}_{header.stem}_N{index}_SUBTILE"
                    self._roles[name] = role
                    empty = np.zeros((1, 1, len(wavelengths)), np.float32)
                    _, centres = swir.reduce_bands(empty, wavelengths, spec)
                    cube = LazyCube(
                        lambda s=scene, w=window, n=wavelengths, d=spec: _reduced(s, w, n, d),
                        (side, side, bands),
                        np.float32,
                    )
                    yield self._tile(name, cube, centres, domain, (int(row), int(col)), psf)


def _wanted(split: Mapping[str, Mapping[str, tuple[str, ...]]]) -> dict[tuple[int, str], str]:
    """(domain, stem) -> role. Validation tiles of the source are not scored, nor stored."""
    wanted = {}
    for domain, name in enumerate(swir.NAMES):
        for stem in split["train"].get(name, ()):
            wanted[domain, stem] = "train"
    target = swir.NAMES.index("SWIR_2")
    for stem in split["val"].get("SWIR_2", ()):
        if (target, stem) in wanted:
            raise UserError(f"the split trains and validates on tile {stem} of SWIR_2")
        wanted[target, stem] = "test"
    if not wanted:
        raise UserError(f"the split names no tile of {' or '.join(swir.NAMES)}")
    return wanted


def _by_name(wanted):
    return lambda domain, scene, number, index, scenes: wanted.get(
        (domain, f"{scene}_N{index}_SUBTILE")
    )


def _by_scene(domain: int, scene: str, number: int, index: int, scenes: int) -> str | None:
    """Splits by name: the first third trains in SWIR_1, the next in SWIR_2, the last tests."""
    if scenes < 3:
        raise UserError(f"a split by scenes needs at least 3 scenes, and {scenes} are there")
    third = min(number * 3 // scenes, 2)
    return {(0, 0): "train", (1, 1): "train", (2, 1): "test"}.get((third, domain))


def _variable(path: Path, name: str, shape: tuple[int, int, int]) -> np.ndarray:
    with open_cube(path, shape, variable=name) as cube:
        return cube.read()


def _beside(path: Path, shape: tuple[int, int, int]) -> dict[str, np.ndarray]:
    side, _, bands = shape
    parts = {
        "lr": ("lr_hsi", (side // 4, side // 4, bands)),
        "lr_div2": ("lr_hsi_div2", (side // 2, side // 2, bands)),
        "msi": ("hr_msi", (side, side, 3)),
    }
    return {key: _variable(path, *part).astype(np.float32) for key, part in parts.items()}


def _reduced(scene, window, wavelengths, spec) -> np.ndarray:
    cube, _ = swir.reduce_bands(scene.read(*window), wavelengths, spec)
    return cube.astype(np.float32)
