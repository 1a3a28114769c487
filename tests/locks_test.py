"""One lock for everything that is written: held by one, refused to or awaited by others."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from hsisr_jax import locks
from hsisr_jax.errors import UserError

ROOT = Path(__file__).parents[1]
# adds 1 to a number in a file, many times, each time under the lock
COUNT = """
import sys, time
from pathlib import Path
from hsisr_jax import locks
lock, number = Path(sys.argv[1]), Path(sys.argv[2])
for _ in range(40):
    with locks.held(lock, "", wait=True, remove=True):
        value = int(number.read_text())
        time.sleep(0.002)
        number.write_text(str(value + 1))
"""
HOLD = """
import sys
from pathlib import Path
from hsisr_jax import locks
with locks.held(Path(sys.argv[1]), "no", shared=sys.argv[2] == "shared"):
    print("held", flush=True)
    sys.stdin.read()
"""


def started(code, *arguments, **options):
    arguments = [sys.executable, "-c", code, *map(str, arguments)]
    return subprocess.Popen(arguments, cwd=ROOT, text=True, stdout=subprocess.PIPE, **options)


@pytest.mark.parametrize("how", ["alone", "shared"])
def test_what_another_process_holds_is_refused_until_it_ends(tmp_path, how):
    path = tmp_path / "lock"
    other = started(HOLD, path, how, stdin=subprocess.PIPE)
    try:
        assert other.stdout.readline() == "held\n"
        with pytest.raises(UserError, match="taken"), locks.held(path, "taken"):
            pass
        if how == "shared":
            with locks.held(path, "taken", shared=True):
                pass
        else:
            with pytest.raises(UserError), locks.held(path, "taken", shared=True):
                pass
    finally:
        other.kill()
        other.communicate()
    with locks.held(path, "taken", remove=True):  # a killed process holds nothing
        assert path.exists()
    assert os.listdir(tmp_path) == []


def test_three_processes_take_turns_at_a_lock_that_comes_and_goes(tmp_path):
    """Each deletes the lock file as it leaves: who waited for that file holds nothing yet."""
    number = tmp_path / "number"
    number.write_text("0")
    runs = [started(COUNT, tmp_path / "lock", number) for _ in range(3)]
    assert [run.wait(timeout=120) for run in runs] == [0, 0, 0]
    assert number.read_text() == "120" and os.listdir(tmp_path) == ["number"]


def test_all_files_of_an_output_are_locked_or_none(tmp_path):
    a, b, c = (tmp_path / name for name in "abc")
    with locks.output(b):
        with pytest.raises(UserError, match=f"another process is writing {b}"), locks.output(a, b):
            pass
        with locks.output(a, c):
            assert len(os.listdir(tmp_path)) == 3
    assert os.listdir(tmp_path) == []


def test_a_lock_that_the_disk_refuses_is_told_in_a_line(tmp_path):
    with pytest.raises(UserError, match="cannot write .*; "), locks.output(tmp_path / ("n" * 250)):
        pass
