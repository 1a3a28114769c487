"""A dataset as training sees it: scenes in memory by role, and its patches as one pixel store."""

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from ml_collections import ConfigDict

from hsisr_jax.data.normalise import Normaliser, from_physical
from hsisr_jax.data.sampler import Patches
from hsisr_jax.data.splits import SplitDefinition, held_out, region_patches
from hsisr_jax.errors import UserError

CUBES = {"image": "hr", "msi": "msi"}  # a builder's feature -> our name
DEFAULT_FOLDER = "hsisr_jax/datasets"  # in the user's cache folder


@dataclass(frozen=True)
class Scene:
    """One region of a scene: stored cubes (`hr`, `msi`, ...) and what turns them into numbers."""

    name: str
    cubes: dict[str, np.ndarray]  # H W c each, stored dtype
    normaliser: Normaliser = field(default_factory=Normaliser)
    domain: int = 0
    wavelengths: np.ndarray | None = None
    scale: float = 1.0  # physical = stored * scale + offset
    offset: float = 0.0

    @property
    def hr(self) -> np.ndarray:
        return self.cubes["hr"]

    def window(self, name: str, row: int, col: int, height: int, width: int) -> "Scene":
        cut = {k: x[row : row + height, col : col + width] for k, x in self.cubes.items()}
        return replace(self, name=name, cubes=cut)


