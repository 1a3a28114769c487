"""Damaged files: a result or a `UserError`, nothing else (campaigns: tools/fuzz.py)."""

import multiprocessing
import os
from pathlib import Path

import pytest

from tools import fuzz

TRIALS = 300
# Trials of the campaigns that once went wrong: numpy and Pillow allocated gigabytes that a header
# and a chunk claimed for themselves; a chunk's own header did so to the decoder of Blosc.
REGRESSIONS = {"zarr": (1006394,), "arrays": (2096,), "png": (1239, 1423, 1636, 1721, 1866, 2250)}


def count(name, numbers, folder, failures):
    """In a process of its own: the trials limit its memory, and may kill it."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)  # GDAL's and rasterio's complaints

    def report(number, outcome):
        if outcome not in ("", "read", "refused"):
            failures.put((number, outcome))

    fuzz.run(name, numbers, report, Path(folder))
    failures.put(None)


@pytest.mark.parametrize("name", fuzz.READERS)
def test_damaged_files(name, tmp_path):
    context = multiprocessing.get_context("spawn")
    failures = context.Queue()
    numbers = [*range(10**9, 10**9 + TRIALS), *REGRESSIONS.get(name, ())]
    child = context.Process(target=count, args=(name, numbers, str(tmp_path), failures))
    child.start()
    found = []
    while True:
        try:
            item = failures.get(timeout=1)
        except Exception:  # nothing yet
            assert child.is_alive(), f"the reader died with {child.exitcode} after {found}"
            continue
        if item is None:
            break
        found.append(item)
    child.join()
    assert found == []


def test_the_damage_is_reproducible_and_does_damage(tmp_path):
    import numpy as np

    data = bytes(range(256)) * 4
    damaged = [fuzz.damage(data, np.random.default_rng(number)) for number in range(200)]
    assert damaged == [fuzz.damage(data, np.random.default_rng(number)) for number in range(200)]
    assert sum(item != data for item in damaged) > 190
