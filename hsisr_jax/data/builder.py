"""The shared base of all dataset builders, and the two verbs `prepare` and `load`.

A builder package `datasets/<name>/` says where a scene's files are and how they are read; its
configs say what each paper does with them. The base stores each region of a definition as one
example (or as several blocks of rows) of an `array_record` dataset, which TFDS writes to a
temporary folder and renames when it is whole. TensorFlow is never imported.
"""

import importlib.util
import re
import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow_datasets as tfds
from etils import epath

from hsisr_jax.data import disk, plan, twins
from hsisr_jax.data.cubes import ArrayCube, RawScene, band_means, open_cube
from hsisr_jax.data.download import Progress, Source, obtain, unpack
from hsisr_jax.data.packages import names, package_folder
from hsisr_jax.data.splits import (
    ROLES,
    FirstScenes,
    Fractions,
    Normaliser,
    Region,
    SplitDefinition,
    tile_origins,
)
from hsisr_jax.errors import UserError

__all__ = [  # what builder packages need
    "ArrayCube",
    "FirstScenes",
    "Fractions",
    "Normaliser",
    "RawScene",
    "Region",
    "SceneBuilder",
    "SceneConfig",
    "Source",
    "SplitDefinition",
    "UserError",
    "band_means",
    "names",
    "open_cube",
    "tile_origins",
    "twin_of",
    "unpack",
    "with_smoke",
]

PACKAGE = "hsisr_datasets"  # `datasets` alone is also the name of a Hugging Face package


@dataclass(eq=False)
class SceneConfig(tfds.core.BuilderConfig):
    """A dataset as one paper uses it.

    `shape` is the published scene's (rows, columns, bands), None where it varies; `dtype` the
    stored one; `extras` names what lies beside the image with its number of bands (0: a plane).
    """

    split: SplitDefinition | None = None
    shape: tuple[int | None, int | None, int] = (None, None, 1)
    dtype: str = "uint16"
    extras: Mapping[str, int] = field(default_factory=dict)
    wavelengths: tuple[float, float] | None = None  # nominal, first and last band: smoke twins
    smoke: bool = False
    options: Mapping[str, Any] = field(default_factory=dict)

    @property
    def storage(self) -> plan.Storage:
        bands = slice(*(self.split.bands or (0, self.shape[2])))
        return plan.Storage(bands, np.dtype(self.dtype), 4 * sum(self.extras.values()))


def with_smoke(configs: list[SceneConfig]) -> list[SceneConfig]:
    """The configs, a twin `<name>_smoke` of each, and `smoke`, the twin of the first."""
    made = [twin_of(config, f"{config.name}_smoke") for config in configs]
    return [*configs, *made, twin_of(configs[0], "smoke")]


def twin_of(config: SceneConfig, name: str) -> SceneConfig:
    """The same bands and storage on a small synthetic scene that needs no files."""
    split, size = twins.definition(config.split)
    return replace(
        config,
        name=name,
        description=f"Synthetic twin of {config.name}: same bands and storage, no files needed.",
        split=split,
        shape=(*size, config.shape[2]),
        smoke=True,
    )


