"""Pixels that a split uses for training and for testing alike."""

from collections.abc import Iterable

from hsisr_jax.data.splits import Region


def leaks(regions: Iterable[Region]) -> list[tuple[Region, Region]]:
    """Pairs of a test region and another one of the same scene and domain that share pixels."""
    regions = list(regions)
    tests = [r for r in regions if r.role == "test"]
    others = [r for r in regions if r.role != "test"]
    return [(t, o) for t in tests for o in others if _overlap(t, o)]


def _overlap(a: Region, b: Region) -> bool:
    if (a.scene, a.domain) != (b.scene, b.domain):
        return False
    spans = ((a.rows, b.rows), (a.cols, b.cols))
    return all(one[0] < other[1] and other[0] < one[1] for one, other in spans)
