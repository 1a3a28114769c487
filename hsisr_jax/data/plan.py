"""The content of a dataset: regions cut into blocks, their normalisation, their examples.

Plain numpy, no TFDS: `builder` writes what this file decides.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import reduce
from typing import Any

import numpy as np

from hsisr_jax.data.cubes import RawScene, Statistics, row_blocks, scan, stored
from hsisr_jax.data.download import Progress
from hsisr_jax.data.splits import ROLES, Region, SplitDefinition
from hsisr_jax.errors import UserError

# TFDS sorts a split in memory and needs TensorFlow to do so beyond 1000 MiB: more goes to
# `train_2`, `train_3`, ... which `load` joins again.
SPLIT_BYTES = 900 << 20

CUBES = {"image": "hr", "msi": "msi"}  # a builder's feature -> its name in training
# Features of every example beside its arrays.
SCALARS = ("scale", "offset", "divisor", "minimum", "maximum", "floor", "gsd")
COUNTS = ("row", "col", "index", "block", "blocks", "domain")
TEXTS = ("name", "scene", "normaliser", "crs", "sensor")


@dataclass(frozen=True)
class Storage:
    """The storage of pixels: bands, dtype, and further bytes per pixel."""

    bands: slice
    dtype: np.dtype
    extra_bytes: int = 0  # of a pixel
    sensor: str = ""

    @property
    def count(self) -> int:
        return self.bands.stop - self.bands.start

    @property
    def pixel_bytes(self) -> int:
        return self.count * np.dtype(self.dtype).itemsize + self.extra_bytes


@dataclass(frozen=True)
class Block:
    """Rows of one region, stored as one example."""

    raw: RawScene
    region: Region
    index: int
    rows: tuple[int, int]
    block: int
    blocks: int
    numbers: Mapping[str, float | str]

    @property
    def key(self) -> str:
        return f"{self.index:06d}_{self.block:04d}"

    @property
    def pixels(self) -> int:
        return (self.rows[1] - self.rows[0]) * self.region.shape[1]


def survey(
    raws: Iterable[RawScene],
    definition: SplitDefinition,
    bands: slice,
    progress: Progress | None = None,
) -> tuple[dict[str, Statistics], dict[int, Statistics]]:
    """Statistics of each scene (inside the definition's window) and of each region, in one pass."""
    whole: dict[str, Statistics] = {}
    found: dict[int, Statistics] = {}
    for raw in raws:
        inside = [i for i, r in enumerate(definition.regions) if r.scene == raw.name]
        if inside:
            height, width = raw.size
            window = definition.window or ((0, height), (0, width))
            regions = [definition.regions[i] for i in inside]
            whole[raw.name], parts = scan(raw, window, regions, bands, progress)
            found |= dict(zip(inside, parts))
    return whole, found


def cut(
    raws: Iterable[RawScene],
    definition: SplitDefinition,
    numbers: Mapping[int, Mapping[str, float | str]],
    storage: Storage,
) -> list[Block]:
    """All blocks, region by region."""
    by_name = {raw.name: raw for raw in raws}
    blocks = []
    for index, region in enumerate(definition.regions):
        cuts = row_blocks(region.rows, region.shape[1] * storage.pixel_bytes)
        blocks += [
            Block(by_name[region.scene], region, index, rows, number, len(cuts), numbers[index])
            for number, rows in enumerate(cuts)
        ]
    return blocks


def pack(blocks: Iterable[Block], storage: Storage) -> dict[str, list[Block]]:
    """Blocks by split, none of which holds more than SPLIT_BYTES."""
    splits: dict[str, list[Block]] = {}
    blocks = list(blocks)
    for role in ROLES:
        part, used = 1, 0
        for block in (b for b in blocks if b.region.role == role):
            size = block.pixels * storage.pixel_bytes
            if used and used + size > SPLIT_BYTES:
                part, used = part + 1, 0
            used += size
            splits.setdefault(role if part == 1 else f"{role}_{part}", []).append(block)
    return splits


def constants(
    definition: SplitDefinition, whole: Mapping[str, Statistics], found: Mapping[int, Statistics]
) -> dict[int, dict[str, float | str]]:
    """The values of each region that map to 0 and to 1 (logarithms for `log_minmax`)."""
    name, args = definition.normaliser.name, definition.normaliser.args
    domains: dict[int, Statistics] = {}
    for index, region in enumerate(definition.regions):
        if region.role == "train":
            seen = domains.get(region.domain, Statistics())
            domains[region.domain] = seen.merge(found[index])
    # A domain without training data is seen through the others' range, as in A-SNLSR.
    anywhere = reduce(Statistics.merge, domains.values(), Statistics())
    result: dict[int, dict[str, float | str]] = {}
    for index, region in enumerate(definition.regions):
        scene, floor = whole[region.scene], args.get("floor", 1e-4)
        low, high = {
            "none": (0.0, 1.0),
            "divide": (0.0, args.get("divisor")),
            "max_of_scene": (0.0, scene.maximum),
            "max_of_region": (0.0, found[index].maximum),
            "unit": (args.get("minimum", scene.minimum), args.get("maximum", scene.maximum)),
            "log_minmax": _logarithms(domains.get(region.domain, anywhere), args, floor),
        }[name]
        if not low < high:
            raise UserError(
                f"scene '{region.scene}' has no contrast (values {scene.minimum:.4g} to "
                f"{scene.maximum:.4g}), so it cannot be normalised by {name}; look at the file"
            )
        result[index] = {
            "normaliser": name,
            "minimum": float(low),
            "maximum": float(high),
            "divisor": float(high - low),
            "floor": floor if name == "log_minmax" else np.nan,
        }
    return result


def _logarithms(seen: Statistics, args: Mapping[str, float], floor: float) -> tuple[float, float]:
    """A-SNLSR: the range of the training tiles of a domain, unless it is fixed."""
    low = args.get("minimum", float(np.log(max(seen.minimum, floor))))
    return low, args.get("maximum", float(np.log(max(seen.maximum, floor))))


def summary(definition: SplitDefinition, found: Mapping[int, Statistics]) -> str:
    """Physical minimum, maximum and mean of each role, as JSON."""
    statistics = {}
    for role in ROLES:
        parts = [found[i] for i, r in enumerate(definition.regions) if r.role == role]
        if parts:
            total = reduce(Statistics.merge, parts)
            statistics[role] = {
                "regions": len(parts),
                "pixels": sum(r.shape[0] * r.shape[1] for r in definition.role(role)),
                "minimum": total.minimum,
                "maximum": total.maximum,
                "mean": total.mean,
            }
    return json.dumps(statistics)


def example(block: Block, storage: Storage) -> dict[str, Any]:
    """The record of one block."""
    raw, region = block.raw, block.region
    values, hidden = raw.read_marked(block.rows, region.cols)
    meta = raw.meta.select(storage.bands)
    record = {
        "name": f"{raw.name}_{region.role}_{block.index}",
        "scene": raw.name,
        "image": stored(values[..., storage.bands], storage.dtype, f"scene '{raw.name}'"),
        "wavelengths": _filled(meta.wavelengths, storage.count, np.nan),
        "bad_bands": _filled(meta.bad_bands, storage.count, False),
        "transform": _moved(meta.transform, region),
        "crs": meta.crs,
        "sensor": meta.sensor or storage.sensor,
        "scale": meta.scale,
        "offset": meta.offset,
        "gsd": raw.gsd,
        "row": raw.origin[0] + region.rows[0],
        "col": raw.origin[1] + region.cols[0],
        "index": block.index,
        "block": block.block,
        "blocks": block.blocks,
        "domain": region.domain,
        **block.numbers,
    }
    if raw.holes:
        record["hidden"] = hidden[..., None].astype(np.float32)
    if raw.extras:
        beside = raw.extras(values, slice(*block.rows), slice(*region.cols))
        record |= dict(beside)
    return record


def _filled(values: np.ndarray | None, bands: int, empty: float | bool) -> np.ndarray:
    return np.full(bands, empty) if values is None else np.asarray(values)


def _moved(transform: tuple[float, ...] | None, region: Region) -> np.ndarray:
    """The georeferencing of a window of a scene; NaN if the scene has none."""
    if transform is None:
        return np.full(6, np.nan)
    a, b, c, d, e, f = transform
    row, col = region.rows[0], region.cols[0]
    return np.array([a, b, c + a * col + b * row, d, e, f + d * col + e * row])


def joined(records: list[dict], role: str) -> dict[str, Any]:
    """One region from its blocks, in plain Python and numpy types."""
    records = sorted(records, key=lambda record: int(record["block"]))
    first = records[0]
    if len(records) != int(first["blocks"]):
        raise UserError(f"region {first['name']} lacks blocks; delete the dataset and prepare it")
    scene: dict[str, Any] = {"role": role}
    for key, value in first.items():
        if key in TEXTS:
            scene[key] = value.decode() if isinstance(value, bytes) else str(value)
        elif key in COUNTS:
            scene[key] = int(value)
        elif key in SCALARS:
            scene[key] = float(value)
        elif np.ndim(value) == 3 and len(records) > 1:
            scene[key] = np.concatenate([record[key] for record in records])
        else:
            scene[key] = np.asarray(value)
    return scene
