"""Two real processes on one machine: one run, whatever happens to one of them."""

import importlib.util
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import jax
import numpy as np
import pytest
import tiny_config
from command import hsisr

from hsisr_jax import cluster
from hsisr_jax.errors import UserError

ROOT = Path(__file__).parents[1]
PATIENCE = 240  # seconds: a loaded machine compiles slowly
QUICKLY = "--xla_backend_optimization_level=0"  # all of them compile
CONFIG = """
from configs import common

def get_config(arg=None):
    config = common.base()
    config.model = {"name": "sspsr", "features": 16, "blocks": 1}
    config.data.options = {"height": 64, "width": 64, "bands": 8}
    config.data.patch, config.data.stride = 16, 8
    config.batch_size, config.checkpoint_every, config.log_every = 4, 4, 1
    return config
"""


class Job:
    """The command in some processes that know of each other."""

    def __init__(self, folder: Path, processes: int, **changes):
        self.workdir, self.folder = folder / "run", folder
        changes = {k.replace("__", "."): v for k, v in changes.items()}
        config = {"data.dir": str(folder / "data")} | changes
        file = folder / "tiny.py"
        file.write_text(CONFIG)
        command = [sys.executable, "main.py", f"--config={file}", f"--workdir={self.workdir}"]
        command += [f"--config.{key}={value}" for key, value in config.items()]
        address = f"127.0.0.1:{free_port()}"
        self.processes, self.logs = [], []
        for index in range(processes):
            own = [f"--coordinator={address}", f"--num_processes={processes}",
                   f"--process_id={index}"] if processes > 1 else []  # fmt: skip
            log = folder / f"{len(list(folder.glob('*.log')))}.log"
            with log.open("w") as file:
                self.processes.append(
                    subprocess.Popen(
                        command + own,
                        cwd=ROOT,
                        env=environment(),
                        stdout=file,
                        stderr=subprocess.STDOUT,
                    )
                )
            self.logs.append(log)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for process in self.processes:
            process.kill()
            process.wait()

    def steps(self) -> list[int]:
        """Finished checkpoints."""
        listed = (self.workdir / "checkpoints").glob("*.sha256")
        return sorted(int(path.stem) for path in listed)

    def wait_for_checkpoint(self, after: int) -> None:
        end = time.monotonic() + PATIENCE
        while not any(step > after for step in self.steps()):
            assert time.monotonic() < end, self.texts()
            assert all(p.poll() is None for p in self.processes), self.texts()
            time.sleep(0.05)

    def codes(self) -> list[int]:
        return [process.wait(PATIENCE) for process in self.processes]

    def texts(self) -> list[str]:
        return [log.read_text() for log in self.logs]

    def losses(self) -> dict[int, float]:
        rows = map(json.loads, (self.workdir / "metrics.jsonl").read_text().splitlines())
        return {row["step"]: row["loss"] for row in rows if row["kind"] == "train"}


def environment() -> dict[str, str]:
    """One CPU device a process."""
    env = {k: v for k, v in os.environ.items() if not k.startswith(("SLURM_", "OMPI_"))}
    return env | {"JAX_PLATFORMS": "cpu", "XLA_FLAGS": QUICKLY, "PYTHONPATH": str(ROOT)}


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def test_a_killed_process_ends_the_other_and_the_run_resumes_anywhere(tmp_path):
    with Job(tmp_path, 2, steps=100_000, data__placement="device") as job:
        job.wait_for_checkpoint(0)
        job.processes[1].kill()
        code, _ = job.codes()
        assert code not in (0, None)
        message = r"another process of this run has ended|another task died"
        assert re.search(message, job.texts()[0]), job.texts()
        saved = job.steps()[-1]

    # all of them again, batches from the host this time; SIGTERM reaches one process alone
    with Job(tmp_path, 2, steps=100_000, data__placement="host") as job:
        job.wait_for_checkpoint(saved)
        job.processes[1].send_signal(signal.SIGTERM)
        assert job.codes() == [128 + signal.SIGTERM] * 2, job.texts()
        assert f"resuming at step {saved}" in job.texts()[0]
        stopped = int(re.search(r"stopped at step (\d+)", job.texts()[0])[1])
        assert job.steps()[-1] == stopped > saved
        two = job.losses()

    # the same run goes on in a single process
    with Job(tmp_path, 1, steps=stopped + 2) as job:
        assert job.codes() == [0], job.texts()
        assert f"resuming at step {stopped}" in job.texts()[0]
        assert json.loads((job.workdir / "metrics.json").read_text())["steps"] == stopped + 2
        assert (job.workdir / "report" / "index.html").exists()

    # and one that was never divided has the same losses
    alone = tmp_path / "alone"
    alone.mkdir()
    (alone / "data").symlink_to(tmp_path / "data")
    count = min(stopped, 12)
    with Job(alone, 1, steps=count) as job:
        assert job.codes() == [0], job.texts()
        one = job.losses()
    expected = [one[step] for step in range(1, count + 1)]
    np.testing.assert_allclose([two[s] for s in range(1, count + 1)], expected, rtol=1e-5)