class SceneBuilder(tfds.core.GeneratorBasedBuilder, skip_registration=True):
    """A dataset of scenes. Subclasses give `sources`, `open` and their configs."""

    VERSION = tfds.core.Version("1.0.0")
    HOMEPAGE = ""
    LICENCE = "No licence is stated by the provider."
    SENSOR = ""
    MANUAL_DOWNLOAD_INSTRUCTIONS = "Place the files that README.md names in this folder."

    manual_dir: Path | None = None
    progress: Progress | None = None
    failure: Exception | None = None

    # What a dataset says about itself.

    def sources(self) -> tuple[Source, ...]:
        """The published files that this config needs."""
        return ()

    def open(self, files: Mapping[str, Path], stack: ExitStack) -> Iterable[RawScene]:
        """The published scenes; readers are entered on the stack."""
        raise NotImplementedError

    def imitate(self) -> Iterable[RawScene]:
        """The synthetic scenes of a smoke config."""
        return twins.scenes(self.builder_config)

    def finish(self, raw: RawScene) -> RawScene:
        """What real and synthetic scenes have in common, such as a simulated MSI beside them."""
        return raw

    def define(self, raws: list[RawScene], files: Mapping[str, Path]) -> SplitDefinition:
        """The definition with its regions in numbers."""
        return self.builder_config.split.resolve({raw.name: raw.size for raw in raws})

    @classmethod
    def config_from(cls, **options) -> SceneConfig:
        """A config made from a user's options, for the datasets that take some."""
        raise UserError(f"dataset '{cls.name}' takes no options ({', '.join(options)})")

    # What TFDS calls.

    def _info(self) -> tfds.core.DatasetInfo:
        config = self.builder_config
        metadata = {"split_definition": config.split.to_json(), "smoke": config.smoke}
        return self.dataset_info_from_configs(
            features=_features(config),
            homepage=self.HOMEPAGE,
            license=self.LICENCE,
            metadata=tfds.core.MetadataDict(metadata),
        )

    def _split_generators(self, dl_manager: tfds.download.DownloadManager):
        self._stack = ExitStack()
        with self._guarded():
            raws, files = self._raws(dl_manager)
            definition = self.define(raws, files)
            self._storage = replace(self.builder_config.storage, sensor=self.SENSOR)
            whole, found = plan.survey(raws, definition, self._storage.bands)
            numbers = plan.constants(definition, whole, found)
            self.info.metadata["split_definition"] = definition.to_json()
            self.info.metadata["statistics"] = plan.summary(definition, found)
            blocks = plan.cut(raws, definition, numbers, self._storage)
            self._room_for(sum(b.pixels for b in blocks) * self._storage.pixel_bytes)
            self._done, self._total = 0, len(blocks)
            splits = plan.pack(blocks, self._storage)
            return {name: self._generate_examples(part) for name, part in splits.items()}

    def _generate_examples(self, blocks: list[plan.Block]) -> Iterator[tuple[str, dict]]:
        with self._guarded():
            for block in blocks:
                yield block.key, plan.example(block, self._storage)
                self._done += 1
                if self.progress:
                    self.progress(f"storing {self.name}", self._done, self._total)

    def _raws(self, dl_manager) -> tuple[list[RawScene], dict[str, Path]]:
        files: dict[str, Path] = {}
        if self.builder_config.smoke:
            raws = self.imitate()
        else:
            files = self._files(dl_manager)
            raws = self.open(files, self._stack)
        return [self.finish(raw) for raw in raws], files

    def _files(self, dl_manager) -> dict[str, Path]:
        manual = self.manual_dir
        if manual is None:
            try:
                manual = Path(dl_manager.manual_dir)
            except AssertionError:  # TFDS's word for a folder that is not there
                manual = None
        found = {
            source.file: obtain(
                source, manual_dir=manual, cache_dir=self.cache_dir, progress=self.progress
            )
            for source in self.sources()
        }
        return {name: path for name, path in found.items() if path is not None}

    def _log_download_bytes(self) -> None:
        """Without TFDS's own lines: `prepare` reports through `progress`."""

    def _log_download_done(self) -> None:
        pass

    @property
    def cache_dir(self) -> Path:
        return Path(self._data_dir_root) / "downloads" / self.name

    def _room_for(self, size: int) -> None:
        free = disk.free_space(Path(self._data_dir_root))
        if free < size:
            raise UserError(
                f"{self._data_dir_root}: {size >> 20} MiB are needed and {free >> 20} MiB are "
                "free; make room or give another data_dir"
            )

    @contextmanager
    def _guarded(self):
        """TFDS rewords exceptions; `prepare` raises the first one as it was."""
        try:
            yield
        except Exception as error:
            self.failure = self.failure or error
            raise


