"""Where the originals' numbers lie, and how a test reads one case.

The folder is `$HSISR_GOLDEN`, else `../shared/golden` beside the repository. Cases are found by
pattern, so that further cases of the same layout run without a change to the tests.
"""

import json
import os
from pathlib import Path

import numpy as np

ROOT = Path(os.environ.get("HSISR_GOLDEN", Path(__file__).parents[3] / "shared" / "golden"))


def cases(pattern: str, *, folder: str = ".") -> list:
    """Pytest parameters for every case file that matches, or one skipped parameter."""
    import pytest  # which benchmarks do without

    files = sorted((ROOT / folder).glob(pattern)) if ROOT.is_dir() else []
    files = [file for file in files if not file.name.endswith(".grad.npz")]
    if not files:
        reason = f"no golden data ({pattern}); set HSISR_GOLDEN to their folder"
        return [pytest.param(None, marks=pytest.mark.skip(reason=reason), id="no-golden-data")]
    return [pytest.param(file, id=file.stem) for file in files]


class Case:
    """One `<case>.npz`: `case.config`, and `case.group("param")` for the arrays under `param/`."""

    def __init__(self, path: Path):
        self.path = path
        self.arrays = dict(np.load(path))
        gradients = path.with_name(f"{path.stem}.grad.npz")
        if gradients.exists():
            self.arrays.update(np.load(gradients))
        self.config = json.loads(str(self.arrays.pop("config"))) if "config" in self.arrays else {}

    def __getitem__(self, key: str) -> np.ndarray:
        return self.arrays[key]

    def __contains__(self, key: str) -> bool:
        return key in self.arrays

    def group(self, name: str) -> dict[str, np.ndarray]:
        prefix = f"{name}/"
        return {k.removeprefix(prefix): v for k, v in self.arrays.items() if k.startswith(prefix)}


def channels_last(x: np.ndarray) -> np.ndarray:
    """`b c h w` as stored by the originals -> `b h w c`."""
    return np.moveaxis(x, 1, -1)
