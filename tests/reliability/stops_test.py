"""Runs that are stopped, killed, or meet a bad disk: real processes, a tiny network."""

import json
import os
import resource
import signal
import subprocess
import time
from pathlib import Path

import pytest

from tools import chaos

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return tmp_path_factory.mktemp("data")


@pytest.fixture(scope="module")
def clean(tmp_path_factory, data):
    """An undisturbed run."""
    workdir = tmp_path_factory.mktemp("clean") / "run"
    subprocess.run(chaos.command(workdir, data, 20, ""), cwd=ROOT, check=True, timeout=500)
    return workdir


def start(workdir, data, *, steps=20, **options):
    arguments = [*chaos.command(workdir, data, steps, ""), *options.pop("flags", ())]
    return subprocess.Popen(
        arguments, cwd=ROOT, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE, **options
    )


def wait_for(condition, run, seconds=300):
    """Until something is true of a run; fails if the run ends before."""
    end = time.monotonic() + seconds
    while not condition():
        assert run.poll() is None, run.communicate()
        assert time.monotonic() < end
        time.sleep(0.01)


def finished(workdir, step):
    return lambda: any(s >= step for s in chaos.steps_of(workdir))


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130), (signal.SIGKILL, -9)]
)
def test_a_stopped_run_resumes_bit_for_bit(clean, data, tmp_path, number, code):
    workdir = tmp_path / "run"
    run = start(workdir, data, steps=20_000)  # long enough to be caught in the middle
    wait_for(finished(workdir, 5), run)
    run.send_signal(number)
    _, error = run.communicate(timeout=120)
    assert run.returncode == code, error
    assert "Traceback" not in error
    assert chaos.steps_of(workdir)[-1] >= 5
    if number != signal.SIGKILL:
        assert "run the same command to resume" in error
        stopped = int(error.split("stopped at step ")[1].split(":")[0])
        assert chaos.steps_of(workdir)[-1] == stopped  # nothing at all is lost
    end = chaos.steps_of(workdir)[-1] // 10 * 10 + 20
    again = start(workdir, data, steps=end)
    _, error = again.communicate(timeout=300)
    assert again.returncode == 0 and "resuming at step" in error, error
    reference = tmp_path / "reference"
    subprocess.run(chaos.command(reference, data, end, ""), cwd=ROOT, check=True, timeout=500)
    assert chaos.digest(workdir, end) == chaos.digest(reference, end)


def test_the_same_run_twice_is_the_same_to_the_last_bit(clean, data, tmp_path):
    again = tmp_path / "again"
    subprocess.run(chaos.command(again, data, 20, ""), cwd=ROOT, check=True, timeout=500)
    assert chaos.digest(again, 20) == chaos.digest(clean, 20)
    losses = [
        [json.loads(row).get("loss") for row in (w / "metrics.jsonl").read_text().splitlines()]
        for w in (clean, again)
    ]
    assert losses[0] == losses[1]


def test_a_signal_before_the_first_step_ends_the_run_soon(data, clean, tmp_path):
    """In the middle of a compilation without cache, which Python itself would wait for."""
    environment = os.environ | {"JAX_COMPILATION_CACHE_DIR": str(tmp_path / "cache")}
    run = start(tmp_path / "run", data, env=environment)
    while "compiling" not in (line := run.stderr.readline()):
        assert line, "it ended"
    time.sleep(0.3)
    began = time.monotonic()
    run.send_signal(signal.SIGTERM)
    assert run.wait(timeout=60) == 143
    assert time.monotonic() - began < 30
    run.communicate()


def limited():
    """No file of this process grows beyond 20 kB: a full disk as programs see it."""
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))


def test_a_full_disk_is_told_of_and_costs_no_checkpoint(data, clean, tmp_path):
    workdir = tmp_path / "run"
    first = start(workdir, data, steps=10)
    first.communicate(timeout=300)
    before = chaos.digest(workdir, 10)
    # a coverage run would like to write as well
    environment = {k: v for k, v in os.environ.items() if not k.startswith("COV")}
    run = start(workdir, data, steps=4000, preexec_fn=limited, env=environment)
    out, error = run.communicate(timeout=300)
    assert run.returncode == 2, error
    assert "Traceback" not in error
    last = error.strip().splitlines()[-1]
    assert last.startswith("error: cannot write"), error
    # a later checkpoint may have taken its place
    assert chaos.steps_of(workdir)[-1] > 10 or chaos.digest(workdir, 10) == before
    again = start(workdir, data, steps=chaos.steps_of(workdir)[-1] + 5)
    _, error = again.communicate(timeout=300)
    assert again.returncode == 0, error


def test_a_second_process_is_refused(data, clean, tmp_path):
    workdir = tmp_path / "run"
    run = start(workdir, data, steps=20_000)
    wait_for(finished(workdir, 5), run)
    other = start(workdir, data, steps=20_000)
    _, error = other.communicate(timeout=120)
    assert other.returncode == 2 and "another process is using" in error
    run.kill()
    run.communicate()


def test_a_damaged_checkpoint_is_set_aside_by_the_command(data, clean, tmp_path):
    workdir = tmp_path / "run"
    start(workdir, data, steps=10).communicate(timeout=300)
    step = workdir / "checkpoints" / "10"
    victim = max((p for p in step.rglob("*") if p.is_file()), key=lambda p: p.stat().st_size)
    content = bytearray(victim.read_bytes())
    content[len(content) // 2] ^= 1
    victim.write_bytes(content)
    again = start(workdir, data, steps=20)
    _, error = again.communicate(timeout=300)
    assert again.returncode == 0, error
    assert "checkpoint 10 is damaged" in error and "resuming at step 5" in error
    assert chaos.digest(workdir, 20) == chaos.digest(clean, 20)


@pytest.mark.slow
@pytest.mark.parametrize("argument", ["", "adversarial"])
def test_random_kills(tmp_path, argument):
    record = chaos.campaign(tmp_path, kills=4, steps=40, seed=1, argument=argument)
    assert record.wrong == [] and record.kills.total() == 4


@pytest.mark.slow
@pytest.mark.parametrize("argument", ["", "adversarial"])
def test_kills_while_a_step_is_scored(tmp_path, argument):
    record = chaos.rewritten(tmp_path, kills=2, steps=20, seed=1, argument=argument)
    assert record.wrong == [] and record.kills.total() == 2