def test_parameters_cut_over_processes(tmp_path):
    """Scores and a resumed run where no process holds the whole network; the last layer is cut."""
    wide = {"data__options__bands": 40, "mesh__data": 1}
    for steps in (1, 2):  # the second start would find what the first one compiled
        with Job(tmp_path, 2, steps=steps, mesh__fsdp=2, **wide) as job:
            assert job.codes() == [0, 0], job.texts()
    found = json.loads((job.workdir / "metrics.json").read_text())["test"]

    alone = tmp_path / "alone"
    alone.mkdir()
    (alone / "data").symlink_to(tmp_path / "data")
    with Job(alone, 1, steps=2, **wide) as job:
        assert job.codes() == [0], job.texts()
    expected = json.loads((job.workdir / "metrics.json").read_text())["test"]
    assert found == {key: pytest.approx(value, rel=1e-3) for key, value in expected.items()}


def test_an_error_of_every_process_is_told_and_ends_them(tmp_path):
    with Job(tmp_path, 2, steps=1, batch_size=3) as job:
        assert 0 not in job.codes()
        assert any("does not divide over 2 devices" in text for text in job.texts()), job.texts()


@pytest.mark.parametrize(
    ("given", "match"),
    [
        (("host:1", 2, None), "together"),
        (("host", 2, 0), "host:port"),
        (("host:1", 2, 2), "use 0 to 1"),
    ],
)
def test_half_an_address_is_refused(given, match):
    with pytest.raises(UserError, match=match):
        cluster.join(*given)


@pytest.mark.parametrize(
    ("variables", "expected"),
    [
        ({}, False),
        ({"SLURM_JOB_ID": "7", "SLURM_NTASKS": "8", "SLURM_PROCID": "0"}, False),  # sbatch
        ({"SLURM_STEP_NODELIST": "n1", "SLURM_PROCID": "0", "SLURM_STEP_NUM_TASKS": "1"}, False),
        ({"SLURM_STEP_NODELIST": "n", "SLURM_PROCID": "3", "SLURM_STEP_NUM_TASKS": "16"}, True),
        ({"SLURM_STEP_NODELIST": "n[1-2]", "SLURM_PROCID": "3", "SLURM_NTASKS": "16"}, True),
        ({"OMPI_MCA_orte_hnp_uri": "1.0;tcp://a:1", "OMPI_COMM_WORLD_SIZE": "4"}, True),
        ({"OMPI_MCA_orte_hnp_uri": "1.0;tcp://a:1", "OMPI_COMM_WORLD_SIZE": "1"}, False),
        ({"TPU_WORKER_HOSTNAMES": "a,b"}, False),  # on a CPU
    ],
)  # fmt: skip
def test_launchers_are_recognised(monkeypatch, variables, expected):
    for name in list(os.environ):
        if name.startswith(("SLURM_", "OMPI_", "TPU_")):
            monkeypatch.delenv(name)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert cluster.announced() is expected


@pytest.mark.parametrize(
    ("hosts", "platforms", "library", "expected"),
    [("a,b", "", True, True), ("a,b", "tpu,cpu", True, True), ("a", "", True, False),
     ("a,b", "cpu", True, False), ("a,b", "", False, False)],
)  # fmt: skip
def test_a_slice_of_tpus_is_recognised(monkeypatch, hosts, platforms, library, expected):
    monkeypatch.setenv("TPU_WORKER_HOSTNAMES", hosts)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: name if library else None)
    before = jax.config.jax_platforms
    jax.config.update("jax_platforms", platforms)
    try:
        assert cluster.announced() is expected
    finally:
        jax.config.update("jax_platforms", before)


def test_variables_of_tpus_on_a_cpu_stop_nothing(monkeypatch, tmp_path):
    """They did: the process waited for others that nobody had started."""
    monkeypatch.setenv("TPU_WORKER_HOSTNAMES", "a,b")
    config = Path(tiny_config.__file__)
    code, _, said = hsisr("--mode=prepare", f"--config={config}", f"--config.data.dir={tmp_path}")
    assert code == 0, said
    assert next(tmp_path.rglob("*.array_record*"))


@pytest.mark.parametrize(
    ("flags", "platform", "expected"),
    [
        ("", "cpu", ""),
        ("--xla_force_host_platform_device_count=4", "cuda", "4"),
        ("--xla_force_host_platform_device_count=4", "cpu", f"4 {cluster.ORDER}=false"),
        (
            f"{cluster.ORDER}=true --xla_force_host_platform_device_count=4",
            "cpu",
            f"{cluster.ORDER}=true --xla_force_host_platform_device_count=4",
        ),
    ],
)
def test_several_cpu_devices_keep_one_order(monkeypatch, flags, platform, expected):
    monkeypatch.setenv("XLA_FLAGS", flags)
    before = jax.config.jax_platforms
    jax.config.update("jax_platforms", platform)
    try:
        cluster.join(None, None, None)
    finally:
        jax.config.update("jax_platforms", before)
    assert os.environ["XLA_FLAGS"].endswith(expected)
    assert (cluster.ORDER in os.environ["XLA_FLAGS"]) == (cluster.ORDER in expected)
