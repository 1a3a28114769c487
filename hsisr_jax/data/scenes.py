"""A dataset for training: its scenes by role, and its patches in one pixel store."""

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from ml_collections import ConfigDict

from hsisr_jax import identity
from hsisr_jax.data.cubes import row_blocks
from hsisr_jax.data.normalise import Normaliser, from_physical
from hsisr_jax.data.pixel_file import StoredCube
from hsisr_jax.data.plan import CUBES
from hsisr_jax.data.sampler import SCALING, Patches
from hsisr_jax.data.splits import SplitDefinition, held_out, largest_rectangle, region_patches
from hsisr_jax.errors import UserError

MOST = 0.25  # of the pixels with data: a smaller rectangle of them does not stand for a scene
DEFAULT_FOLDER = "hsisr_jax/datasets"  # in the user's cache folder


@dataclass(frozen=True)
class Scene:
    """A region of a scene: stored cubes (`hr`, `msi`, ...), their normalisation and metadata."""

    name: str
    cubes: dict[str, np.ndarray]  # H W c each, stored dtype; on disk: `StoredCube`
    normaliser: Normaliser = field(default_factory=Normaliser)
    domain: int = 0
    wavelengths: np.ndarray | None = None
    scale: float = 1.0  # physical = stored * scale + offset
    offset: float = 0.0
    hidden: np.ndarray | None = None  # H W: pixels without data, filled from their neighbours
    digest: str = ""  # of the cubes, where it is known already

    @property
    def hr(self) -> np.ndarray:
        return self.cubes["hr"]

    def window(self, name: str, row: int, col: int, height: int, width: int) -> "Scene":
        inside = np.s_[row : row + height, col : col + width]
        hidden = None if self.hidden is None else self.hidden[inside]
        cut = {
            k: x.window(*inside) if isinstance(x, StoredCube) else x[inside]
            for k, x in self.cubes.items()
        }
        return replace(self, name=name, cubes=cut, hidden=hidden, digest="")

    def seen(self) -> "Scene":
        """The largest rectangle without hidden pixels, if it holds enough of the valid ones; else
        the whole region including filled pixels (for single dead pixels and narrow stripes)."""
        if self.hidden is None:
            return self
        row, col, height, width = largest_rectangle(~self.hidden)
        if height * width < MOST * np.sum(~self.hidden):
            return self
        return self.window(self.name, row, col, height, width)


