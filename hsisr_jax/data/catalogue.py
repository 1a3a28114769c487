"""Datasets by name: find the builder, `prepare` once, `load`.

Preparation is atomic: TFDS writes to a temporary folder and renames it when it is complete, one
process at a time. Remains of a killed preparation are removed by the next one.
"""

import importlib.util
import json
import logging
import re
import sys
import tempfile
import time
from collections.abc import Iterable, Mapping
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import Any

import tensorflow_datasets as tfds
from etils import epath

from hsisr_jax.data import disk, plan
from hsisr_jax.data.discovery import names, package_folder
from hsisr_jax.data.download import Progress, locate
from hsisr_jax.data.splits import ROLES, SplitDefinition
from hsisr_jax.errors import UserError, first_line
from hsisr_jax.files import read_json, write_text
from hsisr_jax.identity import WHOLE, changes, of_file, of_place

SUMS = "sums.json"  # beside the stored files: their digests
MINUTE = 60  # seconds
PACKAGE = "hsisr_datasets"  # `datasets` alone is also the name of a Hugging Face package
# A config is given by name, by the options of `scene` and `synthetic`, or as an object.
Choice = str | Mapping[str, Any] | Any | None


@cache
def builder_class(name: str) -> type[tfds.core.GeneratorBasedBuilder]:
    """The builder of a dataset, loaded from its file."""
    if name not in names():
        raise UserError(f"dataset '{name}' is unknown; the datasets are {', '.join(names())}")
    file = package_folder() / name / f"{name}_dataset_builder.py"
    module_name = f"{PACKAGE}.{name}.{name}_dataset_builder"
    spec = importlib.util.spec_from_file_location(module_name, file)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules[module_name] = module
    with tfds.core.registered.skip_registration():
        spec.loader.exec_module(module)
    # TFDS would look for both through the package's name.
    module.Builder.pkg_dir_path = epath.Path(file.parent)
    module.Builder.code_path = epath.Path(file)
    return module.Builder


def make_builder(
    name: str, config: Choice = None, *, data_dir: str | Path
) -> tfds.core.GeneratorBasedBuilder:
    """A builder for a named config, or for the options of `scene` and `synthetic`."""
    cls = builder_class(name)
    if isinstance(config, Mapping) or (not config and cls.NEEDS_OPTIONS):
        config = cls.config_from(**(config or {}))
    elif isinstance(config, str) and config not in cls.builder_configs:
        known = ", ".join(cls.builder_configs)
        raise UserError(f"dataset '{name}' has no config '{config}'; it has {known}")
    with _quiet():
        return cls(config=config or None, data_dir=str(Path(data_dir).expanduser()))


@contextmanager
def _quiet():
    """Suppresses TFDS's warning about configs made for one scene, and the temporary folder that
    it leaves for each builder."""
    logger = logging.getLogger("absl")
    level = logger.level
    logger.setLevel(logging.ERROR)
    with tempfile.TemporaryDirectory(prefix="hsisr_") as scratch:
        before, tempfile.tempdir = tempfile.tempdir, scratch
        try:
            yield
        finally:
            tempfile.tempdir = before
            logger.setLevel(level)


def prepare(
    name: str,
    config: Choice = None,
    *,
    data_dir: str | Path,
    manual_dir: str | Path | None = None,
    progress: Progress | None = None,
) -> tfds.core.GeneratorBasedBuilder:
    """Stores a dataset unless it is stored already; a failure leaves nothing behind.

    A dataset that was stored with another definition or from other files is replaced.
    `manual_dir` holds files that the user downloaded; `progress(what, done, total)` is called for
    downloads (bytes) and stored examples. Of two processes that prepare the same dataset the
    second waits for the first.
    """
    builder = make_builder(name, config, data_dir=data_dir)
    manual = Path(manual_dir).expanduser() if manual_dir else None
    if _up_to_date(builder, manual):
        return builder
    if manual and not manual.is_dir():
        raise UserError(f"manual_dir {manual} is not a folder")
    try:
        with disk.turn(builder.data_path.parent):
            if not _up_to_date(builder, manual):
                with _replacing(builder.data_path):
                    # A new one: the first has read what an outdated dataset says of itself.
                    builder = make_builder(name, builder.builder_config, data_dir=data_dir)
                    builder.manual_dir, builder.progress = manual, progress
                    tfds.disable_progress_bar()
                    builder.download_and_prepare()
                    stored = Path(builder.data_path)
                    write_text(stored / SUMS, json.dumps(_shards(stored)) + "\n")
    except BaseException as error:
        disk.tidy(Path(data_dir).expanduser(), name)
        if isinstance(error, OSError):
            raise UserError(disk.problem(error, data_dir)) from None
        raise
    return make_builder(name, builder.builder_config, data_dir=data_dir)


