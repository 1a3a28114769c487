"""Files of all test outputs at full precision: `config.eval.save`.

Outputs and targets, float32, in the range in which they are scored.
"""

from collections.abc import Callable, Mapping
from pathlib import Path

import jax
import numpy as np
from scipy.io import savemat

from hsisr_jax.data.scenes import Scene
from hsisr_jax.errors import UserError
from hsisr_jax.formats import SceneMeta, write_scene

Write = Callable[[Path, dict[str, np.ndarray], Scene], None]


def _mat(path: Path, cubes: dict[str, np.ndarray], scene: Scene) -> None:
    """One file an image, `pred`, `gt` and `ms_bicubic`, as SRLSGAT's code saves them."""
    savemat(path.with_suffix(".mat"), cubes, do_compression=True)


def _npy(path: Path, cubes: dict[str, np.ndarray], scene: Scene) -> None:
    for name, cube in cubes.items():
        np.save(path.with_name(f"{path.name}_{name}.npy"), cube)


def _envi(path: Path, cubes: dict[str, np.ndarray], scene: Scene) -> None:
    meta = SceneMeta(wavelengths=scene.wavelengths)
    for name, cube in cubes.items():
        write_scene(path.with_name(f"{path.name}_{name}.hdr"), cube, meta)


FORMATS: dict[str, Write] = {"mat": _mat, "npy": _npy, "envi": _envi}


def check(kind: str) -> None:
    """Refuses an unknown format."""
    if kind and kind not in FORMATS:
        raise UserError(f"config.eval.save {kind!r}: use {', '.join(FORMATS)}, or '' for none")


def saver(folder: Path, kind: str) -> Callable[[Scene, Mapping, Mapping], None] | None:
    """The function that writes the outputs of an image below `folder`; None if `kind` is empty.

    The first process alone writes.
    """
    if not kind or jax.process_index():
        return None
    check(kind)
    folder.mkdir(parents=True, exist_ok=True)

    def save(scene: Scene, batch: Mapping, estimates: Mapping) -> None:
        cubes = {"pred": estimates["test"], "gt": batch["hr"][0]}
        if "bicubic" in estimates:
            cubes["ms_bicubic"] = estimates["bicubic"]
        safe = "".join(c if c.isalnum() or c in "-_" else "_" for c in scene.name)
        cubes = {name: np.asarray(cube, np.float32) for name, cube in cubes.items()}
        FORMATS[kind](folder / safe, cubes, scene)

    return save
