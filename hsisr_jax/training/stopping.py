"""Stopping a run by SIGTERM (preemption, SLURM), SIGINT (Ctrl-C) or SIGUSR1.

Python runs signal handlers in the main thread between two instructions, which can take minutes
while XLA compiles. A second thread gets the signal at once through a pipe. It informs the user, and
ends the process if there is nothing to save and the main thread does not react.
"""

import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import jax

REACTION = 2.0  # seconds that the main thread has to exit by itself


class Interrupted(BaseException):
    """The run was asked to stop; like KeyboardInterrupt, not a subclass of Exception."""

    def __init__(self, number: int):
        super().__init__(signal.Signals(number).name)
        self.number = number
        self.code = 128 + number


class Signals:
    """Handles signals: they request a stop after the step, or within `at_once` an immediate one.

    A second SIGINT always ends the process immediately.
    """

    NUMBERS = (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1)

    def __init__(self):
        self.received: int | None = None
        self._calls = 0
        self._leaving = False  # whether a signal raises instead of being noted
        self._forced = False  # and ends the process if that does not help
        self._before: dict = {}
        self._pipe: tuple[int, int] | None = None

    def __enter__(self) -> "Signals":
        # with several processes JAX itself listens to SIGTERM, on every host
        numbers = self.NUMBERS[jax.process_count() > 1 :]
        if threading.current_thread() is not threading.main_thread():
            return self  # the caller deals with signals
        self._pipe = os.pipe()
        os.set_blocking(self._pipe[1], False)
        self._wakeup = signal.set_wakeup_fd(self._pipe[1], warn_on_full_buffer=False)
        threading.Thread(target=self._watch, args=(self._pipe[0],), daemon=True).start()
        self._before = {n: signal.signal(n, self._handle) for n in numbers}
        return self

    def __exit__(self, *_) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        if self._pipe:
            signal.set_wakeup_fd(self._wakeup)
            os.close(self._pipe[1])  # the watching thread reads its end and goes
            self._pipe = None

    @contextmanager
    def at_once(self, *, nothing_to_save: bool = True) -> Iterator[None]:
        """Work in this block can be abandoned: a signal raises `Interrupted`.

        With `nothing_to_save` the process ends even if the main thread does not react.
        """
        if self.received is not None:
            raise Interrupted(self.received)
        self._leaving, self._forced = True, nothing_to_save
        try:
            yield
        finally:
            self._leaving = False

    def asked(self) -> bool:
        """Whether to stop after this step; processes agree if all of them call it equally often."""
        if jax.process_count() > 1:
            from jax.experimental import multihost_utils

            self._calls += 1  # not the step: JAX waits for the next whole number
            if multihost_utils.reached_preemption_sync_point(self._calls):
                self.received = int(signal.SIGTERM)
        return self.received is not None

    def _handle(self, number: int, _frame) -> None:
        """The handler, which Python runs in the main thread."""
        if jax.process_count() > 1 and not self._leaving:
            os.kill(os.getpid(), signal.SIGTERM)  # through JAX it reaches every process
            return
        self.received = number
        if self._leaving:
            self._leaving = False
            raise Interrupted(number)

    def _watch(self, pipe: int) -> None:
        """The second thread: reads signal numbers from the pipe as they arrive."""
        heard: list[int] = []
        while byte := os.read(pipe, 1):
            number = byte[0]
            if number not in self._before:
                continue
            if number == signal.SIGINT and number in heard:
                os._exit(128 + number)
            heard.append(number)
            doing = "stopping" if self._leaving else "stopping after this step"
            print(f"\n{signal.Signals(number).name}: {doing} ...", file=sys.stderr, flush=True)
            if self._leaving and self._forced:
                threading.Timer(REACTION, self._leave, [number]).start()
        os.close(pipe)

    def _leave(self, number: int) -> None:
        """Ends the process if the main thread does not, for example while XLA compiles."""
        if self._leaving and self._forced:
            print("stopped: run the same command to resume", file=sys.stderr, flush=True)
            os._exit(128 + number)
