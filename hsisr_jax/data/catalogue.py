"""From a dataset's name to its scenes: find the builder, `prepare` once, `load`.

Preparation is all or nothing: TFDS writes to a temporary folder and renames it when it is whole,
one process at a time, and what a killed preparation left is swept away by the next.
"""

import importlib.util
import json
import logging
import re
import sys
from collections.abc import Iterable, Mapping
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import tensorflow_datasets as tfds
from etils import epath

from hsisr_jax.data import disk, plan
from hsisr_jax.data.download import Progress
from hsisr_jax.data.packages import names, package_folder
from hsisr_jax.data.splits import ROLES, SplitDefinition
from hsisr_jax.errors import UserError

PACKAGE = "hsisr_datasets"  # `datasets` alone is also the name of a Hugging Face package
# What names a config: its name, the options of `scene` and `synthetic`, or a config object.
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
    """Without TFDS's warning that a config is made for one scene."""
    logger = logging.getLogger("absl")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)


def prepare(
    name: str,
    config: Choice = None,
    *,
    data_dir: str | Path,
    manual_dir: str | Path | None = None,
    progress: Progress | None = None,
) -> tfds.core.GeneratorBasedBuilder:
    """Stores a dataset unless it is stored already; all of it or nothing.

    One that was stored by another definition, from before a change of this library, is replaced.
    `manual_dir` holds files that the user fetched; `progress(what, done, total)` is told of
    downloads (bytes) and of stored examples. Two processes that prepare the same dataset take
    turns, and the second finds it done.
    """
    builder = make_builder(name, config, data_dir=data_dir)
    if _up_to_date(builder):
        return builder
    manual = Path(manual_dir).expanduser() if manual_dir else None
    if manual and not manual.is_dir():
        raise UserError(f"manual_dir {manual} is not a folder")
    try:
        with disk.turn(builder.data_path.parent):
            if not _up_to_date(builder):
                with _replacing(builder.data_path):
                    # A new one: the first has read what an outdated dataset says of itself.
                    builder = make_builder(name, builder.builder_config, data_dir=data_dir)
                    builder.manual_dir, builder.progress = manual, progress
                    _store(builder)
    except OSError as error:
        raise UserError(disk.problem(error, data_dir)) from None
    return make_builder(name, builder.builder_config, data_dir=data_dir)


def _store(builder: tfds.core.GeneratorBasedBuilder) -> None:
    """TFDS's preparation, with the first exception as it was."""
    tfds.disable_progress_bar()
    try:
        builder.download_and_prepare(file_format="array_record")
    except Exception as error:
        cause = builder.failure or error
        raise cause from (None if isinstance(cause, UserError) else error)
    finally:
        builder.stack.close()


def _up_to_date(builder: tfds.core.GeneratorBasedBuilder) -> bool:
    """Whether the dataset is there and was made by the definition that the config has now."""
    try:
        stored = json.loads((builder.data_path / "metadata.json").read_text())
    except (OSError, ValueError):
        return False
    return stored.get("requested") == builder.builder_config.split.to_json()


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


def load(
    name: str,
    config: Choice = None,
    *,
    data_dir: str | Path,
    roles: Iterable[str] = ROLES,
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
    stored = tfds.builder_from_directory(str(builder.data_path))
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
    """The split definition that a prepared dataset was made by, with its regions in numbers."""
    path = make_builder(name, config, data_dir=data_dir).data_path
    if not path.exists():
        raise UserError(f"{name} is not prepared in {data_dir}; run --mode=prepare")
    metadata = tfds.builder_from_directory(str(path)).info.metadata
    return SplitDefinition.from_json(metadata["split_definition"])
