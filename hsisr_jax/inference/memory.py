"""How large tiles may be, and how many of them fit into a device's memory at a time."""

from collections.abc import Callable
from dataclasses import dataclass

import jax

from hsisr_jax.errors import UserError
from hsisr_jax.inference.options import Options
from hsisr_jax.inference.tiles import Plan
from hsisr_jax.inference.trained import Trained

SHARE = 0.5  # of the memory that a device reports
CPU_BYTES = 256 << 20  # a CPU's memory is shared with everything else
START, LARGEST, MINIMUM = 64, 256, 8  # low-resolution pixels on a tile's side
EACH, SMALL = 8, 32  # tiles on a device at a time; more of those below this size
TRIES = 4  # sizes that are compiled at most


def budget() -> int:
    """Bytes for the intermediate results of one batch on one device."""
    device = jax.local_devices()[0]
    stats = device.memory_stats() if device.platform != "cpu" else None
    return int(SHARE * stats["bytes_limit"]) if stats and "bytes_limit" in stats else CPU_BYTES


def temporary_bytes(compiled: jax.stages.Compiled) -> int:
    """Bytes that a compiled function needs beside its arguments, on one device; 0 if unknown."""
    try:
        analysis = compiled.memory_analysis()
        return int(analysis.temp_size_in_bytes + analysis.output_size_in_bytes)
    except (AttributeError, NotImplementedError, TypeError, jax.errors.JaxRuntimeError):
        return 0


@dataclass(frozen=True)
class Sizes:
    """Tiles of a scene, and how many go to the devices at a time."""

    plan: Plan
    batch: int


def choose(
    card: Trained,
    shape: tuple[int, int],
    *,
    tile: int,
    overlap: int,
    devices: int,
    compiled: Callable[[Sizes], jax.stages.Compiled],
) -> Sizes:
    """Tiles as asked for; or as in the evaluation, or in training, where a network looks at whole
    images; or as large as the memory of the devices allows. As many at a time as fit."""
    unit = card.spec.tile_unit
    free = not (tile or card.why_whole() or card.overlap)
    if not tile and card.overlap:
        tile, overlap = card.tile, overlap if overlap >= 0 else card.overlap
    tile = tile or (START if free else card.tile or MINIMUM)
    limit = budget()
    if overlap >= tile:
        raise UserError(f"tiles of {tile} pixels cannot overlap by {overlap}: set --overlap lower")

    def sizes(tile: int, each: int) -> Sizes:
        tile = min(-(-tile // unit) * unit if free else tile, max(shape))
        lap = min(overlap, tile - 1) if overlap >= 0 else _overlap(tile, unit if free else 1)
        plan = Plan(*shape, tile, lap)
        return Sizes(plan, devices * max(min(each, -(-len(plan.cols()) // devices)), 1))

    chosen = sizes(tile, _most(tile))
    for _ in range(TRIES):
        need, each = temporary_bytes(compiled(chosen)), chosen.batch // devices
        before, one = tile, need / each  # bytes for one tile
        while free and one > limit and tile > 2 * MINIMUM:
            tile, one = tile // 2, one / 4
        while free and 0 < 8 * one * each < limit and tile < min(LARGEST, max(shape)):
            tile, one = 2 * tile, 4 * one
        if tile == before and need <= limit:
            break
        better = sizes(tile, min(int(limit / one), _most(tile)))
        if better == chosen:
            break
        chosen = better
    return chosen


def remarks(card: Trained, plan: Plan, options: Options) -> list[str]:
    """Messages about how a network is run, compared with its evaluation."""
    found = []
    if card.self_ensemble and options.self_ensemble:
        found.append(
            "the mean over flips and rotations, as in its evaluation: --noself_ensemble takes an "
            "eighth of the time"
        )
    elif card.self_ensemble:
        found.append("without the mean over flips and rotations that its evaluation used")
    if card.why_whole() and len(plan.corners()) > 1:
        same = not options.tile or max(plan.size) == card.tile
        found.append(
            f"{card.name} looks at whole images ({card.why_whole()}): tiles "
            + ("have the size of" if same else "of another size than")
            + f" its evaluation's, {card.tile} pixels"
            + ("" if same else ", give another result")
        )
    return found


def _most(tile: int) -> int:
    """Tiles at a time: of small ones as many pixels as of larger ones, for a device's sake."""
    return EACH * max(SMALL // tile, 1) ** 2


def _overlap(tile: int, unit: int) -> int:
    """A quarter of a tile, 16 pixels at most, in whole windows of a network that has them."""
    lap = min(max(tile // 4, 1), 16)
    return min(-(-lap // unit) * unit, tile - 1)
