"""Starts commands of the command line, to be killed: as users do, or as copies of a process.

A copy is made from a process that has imported the package, which saves most of the time until a
command has written something. From then on it does what the command does.
"""

import multiprocessing
import os
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

ROOT = Path(__file__).parents[1]
PRELOADED = ["hsisr_jax.cli", "hsisr_jax.modes", "hsisr_jax.predict", "hsisr_jax.train",
             "orbax.checkpoint", "tensorflow_datasets"]  # fmt: skip


class Command:
    """A process that runs a command and writes what it says to a log."""

    def __init__(self, command: list[str], log: Path):
        self.log = log
        with log.open("w") as stream:
            self.process = subprocess.Popen(command, stdout=stream, stderr=stream, cwd=ROOT)

    def poll(self) -> int | None:
        """The exit code, once it has ended."""
        return self.process.poll()

    def wait(self, timeout: float | None = None) -> int:
        """The exit code, at its end; `TimeoutExpired` if that does not come in time."""
        return self.process.wait(timeout)

    def send_signal(self, number: int) -> None:
        """Sends a signal, if it has not ended."""
        self.process.send_signal(number)

    def said(self) -> str:
        """The process's output."""
        return self.log.read_text(errors="replace")


class Copy(Command):
    """The same, in a copy of a process that has imported the package."""

    def __init__(self, command: list[str], log: Path, before: Callable[[], None] | None = None):
        self.log, self.command = log, command
        log.write_text("")
        context = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload(PRELOADED)
        self.child = context.Process(target=_run, args=(command[1:], log, before))
        self.child.start()

    def poll(self) -> int | None:
        return self.child.exitcode

    def wait(self, timeout: float | None = None) -> int:
        self.child.join(timeout)
        if self.child.exitcode is None:
            raise subprocess.TimeoutExpired(self.command, timeout or 0)
        return self.child.exitcode

    def send_signal(self, number: int) -> None:
        if self.child.exitcode is None and self.child.pid:
            with suppress(ProcessLookupError):  # it ended just now
                os.kill(self.child.pid, number)


def _run(argv: list[str], log: Path, before: Callable[[], None] | None) -> None:
    file = os.open(log, os.O_WRONLY | os.O_TRUNC)
    for stream in (1, 2):
        os.dup2(file, stream)
    os.chdir(ROOT)
    if before:
        before()
    sys.argv = argv  # which the flags of a config are read from
    from hsisr_jax import cli

    try:
        cli.run(argv)
    except KeyboardInterrupt:  # before the command listens
        sys.exit(130)


def start(command: list[str], log: Path, *, copied: bool) -> Command:
    """Starts a command, as users do or as a copy."""
    return Copy(command, log) if copied else Command(command, log)


def done(command: list[str], log: Path, *, copied: bool) -> tuple[int, str]:
    """Runs a command to its end; the exit code and what it said."""
    run = start(command, log, copied=copied)
    return run.wait(), run.said()
