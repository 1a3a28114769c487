"""The folder of a run: its config, environment and metrics; used by one process at a time."""

import json
import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Mapping
from contextlib import ExitStack, suppress
from importlib import metadata
from pathlib import Path
from typing import Any

import jax
from ml_collections import ConfigDict

from hsisr_jax import identity, locks
from hsisr_jax.checkpoints import FOLDER
from hsisr_jax.data.scenes import listed
from hsisr_jax.errors import UserError
from hsisr_jax.files import write_json
from hsisr_jax.inference import older, packaged
from hsisr_jax.training.checks import at

# what may change between the runs of one workdir without making it another experiment
FREE = {
    "steps", "epochs", "log_every", "eval_every", "checkpoint_every", "keep_checkpoints", "profile",
    "patience", "steps_per_call", "mesh", "max_bad_streak", "eval", "data.dir", "data.manual_dir",
    "data.placement", "data.memory_gb", "loggers", "eval_every_epochs",
    "checkpoint_every_epochs",
}  # fmt: skip
# what makes another evaluation of the same steps
SCORING = {"eval", "select", "select_metric"}
# local files and folders: stored so that they are found from any other folder
PLACES = ("init_from", "data.path", "data.options.path", "data.options.msi", "data.dir",
          "data.manual_dir")  # fmt: skip
LONGEST = 80  # letters of an evaluation's name
PACKAGES = ("jax", "jaxlib", "flax", "optax", "orbax-checkpoint", "jraph", "numpy", "scipy")


class Workdir:
    """The workdir of a run, locked by it; its files are written whole or not at all.

    A run that fails before its first step leaves nothing behind. The files of an earlier run are
    unchanged until `record`. With `evaluates` the options that select the step may differ from
    the run's own.
    """

    def __init__(
        self, path: str | os.PathLike, config: ConfigDict | Mapping, *, evaluates: bool = False
    ):
        self.path, self.evaluates = Path(path).resolve(), evaluates
        self.config = as_dict(config)
        self._lock: ExitStack | None = None
        self._earlier: set[str] = set()  # what was there before
        self._made: list[Path] = []  # folders that were not: the workdir and those it lies in

    def __enter__(self) -> "Workdir":
        if jax.process_index() == 0:
            self._claim()
            try:
                if (self.path / "config.json").exists():
                    _check_same(read_config(self.path), self.config, self.path, self.evaluates)
                if "config.json" not in (self._earlier or ()):
                    self.record()
            except Exception as error:
                self.__exit__(type(error), error, None)
                raise
        return self

    def __exit__(self, kind, error, trace) -> None:
        if self._lock:
            if isinstance(error, Exception) and not self._has_results():
                self._tidy()
            self._lock.close()

    def record(self) -> None:
        """Stores the config and the environment, after everything has been checked."""
        self.write_json("config.json", self.config)
        self.write_json("environment.json", environment())

    def other_evaluation(self) -> Path | None:
        """The folder of an evaluation with other options than the run's own; None: its own."""
        own = read_config(self.path)
        changed = [key for key in identity.changes(own, self.config) if _is_in(key, SCORING)]
        if not changed:
            return None
        words = "_".join(f"{key.split('.')[-1]}-{at(self.config, key)}" for key in changed)
        name = "".join(c if c.isalnum() or c in "-_." else "_" for c in words)
        if len(name) > LONGEST:
            name = f"{name[:LONGEST]}-{identity.of_json(words)[:6]}"
        return self.path / "eval" / name

    def _has_results(self) -> bool:
        """Whether there is anything to keep: an earlier config, a checkpoint, a logged step."""
        log = self.path / "metrics.jsonl"
        return (
            "config.json" in self._earlier
            or bool(self._steps())
            or (log.exists() and log.stat().st_size > 0)
        )

    def _steps(self) -> list[int]:
        """The steps that were saved."""
        names = [path.name for path in (self.path / FOLDER).glob("*")]
        return [int(name) for name in names if name.isdigit()]

    def _tidy(self) -> None:
        """Removes the folders and files that this run made."""
        for path in self.path.glob("*"):  # none where the folder was removed
            if path.name not in self._earlier:
                shutil.rmtree(path) if path.is_dir() else path.unlink()
        with suppress(OSError):  # another run may have come to lie beside this one
            for folder in self._made:
                folder.rmdir()

    def check_identity(self, found: Mapping[str, Any], *, note: bool = True) -> None:
        """Refuses to continue if earlier steps were made from other data or flags; before the first
        step, with `note`, stores their digests in `identity.json`."""
        place = self.path / "identity.json"
        if jax.process_index() != 0:
            return
        before = _read_identity(place) if place.exists() and self._steps() else {}
        changed = identity.changes({k: before.get(k, v) for k, v in found.items()}, found)
        if changed:
            raise UserError(
                f"the workdir {self.path} was trained with another {', '.join(changed[:3])}: bring "
                "that back or choose another --workdir"
            )
        if note:
            self.write_json(place.name, {**found, **before})

    def check_steps(self, wanted: int) -> None:
        """Refuses to continue to fewer steps than there are."""
        done = max(self._steps(), default=0)
        if jax.process_index() == 0 and done > wanted:
            raise UserError(
                f"the workdir {self.path} was trained for {done} steps already, more than "
                f"{wanted}: ask for more, score it by --mode=eval, or choose another --workdir"
            )

    def write_json(self, name: str, value: Any) -> None:
        if jax.process_index() == 0:
            write_json(self.path / name, value)

    def _claim(self) -> None:
        try:
            self._made = [p for p in (self.path, *self.path.parents) if not p.exists()]
            if self.path.is_dir():
                self._earlier = {path.name for path in self.path.iterdir()}
            self.path.mkdir(parents=True, exist_ok=True)
            used = f"another process is using the workdir {self.path}"
            lock = ExitStack()
            lock.enter_context(
                locks.held(self.path / ".lock", f"{used}: wait for it or choose another")
            )
            self._lock = lock
        except OSError as error:
            raise UserError(
                f"cannot write to the workdir {self.path}: {error.strerror}; choose another"
            ) from None


