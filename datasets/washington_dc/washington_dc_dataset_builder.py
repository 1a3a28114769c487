"""Washington DC Mall (HYDICE): a band-first int16 TIFF in which values below zero occur."""

import re
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
    band_means,
    open_cube,
    with_smoke,
)

PAGE = "https://engineering.purdue.edu/~biehl/MultiSpec/hyperspectral.html"
ARCHIVE = Source(
    file="Hyperspectral_Project.zip",
    urls=(
        "https://engineering.purdue.edu/~biehl/Hyperspectral_Project.zip",
        "http://cobweb.ecn.purdue.edu/~biehl/Hyperspectral_Project.zip",
    ),
    page=PAGE,
    aliases=("dc.tif", "dc.tiff"),
)
IKONOS_NM = ((443, 510), (506, 590), (632, 696), (759, 852))  # edges of SSRAN's D_103


def _region(rows, cols, role) -> Region:
    return Region("washington_dc", rows, cols, role)


SRLSGAT = SplitDefinition(
    name="srlsgat",
    citation="Dongyx1128/SRLSGAT, mcodes",
    regions=(
        _region((256, 1280), (0, 307), "train"),
        _region((0, 256), (0, 307), "test"),
    ),
    bands=(80, 111),
    patch={2: 64, 4: 64, 8: 128},
    stride={2: 32, 4: 32, 8: 64},
    normaliser=Normaliser("max_of_region"),
    validation=("patches", 0.1, 2020),
    test_tile=128,
    test_stride=64,
    notes="The authors' im2double maps the int16 value x to (x + 32768) / 65535, so that zero "
    "lies near one half; the division by the region's maximum keeps it there. Test tiles overlap.",
)
SSRAN = SplitDefinition(
    name="ssran",
    citation="SSRAN: W. Chen et al., SSRAN.py of the authors",
    regions=(
        _region((0, 1280), (0, 120), "train"),
        _region((0, 1280), (120, 307), "test"),
    ),
    patch=4,
    stride=1,
    test_tile=4,
    test_stride=4,
    stitched=True,
    protocol="ssran",
    notes="The authors publish the column 120 and neither the MSI nor the scaling: the MSI here "
    "is the mean over IKONOS' nominal band edges, and the divisor the scene's maximum.",
)


def _config(split: SplitDefinition, **more) -> SceneConfig:
    return SceneConfig(
        name=split.name,
        description=split.citation,
        split=split,
        shape=(1280, 307, 191),
        dtype="int16",
        wavelengths=(401.0, 2473.0),
        **more,
    )


class Builder(SceneBuilder):
    """Washington DC Mall (1280x307x191, int16)."""

    HOMEPAGE = PAGE
    SENSOR = "HYDICE"
    LICENCE = "Provided with permission of SITAC, Virginia; no licence stated."
    EVENLY_SPACED = False  # water vapour bands are missing
    BUILDER_CONFIGS = with_smoke([_config(SRLSGAT), _config(SSRAN, extras={"msi": 4})])

    def sources(self) -> tuple[Source, ...]:
        return (ARCHIVE,)

    def open(self, files: Mapping[str, Path], stack: ExitStack) -> Iterable[RawScene]:
        path = files[ARCHIVE.file]
        if path.suffix == ".zip":
            found = sorted(self.unpacked(path).rglob("dc.tif"))
            if not found:
                raise UserError(f"{path} holds no dc.tif; fetch it again from {PAGE}")
            path = found[0]
        shape = self.builder_config.shape
        cube = stack.enter_context(open_cube(path, shape))
        wavelengths = cube.meta.wavelengths
        if wavelengths is None:
            wavelengths = wavelength_table(path.parent, shape[2])
        meta = replace(cube.meta, wavelengths=wavelengths)
        yield RawScene("washington_dc", cube, meta, gsd=3.0, negative="keep")

    def finish(self, raw: RawScene) -> RawScene:
        if "msi" not in self.builder_config.extras:
            meta = replace(raw.meta, scale=1 / 65535, offset=32768 / 65535)
            return replace(raw, meta=meta)
        if raw.meta.wavelengths is None:
            raise UserError(
                "the MSI of washington_dc/ssran needs wavelengths; place the table of the 191 "
                "bands (lines of number and nanometres) as wavelengths.txt beside dc.tif"
            )
        edges = [np.searchsorted(raw.meta.wavelengths, pair) for pair in IKONOS_NM]
        return replace(raw, extras=band_means(edges))


def wavelength_table(folder: Path, bands: int) -> np.ndarray | None:
    """The wavelengths in a text file beside the image: one line a band, number and nanometres."""
    for path in sorted(folder.glob("*.txt")):
        text = path.read_text(errors="replace")[:1_000_000]
        found = re.findall(r"^\s*\d+[\s,:;]+(\d+(?:\.\d+)?)\s*(?:nm|um)?\s*$", text, re.M)
        values = np.array(found, float)
        if len(values) == bands and (np.diff(values) > 0).all() and 300 < values[0] < 3000:
            return values
    return None
