"""Prediction of one scene by several processes: `--mode=predict --parts=8`, started repeatedly.

The rows of the output are divided into parts. Each process takes parts that no other one has; those
of a killed process are taken by the others or by the next call. The process that finds all parts
done gives the file its name. The bytes are those of a single process. The output is ENVI or Zarr,
which several processes can write at once.
"""

import glob
import time
from contextlib import ExitStack, suppress
from pathlib import Path

from hsisr_jax import formats, locks
from hsisr_jax.errors import UserError
from hsisr_jax.formats import places
from hsisr_jax.formats.raw import partial
from hsisr_jax.inference import finished, sensed
from hsisr_jax.inference import output as outputs
from hsisr_jax.inference.grid import Grid
from hsisr_jax.inference.memory import Sizes
from hsisr_jax.inference.options import Options
from hsisr_jax.inference.packaged import Load
from hsisr_jax.predict import After, Job
from hsisr_jax.training.hooks import told

WAIT = 1.0  # seconds between looks at what others are making
FORMATS = ("envi", "zarr")


def predict(
    load: Load,
    source: str,
    target: Path,
    options: Options,
    parts: int,
    *,
    after: After | None = None,
) -> None:
    """Makes parts of a scene's output until all of them exist."""
    if parts < 1 or formats.written_as(target) not in FORMATS:
        raise UserError(f"--parts={parts}: use 1 or more, and an output of ENVI or Zarr")
    if places.is_url(target):
        raise UserError(f"--parts={parts}: parts are shared out by locks, which a URL has not: "
                        "leave it out, or give an output on this machine")  # fmt: skip
    with formats.open_scene(source, variable=options.variable or None) as scene:
        formats.check_target(target, scene, options.dtype)
        options = sensed.numbered(options, scene, told)
        SharedJob(load(scene, options), scene, options).run(target, parts, after)


class SharedJob(Job):
    """The prediction of some parts of a scene."""

    def run(self, target: Path, parts: int = 1, after: After | None = None) -> None:
        """Makes the missing parts, then finishes the file, unless another process has."""
        while not self._attempt(target, parts, after):
            self.say(f"starting {target.name} anew: a process was killed while it finished it")
        data = formats.written_files(target)[0]
        with locks.held(_beside(data, "turn"), "", wait=True, remove=True):
            _remove_locks(data)

    def _attempt(self, target: Path, parts: int, after: After | None) -> bool:
        """Whether the file is finished; not if another process was killed while it did that."""
        data = formats.written_files(target)[0]
        turn, users = _beside(data, "turn"), _beside(data)
        with ExitStack() as stack:
            with locks.held(turn, "", wait=True, remove=True):
                if finished.made_from(target, self.work):
                    self.say(f"{target} is finished")
                    return True
                sizes, grid = self.plan()
                output = self._join(target, sizes, users, stack)
            self._make_parts(sizes, grid, output, parts)
            with locks.held(turn, "", wait=True, remove=True):
                output.journal.read()
                if not output.journal.same:
                    output.writer.leave()
                    self.say(f"{target} was finished by another process")
                    return True
                if not partial(data).exists():
                    output.writer.leave()
                    return False
                if output.quicklook:
                    output.quicklook.read()
                self.conclude(output, target)
                if after:
                    after(self, target)
                finished.tell(target, self.work)
                return True

    def _join(self, target: Path, sizes: Sizes, users: Path, stack: ExitStack) -> outputs.Output:
        """Opens the output, begun by this process or by another one."""
        refusal = f"other processes are writing {target} with other settings: wait for them"
        try:
            with locks.held(users, refusal):
                alone = True
        except locks.Busy:
            alone = False
        if not alone:
            journal = self.journal(target, sizes)
            journal.read()
            if not journal.same:
                raise locks.Busy(refusal)
        stack.enter_context(locks.held(users, refusal, shared=True))
        return self.begin(target, sizes, join=True)[0]

    def _make_parts(self, sizes: Sizes, grid: Grid, output: outputs.Output, parts: int) -> None:
        """Makes parts until the journal lists all units."""
        units = {unit.key for strip in grid.units(set()) for unit in strip}
        bands, journal = len(grid.rows.starts), output.journal
        while not (done := journal.read()) >= units and journal.same:
            took = False
            for part in sorted({band * parts // bands for _, band in units - done}):
                with ExitStack() as stack:
                    try:
                        lock = _beside(journal.output, f"part{part}")
                        stack.enter_context(locks.held(lock, "", remove=True))
                    except locks.Busy:
                        continue
                    ours = {key for key in units if key[1] * parts // bands == part}
                    missing = ours - journal.read()
                    if not journal.same:  # finished by another process
                        return
                    if missing:
                        if output.quicklook:
                            output.quicklook.read()
                        self.make(sizes, grid, output, units - missing)
                    took = True
            if not took:
                time.sleep(WAIT)


def _remove_locks(data: Path) -> None:
    """Removes lock files that nobody holds: killed processes leave those of their parts."""
    parts = data.parent.glob(f"{glob.escape(data.name)}.part*.lock.partial")
    for path in (*parts, _beside(data)):
        with suppress(locks.Busy), locks.held(path, "", remove=True):
            pass


def _beside(data: Path, what: str = "") -> Path:
    """A lock file; without a name of its own that of whoever writes the file alone."""
    return data.with_name(f"{data.name}.{what}{'.' if what else ''}lock.partial")
