"""Writes a dataset as MATLAB patch files; `data/patch_files.py` describes their content."""

from collections.abc import Iterator
from pathlib import Path

import jax
import numpy as np
from ml_collections import ConfigDict
from scipy.io import savemat

from hsisr_jax.data import sampler
from hsisr_jax.data.batches import Recipe, drawn, of_image
from hsisr_jax.data.sampler import Patches
from hsisr_jax.data.scenes import Dataset
from hsisr_jax.errors import UserError
from hsisr_jax.training import setup

BATCH = 64
KEYS = {"hr": "gt", "lr": "ms", "lms": "ms_bicubic"}


def write(config: ConfigDict, data: Dataset, folder: str | Path) -> int:
    """Writes `trains`, `evals` and `tests` to a new folder; returns the number of files."""
    recipe, folder = setup.recipe(config, data), Path(folder)
    if recipe.degrade is None or recipe.floor is not None:
        raise UserError("--format=mat is for spatial super-resolution of linear values")
    if folder.exists() and any(folder.iterdir()):
        raise UserError(f"{folder} is not empty: give --output=FOLDER, a new one")
    size = {"patch": config.data.patch, "stride": config.data.stride}
    beside = folder.with_name(folder.name + ".partial")
    count = 0
    patches = data.patches(config.scale, **size)
    for number, arrays in enumerate(_patches(patches, recipe), 1):
        count += _save(beside / "trains" / f"block_{number}.mat", arrays)
    validation = data.validation_scenes(config.scale, **size)
    for role, scenes in (("evals", validation), ("tests", data.test_images(config.scale))):
        for number, scene in enumerate(scenes):
            image = of_image(scene.cubes, scene.normaliser, scene.domain)
            arrays = jax.jit(recipe.as_tested)(image, number)
            one = {name: np.asarray(arrays[key][0]) for key, name in KEYS.items()}
            count += _save(beside / role / f"{scene.name}.mat", one)
    if folder.exists():
        folder.rmdir()
    beside.rename(folder)
    return count


def _patches(patches: Patches, recipe: Recipe) -> Iterator[dict[str, np.ndarray]]:
    """All training patches, without flips, rotations or augmentations."""
    make = jax.jit(recipe.as_tested)
    total = sum(patches.counts)
    for start in range(0, total, BATCH):
        chosen = np.arange(start, start + BATCH) % total  # one shape: one compilation
        pixels = sampler.gather_on_host(patches, chosen)
        batch = jax.device_get(make(drawn(patches, pixels, chosen), start))
        for i in range(min(BATCH, total - start)):
            yield {name: batch[key][i] for key, name in KEYS.items()}


def _save(path: Path, arrays: dict[str, np.ndarray]) -> int:
    path.parent.mkdir(parents=True, exist_ok=True)
    savemat(path, arrays, do_compression=True)
    return 1
