"""Sharp aerial photographs, the training data of `anyband`."""

import hashlib
import json
import re
import sys
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
    Source,
    SplitDefinition,
    UserError,
    of_files,
    options,
    with_smoke,
)
from hsisr_jax.formats.picture import ENDINGS, picture_size, read_picture

ARCHIVE = Source(
    file="UCMerced_LandUse.zip",
    urls=("http://weegee.vision.ucmerced.edu/datasets/UCMerced_LandUse.zip",),
    page="http://weegee.vision.ucmerced.edu/datasets/landuse.html",
    aliases=("UCMerced_LandUse", "Images"),
)
CLASSES = (  # noqa: SIM905
    "agricultural airplane baseballdiamond beach buildings chaparral denseresidential forest "
    "freeway golfcourse harbor intersection mediumresidential mobilehomepark overpass parkinglot "
    "river runway sparseresidential storagetanks tenniscourt"
).split()
TILES = 100  # of each class
HELD_OUT = {"validation": ("overpass", "river"), "test": ("harbor", "sparseresidential")}
SCORED = 12  # images of each class that is held out: the others are neither trained on nor scored
SHARE = 0.1  # of the images validates, and as many test, where no class is held out
REDUCE = 2
LEAST = 96  # pixels on a side: a training patch at x4
WORDS = options.lists("a list of names", options.TEXT)
KINDS = {
    "path": options.either(options.TEXT, WORDS),
    "validation": WORDS,
    "test": WORDS,
    "reduce": options.SIZE,
}


def _roles(classes: list[str], held_out: Mapping[str, Iterable[str]]) -> list[str]:
    """The role of each image by its class; empty for those that are left out."""
    found, seen = [], dict.fromkeys(classes, 0)
    for label in classes:
        role = next((role for role, names in held_out.items() if label in names), "train")
        seen[label] += 1
        found.append(role if role == "train" or seen[label] <= SCORED else "")
    if set(held_out) <= set(found):
        return found
    part = max(round(SHARE * len(classes)), 1)  # at the end of the images' order
    kept = len(classes) - 2 * part
    return ["train"] * kept + ["validation"] * part + ["test"] * part


def _split(name: str, citation: str, roles: Mapping[str, str], notes: str = "") -> SplitDefinition:
    return SplitDefinition(
        name=name,
        citation=citation,
        regions=tuple(Region(n, (0, None), (0, None), role) for n, role in roles.items() if role),
        patch={2: 64, 3: LEAST},
        stride=32,
        normaliser=Normaliser("divide", {"divisor": 255.0}),
        validation=("regions",),
        notes=notes,
    )


def _uc_merced() -> SceneConfig:
    classes = [label for label in CLASSES for _ in range(TILES)]
    names = [f"{label}{i:02d}" for label in CLASSES for i in range(TILES)]
    split = _split(
        "uc_merced",
        "Y. Yang, S. Newsam, Bag-of-visual-words and spatial extensions ..., ACM GIS 2010",
        dict(zip(names, _roles(classes, HELD_OUT))),
        f"{', '.join(HELD_OUT['validation'])} validate and {', '.join(HELD_OUT['test'])} test, on "
        f"their first {SCORED} tiles.",
    )
    return _config(split, "UC Merced Land Use, reduced by 2.", {"reduce": REDUCE})


def _config(split: SplitDefinition, description: str, given: Mapping[str, Any]) -> SceneConfig:
    return SceneConfig(
        name=split.name,
        description=description,
        split=split,
        shape=(None, None, 3),
        dtype="uint8",
        options=given,
    )


def _of_folders(
    *, path: Any, validation: Any = None, test: Any = None, reduce: int = REDUCE
) -> SceneConfig:
    """The config of the user's own folders."""
    folders = [Path(p).expanduser().resolve() for p in ([path] if isinstance(path, str) else path)]
    files = _images(folders)
    kept = {n: f for n, f in files.items() if min(_size(f, reduce)) >= LEAST}
    if len(kept) < 3:
        raise UserError(
            f"{', '.join(map(str, folders))}: {len(kept)} images of {LEAST} pixels or more a side, "
            f"and 3 are needed, to train, validate and test (files that end in "
            f"{', '.join(ENDINGS)}; give --config.data.path=FOLDER)"
        )
    if left := len(files) - len(kept):
        text = f"{left} images have fewer than {LEAST} pixels on a side and are left out"
        print(f"warning: {text}", file=sys.stderr)
    given = {"validation": validation, "test": test}
    held_out = {role: tuple(given[role] or HELD_OUT[role]) for role in HELD_OUT}
    classes = [_class(file) for file in kept.values()]
    asked = {label for names in given.values() for label in names or ()}
    if unknown := sorted(asked - set(classes)):
        known = ", ".join(sorted(set(classes))[:30])
        raise UserError(f"there is no image of the class {unknown[0]!r}; classes: {known}")
    roles = dict(zip(kept, _roles(classes, held_out)))
    if "train" not in roles.values():
        raise UserError("every class is held out: leave some to train on")
    stamps = [(name, of_files((file,))) for name, file in kept.items()]
    text = json.dumps([held_out, reduce, stamps])
    digest = hashlib.sha256(text.encode()).hexdigest()[:12]
    split = _split(f"images-{digest}", "the user's own images", roles)
    found = {name: str(file) for name, file in kept.items()}
    names = ", ".join(folder.name for folder in folders)
    return _config(split, f"Images of {names}.", {"files": found, "reduce": reduce})


