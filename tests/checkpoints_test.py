"""Checkpoints: kept as asked, and never trusted blindly."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hsisr_jax.checkpoints import Checkpoints, targets
from hsisr_jax.errors import UserError

PLACE = jax.sharding.SingleDeviceSharding(jax.devices()[0])


def tree(value):
    return {"params": {"w": jnp.full((40, 30), float(value))}, "ema": {}}


def asked():
    abstract = tree(0)
    return targets(abstract, jax.tree.map(lambda _: PLACE, abstract))


def steps_of(folder):
    return sorted(int(p.name) for p in (folder / "checkpoints").iterdir() if p.name.isdigit())


def fill(folder, scores, **options):
    with Checkpoints(folder, metric="PSNR", **options) as checkpoints:
        for step, score in scores.items():
            checkpoints.save(step, tree(step), {"PSNR": score} if score is not None else None)
        checkpoints.wait()
        return checkpoints.best, checkpoints.latest


def test_latest_and_best_are_kept(tmp_path):
    scores = {1: 20.0, 2: 30.0, 3: None, 4: 25.0, 5: None, 6: None}
    assert fill(tmp_path, scores, keep=2) == (2, 6)
    assert steps_of(tmp_path) == [2, 5, 6]
    listed = sorted(p.stem for p in (tmp_path / "checkpoints").glob("*.sha256"))
    assert listed == ["2", "5", "6"]


def test_lower_may_be_better(tmp_path):
    assert fill(tmp_path, {1: 3.0, 2: 1.0, 3: 2.0, 4: 4.0}, higher_is_better=False) == (2, 4)


def test_an_existing_step_is_left_alone(tmp_path):
    with Checkpoints(tmp_path) as checkpoints:
        checkpoints.save(1, tree(1))
        checkpoints.wait()
        checkpoints.save(1, tree(2))
        found = checkpoints.restore(1, asked())
    np.testing.assert_array_equal(found["params"]["w"], tree(1)["params"]["w"])


def largest(folder):
    return max((p for p in folder.rglob("*") if p.is_file()), key=lambda p: p.stat().st_size)


def flip_a_bit(step):
    path = largest(step)
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


@pytest.mark.parametrize(
    "harm", [flip_a_bit, lambda step: largest(step).unlink(),
             lambda step: (step / "_CHECKPOINT_METADATA").unlink()]
)  # fmt: skip
def test_a_damaged_latest_is_set_aside_and_the_user_told(tmp_path, harm):
    fill(tmp_path, {1: 1.0, 2: 2.0})
    harm(tmp_path / "checkpoints" / "2")
    said = []
    with Checkpoints(tmp_path, say=said.append) as checkpoints:
        assert checkpoints.latest == 1
        found = checkpoints.restore(1, asked())
    np.testing.assert_array_equal(found["params"]["w"], tree(1)["params"]["w"])
    assert "checkpoint 2 is damaged" in said[0]
    assert (tmp_path / "checkpoints" / "2.damaged").is_dir()


def test_a_step_without_its_list_is_trusted(tmp_path):
    fill(tmp_path, {1: 1.0})
    (tmp_path / "checkpoints" / "1.sha256").unlink()
    with Checkpoints(tmp_path) as checkpoints:
        assert checkpoints.latest == 1


def test_sums_are_of_every_file(tmp_path):
    fill(tmp_path, {1: 1.0})
    listed = json.loads((tmp_path / "checkpoints" / "1.sha256").read_text())
    files = [p for p in (tmp_path / "checkpoints" / "1").rglob("*") if p.is_file()]
    assert len(listed) == len(files) > 3


def test_another_shape_is_a_clear_error(tmp_path):
    fill(tmp_path, {1: 1.0})
    other = {"params": {"w": jnp.zeros((4, 3))}}
    wanted = targets(other, jax.tree.map(lambda _: PLACE, other))
    with Checkpoints(tmp_path) as checkpoints, pytest.raises(UserError, match="does not fit"):
        checkpoints.restore(1, wanted)


def test_another_runs_folder_is_only_read(tmp_path):
    fill(tmp_path, {1: 1.0, 2: 2.0})
    folder = tmp_path / "checkpoints"
    flip_a_bit(folder / "2")
    unfinished = folder / "3.orbax-checkpoint-tmp"
    unfinished.mkdir()
    with Checkpoints(tmp_path, metric="PSNR", read_only=True) as checkpoints:
        assert (checkpoints.latest, checkpoints.best) == (1, 1)
    assert unfinished.is_dir() and (folder / "2").is_dir()
    with Checkpoints(tmp_path, metric="PSNR", say=lambda text: None) as checkpoints:
        assert checkpoints.latest == 1
    assert not unfinished.exists() and (folder / "2.damaged").is_dir()
    with pytest.raises(UserError, match="no checkpoints"):
        Checkpoints(tmp_path / "none", read_only=True)
    assert not (tmp_path / "none").exists()


def test_scores_may_be_added_to_a_step(tmp_path):
    with Checkpoints(tmp_path, metric="PSNR") as checkpoints:
        checkpoints.save(1, tree(1))
        assert not checkpoints.has_scores(1)
        checkpoints.save(1, tree(1), {"PSNR": 3.0})
        checkpoints.wait()
        assert checkpoints.has_scores(1)
    with Checkpoints(tmp_path, metric="PSNR") as checkpoints:
        assert checkpoints.best == 1 and checkpoints.has_scores(1)
