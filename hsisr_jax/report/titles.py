"""Names on pages: of runs (network, scale and data), and of the methods beside them."""

from collections.abc import Sequence
from pathlib import PurePath
from typing import Any

from hsisr_jax.report.runs import Run, part

MOST = 4  # names in a title
METHODS = {  # scored beside a run without training on its data
    "bicubic": "bicubic",
    "back_projected": "back-projected",
    "anyband": "anyband, as shipped",
    "least_squares": "least squares",
}


def network(run: Run) -> str:
    """The name of what was tested: as the run says, the network's name, else the folder's."""
    said = _text(run.metrics.get("method"))
    return said or _text(part(run.config, "model").get("name")) or run.name


def of_run(run: Run) -> str:
    """`rcam ×4 on pavia`."""
    return _joined([network(run)], [_scale(run)], [_data(run)])


def of_page(runs: Sequence[Run]) -> str:
    """The title for several runs; what they share is named once."""
    return _joined([network(run) for run in runs], list(map(_scale, runs)), list(map(_data, runs)))


def _joined(networks: Sequence[str], scales: Sequence[str], data: Sequence[str]) -> str:
    on = _some(data, "data sets")
    words = [_some(networks, "networks"), _some(scales, "scales"), f"on {on}" if on else ""]
    return " ".join(filter(None, words))


def _some(names: Sequence[str], plural: str) -> str:
    names = list(dict.fromkeys(filter(None, names)))
    return ", ".join(names) if len(names) <= MOST else f"{len(names)} {plural}"


def _scale(run: Run) -> str:
    value = run.config.get("scale")
    return f"×{value}" if isinstance(value, int) else ""


def _data(run: Run) -> str:
    data = part(run.config, "data")
    path = _text(data.get("path"))
    return PurePath(path).stem if path else _text(data.get("name"))


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""
