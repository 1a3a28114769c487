"""Groups of bands against the published loop, written out."""

import math

import jax
import numpy as np
import pytest

from hsisr_jax.errors import UserError
from hsisr_jax.ops.bands import group_indices, merge_groups, split_groups

CASES = [(13, 6, 2), (128, 8, 2), (31, 31, 0), (11, 5, 1), (7, 4, 3), (9, 3, 0), (5, 1, 0)]


@pytest.mark.parametrize(("bands", "size", "overlap"), CASES)
def test_groups_are_those_of_the_published_loop(bands, size, overlap):
    expected = []
    for g in range(math.ceil((bands - overlap) / (size - overlap))):
        start = (size - overlap) * g
        expected.append(bands - size if start + size > bands else start)
    starts = group_indices(bands, size, overlap)
    assert starts == tuple(expected)
    covered = {band for start in starts for band in range(start, start + size)}
    assert covered == set(range(bands))


@pytest.mark.parametrize(("bands", "size", "overlap"), CASES)
def test_split_and_merge_equal_slices_and_means(bands, size, overlap):
    starts = group_indices(bands, size, overlap)
    x = np.asarray(jax.random.normal(jax.random.key(0), (2, 3, 2, bands)))
    groups = np.asarray(split_groups(x, starts, size))
    total, counts = np.zeros_like(x), np.zeros(bands)
    for g, start in enumerate(starts):
        np.testing.assert_array_equal(groups[g], x[..., start : start + size])
        total[..., start : start + size] += (g + 1) * groups[g]
        counts[start : start + size] += 1
    weights = np.arange(1, len(starts) + 1, dtype=np.float32).reshape(-1, 1, 1, 1, 1)
    found = merge_groups(weights * groups, starts, bands)
    np.testing.assert_allclose(found, total / counts, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("arguments", "word"),
    [((5, 6, 0), "use 1 to 5"), ((5, 0, 0), "use 1 to 5"), ((5, 3, 3), "below"), ((5, 3, -1), "0")],
)
def test_impossible_groups_are_refused_in_words(arguments, word):
    with pytest.raises(UserError, match=word):
        group_indices(*arguments)
