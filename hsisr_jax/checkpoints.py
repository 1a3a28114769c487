"""Checkpoints: atomic and checksummed, the best and the latest are kept.

Orbax writes a step under a temporary name and renames it. Each finished step has a list of SHA-256
sums beside it (`<step>.sha256`). A step that does not match its list is renamed to
`<step>.damaged` before anything is read from it, and the previous one is used. A finished step is
never written again; scores that come later are stored beside it (`<step>.scores`).
"""

import hashlib
import json
import logging
import math
import os
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import wraps
from pathlib import Path
from typing import Any

import jax
import numpy as np

from hsisr_jax import cluster
from hsisr_jax.errors import UserError, disk_number, first_line, stop_in
from hsisr_jax.files import read_json, write_text

FOLDER = "checkpoints"
ATTEMPTS = 5  # to read checkpoints that a run is replacing
UNFINISHED = ".orbax-checkpoint-tmp"  # Orbax's temporary names contain it


def reading(function: Callable) -> Callable:
    """Decorates a function that reads a workdir's checkpoints: it is called again if a run that
    trains there replaced them meanwhile."""

    @wraps(function)
    def again(workdir: str | os.PathLike, *rest: Any) -> Any:
        folder = Path(workdir) / FOLDER
        for _ in range(ATTEMPTS):
            before = {path.name for path in folder.glob("*") if path.name.isdigit()}
            try:
                return function(workdir, *rest)
            except Exception:
                if before == {path.name for path in folder.glob("*") if path.name.isdigit()}:
                    raise
        raise UserError(
            f"the checkpoints in {folder} change faster than they can be read: try again when the "
            "run there has ended"
        )

    return again


class Checkpoints:
    """The checkpoints of one workdir. Use as a context manager: leaving it waits for the writes."""

    def __init__(
        self,
        workdir: str | os.PathLike,
        *,
        keep: int = 2,
        metric: str = "",
        higher_is_better: bool = True,
        read_only: bool = False,
        say: Callable[[str], None] = print,
    ):
        self.folder = Path(workdir).resolve() / FOLDER
        if read_only and not self.folder.is_dir():
            raise UserError(f"there are no checkpoints in {workdir}: is it the workdir of a run?")
        self.say, self.read_only = say, read_only
        self.metric = metric
        self.sign = 1 if higher_is_better else -1
        self.keep = keep
        logging.getLogger("absl").addFilter(DISK_ERRORS)
        self._damaged: set[int] = set()  # that may not be moved: the folder is someone else's
        if read_only:
            self._damaged = {int(path.name) for path, _ in self._faults()}
        else:
            if jax.process_index() == 0:
                for path in self.folder.glob(f"*{UNFINISHED}*"):  # Orbax does so later, in a thread
                    shutil.rmtree(path, ignore_errors=True)
                self._set_damaged_aside()
            cluster.wait_for_all("damaged checkpoints are set aside")
        beside = [p for p in self.folder.glob("*.scores") if p.stem.isdigit()]
        self._added = {int(path.stem): _scores_in(path) for path in beside}
        self._unlisted: list[int] = []
        from orbax.checkpoint import v1 as ocp  # a fifth of the time to start, where none is read

        with self._on_disk():
            self._checkpointer = ocp.training.Checkpointer(
                self.folder, preservation_policy=_Kept(self)
            )

    def __enter__(self) -> "Checkpoints":
        return self

    def __exit__(self, kind, *_) -> None:
        if kind and cluster.several():
            return  # a write that is under way waits for the others, who may be gone
        self.close()

    def close(self) -> None:
        try:
            self.wait()
        finally:
            with self._on_disk():
                self._checkpointer.close()

    def wait(self) -> None:
        """Waits until every write is on disk and has its checksums."""
        with self._on_disk():
            self._checkpointer.wait()
        self._list_finished()

    @contextmanager
    def _on_disk(self) -> Iterator[None]:
        """Turns disk errors of Orbax into a `UserError`; the last step stays good."""
        try:
            yield
        except UserError:
            raise
        except Exception as error:
            self._unlisted = []
            if stop := stop_in(error):
                raise stop from None
            if (number := disk_number(error)) is None:
                raise
            DISK_ERRORS.told = True
            raise UserError(
                f"cannot read the checkpoints in {self.folder}: {os.strerror(number)}"
                if self.read_only
                else f"cannot write a checkpoint to {self.folder}: {os.strerror(number)}; the "
                "checkpoints there are good: free space, and run the same command to resume"
            ) from error

    @property
    def latest(self) -> int | None:
        return max((found.step for found in self._intact()), default=None)

    @property
    def best(self) -> int | None:
        """The step with the best metric, else the latest."""
        best = self.best_of(self._intact())
        return self.latest if best is None else best

    def best_of(self, checkpoints: Iterable[Any]) -> int | None:
        """The first step with the best finite score."""
        scores = {c.step: self._scores(c).get(self.metric) for c in checkpoints}
        found = {
            step: self.sign * value
            for step, value in scores.items()
            if isinstance(value, int | float) and math.isfinite(value)
        }
        return max(found, key=lambda step: (found[step], -step)) if found else None

    def _scores(self, checkpoint: Any) -> Mapping[str, float]:
        return checkpoint.metrics or self._added.get(checkpoint.step, {})

    def _intact(self) -> list:
        return [c for c in self._checkpointer.checkpoints if c.step not in self._damaged]

    def has_scores(self, step: int) -> bool:
        """Whether a step was saved together with its metrics."""
        return any(c.step == step and self._scores(c) for c in self._checkpointer.checkpoints)

    def save(self, step: int, trees: Mapping[str, Any], metrics: dict | None = None) -> None:
        """Starts writing a step; returns when the arrays are copied.

        An existing step is not changed; metrics that it lacks are stored beside it.
        """
        if any(c.step == step for c in self._checkpointer.checkpoints):
            if metrics and not self.has_scores(step):
                self.wait()
                if jax.process_index() == 0:
                    write_text(self.folder / f"{step}.scores", json.dumps(metrics))
                self._added[step] = metrics
            return
        self.wait()
        trees = {name: tree for name, tree in trees.items() if not _empty(tree)}
        self._unlisted.append(step)
        with self._on_disk():
            self._checkpointer.save_checkpointables_async(step, trees, force=True, metrics=metrics)

    def names(self, step: int) -> set[str]:
        """The names of the trees in a step."""
        return {path.name for path in (self.folder / str(step)).iterdir() if path.is_dir()}

    def restore(self, step: int, targets: Mapping[str, Any]) -> dict[str, Any]:
        """The named trees of a step, on the devices of the targets' shardings."""
        targets = {name: tree for name, tree in targets.items() if not _empty(tree)}
        try:
            return self._checkpointer.load_checkpointables(step, dict(targets))
        except (ValueError, KeyError) as error:
            if stop := stop_in(error):  # a signal while it was read
                raise stop from None
            raise UserError(
                f"checkpoint {step} in {self.folder} does not fit this network: "
                f"{_first_line(error)}; use the config that it was trained with"
            ) from error

    def _list_finished(self) -> None:
        """Writes the checksums of finished steps and removes those of deleted steps."""
        if jax.process_index() != 0:
            return
        for step in self._unlisted:
            if (self.folder / str(step)).is_dir():
                write_text(self._sums(step), json.dumps(_digests(self.folder / str(step))))
        self._unlisted = []
        for beside in (*self.folder.glob("*.sha256"), *self.folder.glob("*.scores")):
            if not (self.folder / beside.stem).is_dir():
                beside.unlink(missing_ok=True)

    def _sums(self, step: int | str) -> Path:
        return self.folder / f"{step}.sha256"

    def _set_damaged_aside(self) -> None:
        for path, fault in self._faults():
            aside = path.with_name(f"{path.name}.damaged")
            aside = aside if not aside.exists() else Path(f"{aside}-{os.getpid()}")
            path.rename(aside)
            for beside in (self._sums(path.name), self.folder / f"{path.name}.scores"):
                beside.unlink(missing_ok=True)
            self.say(f"checkpoint {path.name} is damaged ({fault}): set aside as {aside.name}")

    def _faults(self) -> list[tuple[Path, str]]:
        """The finished steps that are damaged, and how."""
        steps = (path for path in sorted(self.folder.glob("*")) if path.name.isdigit())
        found = ((path, _fault(path, self._sums(path.name))) for path in steps if path.is_dir())
        return [(path, fault) for path, fault in found if fault]