def _features(config: SceneConfig) -> tfds.features.FeaturesDict:
    tensor, zlib = tfds.features.Tensor, tfds.features.Encoding.ZLIB
    bands = config.storage.count
    features = {
        "image": tensor(shape=(None, None, bands), dtype=np.dtype(config.dtype), encoding=zlib),
        "wavelengths": tensor(shape=(bands,), dtype=np.float64),
        "bad_bands": tensor(shape=(bands,), dtype=np.bool_),
        "transform": tensor(shape=(6,), dtype=np.float64),
        **{key: tfds.features.Scalar(np.float64) for key in plan.SCALARS},
        **{key: tfds.features.Scalar(np.int64) for key in plan.COUNTS},
        **{key: tfds.features.Text() for key in plan.TEXTS},
    }
    for key, count in config.extras.items():
        shape = (None, None, count) if count else (None, None)
        features[key] = tensor(shape=shape, dtype=np.float32, encoding=zlib)
    return tfds.features.FeaturesDict(features)


@cache
def builder_class(name: str) -> type[SceneBuilder]:
    """The builder of a dataset, loaded from its file."""
    if name not in names():
        raise UserError(f"dataset '{name}' is unknown; the datasets are {', '.join(names())}")
    file = package_folder() / name / f"{name}_dataset_builder.py"
    module_name = f"{PACKAGE}.{name}.{name}_dataset_builder"
    spec = importlib.util.spec_from_file_location(module_name, file)
    module = importlib.util.module_from_spec(spec)
    sys.modules[module_name] = module
    with tfds.core.registered.skip_registration():
        spec.loader.exec_module(module)
    # TFDS would look for both through the package's name.
    module.Builder.pkg_dir_path = epath.Path(file.parent)
    module.Builder.code_path = epath.Path(file)
    return module.Builder


def make_builder(
    name: str, config: str | Mapping | SceneConfig | None = None, *, data_dir: str | Path
) -> SceneBuilder:
    """A builder for a named config, or for the options of `scene` and `synthetic`."""
    cls = builder_class(name)
    if isinstance(config, Mapping):
        config = cls.config_from(**config)
    elif isinstance(config, str) and config not in cls.builder_configs:
        known = ", ".join(cls.builder_configs)
        raise UserError(f"dataset '{name}' has no config '{config}'; it has {known}")
    return cls(config=config or None, data_dir=str(Path(data_dir).expanduser()))


def prepare(
    name: str,
    config: str | Mapping | SceneConfig | None = None,
    *,
    data_dir: str | Path,
    manual_dir: str | Path | None = None,
    progress: Progress | None = None,
) -> SceneBuilder:
    """Stores a dataset unless it is stored already; all of it or nothing.

    `manual_dir` holds files that the user fetched; `progress(what, done, total)` is told of
    downloads (bytes) and of stored examples. Two processes that prepare the same dataset take
    turns, and the second finds it done.
    """
    builder = make_builder(name, config, data_dir=data_dir)
    if builder.data_path.exists():
        return builder
    builder.manual_dir = Path(manual_dir).expanduser() if manual_dir else None
    if builder.manual_dir and not builder.manual_dir.is_dir():
        raise UserError(f"manual_dir {builder.manual_dir} is not a folder")
    builder.progress = progress
    tfds.disable_progress_bar()
    try:
        with disk.turn(builder.data_path.parent):
            _sweep(builder.data_path)
            builder.download_and_prepare(file_format="array_record")
    except Exception as error:
        cause = builder.failure or error
        _sweep(builder.data_path)
        if isinstance(cause, OSError):
            raise UserError(disk.problem(cause, data_dir)) from None
        raise cause from (None if isinstance(cause, UserError) else error)
    finally:
        getattr(builder, "_stack", ExitStack()).close()
    return make_builder(name, builder.builder_config, data_dir=data_dir)


def _sweep(target: epath.Path) -> None:
    """Removes what a killed or failed preparation left beside the dataset."""
    for left in target.parent.glob(f"*incomplete*{target.name}*"):
        left.rmtree(missing_ok=True)


def load(
    name: str,
    config: str | Mapping | SceneConfig | None = None,
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


def load_definition(
    name: str, config: str | Mapping | SceneConfig | None = None, *, data_dir: str | Path
) -> SplitDefinition:
    """The split definition that a prepared dataset was made by, with its regions in numbers."""
    path = make_builder(name, config, data_dir=data_dir).data_path
    if not path.exists():
        raise UserError(f"{name} is not prepared in {data_dir}; run --mode=prepare")
    metadata = tfds.builder_from_directory(str(path)).info.metadata
    return SplitDefinition.from_json(metadata["split_definition"])
