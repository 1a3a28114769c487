"""Training curves from `metrics.jsonl`, thinned for the screen."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from hsisr_jax.report.runs import Run, number
from hsisr_jax.report.tables import ORDER, UNITS, direction, in_order

POINTS = 600  # a curve
NOT_CURVES = {"step", "kind", "time", "wall_time", "epoch"}
FIRST = {("train", "loss"), ("eval", "MPSNR"), ("eval", "PSNR"), ("eval", "SAM")}
CHANCE = [{"y": 0.5, "name": "chance, two domains"}]
SETTINGS = ("learning_rate", "gradient_norm", "examples_per_second", "skipped")


def charts(runs: Sequence[Run]) -> list[dict[str, Any]]:
    """Loss first, then figures of the validation, terms of the loss, and the settings."""
    return sorted((c for c in _found(runs, accuracy=False) if c["series"]), key=_place)


def accuracy(runs: Sequence[Run]) -> list[dict[str, Any]]:
    """Accuracy of the domain discriminator, if a run has one."""
    return [c | {"fixed": [0, 1], "levels": CHANCE} for c in _found(runs, accuracy=True)]


def _found(runs: Sequence[Run], *, accuracy: bool) -> list[dict[str, Any]]:
    """A chart for each number of the logs that is, or is not, an accuracy."""
    keys = {
        (str(row.get("kind", "train")), key): None
        for run in runs
        for row in run.rows
        for key, value in row.items()
        if key not in NOT_CURVES and number(value) is not None and (key != "skipped" or value)
    }
    return [_chart(runs, kind, key) for kind, key in keys if ("accuracy" in key) == accuracy]


def _place(chart: Mapping[str, Any]) -> tuple[int, str]:
    if chart["key"] == "loss":
        return (0 if chart["kind"] == "train" else 1), ""
    if chart["kind"] == "eval":
        return 2, f"{in_order([*ORDER, chart['key']]).index(chart['key']):03d}"
    return (4, chart["key"]) if chart["key"].startswith(SETTINGS) else (3, "")


def _chart(runs: Sequence[Run], kind: str, key: str) -> dict[str, Any]:
    series: list[dict[str, Any]] = []
    for index, run in enumerate(runs):
        points = [
            (row["step"], row[key])
            for row in run.rows
            if row.get("kind", "train") == kind and number(row.get(key)) is not None
        ]
        if points:
            x, y = _thin(np.array(points, np.float64), mean=not key.startswith(SETTINGS))
            series.append({"name": run.name, "colour": index % 6, "x": x, "y": y})
    values = [v for line in series for v in line["y"] if v is not None]
    wide = bool(values) and min(values) > 0 and max(values) > 20 * min(values)
    return {
        "key": key,
        "first": (kind, key) in FIRST,
        "kind": kind,
        "title": _title(kind, key),
        "smooth": kind == "train" and not key.startswith(SETTINGS),
        "log": wide and kind == "train" and "accuracy" not in key,
        "series": series,
        "marks": _best_steps(runs) if kind == "eval" else [],
    }


def _title(kind: str, key: str) -> str:
    metric = key.rsplit(".", 1)[-1]
    unit = f" ({UNITS[metric]})" if metric in UNITS else ""
    arrow = {1: " ↑", -1: " ↓", 0: ""}[direction(metric)]
    words = f"{key.replace('_', ' ')}{unit}{arrow}"
    if kind == "eval":
        return f"Validation {words}"
    if key == "loss" or key.startswith(SETTINGS) or "accuracy" in key:
        return words[0].upper() + words[1:]
    return f"Loss term {words}" if kind == "train" else f"{kind}: {words}"


def _best_steps(runs: Sequence[Run]) -> list[dict[str, Any]]:
    steps = [(index, number(run.metrics.get("best_step"))) for index, run in enumerate(runs)]
    return [{"x": step, "colour": index % 6} for index, step in steps
            if step is not None and math.isfinite(step)]  # fmt: skip


def _thin(points: np.ndarray, *, mean: bool) -> tuple[list, list]:
    """Thins a curve to `POINTS` points: means of equal shares of the rows, or every n-th row."""
    points = points[np.argsort(points[:, 0], kind="stable")]
    shares = np.array_split(points, min(POINTS, len(points)))
    picked = np.stack([share.mean(0) if mean else share[-1] for share in shares])
    steps, values = picked.T.tolist()
    return [round(step, 1) for step in steps], [
        float(f"{v:.6g}") if math.isfinite(v) else None for v in values
    ]
