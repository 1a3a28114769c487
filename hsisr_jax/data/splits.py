"""Split definitions: the pixels for training, validation and test, one definition per paper.

A definition is data and is stored with the prepared dataset. It contains everything that a
published table depends on (crop, bands, patches, strides, normalisation, held-out parts). Windows
count from 0 with an exclusive end, in pixels of the whole scene as published. Plain numpy: the
papers' scripts count from 1 and include the end, so their `107:2410` is `(106, 2410)` here.
"""

import dataclasses
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from hsisr_jax.errors import UserError

ROLES = ("train", "validation", "test")
NORMALISERS = ("none", "divide", "max_of_scene", "max_of_region", "unit", "log_minmax")
Span = tuple[int, Any]  # an end of None is the scene's own


@dataclass(frozen=True)
class Region:
    """A window of one scene with a role. An end of None is the scene's own end."""

    scene: str
    rows: Span
    cols: Span
    role: str
    domain: int = 0

    def resolve(self, height: int, width: int) -> "Region":
        rows = (self.rows[0], height if self.rows[1] is None else self.rows[1])
        cols = (self.cols[0], width if self.cols[1] is None else self.cols[1])
        inside = 0 <= rows[0] < rows[1] <= height and 0 <= cols[0] < cols[1] <= width
        if self.role not in ROLES or not inside:
            raise UserError(
                f"region rows {rows}, columns {cols} ({self.role}) does not fit scene "
                f"'{self.scene}' of {height}x{width}; give a window inside it"
            )
        return replace(self, rows=rows, cols=cols)

    @property
    def shape(self) -> tuple[int, int]:
        return self.rows[1] - self.rows[0], self.cols[1] - self.cols[0]


