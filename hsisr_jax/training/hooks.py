"""What a run says and how it stops: progress, metrics files, signals."""

import json
import os
import signal
import sys
import time
from collections.abc import Mapping
from pathlib import Path

import jax

from hsisr_jax.checkpoints import disk_error

PLAIN_SECONDS = 30.0  # between progress lines where the output is not a terminal


class Interrupted(Exception):
    """The run was asked to stop; its state is saved."""

    def __init__(self, number: int):
        super().__init__(signal.Signals(number).name)
        self.code = 128 + number


class Signals:
    """SIGTERM, SIGINT and SIGUSR1 ask for a stop at the next step; a second SIGINT is at once."""

    NUMBERS = (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1)

    def __init__(self):
        self.received: int | None = None
        self._before: dict = {}

    def __enter__(self) -> "Signals":
        # with several processes JAX itself listens to SIGTERM, on every host
        numbers = self.NUMBERS if jax.process_count() == 1 else self.NUMBERS[1:2]
        try:
            self._before = {n: signal.signal(n, self._handle) for n in numbers}
        except ValueError:  # not the main thread: the caller deals with signals
            self._before = {}
        return self

    def __exit__(self, *_) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def asked(self, step: int) -> bool:
        """Whether to stop after this step; several processes agree on it."""
        if jax.process_count() > 1:
            from jax.experimental import multihost_utils

            if multihost_utils.reached_preemption_sync_point(step):
                self.received = self.received or int(signal.SIGTERM)
        return self.received is not None

    def _handle(self, number: int, _frame) -> None:
        if number == signal.SIGINT and self.received == signal.SIGINT:
            os._exit(130)
        self.received = number
        print(f"\n{signal.Signals(number).name}: saving ...", file=sys.stderr, flush=True)


class MetricsLog:
    """`metrics.jsonl` and TensorBoard events, from the first process only."""

    def __init__(self, workdir: Path, start_step: int):
        self._active = jax.process_index() == 0
        if not self._active:
            return
        from tensorboardX import SummaryWriter

        self._path = workdir / "metrics.jsonl"
        _drop_rows_after(self._path, start_step)
        self._file = self._path.open("a")
        self._events = SummaryWriter(str(workdir), max_queue=20, flush_secs=30)

    def write(self, kind: str, step: int, values: Mapping[str, float]) -> None:
        if not self._active:
            return
        try:
            self._file.write(json.dumps({"kind": kind, "step": step, **values}) + "\n")
            self._file.flush()
        except OSError as error:
            raise disk_error(self._path, error) from error
        for name, value in values.items():
            if isinstance(value, (int, float)):
                self._events.add_scalar(f"{kind}/{name}", value, step)

    def __enter__(self) -> "MetricsLog":
        return self

    def __exit__(self, *_) -> None:
        if self._active:
            self._file.close()
            self._events.close()


def _drop_rows_after(path: Path, step: int) -> None:
    """A resumed run repeats the steps after its checkpoint: their old rows go."""
    if not path.exists():
        return
    kept = []
    for line in path.read_text().splitlines():
        try:
            if json.loads(line)["step"] <= step:
                kept.append(line)
        except (ValueError, KeyError, TypeError):
            continue  # the half line of a killed process
    partial = path.with_suffix(".partial")
    partial.write_text("".join(line + "\n" for line in kept))
    partial.replace(path)


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
        self._said = self.began

    def rate(self, step: int) -> float:
        """Examples per second since the clock was last started."""
        return (step - self.start) * self.examples / max(time.monotonic() - self.began, 1e-9)

    def restart_clock(self, step: int) -> None:
        """After a compilation or an evaluation, which are not training."""
        self.began, self.start = time.monotonic(), step

    def update(self, step: int, values: Mapping[str, float], *, force: bool = False) -> None:
        now = time.monotonic()
        if self.quiet or not (self.live or force or now - self._said >= PLAIN_SECONDS):
            return
        self._said = now
        done = max(step - self.start, 1)
        left = (self.total - step) * (now - self.began) / done
        shown = "  ".join(f"{name} {value:.4g}" for name, value in values.items())
        name = "step" if self.unit == "examples" else self.unit
        speed = f"{self.rate(step):.0f} {self.unit}/s  ETA {clock(left)}"
        line = f"{name} {step}/{self.total}  {shown}  {speed}"
        if self.live:
            filled = round(20 * step / max(self.total, 1))
            bar = "█" * filled + "·" * (20 - filled)
            print(f"\r\x1b[K{bar} {line}", end="", file=self.stream, flush=True)
        else:
            print(line, file=self.stream, flush=True)

    def note(self, what: str, done: int, total: int) -> None:
        """Progress of a preparation: a live line, or its end elsewhere."""
        if self.live:
            print(f"\r\x1b[K{what} {done}/{total}", end="", file=self.stream, flush=True)
            if done >= total:
                print(file=self.stream)
        elif done >= total and not self.quiet:
            print(f"{what} {done}/{total}", file=self.stream, flush=True)

    def say(self, text: str) -> None:
        if not self.quiet:
            start = "\r\x1b[K" if self.live else ""
            print(f"{start}{text}", file=self.stream, flush=True)


def clock(seconds: float) -> str:
    """`75` -> `1:15`."""
    minutes, seconds = divmod(int(max(seconds, 0)), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02}" if hours else f"{minutes}:{seconds:02}"
