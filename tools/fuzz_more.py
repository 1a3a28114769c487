"""The campaigns of tools/fuzz.py for untrusted files other than scenes.

    python -m tools.fuzz_more --trials 5000 --markdown
    python -m tools.fuzz_more --reader weights --trials 5000

`weights` are .npz, .safetensors and, where PyTorch is installed, .pth; `workdir` is the config, the
metrics and the log of a run, as evaluation, prediction and the report read them.
"""

import importlib.util
import json
from pathlib import Path

import numpy as np

from tools import fuzz


def weight_seeds(folder: Path) -> list[Path]:
    from hsisr_jax.port.files import write_weights

    state = {"head.weight": np.ones((4, 3, 3, 3), np.float32), "steps": np.array(7)}
    endings = [".npz", ".safetensors"]
    endings += [".pth"] if importlib.util.find_spec("torch") else []
    paths = [folder / f"w{ending[1:]}{ending}" for ending in endings]
    for path in paths:
        write_weights(path, state)
    return paths


def read_weights(path: Path) -> object:
    from hsisr_jax.port.files import read_weights

    state = read_weights(path)
    assert all(isinstance(x, np.ndarray) and x.dtype.kind in "fiub" for x in state.values())
    return state


def workdir_seeds(folder: Path) -> list[Path]:
    path = folder / "run.json"
    path.write_text(json.dumps({"model": {"name": "sspsr", "features": 8}, "scale": 2}))
    (folder / "run.metrics.json").write_text(
        json.dumps({"test": {"MPSNR": 30.0}, "bicubic": {"MPSNR": 29.0}, "images": []})
    )
    rows = [{"kind": "train", "step": i, "loss": 1 / i} for i in range(1, 5)]
    (folder / "run.metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return [path]


def read_workdir(path: Path) -> object:
    """The files under the names that a workdir gives them, then what reads them."""
    from hsisr_jax import report
    from hsisr_jax.training.hooks import _rows_until
    from hsisr_jax.training.workdir import read_config

    folder = path.parent / "workdir"
    folder.mkdir(exist_ok=True)
    for name in ("metrics.json", "metrics.jsonl"):
        (folder / name).write_bytes((path.parent / f"run.{name}").read_bytes())
    (folder / "config.json").write_bytes(path.read_bytes())
    _rows_until(folder / "metrics.jsonl", 3)
    page = report.write([folder], folder / "page.html")
    assert "<script>alert" not in page.read_text()
    return read_config(folder)


fuzz.READERS.clear()
fuzz.READERS.update(
    weights=fuzz.Reader(weight_seeds, read_weights),
    workdir=fuzz.Reader(workdir_seeds, read_workdir),
)

if __name__ == "__main__":
    fuzz.main()
