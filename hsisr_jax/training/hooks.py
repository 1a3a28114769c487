"""What a run says: progress, metrics files."""

import json
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

import jax

from hsisr_jax.checkpoints import disk_error, write_text
from hsisr_jax.training.events import EventFile

PLAIN_SECONDS = 30.0  # between progress lines where the output is not a terminal


class MetricsLog:
    """`metrics.jsonl` and TensorBoard events, written by the first process only.

    `earlier` are the rows of the run that is resumed. Events are written here and now: a writing
    thread would take a full disk with it, and leave the run waiting for ever.
    """

    def __init__(self, workdir: Path, start_step: int):
        self.path = workdir / "metrics.jsonl"
        self.earlier = _rows_until(self.path, start_step)
        self._active = jax.process_index() == 0
        if not self._active:
            return
        with self._on_disk():
            write_text(self.path, "".join(json.dumps(row) + "\n" for row in self.earlier))
            self._file = self.path.open("a")
            self._events = EventFile(workdir, start_step)

    def write(self, kind: str, step: int, values: Mapping[str, float]) -> None:
        if not self._active:
            return
        with self._on_disk():
            self._file.write(json.dumps({"kind": kind, "step": step, **values}) + "\n")
            self._file.flush()
            numbers = {f"{kind}/{k}": x for k, x in values.items() if isinstance(x, (int, float))}
            self._events.scalars(step, numbers)
            self._events.flush()

    @contextmanager
    def _on_disk(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise disk_error(self.path, error) from error

    def __enter__(self) -> "MetricsLog":
        return self

    def __exit__(self, *_) -> None:
        if self._active:
            for file in (self._file, self._events):
                with suppress(OSError):  # a full disk was told of when a row was written
                    file.close()


def _rows_until(path: Path, step: int) -> list[dict]:
    """A resumed run repeats the steps after its checkpoint: their old rows go."""
    kept = []
    for line in path.read_text(errors="replace").splitlines() if path.exists() else []:
        try:
            row = json.loads(line)
            if row["step"] <= step:
                kept.append(row)
        except (ValueError, KeyError, TypeError):
            continue  # the half line of a killed process
    return kept


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
