"""A prepared dataset's pixels unpacked for random access: `config.data.placement = "disk"`.

A prepared dataset is compressed, in blocks of many rows. `records` unpacks it once, block by block,
to the folder `pixels` inside it: `<feature>.npy` holds the pixels of all scenes, `p c` in the
stored type, `index.json` their positions and metadata. The folder is removed when the dataset is
prepared again, and may be deleted at any time.
"""

import json
import re
import shutil
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow_datasets as tfds

from hsisr_jax import identity
from hsisr_jax.data import catalogue, disk, plan
from hsisr_jax.data.download import Progress
from hsisr_jax.data.pixel_file import PixelFile, StoredCube
from hsisr_jax.data.splits import ROLES, SplitDefinition
from hsisr_jax.errors import UserError
from hsisr_jax.files import write_text

FOLDER, INDEX = "pixels", "index.json"
FORMAT = 1
FEATURES = (*plan.CUBES, "hidden")


def records(
    name: str,
    config: catalogue.Choice = None,
    *,
    data_dir: str | Path,
    progress: Progress | None = None,
) -> list[dict[str, Any]]:
    """The scenes of a prepared dataset as `builder.load` gives them, their cubes still on disk."""
    folder = Path(catalogue.make_builder(name, config, data_dir=data_dir).data_path)
    if not folder.exists():
        raise UserError(f"{name} is not prepared in {data_dir}; run --mode=prepare")
    target = folder / FOLDER
    index = _read(target)
    try:
        if index is None:
            with disk.turn(folder.parent):
                index = _read(target) or _unpack(folder, target, progress)
    except OSError as error:
        raise UserError(disk.problem(error, data_dir)) from None
    files = {feature: PixelFile(target / f"{feature}.npy") for feature in index["bands"]}
    return [_record(scene, files) for scene in index["scenes"]]


def _read(target: Path) -> dict[str, Any] | None:
    """The index, if it is of this format and its files are as they were written."""
    try:
        index = json.loads((target / INDEX).read_text())
        sizes = {name: (target / name).stat().st_size for name in index["sizes"]}
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return index if index.get("format") == FORMAT and sizes == index["sizes"] else None


def _record(scene: Mapping[str, Any], files: Mapping[str, PixelFile]) -> dict[str, Any]:
    record: dict[str, Any] = dict(scene["facts"])
    record |= {key: np.asarray(x, np.float32) for key, x in scene["planes"].items()}
    first, (height, width) = scene["first"], scene["size"]
    for feature, file in files.items():
        record[feature] = StoredCube(file, first, width, (height, width))
    return record


def _unpack(folder: Path, target: Path, progress: Progress | None) -> dict[str, Any]:
    """Unpacks into `target`, one block at a time in memory. Returns the index."""
    stored = tfds.builder_from_directory(str(folder))
    split = SplitDefinition.from_json(stored.info.metadata["split_definition"])
    bands = {key: x.shape[-1] for key, x in stored.info.features.items() if key in FEATURES}
    dtypes = {key: np.dtype(stored.info.features[key].np_dtype) for key in bands}
    regions = dict(sorted(enumerate(split.regions), key=lambda item: ROLES.index(item[1].role)))
    areas = [region.shape[0] * region.shape[1] for region in regions.values()]
    places, total = dict(zip(regions, np.cumsum([0, *areas]).tolist())), sum(areas)
    _room_for(total * sum(n * dtypes[key].itemsize for key, n in bands.items()), target)
    facts: dict[int, dict[str, Any]] = {}
    with _beside(target) as partial, ExitStack() as stack:
        files = {}
        for key, count in bands.items():
            files[key] = stack.enter_context((partial / f"{key}.npy").open("wb"))
            header = {"descr": dtypes[key].str, "fortran_order": False, "shape": (total, count)}
            np.lib.format.write_array_header_1_0(files[key], header)
        total_blocks = sum(stored.info.splits[split].num_examples for split in _splits(stored))
        begins = {key: file.tell() for key, file in files.items()}
        for done, record in enumerate(_blocks(stored), 1):
            index, block, rows = int(record["index"]), int(record["block"]), len(record["image"])
            height, width = regions[index].shape
            last = block == int(record["blocks"]) - 1
            top = height - rows if last else block * rows  # all but the last one are as high
            for key, file in files.items():
                values = np.ascontiguousarray(record[key], dtypes[key])
                pixel = values.shape[-1] * values.itemsize
                file.seek(begins[key] + (places[index] + top * width) * pixel)
                file.write(values.data)
            facts.setdefault(index, _facts(record, regions[index].role))
            if progress:
                progress(f"unpacking {stored.name}", done, total_blocks)
        stack.pop_all().close()  # written to the end
        found: dict[str, Any] = {
            "format": FORMAT,
            "bands": bands,
            "sizes": {f"{key}.npy": (partial / f"{key}.npy").stat().st_size for key in bands},
            "scenes": [
                {"first": places[i], "size": region.shape, **facts[i]}
                for i, region in regions.items()
            ],
        }
        made = {key: PixelFile(partial / f"{key}.npy") for key in bands}
        for scene in found["scenes"]:
            record = _record(scene, made)
            scene["facts"]["digest"] = identity.of_tree(
                {ours: record[key] for key, ours in plan.CUBES.items() if key in record}
            )
        write_text(partial / INDEX, json.dumps(found) + "\n")
    return found


@contextmanager
def _beside(target: Path) -> Iterator[Path]:
    """A new folder that replaces the target if the block succeeds, and is removed if it fails."""
    partial = target.with_name(f"{target.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir()
    try:
        yield partial
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise
    shutil.rmtree(target, ignore_errors=True)
    partial.rename(target)


def _room_for(need: int, target: Path) -> None:
    if (free := disk.free_space(target)) < need:
        raise UserError(
            f"{target}: placement 'disk' needs {need >> 20} MiB for unpacked pixels and "
            f"{free >> 20} MiB are free; make room or give another config.data.dir"
        )


def _splits(stored: tfds.core.DatasetBuilder) -> list[str]:
    """The stored parts of all roles."""
    pattern = re.compile(rf"({'|'.join(ROLES)})(_\d+)?")
    return [split for split in stored.info.splits if pattern.fullmatch(split)]


def _blocks(stored: tfds.core.DatasetBuilder) -> Iterator[dict[str, Any]]:
    """All stored examples, one at a time."""
    for split in _splits(stored):
        source = stored.as_data_source(split=split)
        for i in range(len(source)):
            yield source[i]


def _facts(record: Mapping[str, Any], role: str) -> dict[str, Any]:
    """The metadata of a record beside its cubes: numbers, texts and small planes."""
    rest = {key: value for key, value in record.items() if np.ndim(value) < 3}
    facts = plan.joined([rest | {"block": 0, "blocks": 1}], role)
    plain = {k: x.tolist() if isinstance(x, np.ndarray) else x for k, x in facts.items()}
    planes = {key: plain.pop(key) for key, x in facts.items() if np.ndim(x) == 2}
    return {"facts": plain, "planes": planes}