def _images(folders: list[Path]) -> dict[str, Path]:
    """Every image below some folders, by the name of its scene, in the order of classes."""
    found = {}
    for folder in folders:
        if not folder.is_dir():
            raise UserError(f"there is no folder {folder}; give --config.data.path=FOLDER")
        for file in sorted(folder.rglob("*")):
            if file.suffix.lower() in ENDINGS and file.is_file():
                inside = "_".join(file.relative_to(folder).with_suffix("").parts)
                name = f"{folder.name}_{inside}"
                found[name if name not in found else f"{name}{file.suffix}"] = file
    return dict(sorted(found.items(), key=lambda item: (_class(item[1]), item[1].name, item[0])))


def _class(file: Path) -> str:
    """The letters that a file's name begins with, else its folder's name."""
    return re.split(r"[\d_. -]", file.stem)[0] or file.parent.name


def _factor(file: Path, reduce: int) -> int:
    """How many times an image is reduced: not at all where too little would be left."""
    return reduce if min(picture_size(file)) // reduce >= LEAST else 1


def _size(file: Path, reduce: int) -> tuple[int, int]:
    """Rows and columns after the reduction."""
    height, width = picture_size(file)
    factor = _factor(file, reduce)
    return height // factor, width // factor


def _read(file: Path, reduce: int) -> np.ndarray:
    """The mean of `reduce x reduce` pixels, rounded to 8 bits."""
    image, factor = read_picture(file), _factor(file, reduce)
    height, width = (n // factor for n in image.shape[:2])
    whole = image[: height * factor, : width * factor]
    blocks = whole.reshape(height, factor, width, factor, 3).mean((1, 3))
    return np.rint(blocks).astype(np.uint8)


class Builder(SceneBuilder):
    """Sharp aerial photographs (UC Merced Land Use, or any folder of images), red, green and blue
    in 8 bits, reduced by 2; whole classes are held out."""

    HOMEPAGE = ARCHIVE.page
    SENSOR = "camera"
    EVENLY_SPACED = False
    LICENCE = "UC Merced: USGS imagery, public domain, meant for research. Others: the user's own."
    BUILDER_CONFIGS = with_smoke([_uc_merced()])

    @classmethod
    def config_from(cls, **given: Any) -> SceneConfig:
        missing = "give the folder: --config.data.path=FOLDER"
        return _of_folders(**options.chosen("aerial", given, KINDS, missing=missing))

    def sources(self) -> tuple[Source, ...]:
        return () if "files" in self.builder_config.options else (ARCHIVE,)

    def open(self, files: Mapping[str, Path], stack: ExitStack) -> Iterable[RawScene]:
        config = self.builder_config
        reduce, listed = config.options["reduce"], config.options.get("files")
        if listed is None:
            path = files[ARCHIVE.file]
            folder = path if path.is_dir() else self.unpacked(path)
            listed = _tiles(folder, [region.scene for region in config.split.regions])
        used = {region.scene for region in config.split.regions}
        for name, file in ((n, Path(f)) for n, f in listed.items() if n in used):

            def load(file: Path = file) -> np.ndarray:
                return _read(file, reduce)

            yield RawScene(name, LazyCube(load, (*_size(file, reduce), 3), np.dtype(np.uint8)))


def _tiles(folder: Path, names: list[str]) -> dict[str, Path]:
    """The published tiles by name."""
    found = {file.stem: file for file in sorted(folder.rglob("*.tif"))}
    missing = [name for name in names if name not in found]
    if missing:
        raise UserError(
            f"{folder}: {len(missing)} of {len(names)} tiles are missing ({missing[0]}.tif, ...); "
            f"unpack {ARCHIVE.file} from {ARCHIVE.page} again"
        )
    return {name: found[name] for name in names}
