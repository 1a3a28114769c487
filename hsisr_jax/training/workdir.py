"""The folder of one run: its config, what it ran on, its metrics; one process at a time."""

import fcntl
import json
import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path
from typing import Any, TextIO

import jax
from ml_collections import ConfigDict

from hsisr_jax.checkpoints import FOLDER, write_text
from hsisr_jax.errors import UserError

# what may change between the runs of one workdir without making it another experiment
FREE = {
    "steps", "epochs", "log_every", "eval_every", "checkpoint_every", "keep_checkpoints", "profile",
    "patience", "steps_per_call", "mesh", "max_bad_streak", "eval", "data.dir", "data.manual_dir",
    "data.placement", "data.memory_gb", "keep_programs",
}  # fmt: skip
# local files and folders: stored so that they are found from any other folder
PLACES = ("init_from", "data.path", "data.options.path", "data.dir", "data.manual_dir")
PACKAGES = ("jax", "jaxlib", "flax", "optax", "orbax-checkpoint", "jraph", "numpy", "scipy")


class Workdir:
    """Opened by a run for itself alone; its files are written beside and renamed.

    A run that fails before its first step leaves nothing behind: its config may be the mistake.
    """

    def __init__(self, path: str | os.PathLike, config: ConfigDict | Mapping):
        self.path = Path(path).resolve()
        self.config = as_dict(config)
        self._lock: TextIO | None = None
        self._earlier: set[str] | None = None  # what was there before; None: no folder

    def __enter__(self) -> "Workdir":
        if jax.process_index() == 0:
            self._claim()
            try:
                self._check_config()
                self.write_json("config.json", self.config)
                self.write_json("environment.json", environment())
            except Exception as error:
                self.__exit__(type(error), error, None)
                raise
        return self

    def __exit__(self, kind, error, trace) -> None:
        if self._lock:
            if isinstance(error, Exception) and not self._has_results():
                self._tidy()
            self._lock.close()

    def _has_results(self) -> bool:
        """Anything worth keeping: a config of before, a checkpoint, a logged step."""
        log = self.path / "metrics.jsonl"
        steps = (path.name for path in (self.path / FOLDER).glob("*"))
        return (
            "config.json" in (self._earlier or ())
            or any(name.isdigit() for name in steps)
            or (log.exists() and log.stat().st_size > 0)
        )

    def _tidy(self) -> None:
        """Removes what this run made."""
        for path in self.path.iterdir():
            if path.name not in (self._earlier or ()):
                shutil.rmtree(path) if path.is_dir() else path.unlink()
        if self._earlier is None:
            self.path.rmdir()

    def write_json(self, name: str, value: Any) -> None:
        if jax.process_index() == 0:
            write_text(self.path / name, json.dumps(value, indent=1) + "\n")

    def _claim(self) -> None:
        try:
            if self.path.is_dir():
                self._earlier = {path.name for path in self.path.iterdir()}
            self.path.mkdir(parents=True, exist_ok=True)
            self._lock = (self.path / ".lock").open("w")
        except OSError as error:
            raise UserError(
                f"cannot write to the workdir {self.path}: {error.strerror}; choose another"
            ) from None
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise UserError(
                f"another process is using the workdir {self.path}: wait for it or choose another"
            ) from None

    def _check_config(self) -> None:
        if (self.path / "config.json").exists():
            _check_same(read_config(self.path), self.config, self.path)


def config_of(workdir: str | os.PathLike, given: ConfigDict | None = None) -> ConfigDict:
    """The config of a run: its own, or what is `given`, where that is the same experiment."""
    own = read_config(workdir)
    if given is None:
        return ConfigDict(own)
    _check_same(own, as_dict(given), workdir)
    return given


def _check_same(before: dict, now: dict, workdir: str | os.PathLike) -> None:
    changed = [key for key in differences(before, now) if not _is_free(key)]
    if changed:
        shown = ", ".join(
            f"{key} ({_at(before, key)!r} there, {_at(now, key)!r} now)" for key in changed[:3]
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
    return as_dict(config)


def as_dict(config: ConfigDict | Mapping) -> dict:
    """Plain JSON types and absolute paths, so that a config compares equal to itself read back."""
    plain = config.to_dict() if isinstance(config, ConfigDict) else dict(config)
    found = json.loads(json.dumps(plain))
    for *outer, name in (key.split(".") for key in PLACES):
        part = _at(found, ".".join(outer)) if outer else found
        if isinstance(part, dict) and part.get(name):
            part[name] = _absolute(part[name])
    return found


def _absolute(place: Any) -> Any:
    if isinstance(place, list):
        return [_absolute(one) for one in place]
    local = isinstance(place, str) and place != "" and "://" not in place
    return os.path.abspath(os.path.expanduser(place)) if local else place


def differences(a: Mapping, b: Mapping, prefix: str = "") -> list[str]:
    """Dotted keys at which two configs differ."""
    found = []
    for key in sorted(set(a) | set(b)):
        left, right = a.get(key), b.get(key)
        if isinstance(left, dict) and isinstance(right, dict):
            found += differences(left, right, f"{prefix}{key}.")
        elif left != right:
            found.append(prefix + key)
    return found


def _is_free(key: str) -> bool:
    return any(key == free or key.startswith(f"{free}.") for free in FREE)


def _at(config: Mapping, key: str) -> Any:
    found: Any = config
    for name in key.split("."):
        found = found.get(name) if isinstance(found, Mapping) else None
    return found


def environment() -> dict:
    """Versions, hardware and the commit, as a result needs to be understood later."""
    device = jax.devices()[0]
    return {
        "python": platform.python_version(),
        "versions": {name: _version(name) for name in PACKAGES},
        "hardware": f"{jax.device_count()} x {device.device_kind} ({device.platform}), "
        f"{os.cpu_count()} cores, {platform.machine()}",
        "processes": jax.process_count(),
        "commit": _commit(),
        "command": " ".join(sys.argv),
    }


def _version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "not installed"


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