def _up_to_date(builder: tfds.core.GeneratorBasedBuilder, manual: Path | None) -> bool:
    """Whether the dataset exists and was made with the current definition and from the current
    files. (The files of `scene` are in its config's name.)"""
    stored = read_json(builder.data_path / "metadata.json") or {}
    if stored.get("requested") != builder.builder_config.split.to_json():
        return False
    if damage := _damage(Path(builder.data_path)):
        print(f"{builder.data_path}: {damage}: it is prepared again", file=sys.stderr)
        return False
    before = stored.get("sources", {})
    placed = {s.file: locate(s, [manual]) for s in builder.sources()} if manual else {}
    return all(before.get(name) == of_place(file) for name, file in placed.items() if file)


def _shards(folder: Path) -> dict[str, str]:
    """Digests of the stored files; of large ones, the size (their format has checksums)."""
    found = sorted(folder.glob("*.array_record*"))
    sizes = {file: file.stat().st_size for file in found}
    return {f.name: of_file(f) if size <= WHOLE else str(size) for f, size in sizes.items()}


def _damage(folder: Path) -> str:
    """Names files that differ from what was stored; empty if none does or no digests exist."""
    try:
        before = json.loads((folder / SUMS).read_text())
    except FileNotFoundError:
        return ""
    except (OSError, ValueError, RecursionError):
        return f"{SUMS} cannot be read"
    changed = changes(before, _shards(folder))
    return f"{changed[0] or SUMS} is damaged" if changed else ""


@contextmanager
def _replacing(target: epath.Path):
    """Sets an outdated dataset aside, and puts it back if the new one fails."""
    _sweep(target)
    aside = target.parent / f"outdated_{target.name}"
    if target.exists():
        aside.rmtree(missing_ok=True)
        target.rename(aside)
    try:
        yield
    except BaseException:
        _sweep(target)
        if aside.exists():
            aside.rename(target)
        raise
    aside.rmtree(missing_ok=True)


def _sweep(target: epath.Path) -> None:
    """Removes what a killed or failed preparation left beside the dataset."""
    for left in target.parent.glob(f"*incomplete*{target.name}*"):
        left.rmtree(missing_ok=True)
    # Beside all configs TFDS records the default one; preparations of others may be writing it.
    for left in target.parent.parent.glob(".config/incomplete.*"):
        with suppress(FileNotFoundError):
            if time.time() - left.stat().mtime > MINUTE:
                left.unlink()


def load(
    name: str, config: Choice = None, *, data_dir: str | Path, roles: Iterable[str] = ROLES
) -> list[dict[str, Any]]:
    """The scenes of a prepared dataset, one dict for each region, in the definition's order.

    Each holds the features and `role`; blocks are joined. `image` is in the stored dtype, and
    `(image * scale + offset - minimum) / (maximum - minimum)` is what a network sees, except for
    the normaliser `log_minmax`, where `minimum` and `maximum` are of the natural logarithm of
    `max(image * scale + offset, floor)`.
    """
    builder = make_builder(name, config, data_dir=data_dir)
    if not builder.data_path.exists():
        raise UserError(f"{builder.info.full_name} is not in {data_dir}; run --mode=prepare")
    try:
        return _scenes(tfds.builder_from_directory(str(builder.data_path)), roles)
    except UserError:
        raise
    except Exception as error:  # of the libraries that read the stored files
        raise UserError(
            f"{builder.data_path} cannot be read ({first_line(error, 150)}): delete this folder, "
            "and run --mode=prepare"
        ) from error


def _scenes(stored: tfds.core.DatasetBuilder, roles: Iterable[str]) -> list[dict[str, Any]]:
    scenes = []
    for role in roles:
        pattern = re.compile(rf"{role}(_\d+)?")
        splits = [split for split in stored.info.splits if pattern.fullmatch(split)]
        records = [r for split in splits for r in stored.as_data_source(split=split)]
        by_region: dict[int, list[dict]] = {}
        for record in records:
            by_region.setdefault(int(record["index"]), []).append(record)
        scenes += [plan.joined(by_region[index], role) for index in sorted(by_region)]
    return scenes


def load_definition(name: str, config: Choice = None, *, data_dir: str | Path) -> SplitDefinition:
    """The split definition of a prepared dataset, with all regions resolved."""
    path = make_builder(name, config, data_dir=data_dir).data_path
    if not path.exists():
        raise UserError(f"{name} is not prepared in {data_dir}; run --mode=prepare")
    metadata = tfds.builder_from_directory(str(path)).info.metadata
    return SplitDefinition.from_json(metadata["split_definition"])