@dataclass(frozen=True)
class Dataset:
    """Scenes by role, and the definition that divided them."""

    name: str
    split: SplitDefinition
    train: list[Scene]
    validation: list[Scene]
    test: list[Scene]
    extras: Mapping[str, np.ndarray] = field(default_factory=dict)

    @property
    def scenes(self) -> list[Scene]:
        return self.train + self.validation + self.test

    @property
    def bands(self) -> int:
        return (self.train or self.test)[0].hr.shape[-1]

    @property
    def msi_bands(self) -> int | None:
        msi = (self.train or self.test)[0].cubes.get("msi")
        return None if msi is None else msi.shape[-1]

    @property
    def wavelengths(self) -> np.ndarray | None:
        return (self.train or self.test)[0].wavelengths

    @property
    def domains(self) -> int:
        return 1 + max((s.domain for s in self.train + self.test), default=0)

    @cached_property
    def mean(self) -> float:
        """Of all training pixels and bands, as a network would see them; 0 where there are none."""
        sums = [(s.hr.mean(dtype=np.float64) * s.normaliser.gain + s.normaliser.bias) * s.hr.size
                for s in self.train]  # fmt: skip
        return float(sum(sums) / max(sum(s.hr.size for s in self.train), 1))

    @property
    def floor(self) -> float | None:
        return (self.train or self.test)[0].normaliser.floor

    def describe(self) -> str:
        """What a user wants to know of a prepared dataset."""
        lines = [f"{self.name} ({self.split.name}): {self.bands} bands, {self.split.citation}"]
        for role in ("train", "validation", "test"):
            for scene in getattr(self, role):
                sizes = ", ".join(f"{name} {x.shape} {x.dtype}" for name, x in scene.cubes.items())
                lines.append(f"  {role:10} {scene.name}: {sizes}")
        return "\n".join(lines)

    def nbytes(self) -> int:
        return sum(x.nbytes for scene in self.train for x in scene.cubes.values())

    def patches(self, scale: int, *, patch: int = 0, stride: int = 0) -> Patches:
        """The training patches as numpy arrays, one domain after the other."""
        patch, stride = patch or self.split.patch_at(scale), stride or self.split.stride_at(scale)
        train, _ = self._cut(patch, stride)
        if patch % scale:
            raise UserError(
                f"patches of {patch} pixels do not divide by scale {scale}: set config.data.patch "
                f"to a multiple of {scale}"
            )
        return pixel_store(self.train, train, patch)

    def validation_scenes(self, scale: int, *, patch: int = 0, stride: int = 0) -> list[Scene]:
        """What models are selected on: regions of that role, patches set aside, or test images."""
        if self.validation:
            return self.validation
        patch, stride = patch or self.split.patch_at(scale), stride or self.split.stride_at(scale)
        _, aside = self._cut(patch, stride)
        if len(aside):
            return [
                self.train[i].window(f"{self.train[i].name}_{row}_{col}", row, col, patch, patch)
                for i, row, col in aside.tolist()
            ]
        return self.test_images(scale) if self.split.validation == ("test",) else []

    def test_images(self, scale: int) -> list[Scene]:
        """The images that the paper scores, cropped to whole low-resolution pixels."""
        images = []
        for scene in self.test:
            tiles = self.split.test_tiles(scene.hr.shape[:2])
            if self.split.stitched:  # what the tiles cover, as one image
                row, col, height, width = tiles[-1]
                tiles = [(0, 0, row + height, col + width)]
            for row, col, height, width in tiles:
                name = scene.name if len(tiles) == 1 else f"{scene.name}_{row}_{col}"
                size = height // scale * scale, width // scale * scale
                images.append(scene.window(name, row, col, *size))
        return images

    def inputs(self, observe: Callable[[np.ndarray], Any], scale: int) -> list[Scene]:
        """What the sensor sees of the test scenes, as scenes to train on: a level of their pyramid.

        Nobody needs their high-resolution pixels for that: `observe` maps linear `b H W c` to the
        low resolution that a network is given at test time.
        """
        found = []
        for scene in self.test:
            height, width = (n // scale * scale for n in scene.hr.shape[:2])
            linear = scene.normaliser.linear(scene.hr[:height, :width], np)
            seen = np.asarray(observe(linear[None]))[0]
            linear_already = replace(scene.normaliser, gain=1.0, bias=0.0)
            name = f"{scene.name}_input"
            found.append(replace(scene, name=name, cubes={"hr": seen}, normaliser=linear_already))
        return found

    def _cut(self, patch: int, stride: int) -> tuple[np.ndarray, np.ndarray]:
        for scene in self.train:
            if min(scene.hr.shape[:2]) < patch:
                raise UserError(
                    f"the training scene {scene.name} has {scene.hr.shape[0]}x{scene.hr.shape[1]} "
                    f"pixels, fewer than a patch of {patch}: set config.data.patch lower"
                )
        shapes = [scene.hr.shape[:2] for scene in self.train]
        return held_out(region_patches(shapes, patch, stride), self.split.validation)


def pixel_store(scenes: list[Scene], where: np.ndarray, patch: int) -> Patches:
    """Scenes laid end to end, and the patches `where` = (scene, row, column) inside them."""
    if not len(where):
        raise UserError("no training patch is left: make config.data.patch or stride smaller")
    areas = np.array([scene.hr.shape[0] * scene.hr.shape[1] for scene in scenes])
    first = np.concatenate([[0], np.cumsum(areas)[:-1]])
    widths = np.array([scene.hr.shape[1] for scene in scenes])
    domains = np.array([scene.domain for scene in scenes])
    where = where[np.argsort(domains[where[:, 0]], kind="stable")]
    index, row, col = where.T

    def of_scene(name: str) -> np.ndarray:
        values = np.array([getattr(scene.normaliser, name) for scene in scenes], np.float32)
        return values[index][:, None]

    names = scenes[0].cubes
    return Patches(
        pixels={
            name: np.concatenate(
                [s.cubes[name].reshape(-1, s.cubes[name].shape[-1]) for s in scenes]
            )
            for name in names
        },
        start=(first[index] + row * widths[index] + col).astype(np.int32),
        width=widths[index].astype(np.int32),
        domain=domains[index].astype(np.int32),
        gain=of_scene("gain"),
        bias=of_scene("bias"),
        low=of_scene("low"),
        high=of_scene("high"),
        counts=tuple(np.bincount(domains[index]).tolist()),
        size=patch,
    )


def folder(config: Mapping) -> Path:
    """Where prepared datasets lie."""
    if config["dir"]:
        return Path(config["dir"]).expanduser()
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return cache / DEFAULT_FOLDER


def load(config: Mapping, *, progress: Callable[[str, int, int], None] | None = None) -> Dataset:
    """The dataset of `config.data`, prepared first if its files are at hand."""
    from hsisr_jax.data import builder  # TFDS, which models and losses do without

    where = folder(config)
    which = choice(config)
    builder.prepare(
        config["name"],
        which,
        data_dir=where,
        manual_dir=config["manual_dir"] or None,
        progress=progress,
    )
    records = builder.load(config["name"], which, data_dir=where)
    split = builder.load_definition(config["name"], which, data_dir=where)
    by_role: dict[str, list[Scene]] = {"train": [], "validation": [], "test": []}
    for record in records:
        by_role[record["role"]].append(_scene(record, split))
    extras = {"psf": records[0]["psf"]} if "psf" in records[0] else {}
    return Dataset(config["name"], split, **by_role, extras=extras)


def choice(config: Mapping) -> str | dict | None:
    """The builder's config: a name, a user's options, or the dataset's first."""
    options = config["options"]
    options = options.to_dict() if isinstance(options, ConfigDict) else dict(options)
    if config["path"]:
        options["path"] = config["path"]
    return options or config["config"] or None


def _scene(record: Mapping[str, Any], split: SplitDefinition) -> Scene:
    scale, offset = float(record["scale"]), float(record["offset"])
    low, high = float(record["minimum"]), float(record["maximum"])
    if split.normaliser.name == "log_minmax":
        floor = float(split.normaliser.args.get("floor", 1e-4))
        normaliser = Normaliser(scale, offset, floor, low, high)
    else:
        normaliser = from_physical(scale, offset, low, high)
    wavelengths = np.asarray(record["wavelengths"], np.float64)
    return Scene(
        name=str(record["name"]),
        cubes={ours: np.asarray(record[key]) for key, ours in CUBES.items() if key in record},
        normaliser=normaliser,
        domain=int(record["domain"]),
        wavelengths=None if np.isnan(wavelengths).any() else wavelengths,
        scale=scale,
        offset=offset,
    )