@dataclass(frozen=True)
class Fractions:
    """Cuts every scene across `axis` into training, validation and test parts, in that order.

    Borders and sizes are rounded down to `multiple` pixels, so that every part has a whole
    number of low-resolution pixels at the usual scales. A part that would be smaller than one
    such step is given one step if its fraction is not zero; a validation part has `scored` pixels
    or more.
    """

    train: float = 0.7
    validation: float = 0.1
    test: float = 0.2
    axis: str = "cols"
    multiple: int = 8
    scored: int = 0

    def __call__(self, sizes: Mapping[str, tuple[int, int]]) -> tuple[Region, ...]:
        if self.axis not in ("rows", "cols"):
            raise UserError(f"split axis '{self.axis}' is unknown; use 'rows' or 'cols'")
        parts = (self.train, self.validation, self.test)
        if min(parts) < 0 or self.train <= 0 or sum(parts) > 1 + 1e-9:
            raise UserError(
                f"split fractions {parts} must be 0 or more, sum to at most 1, and include a "
                "training part"
            )
        return tuple(
            region for scene, size in sizes.items() for region in self._cut(scene, *size, parts)
        )

    def _cut(self, scene: str, height: int, width: int, parts: tuple[float, ...]) -> list[Region]:
        m = self.multiple
        long, across = (width, height) if self.axis == "cols" else (height, width)
        steps = [max(int(part * long / m + 0.5), 1) if part else 0 for part in parts]
        steps[1] = max(steps[1], -(-self.scored // m)) if self.validation else 0
        while sum(steps) * m > long and max(steps) > 1:
            steps[steps.index(max(steps))] -= 1
        if sum(steps) * m > long or across < m:
            raise UserError(
                f"scene '{scene}' of {height}x{width} is too small to be split by {parts} into "
                f"parts of {m} pixels; use fewer parts or a larger scene"
            )
        regions, start, kept = [], 0, (0, across // m * m)
        for role, count in zip(ROLES, steps):
            span = (start, start + count * m)
            rows, cols = (kept, span) if self.axis == "cols" else (span, kept)
            if count:
                regions.append(Region(scene, rows, cols, role))
            start = span[1]
        return regions


@dataclass(frozen=True)
class FirstScenes:
    """The first `train` scenes by name train; the others test, on their top-left `test` pixels."""

    train: int
    test: int | None = None

    def __call__(self, sizes: Mapping[str, tuple[int, int]]) -> tuple[Region, ...]:
        regions = []
        for index, (scene, (height, width)) in enumerate(sorted(sizes.items())):
            if index < self.train:
                regions.append(Region(scene, (0, height), (0, width), "train"))
            else:
                rows, cols = min(height, self.test or height), min(width, self.test or width)
                regions.append(Region(scene, (0, rows), (0, cols), "test"))
        return tuple(regions)


@dataclass(frozen=True)
class Normaliser:
    """The rule that maps physical values (stored * scale + offset) to the network's range.

    `none`; `divide` by `divisor`; `max_of_scene` and `max_of_region` divide by the maximum of the
    definition's window (all bands of the file), or of each region (the bands in use); `unit` maps
    [minimum, maximum] (of the window, unless given) to [0, 1]; `log_minmax` clips below `floor`,
    takes the logarithm and maps [minimum, maximum] of that (of all training regions of a domain,
    unless given) to [0, 1].
    """

    name: str = "max_of_scene"
    args: Mapping[str, float] = field(default_factory=dict)

    def __post_init__(self):
        if self.name not in NORMALISERS:
            known = ", ".join(NORMALISERS)
            raise UserError(f"normaliser '{self.name}' is unknown; use one of {known}")
        if self.name == "divide" and not self.args.get("divisor", 0) > 0:
            raise UserError(
                "the normaliser 'divide' needs a divisor above 0; give "
                "--config.data.options.normaliser_args=\"{'divisor': 10000}\""
            )


@dataclass(frozen=True)
class SplitDefinition:
    """A paper's (or a user's) division of a dataset.

    `window` is the crop that the paper takes first; statistics of the scene are taken inside it.
    `patch` and `stride` are in high-resolution pixels, either one number or one per scale.
    `validation` is `("patches", fraction, seed)` (training patches set aside; they overlap their
    neighbours, as in the papers), `("regions",)` (regions of that role), `("test",)` (the paper
    selects its model on the test images) or None. Test tiles are scored one by one, or, if
    `stitched`, put together and scored as one image.
    """

    name: str
    citation: str
    regions: tuple[Region, ...] = ()
    rule: Fractions | FirstScenes | None = None
    window: tuple[Span, Span] | None = None
    bands: tuple[int, int] | None = None
    patch: int | Mapping[int, int] = 64
    stride: int | Mapping[int, int] = 32
    normaliser: Normaliser = field(default_factory=Normaliser)
    validation: tuple | None = None
    test_tile: int | None = None
    test_stride: int | None = None
    stitched: bool = False
    protocol: str = "sspsr"
    notes: str = ""

    def resolve(self, sizes: Mapping[str, tuple[int, int]]) -> "SplitDefinition":
        """The definition with all regions resolved, for scenes of these sizes."""
        regions = self.rule(sizes) if self.rule else self.regions
        missing = sorted({r.scene for r in regions} - set(sizes))
        if missing:
            known = ", ".join(sizes) or "none"
            raise UserError(
                f"split '{self.name}' wants scene '{missing[0]}'; scenes at hand: {known}"
            )
        resolved = tuple(r.resolve(*sizes[r.scene]) for r in regions)
        return replace(self, regions=resolved, rule=None)

    def patch_at(self, scale: int) -> int:
        return self._at(self.patch, scale)

    def stride_at(self, scale: int) -> int:
        return self._at(self.stride, scale)

    def _at(self, value: int | Mapping[int, int], scale: int) -> int:
        """The entry for the scale, or that of the nearest smaller scale with an entry."""
        if not isinstance(value, Mapping):
            return value
        below = [s for s in value if s <= scale]
        return value[max(below) if below else min(value)]

    def role(self, role: str) -> tuple[Region, ...]:
        return tuple(region for region in self.regions if region.role == role)

    def patches(self, scale: int) -> tuple[np.ndarray, np.ndarray]:
        """Training and validation patches: int arrays [n, 3] of (training region, row, column).

        Rows and columns count from the region's corner. Without set-aside patches the second
        array is empty.
        """
        shapes = [region.shape for region in self.role("train")]
        return held_out(
            region_patches(shapes, self.patch_at(scale), self.stride_at(scale)), self.validation
        )

    def test_tiles(self, shape: tuple[int, int]) -> list[tuple[int, int, int, int]]:
        """(row, column, height, width) of the images that the paper scores in a test region."""
        height, width = shape
        if self.test_tile is None:
            return [(0, 0, height, width)]
        tile = min(self.test_tile, height, width)
        origins = patch_origins(height, width, tile, self.test_stride or tile)
        return [(int(row), int(col), tile, tile) for row, col in origins]

    def to_json(self) -> str:
        return json.dumps(dataclasses.asdict(self), default=dict)

    @classmethod
    def from_json(cls, text: str) -> "SplitDefinition":
        values: dict[str, Any] = json.loads(text)
        values["regions"] = tuple(
            Region(**{**r, "rows": tuple(r["rows"]), "cols": tuple(r["cols"])})
            for r in values["regions"]
        )
        rule = values["rule"]
        if rule:
            values["rule"] = (Fractions if "axis" in rule else FirstScenes)(**rule)
        window = values["window"]
        values["window"] = tuple(tuple(span) for span in window) if window else None
        for name in ("bands", "validation"):
            values[name] = tuple(values[name]) if values[name] is not None else None
        for name in ("patch", "stride"):
            if isinstance(values[name], dict):
                values[name] = {int(k): v for k, v in values[name].items()}
        values["normaliser"] = Normaliser(**values["normaliser"])
        return cls(**values)


def patch_origins(height: int, width: int, patch: int, stride: int) -> np.ndarray:
    """Corners [n, 2] of all whole patches, row by row, as the papers' scripts cut them."""
    if patch < 1 or stride < 1 or patch > min(height, width):
        raise UserError(
            f"patches of {patch} with stride {stride} do not fit an image of {height}x{width}; "
            "make config.data.patch smaller"
        )
    rows = np.arange(0, height - patch + 1, stride)
    cols = np.arange(0, width - patch + 1, stride)
    return np.stack(np.meshgrid(rows, cols, indexing="ij"), axis=-1).reshape(-1, 2)


def region_patches(shapes: Iterable[tuple[int, int]], patch: int, stride: int) -> np.ndarray:
    """Patches [n, 3] of (region, row, column) of several images in turn."""
    parts = [
        np.insert(patch_origins(height, width, patch, stride), 0, index, axis=1)
        for index, (height, width) in enumerate(shapes)
    ]
    return np.concatenate(parts) if parts else np.zeros((0, 3), int)


def held_out(patches: np.ndarray, validation: tuple | None) -> tuple[np.ndarray, np.ndarray]:
    """Splits off a random fraction (at least one patch); both parts keep their order."""
    if validation is None or validation[0] != "patches":
        return patches, patches[:0]
    _, fraction, seed = validation
    count = min(max(round(len(patches) * fraction), 1), len(patches) - 1)
    order = np.random.Generator(np.random.PCG64(seed)).permutation(len(patches))
    return patches[np.sort(order[count:])], patches[np.sort(order[:count])]


def tile_origins(height: int, width: int, tile: int = 128, threshold: float = 0.5) -> np.ndarray:
    """A-SNLSR's grid of tiles [n, 2]: the last row and column are pulled back inside.

    A tile is left out if earlier tiles cover a fraction of `threshold` of it or more.
    """
    if tile > min(height, width):
        raise UserError(f"a scene of {height}x{width} is smaller than one tile of {tile}")
    covered = np.zeros((height, width), bool)
    kept = []
    for row in range(0, height, tile):
        for col in range(0, width, tile):
            top, left = min(row, height - tile), min(col, width - tile)
            part = covered[top : top + tile, left : left + tile]
            if part.mean() < threshold:
                kept.append((top, left))
                part[...] = True
    return np.array(kept)


def largest_rectangle(valid: np.ndarray) -> tuple[int, int, int, int]:
    """Row, column, height and width of the largest rectangle of true values."""
    best, run = (0, 0, 0, 0), np.zeros(valid.shape[1], int)
    for bottom, line in enumerate(valid):
        run = np.where(line, run + 1, 0)  # how far up each column is valid
        stack: list[tuple[int, int]] = []  # first column, height: rising
        for col, height in enumerate([*run.tolist(), 0]):
            first = col
            while stack and stack[-1][1] >= height:
                first, tall = stack.pop()
                if tall * (col - first) > best[2] * best[3]:
                    best = bottom + 1 - tall, first, tall, col - first
            stack.append((first, height))
    return best
