"""Checkpoints: atomic, checksummed, best and latest kept, weights apart from optimizer state.

Orbax writes a step beside and renames it. A list of SHA-256 sums is put beside each finished step
(`<step>.sha256`), and a step that does not match its list any more is set aside as
`<step>.damaged` before anything is read from it: the previous one is used instead.
"""

import errno
import hashlib
import json
import os
import re
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import jax
import numpy as np
from orbax.checkpoint import v1 as ocp

from hsisr_jax import cluster
from hsisr_jax.errors import UserError

FOLDER = "checkpoints"
UNFINISHED = ".orbax-checkpoint-tmp"  # how Orbax calls what it has not renamed yet
DISK_ERRORS = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EACCES, errno.EIO)
ADVICE = {
    errno.ENOENT: "make its folder first",
    errno.ENOTDIR: "make its folder first",
    errno.EISDIR: "give a file's name",
    errno.EACCES: "change the permissions or write elsewhere",
    errno.EPERM: "change the permissions or write elsewhere",
    errno.EROFS: "write elsewhere",
}
WEIGHTS = ("params", "ema", "batch_stats", "constants")  # what prediction needs


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
        self.say = say
        self.metric = metric
        self.sign = 1 if higher_is_better else -1
        policies = ocp.training.preservation_policies
        kept = [policies.LatestN(keep)]
        if metric:
            kept.append(
                policies.BestN(
                    get_metric_fn=lambda values: self.sign * values[metric],
                    n=1,
                    keep_checkpoints_without_metrics=False,
                )
            )
        self._damaged: set[int] = set()  # that may not be moved: the folder is someone else's
        if read_only:
            self._damaged = {int(path.name) for path, _ in self._faults()}
        else:
            if jax.process_index() == 0:
                self._remove_unfinished()
                self._set_damaged_aside()
            cluster.wait_for_all("damaged checkpoints are set aside")
        self._unlisted: list[int] = []
        with self._on_disk():
            self._checkpointer = ocp.training.Checkpointer(
                self.folder, preservation_policy=policies.AnyPreservationPolicy(kept)
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
            self._checkpointer.close()

    def wait(self) -> None:
        """Until every write is on disk and listed."""
        with self._on_disk():
            self._checkpointer.wait()
        self._list_finished()

    @contextmanager
    def _on_disk(self) -> Iterator[None]:
        """What Orbax and TensorStore say of a disk becomes a message; the last step stays good."""
        try:
            yield
        except UserError:
            raise
        except Exception as error:
            self._unlisted = []
            if (reason := _disk_reason(error)) is None:
                raise
            raise UserError(
                f"cannot write a checkpoint to {self.folder}: {reason}; the checkpoints there are "
                "good: free space, and run the same command to resume"
            ) from error

    @property
    def latest(self) -> int | None:
        return max((found.step for found in self._intact()), default=None)

    @property
    def best(self) -> int | None:
        """The step with the best metric, else the latest."""
        scored = [c for c in self._intact() if c.metrics and self.metric in c.metrics]
        if not scored:
            return self.latest
        return max(scored, key=lambda c: (self.sign * c.metrics[self.metric], -c.step)).step

    def _intact(self) -> list:
        return [c for c in self._checkpointer.checkpoints if c.step not in self._damaged]

    def has_scores(self, step: int) -> bool:
        """Whether a step was saved together with its metrics."""
        return any(c.step == step and c.metrics for c in self._checkpointer.checkpoints)

    def save(self, step: int, trees: Mapping[str, Any], metrics: dict | None = None) -> None:
        """Starts a write and returns once the arrays are copied.

        An existing step is left alone, unless it is metrics that it lacks.
        """
        exists = any(c.step == step for c in self._checkpointer.checkpoints)
        if exists and (not metrics or self.has_scores(step)):
            return
        self.wait()
        trees = {name: tree for name, tree in trees.items() if not _empty(tree)}
        self._unlisted.append(step)
        with self._on_disk():
            if exists:
                self._sums(step).unlink(missing_ok=True)
            self._checkpointer.save_checkpointables_async(
                step, trees, force=True, overwrite=exists, metrics=metrics
            )

    def names(self, step: int) -> set[str]:
        """The trees that a step holds."""
        return {path.name for path in (self.folder / str(step)).iterdir() if path.is_dir()}

    def restore(self, step: int, targets: Mapping[str, Any]) -> dict[str, Any]:
        """The named trees of a step, on the devices that the targets' shardings say."""
        targets = {name: tree for name, tree in targets.items() if not _empty(tree)}
        try:
            return self._checkpointer.load_checkpointables(step, dict(targets))
        except (ValueError, KeyError) as error:
            raise UserError(
                f"checkpoint {step} in {self.folder} does not fit this network: "
                f"{_first_line(error)}; use the config that it was trained with"
            ) from error

    def _list_finished(self) -> None:
        """Sums for the steps that are finished; lists of removed steps go."""
        if jax.process_index() != 0:
            return
        for step in self._unlisted:
            if (self.folder / str(step)).is_dir():
                write_text(self._sums(step), json.dumps(_digests(self.folder / str(step))))
        self._unlisted = []
        for listed in self.folder.glob("*.sha256"):
            if not (self.folder / listed.stem).is_dir():
                listed.unlink(missing_ok=True)

    def _sums(self, step: int | str) -> Path:
        return self.folder / f"{step}.sha256"

    def _remove_unfinished(self) -> None:
        """What a killed process was writing. (Orbax would do it in a thread that may come late.)"""
        for path in self.folder.glob(f"*{UNFINISHED}*"):
            shutil.rmtree(path, ignore_errors=True)

    def _set_damaged_aside(self) -> None:
        for path, fault in self._faults():
            aside = path.with_name(f"{path.name}.damaged")
            aside = aside if not aside.exists() else Path(f"{aside}-{os.getpid()}")
            path.rename(aside)
            self._sums(path.name).unlink(missing_ok=True)
            self.say(f"checkpoint {path.name} is damaged ({fault}): set aside as {aside.name}")

    def _faults(self) -> list[tuple[Path, str]]:
        """The finished steps that are not what was written, and why."""
        steps = (path for path in sorted(self.folder.glob("*")) if path.name.isdigit())
        found = ((path, _fault(path, self._sums(path.name))) for path in steps if path.is_dir())
        return [(path, fault) for path, fault in found if fault]


def _fault(folder: Path, sums: Path) -> str:
    """What is wrong with a finished step, if anything."""
    if not (folder / "_CHECKPOINT_METADATA").exists():
        return "its metadata file is missing"
    if not sums.exists():  # killed between the rename and the list: Orbax's own rename vouches
        return ""
    try:
        expected = json.loads(sums.read_text())
    except (json.JSONDecodeError, UnicodeDecodeError):
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


def write_text(path: Path, text: str) -> None:
    """Never half a file: written under another name, synced, renamed."""
    partial = path.with_name(f"{path.name}.partial")
    try:
        with partial.open("w") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
    except OSError as error:
        partial.unlink(missing_ok=True)
        raise disk_error(path, error) from error


def disk_error(path: Path, error: OSError) -> UserError:
    advice = ADVICE.get(error.errno or 0, "free space or change it")
    return UserError(f"cannot write {path}: {error.strerror or error}; {advice}")


def _disk_reason(error: BaseException | None) -> str | None:
    """The disk's own words in a chain of errors, if it was the disk."""
    while error is not None:
        if isinstance(error, OSError) and error.errno:
            return os.strerror(error.errno)
        known = "|".join(re.escape(os.strerror(number)) for number in DISK_ERRORS)
        if found := re.search(known, str(error), re.IGNORECASE):
            return found.group()
        error = error.__cause__ or error.__context__
    return None


def _empty(tree: Any) -> bool:
    return tree is None or (not isinstance(tree, (str, int, float)) and not jax.tree.leaves(tree))


def _first_line(error: BaseException) -> str:
    """The first cause, in a line: Orbax wraps a mismatch into talk of its handlers."""
    while error.__cause__ is not None:
        error = error.__cause__
    return (str(error).splitlines() or [type(error).__name__])[0][:300]


def targets(tree: Any, shardings: Any) -> Any:
    """What `restore` is asked for: shapes and types on given devices."""
    return jax.tree.map(
        lambda x, s: jax.ShapeDtypeStruct(np.shape(x), x.dtype, sharding=s), tree, shardings
    )
