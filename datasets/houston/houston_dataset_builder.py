"""Houston 2013 and 2018 (ITRES CASI), the cubes of two IEEE GRSS data fusion contests."""

from collections.abc import Iterable, Mapping
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

from hsisr_jax.data.builder import (
    Fractions,
    Normaliser,
    PcidskCube,
    RawScene,
    SceneBuilder,
    SceneConfig,
    Source,
    SplitDefinition,
    UserError,
    open_cube,
    with_smoke,
)

PAGE_2013 = "https://machinelearning.ee.uh.edu/2013-ieee-grss-data-fusion-contest/"
PAGE_2018 = "https://machinelearning.ee.uh.edu/2018-ieee-grss-data-fusion-challenge-fusion-of-multispectral-lidar-and-hyperspectral-data/"  # noqa: E501
CASI_2013 = "2013_IEEE_GRSS_DF_Contest_CASI.tif"
CASI_2018 = "20170218_UH_CASI_S4_NAD83"
SOURCES = {
    "2013": Source(
        file="2013_DFTC.zip",
        urls=("https://machinelearning.ee.uh.edu/2egf4tg8hial13gt/2013_DFTC.zip",),
        sha256="f4d619d5cbcb09d0301038f1b8fe83def6c2d484334b7b8127740a00ecf7e245",
        page=PAGE_2013,
        aliases=(CASI_2013,),
    ),
    "2018": Source(
        file="phase2.zip",
        urls=("http://machinelearning.ee.uh.edu/QZ23es1aMPH/2018IEEE/phase2.zip",),
        sha256="aa6ae39bf9df16b6a72eddaec7e05d853ef525a2f43555f1b9394ec0fe801f19",
        page=PAGE_2018,
        aliases=(f"{CASI_2018}.pix", f"{CASI_2018}.tif", f"{CASI_2018}.hdr"),
    ),
}


def _config(year: str, shape: tuple[int, int, int], nm: tuple[float, float]) -> SceneConfig:
    split = SplitDefinition(
        name=year,
        citation="this library: left 70 % train, next 10 % validate, right 20 % test",
        rule=Fractions(0.7, 0.1, 0.2),
        normaliser=Normaliser("max_of_scene"),
        validation=("regions",),
    )
    return SceneConfig(
        name=year,
        description=f"The CASI cube of the {year} contest.",
        split=split,
        shape=shape,
        wavelengths=nm,
    )


class Builder(SceneBuilder):
    """Houston 2013 (349x1905x144) and 2018 (1202x4172x48)."""

    HOMEPAGE = "https://machinelearning.ee.uh.edu"
    SENSOR = "ITRES CASI"
    LICENCE = "Terms of the IEEE GRSS data fusion contests; see copyright.txt in the archive."
    BUILDER_CONFIGS = with_smoke(
        [
            _config("2013", (349, 1905, 144), (364.0, 1046.0)),
            _config("2018", (1202, 4172, 48), (374.0, 1047.0)),
        ]
    )

    def sources(self) -> tuple[Source, ...]:
        return (SOURCES[self._year()],)

    def _year(self) -> str:
        return "2013" if self.builder_config.shape[2] == 144 else "2018"

    def open(self, files: Mapping[str, Path], stack: ExitStack) -> Iterable[RawScene]:
        year = self._year()
        source = SOURCES[year]
        path = files[source.file]
        if path.suffix == ".zip":
            names = [name for name in source.aliases]
            found = [p for n in names for p in sorted(self.unpacked(path).rglob(n))]
            if not found:
                raise UserError(f"{path} holds none of {', '.join(names)}; see {source.page}")
            path = found[0]
        cube = self._cube(path, stack)
        # Both grids are published as 2.5 m and 1 m; neither file is needed for it.
        raw = RawScene(f"houston_{year}", cube, cube.meta, gsd=2.5 if year == "2013" else 1.0)
        yield replace(raw, meta=raw.meta.select(slice(0, self.builder_config.shape[2])))

    def _cube(self, path: Path, stack: ExitStack):
        """The 2018 file ends with two layers that are not spectral."""
        height, width, bands = self.builder_config.shape
        if path.suffix.lower() == ".pix":
            cube = stack.enter_context(PcidskCube(path, bands))
            if (cube.height, cube.width) != (height, width):
                raise UserError(f"{path} is {cube.height}x{cube.width}, not {height}x{width}")
            return cube
        stored = bands + 2 if self._year() == "2018" else bands
        return stack.enter_context(open_cube(path, (height, width, stored)))