def _read_identity(path: Path) -> dict:
    try:
        found = json.loads(path.read_text())
    except (OSError, ValueError, RecursionError) as error:
        raise UserError(f"{path} cannot be read ({error}): delete it if it is damaged") from None
    return found if isinstance(found, dict) else {}


def config_of(
    workdir: str | os.PathLike, given: ConfigDict | None = None, *, evaluates: bool = False
) -> ConfigDict:
    """The config of a run: its own, or the `given` one, if that is the same experiment."""
    own = read_config(workdir)
    if given is None:
        return ConfigDict(own)
    _check_same(own, as_dict(given), workdir, evaluates)
    return given


def _check_same(before: dict, now: dict, workdir: str | os.PathLike, evaluates: bool) -> None:
    free = FREE | SCORING if evaluates else FREE
    changed = [key for key in identity.changes(before, now) if not _is_in(key, free)]
    if changed:
        shown = ", ".join(
            f"{key} ({at(before, key)!r} there, {at(now, key)!r} now)" for key in changed[:3]
        )
        raise UserError(
            f"the workdir {workdir} belongs to another config: {shown}; choose another --workdir"
        )


def read_config(workdir: str | os.PathLike) -> dict:
    """The config that a workdir was made with."""
    path = Path(workdir) / "config.json"
    try:
        config = json.loads(path.read_text())
    except FileNotFoundError:
        raise UserError(f"no config.json in {workdir}: is it the workdir of a run?") from None
    except (OSError, ValueError, RecursionError) as error:
        raise UserError(f"{path} cannot be read: {error}") from None
    if not isinstance(config, dict):
        raise UserError(f"{path} does not hold a config")
    return as_dict(older.config(config))


def as_dict(config: ConfigDict | Mapping) -> dict:
    """Plain JSON types and absolute paths, so that a config compares equal to itself read back."""
    plain = config.to_dict() if isinstance(config, ConfigDict) else dict(config)
    found = json.loads(json.dumps(plain))
    for *outer, name in (key.split(".") for key in PLACES):
        part = at(found, ".".join(outer)) if outer else found
        if isinstance(part, dict) and part.get(name):
            part[name] = _absolute(listed(part[name]) if name == "path" else part[name])
    return found


def _absolute(place: Any) -> Any:
    if isinstance(place, list):
        return [_absolute(one) for one in place]
    local = isinstance(place, str) and place not in ("", packaged.NAME) and "://" not in place
    return os.path.abspath(os.path.expanduser(place)) if local else place


def _is_in(key: str, parts: set[str]) -> bool:
    return any(key == part or key.startswith(f"{part}.") for part in parts)


def environment() -> dict:
    """Versions, hardware and the commit."""
    device = jax.devices()[0]
    return {
        "python": platform.python_version(),
        "versions": {name: version(name) or "not installed" for name in PACKAGES},
        "hardware": f"{jax.device_count()} x {device.device_kind} ({device.platform}), "
        f"{os.cpu_count()} cores, {platform.machine()}",
        "processes": jax.process_count(),
        "commit": _commit(),
        "command": " ".join(sys.argv),
    }


def version(package: str) -> str:
    """The version of a package; empty where it is not installed."""
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return ""


def _commit() -> str:
    folder = Path(__file__).parent
    try:
        git = ["git", "-C", str(folder)]
        options: dict[str, Any] = {"capture_output": True, "text": True, "timeout": 10}
        commit = subprocess.run([*git, "rev-parse", "HEAD"], **options).stdout.strip()
        changed = subprocess.run([*git, "status", "--porcelain", "-uno"], **options).stdout.strip()
    except (OSError, subprocess.TimeoutExpired):
        return "unknown"
    return f"{commit} with changes" if commit and changed else commit or "unknown"
