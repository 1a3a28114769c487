"""A long run: memory of host and device, logs and checkpoints, over many steps.

    python -m tools.long_run --steps 10000

Samples the resident memory of a training process (on a CPU the device's memory is part of it)
beside the step that it has logged, and compares the second half of the run with its first quarter.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from tools.chaos import ROOT, command, steps_of

GROWTH = 0.05  # of the resident memory after warming up: allocators are not exact


def resident(pid: int) -> float:
    """Resident memory of a process in MiB; 0 once it is gone."""
    try:
        text = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return 0.0
    lines = [line for line in text.splitlines() if line.startswith("VmRSS")]
    return int(lines[0].split()[1]) / 1024 if lines else 0.0


def rows(workdir: Path) -> list[dict]:
    path = workdir / "metrics.jsonl"
    lines = path.read_text().splitlines() if path.exists() else []
    return [json.loads(line) for line in lines if line.endswith("}")]


def watch(folder: Path, steps: int, every: float) -> tuple[list[tuple[int, float]], Path]:
    """Pairs of step and MiB, until the run ends."""
    workdir, samples = folder / "run", []
    flags = [f"--config.log_every={steps // 100}", f"--config.eval_every={steps // 10}",
             f"--config.checkpoint_every={steps // 20}"]  # fmt: skip
    with (folder / "log").open("w") as log:
        run = subprocess.Popen(
            [*command(workdir, folder / "data", steps, ""), *flags],
            cwd=ROOT,
            stdout=log,
            stderr=log,
        )
        while run.poll() is None:
            train = [row["step"] for row in rows(workdir) if row["kind"] == "train"]
            memory = resident(run.pid)
            if train and memory and train[-1] < steps:
                samples.append((train[-1], memory))
            time.sleep(every)
    if run.returncode:
        raise SystemExit((folder / "log").read_text()[-2000:])
    return samples, workdir


def faults(samples: list[tuple[int, float]], workdir: Path, steps: int) -> list[str]:
    """Lists what grew that should not have."""
    found = []
    at, memory = np.array(samples).T
    early, late = memory[(at > steps / 10) & (at <= steps / 3)], memory[at > steps / 2]
    print(f"{len(samples)} samples; resident MiB: {np.median(early):.0f} in steps up to a third, "
          f"{np.median(late):.0f} in the second half, at most {memory.max():.0f}")  # fmt: skip
    if np.median(late) > np.median(early) * (1 + GROWTH):
        found.append("memory grows")
    logged, kept = rows(workdir), steps_of(workdir)
    events = sum(path.stat().st_size for path in workdir.glob("events.*"))
    print(f"{len(logged)} rows in metrics.jsonl, {events / 1024:.0f} KiB of events, "
          f"checkpoints {kept}")  # fmt: skip
    if len(logged) > 100 + 10:
        found.append("more rows than were asked for")
    scores = {row["step"]: row["MPSNR"] for row in logged if row["kind"] == "eval"}
    best = max(scores, key=lambda step: (scores[step], -step))
    if best not in kept or steps not in kept or len(kept) > 3:
        found.append(f"the best step is {best} and {kept} are kept")
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--steps", type=int, default=10_000)
    parser.add_argument("--every", type=float, default=0.5, help="seconds between samples")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        samples, workdir = watch(Path(folder), options.steps, options.every)
        found = faults(samples, workdir, options.steps)
    print("\n".join(found) or "nothing grows; the best and the last checkpoints are kept")
    return bool(found)


if __name__ == "__main__":
    sys.exit(main())
