"""Reads the content of a workdir, which may be damaged: plain JSON and arrays, no pickle."""

import dataclasses
import json
import math
import os
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from hsisr_jax.errors import UserError


@dataclasses.dataclass(frozen=True)
class Run:
    """The files of one run. Everything but the name may be empty: a page shows what is there."""

    name: str
    path: Path
    config: Mapping[str, Any]
    metrics: Mapping[str, Any]
    environment: Mapping[str, Any]
    rows: Sequence[Mapping[str, Any]]  # metrics.jsonl
    images: Sequence[Path]  # eval/<image>.npz
    domains: Path | None = None

    @property
    def protocol(self) -> Mapping[str, Any]:
        protocol = self.metrics.get("protocol")
        return protocol if isinstance(protocol, Mapping) else {}


def load_all(workdirs: Sequence[str | os.PathLike]) -> list[Run]:
    """Loads workdirs, named by the shortest distinct endings of their paths."""
    if not workdirs:
        raise UserError("no run to report on; name at least one workdir, such as runs/quickstart")
    paths = [Path(workdir).resolve() for workdir in workdirs]
    for path in paths:
        if paths.count(path) > 1:
            raise UserError(f"{path} is named twice; name each workdir once")
    depth = 1
    while len({path.parts[-depth:] for path in paths}) < len(paths):
        depth += 1
    return [load(path, name="/".join(path.parts[-depth:])) for path in paths]


def load(workdir: str | os.PathLike, *, name: str | None = None) -> Run:
    """Loads a workdir; missing files leave their fields empty."""
    path = Path(workdir)
    if not path.is_dir():
        raise UserError(f"{path}: there is no such workdir; name a folder that a run wrote")
    images = sorted(file for file in path.glob("eval/*.npz") if file.name != "domains.npz")
    domains = path / "eval" / "domains.npz"
    run = Run(
        name=name or path.name,
        path=path,
        config=_read_object(path / "config.json"),
        metrics=_read_object(path / "metrics.json"),
        environment=_read_object(path / "environment.json"),
        rows=_read_rows(path / "metrics.jsonl"),
        images=images,
        domains=domains if domains.is_file() else None,
    )
    if not (run.metrics or run.rows or run.images):
        raise UserError(
            f"{path} holds no metrics.json, metrics.jsonl or eval/*.npz, so there is nothing to"
            " report; train or evaluate a run there first"
        )
    return run


def arrays(path: Path) -> dict[str, np.ndarray]:
    """Every array of an `.npz`."""
    try:
        with np.load(path, allow_pickle=False) as file:
            return {key: file[key] for key in file.files}
    except (OSError, ValueError, EOFError, KeyError, zipfile.BadZipFile) as error:
        raise UserError(
            f"{path} is not a readable .npz of plain arrays ({error}); evaluate the run again"
        ) from error


def part(tree: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    """The object under a key, empty where there is none."""
    value = tree.get(key)
    return value if isinstance(value, Mapping) else {}


def flat(tree: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """`{"a": {"b": 1}}` -> `{"a.b": 1}`."""
    out: dict[str, Any] = {}
    for key, value in tree.items():
        if isinstance(value, Mapping) and value:
            out |= flat(value, f"{prefix}{key}.")
        else:
            out[f"{prefix}{key}"] = value
    return out


def number(value: Any) -> float | None:
    """The value as a float where it is a number, else None."""
    if not isinstance(value, int | float) or isinstance(value, bool):
        return None
    try:
        return float(value)
    except OverflowError:  # an integer of hundreds of digits
        return None


def _read_object(path: Path) -> Mapping[str, Any]:
    if not path.is_file():
        return {}
    try:
        value = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise UserError(f"{path} is not valid JSON ({error}); evaluate the run again") from error
    if not isinstance(value, dict):
        raise UserError(f"{path} should hold one JSON object; evaluate the run again")
    return value


def _read_rows(path: Path) -> list[Mapping[str, Any]]:
    """The rows of a `.jsonl`. A run that was killed may leave a torn line, which is skipped."""
    if not path.is_file():
        return []
    rows: list[Mapping[str, Any]] = []
    for line in path.read_text("utf-8", errors="replace").splitlines():
        try:
            row = json.loads(line)
        except (ValueError, RecursionError):
            continue
        step = number(row.get("step")) if isinstance(row, dict) else None
        if step is not None and math.isfinite(step):
            rows.append(flat(row))
    return rows