@dataclass(frozen=True)
class Dataset:
    """Scenes by role, and the split definition."""

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
        """Mean of all training pixels and bands in the range of the network; 0 without any."""
        total, count = 0.0, 0
        for scene in self.train:
            height, width, bands = scene.hr.shape
            row_bytes = width * bands * scene.hr.dtype.itemsize
            for top, bottom in row_blocks((0, height), row_bytes):  # of disk: a part at a time
                hr = scene.hr[top:bottom, :]
                hr = hr if scene.hidden is None else hr[~scene.hidden[top:bottom]]
                total += hr.sum(dtype=np.float64) * scene.normaliser.gain
                total += hr.size * scene.normaliser.bias
                count += hr.size
        return total / max(count, 1)

    @property
    def floor(self) -> float | None:
        return (self.train or self.test)[0].normaliser.floor

    def identity(self) -> dict[str, str]:
        """A digest of every scene: its values and its normalisation."""
        found = {}
        for role in ("train", "validation", "test"):
            for number, scene in enumerate(getattr(self, role)):
                centres = None if scene.wavelengths is None else scene.wavelengths.tolist()
                numbers = scene.normaliser.to_json(), scene.scale, scene.offset, centres
                key = f"{role} scene {number} ({scene.name})"
                digest = scene.digest or identity.of_tree(scene.cubes)
                found[key] = identity.of_json([numbers, digest])
        return found

    def describe(self) -> str:
        """A summary of a prepared dataset for the terminal."""
        lines = [f"{self.name} ({self.split.name}): {self.bands} bands, {self.split.citation}"]
        lines += [f"  {self.split.notes}"] if self.split.notes else []
        for role in ("train", "validation", "test"):
            for scene in getattr(self, role):
                sizes = ", ".join(f"{name} {x.shape} {x.dtype}" for name, x in scene.cubes.items())
                if scene.hidden is not None:
                    sizes += f", {scene.hidden.mean():.1%} without data"
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
        """Images for model selection: validation regions, patches set aside, or the test images."""
        if self.validation:
            seen = [scene.seen() for scene in self.validation]
            sizes = [[n // scale * scale for n in scene.hr.shape[:2]] for scene in seen]
            return [s.window(s.name, 0, 0, *size) for s, size in zip(seen, sizes)]
        patch, stride = patch or self.split.patch_at(scale), stride or self.split.stride_at(scale)
        _, aside = self._cut(patch, stride)
        if len(aside):
            return [
                self.train[i].window(f"{self.train[i].name}_{row}_{col}", row, col, patch, patch)
                for i, row, col in aside.tolist()
            ]
        return self.test_images(scale) if self.split.validation == ("test",) else []

    def test_images(self, scale: int) -> list[Scene]:
        """The images that the paper scores, cropped to whole low-resolution pixels. Of a scene with
        a border without data the largest rectangle inside it."""
        images = []
        for scene in (scene.seen() for scene in self.test):
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
        """The degraded test scenes as training data (zero-shot learning).

        Their high-resolution pixels serve only to simulate the input: `observe` maps linear
        `b H W c` to the low resolution that a network is given at test time.
        """
        found = []
        for scene in (scene.seen() for scene in self.test):
            height, width = (n // scale * scale for n in scene.hr.shape[:2])
            linear = scene.normaliser.linear(scene.hr[:height, :width], np)
            seen = np.asarray(observe(linear[None]))[0]
            linear_already = replace(scene.normaliser, gain=1.0, bias=0.0)
            changed = {"name": f"{scene.name}_input", "cubes": {"hr": seen}, "hidden": None}
            found.append(replace(scene, **changed, normaliser=linear_already, digest=""))
        return found

    def _cut(self, patch: int, stride: int) -> tuple[np.ndarray, np.ndarray]:
        for scene in self.train:
            if min(scene.hr.shape[:2]) < patch:
                raise UserError(
                    f"the training scene {scene.name} has {scene.hr.shape[0]}x{scene.hr.shape[1]} "
                    f"pixels, fewer than a patch of {patch}: set config.data.patch lower"
                )
        shapes = [scene.hr.shape[:2] for scene in self.train]
        where = region_patches(shapes, patch, stride)
        return held_out(where[self._whole(where, patch)], self.split.validation)

    def _whole(self, where: np.ndarray, patch: int) -> np.ndarray:
        """A mask of the patches without hidden pixels."""
        kept = np.ones(len(where), bool)
        for index, scene in enumerate(self.train):
            if scene.hidden is not None:
                of_scene = where[:, 0] == index
                row, col = where[of_scene, 1:].T
                sums = np.pad(scene.hidden.cumsum(0).cumsum(1), ((1, 0), (1, 0)))
                kept[of_scene] = (
                    sums[row + patch, col + patch] - sums[row, col + patch]
                    - sums[row + patch, col] + sums[row, col]
                ) == 0  # fmt: skip
        if not kept.any():
            raise UserError(
                f"every training patch of {patch} pixels has pixels without data: set "
                "config.data.patch or stride lower, or give --config.data.options.fill"
            )
        return kept


def pixel_store(scenes: list[Scene], where: np.ndarray, patch: int) -> Patches:
    """Scenes laid end to end, and the patches `where` = (scene, row, column) inside them."""
    if not len(where):
        raise UserError("no training patch is left: make config.data.patch or stride smaller")
    pixels, first, widths = _laid_out(scenes)
    domains = np.array([scene.domain for scene in scenes])
    where = where[np.argsort(domains[where[:, 0]], kind="stable")]
    index, row, col = where.T

    def of_scene(name: str) -> np.ndarray:
        values = np.array([getattr(scene.normaliser, name) for scene in scenes], np.float32)
        return values[index][:, None]

    start = first[index] + row * widths[index] + col
    small = start.max() + (patch - 1) * widths.max() + patch < 2**31
    return Patches(
        pixels=pixels,
        start=start.astype(np.int32 if small else np.int64),
        width=widths[index].astype(np.int32),
        domain=domains[index].astype(np.int32),
        **{name: of_scene(name) for name in SCALING},
        counts=tuple(np.bincount(domains[index]).tolist()),
        size=patch,
    )


def _laid_out(scenes: list[Scene]) -> tuple[dict[str, Any], np.ndarray, np.ndarray]:
    """All pixels `p c` by name, in memory or on disk; where each scene begins; pixels in a row."""
    cubes = scenes[0].cubes
    if isinstance(scenes[0].hr, StoredCube):
        first, widths = np.array([(s.hr.first, s.hr.width) for s in scenes]).T
        return {name: cube.file for name, cube in cubes.items()}, first, widths
    areas = np.array([scene.hr.shape[0] * scene.hr.shape[1] for scene in scenes])
    pixels = {
        name: np.concatenate([s.cubes[name].reshape(-1, cube.shape[-1]) for s in scenes])
        for name, cube in cubes.items()
    }
    first = np.concatenate([[0], np.cumsum(areas)[:-1]])
    return pixels, first, np.array([scene.hr.shape[1] for scene in scenes])


def folder(config: Mapping) -> Path:
    """The folder of prepared datasets."""
    if config["dir"]:
        return Path(config["dir"]).expanduser()
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return cache / DEFAULT_FOLDER


def load(config: Mapping, *, progress: Callable[[str, int, int], None] | None = None) -> Dataset:
    """The dataset of `config.data`, prepared first if its files are available."""
    from hsisr_jax.data import builder  # TFDS, which models and losses do without

    where = folder(config)
    which = choice(config, own=builder.builder_class(config["name"]).NEEDS_OPTIONS)
    builder.prepare(
        config["name"],
        which,
        data_dir=where,
        manual_dir=config["manual_dir"] or None,
        progress=progress,
    )
    if config["placement"] == "disk":
        from hsisr_jax.data import unpacked

        records = unpacked.records(config["name"], which, data_dir=where, progress=progress)
    else:
        records = builder.load(config["name"], which, data_dir=where)
    split = builder.load_definition(config["name"], which, data_dir=where)
    by_role: dict[str, list[Scene]] = {"train": [], "validation": [], "test": []}
    for record in records:
        by_role[record["role"]].append(_scene(record, split))
    extras = {"psf": records[0]["psf"]} if "psf" in records[0] else {}
    return Dataset(config["name"], split, **by_role, extras=extras)


def choice(config: Mapping, *, own: bool) -> str | dict | None:
    """The builder's config: a name, a user's options, or the dataset's first. Of a dataset of the
    user's `own` files the name is that of its twin, which is for where no file is given."""
    options = ConfigDict(config["options"]).to_dict()
    if config["path"]:
        options["path"] = config["path"]
    if "path" in options:
        options["path"] = listed(options["path"])
    if "domains" in config and config["domains"]:
        options["domains"] = config["domains"]
    twin = own and "path" not in options
    return (not twin and options) or config["config"] or options or None


def listed(text: str | Sequence[str]) -> str | Sequence[str]:
    """A file or folder, or several as a flag gives them: `a.hdr,b.hdr`, `('a.hdr', 'b.hdr')`."""
    if not isinstance(text, str) or Path(text).exists():
        return text
    parts = [part.strip(" '\"") for part in text.strip("()[] ").split(",")]
    return parts if len(parts) > 1 and all(parts) else text


def _scene(record: Mapping[str, Any], split: SplitDefinition) -> Scene:
    scale, offset = float(record["scale"]), float(record["offset"])
    low, high = float(record["minimum"]), float(record["maximum"])
    if split.normaliser.name == "log_minmax":
        floor = float(split.normaliser.args.get("floor", 1e-4))
        normaliser = Normaliser(scale, offset, floor, low, high)
    else:
        normaliser = from_physical(scale, offset, low, high)
    wavelengths = np.asarray(record["wavelengths"], np.float64)
    hidden = np.asarray(record["hidden"])[..., 0] > 0 if "hidden" in record else None
    return Scene(
        name=str(record["name"]),
        cubes={ours: record[key] for key, ours in CUBES.items() if key in record},
        normaliser=normaliser,
        domain=int(record["domain"]),
        wavelengths=None if np.isnan(wavelengths).any() else wavelengths,
        scale=scale,
        offset=offset,
        hidden=hidden if hidden is not None and hidden.any() else None,
        digest=record.get("digest", ""),
    )
