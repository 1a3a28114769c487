"""How large tiles become, and how many go to the devices at a time."""

from dataclasses import replace

import pytest

from hsisr_jax.errors import UserError
from hsisr_jax.inference import memory
from hsisr_jax.inference.trained import Trained
from hsisr_jax.models.spec import describe

LOCAL = Trained(describe("bicubic", {}, scale=2, bands=4))
WINDOWS = Trained(describe("srformer", {"window_size": 6}, scale=2, bands=4), tile=12)
WHOLE = Trained(describe("sspsr", {}, scale=2, bands=8), tile=16)


@pytest.fixture
def chosen(monkeypatch):
    """Tiles for a device on which every pixel of a tile takes `each` bytes."""

    def choose(card, each, limit, *, shape=(1000, 1000), tile=0, overlap=-1, devices=1):
        tried = []

        def compiled(sizes):
            tried.append(sizes)
            return sizes

        def needed(sizes):
            return sizes.plan.size[0] * sizes.plan.size[1] * sizes.batch // devices * each

        monkeypatch.setattr(memory, "budget", lambda: limit)
        monkeypatch.setattr(memory, "temporary_bytes", needed)
        found = memory.choose(
            card, shape, tile=tile, overlap=overlap, devices=devices, compiled=compiled
        )
        assert needed(found) <= limit or found.batch == devices
        assert len(tried) < 4  # each is a compilation
        return found.plan.tile, found.plan.overlap, found.batch

    return choose


def test_local_networks_fill_the_memory(chosen):
    assert chosen(LOCAL, 100, 10**10) == (256, 16, 5)  # five columns cover the scene
    assert chosen(LOCAL, 100, 3 * 10**6) == (64, 16, 7)
    assert chosen(LOCAL, 100, 10**5) == (16, 4, 3)


def test_windows_are_not_cut(chosen):
    tile, overlap, _ = chosen(WINDOWS, 1, 10**5)
    assert tile % 6 == overlap % 6 == 0 and tile >= 60


def test_networks_that_see_all_keep_the_tile_of_training(chosen):
    assert chosen(WHOLE, 1, 10**10) == (16, 4, 32)
    assert chosen(WHOLE, 1, 1000) == (16, 4, 3)
    assert chosen(WHOLE, 1, 1) == (16, 4, 1)
    assert chosen(WHOLE, 1, 10**10, devices=4) == (16, 4, 84)  # a row of them, of 128 that may be


def test_tiles_of_the_evaluation_are_those_of_prediction(chosen):
    evaluated = replace(WHOLE, tile=4, overlap=3)
    assert chosen(evaluated, 1, 10**10, shape=(20, 30)) == (4, 3, 27)
    assert chosen(evaluated, 1, 10**10, shape=(20, 30), overlap=1)[:2] == (4, 1)
    assert chosen(evaluated, 1, 10**10, shape=(20, 30), tile=10)[:2] == (10, 2)
    side_by_side = replace(WHOLE, tile=4)  # SSRAN's, of 4 pixels
    assert chosen(side_by_side, 1, 10**10, shape=(20, 30)) == (4, 1, 10)


def test_what_is_asked_for_is_given(chosen):
    assert chosen(WHOLE, 1, 10**10, tile=40, overlap=0) == (40, 0, 8)
    assert chosen(LOCAL, 1, 10**10, tile=40, overlap=7, shape=(20, 30)) == (30, 7, 1)
    with pytest.raises(UserError, match="cannot overlap"):
        chosen(WHOLE, 1, 10**10, tile=8, overlap=8)
