"""Loggers of a run's numbers beside `metrics.jsonl`: TensorBoard, Weights & Biases.

A logger of yours is a class with `write` and `close`; add it to `LOGGERS` to use it by name.
"""

import sys
from collections.abc import Callable, Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Protocol

from hsisr_jax.errors import UserError
from hsisr_jax.training.events import EventFile


class Logger(Protocol):
    """`LOGGERS[name](workdir, first step)` opens one."""

    def write(self, kind: str, step: int, values: Mapping[str, float]) -> None:
        """Writes the numbers of a step; `kind` is `train` or `eval`."""

    def close(self) -> None: ...


class WeightsAndBiases:
    """A run of the project `hsisr_jax`, named as the workdir; a resumed run is continued."""

    def __init__(self, workdir: Path, start_step: int):
        import wandb

        name = workdir.resolve().name
        known = workdir / "wandb_id"
        identity = known.read_text() if known.is_file() else None
        self._run: Any = wandb.init(
            project="hsisr_jax", name=name, dir=str(workdir), id=identity, resume="allow"
        )
        known.write_text(str(self._run.id))

    def write(self, kind: str, step: int, values: Mapping[str, float]) -> None:
        self._run.log({f"{kind}/{name}": x for name, x in values.items()}, step=step)

    def close(self) -> None:
        self._run.finish()


LOGGERS: dict[str, Callable[[Path, int], Logger]] = {
    "tensorboard": EventFile,
    "wandb": WeightsAndBiases,
}


def check(names: Sequence[str]) -> None:
    """Refuses unknown names, and wandb where it is not installed."""
    for name in names:
        if name not in LOGGERS:
            raise UserError(
                f"config.loggers: {name!r} is unknown; use {', '.join(LOGGERS)}, or several as "
                "\"('tensorboard', 'wandb')\""
            )
        if name == "wandb" and not (sys.modules.get(name) or find_spec(name)):
            raise UserError("config.loggers names wandb: pip install wandb")