class _DiskErrors(logging.Filter):
    """Keeps out of the log what a `UserError` says in a line: each of Orbax's threads shows a
    traceback or two of a full disk, and others where the interpreter ends before they do."""

    told = False  # a `UserError` was raised

    def filter(self, record: logging.LogRecord) -> bool:
        error = record.exc_info[1] if record.exc_info else None
        ended = self.told and isinstance(error, RuntimeError)
        return error is None or not ended and disk_number(error) is None


DISK_ERRORS = _DiskErrors()


class _Kept:
    """The steps that Orbax keeps: the latest few, and the best."""

    def __init__(self, owner: Checkpoints):
        self.owner = owner

    def should_preserve(self, checkpoints: Sequence[Any], *, context: Any) -> list[bool]:
        steps = sorted(c.step for c in checkpoints)
        kept = {*steps[-self.owner.keep :], self.owner.best_of(checkpoints)}
        return [c.step in kept for c in checkpoints]


def _scores_in(path: Path) -> dict[str, float]:
    """The scores stored beside a step; none if the file is not readable."""
    found = read_json(path)
    return found if isinstance(found, dict) else {}


def _fault(folder: Path, sums: Path) -> str:
    """The reason why a finished step cannot be used; empty if it can."""
    if not (folder / "_CHECKPOINT_METADATA").exists():
        return "its metadata file is missing"
    if not sums.exists():  # killed between the rename and the list: Orbax's own rename vouches
        return ""
    try:
        expected = dict(json.loads(sums.read_text()).items())
    except (ValueError, RecursionError, AttributeError):
        return "its list of sums is unreadable"
    for name, digest in expected.items():
        path = folder / name
        if not path.is_file():
            return f"{name} is missing"
        if _digest(path) != digest:
            return f"{name} has changed"
    return ""


def _digests(folder: Path) -> dict[str, str]:
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): _digest(path) for path in files}


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _empty(tree: Any) -> bool:
    return tree is None or (not isinstance(tree, (str, int, float)) and not jax.tree.leaves(tree))


def _first_line(error: BaseException) -> str:
    """The first cause in one line, without the messages that Orbax wraps around it."""
    while error.__cause__ is not None:
        error = error.__cause__
    return first_line(error, 300)


def targets(tree: Any, shardings: Any) -> Any:
    """The targets for `restore`: shapes, types and shardings of a tree."""
    return jax.tree.map(
        lambda x, s: jax.ShapeDtypeStruct(np.shape(x), x.dtype, sharding=s), tree, shardings
    )
