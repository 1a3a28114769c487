"""Progress on the terminal, and the log of metrics."""

import json
import math
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

import jax

from hsisr_jax.files import on_disk, write_text
from hsisr_jax.training.loggers import LOGGERS

REMEMBERED = 8  # checkpoints whose unlogged means are kept
PLAIN_SECONDS = 30.0  # between progress lines where the output is not a terminal


class MetricsLog:
    """`metrics.jsonl` and the chosen loggers, written by the first process only.

    `earlier` are the rows of the run that is resumed.
    """

    def __init__(self, workdir: Path, start_step: int, loggers: Sequence[str] = ("tensorboard",)):
        self.path = workdir / "metrics.jsonl"
        self.earlier = _rows_until(self.path, start_step)
        self._active = jax.process_index() == 0
        if not self._active:
            return
        with on_disk(self.path):
            write_text(self.path, "".join(json.dumps(row) + "\n" for row in self.earlier))
            self._file = self.path.open("a")
            self._loggers = [LOGGERS[name](workdir, start_step) for name in loggers]

    def write(self, kind: str, step: int, values: Mapping[str, float]) -> None:
        if not self._active:
            return
        with on_disk(self.path):
            # JSON has null instead of NaN
            row = {k: None if not math.isfinite(x) else x for k, x in values.items()}
            self._file.write(json.dumps({"kind": kind, "step": step, **row}) + "\n")
            self._file.flush()
            for logger in self._loggers:
                logger.write(kind, step, values)

    def __enter__(self) -> "MetricsLog":
        return self

    def __exit__(self, *_) -> None:
        if self._active:
            for close in (self._file.close, *(logger.close for logger in self._loggers)):
                with suppress(OSError):  # a full disk was reported when a row was written
                    close()


def _rows_until(path: Path, step: int) -> list[dict]:
    """Drops rows after the checkpoint, since a resumed run repeats those steps."""
    kept = []
    for line in path.read_text(errors="replace").splitlines() if path.exists() else []:
        try:
            row = json.loads(line)
            if row["step"] <= step and row["kind"]:
                kept.append(row)
        except (ValueError, KeyError, TypeError, RecursionError):
            continue  # the half line of a killed process
    return kept


class Means:
    """Means of the training scalars over all steps since the last line of the log.

    Means that are not logged yet are kept in the workdir beside each checkpoint, so that a resumed
    run logs the same values as an uninterrupted one.
    """

    def __init__(self, workdir: Path, start_step: int):
        self.path = workdir / "unlogged.json"
        try:
            saved = json.loads(self.path.read_text())
            self.saved = {str(step): (dict(sums), dict(n)) for step, (sums, n) in saved.items()}
        except (OSError, ValueError, TypeError, AttributeError, RecursionError):
            self.saved = {}
        self._waiting: list[tuple[Mapping, int]] = []
        sums, steps = self.saved.get(str(start_step), ({}, {}))
        self.sums, self.steps = dict(sums), dict(steps)

    def add(self, scalars: Mapping[str, jax.Array], steps: int) -> None:
        """Adds the scalars of a dispatch; they stay on the device until they are needed."""
        self._waiting.append((scalars, steps))

    def take(self) -> dict[str, float]:
        """Returns the means and starts again; NaN for values that were never finite."""
        self._add_up()
        means = {k: self.sums[k] / n if n else math.nan for k, n in self.steps.items()}
        self.sums, self.steps = {}, {}
        return means

    def save(self, step: int) -> None:
        """Stores the unlogged sums beside the checkpoint of this step."""
        self._add_up()
        self.saved[str(step)] = dict(self.sums), dict(self.steps)
        self.saved = dict(list(self.saved.items())[-REMEMBERED:])
        if jax.process_index() == 0:
            write_text(self.path, json.dumps(self.saved) + "\n")

    def _add_up(self) -> None:
        waiting, self._waiting = jax.device_get(self._waiting), []
        for scalars, steps in waiting:
            for name, value in scalars.items():
                known = math.isfinite(value)
                self.sums[name] = self.sums.get(name, 0.0) + (steps * float(value) if known else 0)
                self.steps[name] = self.steps.get(name, 0) + steps * known


class Progress:
    """One live line on a terminal, plain lines from time to time elsewhere."""

    def __init__(
        self, total: int, start: int, examples: int, stream=None, *, unit: str = "examples"
    ):
        self.stream = stream or sys.stderr
        self.live = self.stream.isatty() and jax.process_index() == 0
        self.quiet = jax.process_index() != 0
        self.total, self.examples, self.unit = total, examples, unit
        self.began, self.start = time.monotonic(), start
        self._said, self._losses = self.began, [(start, 0.0)]
        self._noted = ("", self.began)  # the last line of `note` that stayed

    def rate(self, step: int) -> float:
        """Examples per second since the clock was last started."""
        return (step - self.start) * self.examples / max(time.monotonic() - self.began, 1e-9)

    def restart_clock(self, step: int) -> None:
        """Excludes the time of a compilation or an evaluation from the rate."""
        self.began, self.start = time.monotonic(), step

    def update(self, step: int, values: Mapping[str, float], *, force: bool = False) -> None:
        """Shows a step, from time to time; its loss is the mean since the step shown before."""
        if self.quiet:
            return
        now = time.monotonic()
        if "loss" in values:
            self._losses.append((step, values["loss"]))
        if not (self.live or force or now - self._said >= PLAIN_SECONDS):
            return
        self._said = now
        if "loss" in values:
            values = {**values, "loss": self._mean_loss()}
        done = max(step - self.start, 1)
        left = (self.total - step) * (now - self.began) / done
        shown = [f"{name} {value:.4g}" for name, value in values.items()]
        name = "step" if self.unit == "examples" else self.unit
        rate = self.rate(step)
        speed = f"{rate:.{0 if rate >= 10 else 1}f} {self.unit}/s"
        line = "  ".join([f"{name} {step}/{self.total}", *shown, speed, f"ETA {clock(left)}"])
        if self.live:
            filled = round(20 * step / max(self.total, 1))
            bar = "█" * filled + "·" * (20 - filled)
            print(f"\r\x1b[K{bar} {line}", end="", file=self.stream, flush=True)
        else:
            print(line, file=self.stream, flush=True)

    def _mean_loss(self) -> float:
        steps, losses = zip(*self._losses)
        self._losses = self._losses[-1:]
        known = [(b - a, x) for a, b, x in zip(steps, steps[1:], losses[1:]) if math.isfinite(x)]
        return sum(n * x for n, x in known) / sum(n for n, _ in known) if known else math.nan

    def note(self, what: str, done: int, total: int) -> None:
        """Progress of a preparation: a live line, or its end elsewhere. Of thousands of patch files
        one line a second stays."""
        kind, now = what.split()[0], time.monotonic()
        stays = done >= total and (kind != self._noted[0] or now - self._noted[1] >= 1)
        if stays:
            self._noted = kind, now
        if self.live:
            text = f"\r\x1b[K{what} {done}/{total}"
            print(text, end="\n" if stays else "", file=self.stream, flush=True)
        elif stays and not self.quiet:
            print(f"{what} {done}/{total}", file=self.stream, flush=True)

    def say(self, text: str) -> None:
        if not self.quiet:
            start = "\r\x1b[K" if self.live else ""
            print(f"{start}{text}", file=self.stream, flush=True)


def told(text: str) -> None:
    """Tells the user."""
    Progress(0, 0, 1).say(text)


def clock(seconds: float) -> str:
    """`75` -> `1:15`."""
    minutes, seconds = divmod(int(max(seconds, 0)), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02}" if hours else f"{minutes}:{seconds:02}"
