"""Predictions and preparations that are killed, or started twice at once: real commands."""

import pytest

from tools import chaos_outputs, crash


@pytest.mark.slow
@pytest.mark.parametrize("of", list(chaos_outputs.JOBS))
def test_kills_at_random_moments(tmp_path, of):
    record = chaos_outputs.kill(chaos_outputs.JOBS[of](tmp_path), tmp_path, kills=3, seed=1)
    assert record.wrong == [] and record.kills.total() == 3


@pytest.mark.slow
@pytest.mark.parametrize("of", list(chaos_outputs.JOBS))
def test_two_at_once(tmp_path, of):
    record = chaos_outputs.together(chaos_outputs.JOBS[of](tmp_path), tmp_path, 2, rounds=1)
    assert record.wrong == [] and record.ends[0] >= 1


@pytest.mark.slow
def test_one_of_several_is_killed(tmp_path):
    record = chaos_outputs.kill_of_several(chaos_outputs.parts(tmp_path), tmp_path, 2, 2, seed=1)
    assert record.wrong == [] and record.kills.total() == 2


@pytest.mark.slow
@pytest.mark.parametrize("of", ["prediction", "parts", "preparation"])
def test_a_kill_before_each_rename_and_deletion(tmp_path, of):
    record = crash.campaign(chaos_outputs.JOBS[of](tmp_path), tmp_path)
    assert record.wrong == [] and len(record.points) > 5
