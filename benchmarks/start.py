"""Time from the start of the command to the first training step, cold and with a warm cache.

    python -m benchmarks.start [--config configs/quickstart.py:smoke] [--rounds 3] [--imports]

Runs the command as a user does, in processes of their own, with a compilation cache that is empty
at first; `--imports` lists the modules that cost most to import. Times are of the process: wall and
CPU seconds from its start until `metrics.jsonl` has its first row.
"""

import os
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks import timing

ROOT = Path(__file__).parents[1]


def first_step(config: str, folder: Path, turn: int) -> dict[str, float]:
    """Starts the command and stops it after its first step."""
    workdir = folder / f"run{turn}"
    command = [sys.executable, "main.py", f"--config={config}", f"--workdir={workdir}",
               "--config.log_every=1", f"--config.data.dir={folder / 'data'}"]  # fmt: skip
    env = os.environ | {"JAX_COMPILATION_CACHE_DIR": str(folder / "xla"),
                        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
                        "JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES": "0"}  # fmt: skip
    began = time.perf_counter()
    with (folder / "log").open("w") as log:
        process = subprocess.Popen(command, cwd=ROOT, env=env, stdout=log, stderr=log)
    rows = workdir / "metrics.jsonl"
    while not (rows.exists() and rows.stat().st_size):
        if process.poll() is not None:
            sys.exit((folder / "log").read_text())
        time.sleep(0.01)
    wall = time.perf_counter() - began
    cpu = _cpu_seconds(process.pid)
    process.kill()
    process.wait()
    return {"wall": wall, "cpu": cpu}


def _cpu_seconds(pid: int) -> float:
    """User and system time of a process, where the system tells."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return float("nan")
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def imports(count: int = 15) -> list[tuple[float, str]]:
    """The slowest imports of the command: cumulative seconds and module."""
    code = "from hsisr_jax import modes"
    command = [sys.executable, "-X", "importtime", "-c", code]
    told = subprocess.run(command, cwd=ROOT, capture_output=True, text=True).stderr
    lines = re.findall(r"import time:\s+\d+ \|\s+(\d+) \| ( *)(\S+)", told)
    return sorted(((int(us) / 1e6, name) for us, depth, name in lines), reverse=True)[:count]


def main() -> None:
    parser = timing.parser(__doc__, rounds=3)
    parser.add_argument("--config", default="configs/quickstart.py:smoke")
    parser.add_argument("--imports", action="store_true")
    args = parser.parse_args()
    timing.heading("start", args)
    if args.imports:
        for seconds, name in imports():
            print(f"{seconds:8.3f} s  {name}")
        return
    found = []
    with tempfile.TemporaryDirectory() as folder:
        for turn in range(args.rounds + 1):
            found.append(first_step(args.config, Path(folder), turn))
            kind = "cached" if turn else "cold"
            wall, cpu = found[-1]["wall"], found[-1]["cpu"]
            print(f"{kind:7} first step after {wall:6.2f} s, {cpu:6.2f} s of CPU", flush=True)
    timing.save(args, {"cold": found[0], "cached": found[1:]})


if __name__ == "__main__":
    main()
