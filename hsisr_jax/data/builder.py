"""The base class of all dataset builders; `prepare` and `load` are in `catalogue`.

A builder package `datasets/<name>/` defines the source files and how to read them; its configs are
the papers' splits. The base class stores each region of a split as one example (or as several
blocks of rows) of an `array_record` dataset, which TFDS writes to a temporary folder and renames
when it is complete. TensorFlow is never imported.
"""

import os
import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow_datasets as tfds

from hsisr_jax.data import disk, options, plan, swir, synthetic, twins
from hsisr_jax.data.catalogue import builder_class, load, load_definition, make_builder, prepare
from hsisr_jax.data.cubes import (
    ArrayCube,
    LazyCube,
    PickedCube,
    RawScene,
    band_means,
    check_shape,
    open_any,
    open_cube,
    storage_dtype,
)
from hsisr_jax.data.discovery import names
from hsisr_jax.data.download import Progress, Source, obtain, unpack
from hsisr_jax.data.patch_files import arrays_of, check_reduction, partner_sizes
from hsisr_jax.data.pcidsk import PcidskCube
from hsisr_jax.data.ranges import as_domain, available, overlap, spectral_range
from hsisr_jax.data.splits import (
    FirstScenes,
    Fractions,
    Normaliser,
    Region,
    SplitDefinition,
    tile_origins,
)
from hsisr_jax.errors import UserError, disk_number
from hsisr_jax.formats import carried
from hsisr_jax.formats.pixels import open_pixels
from hsisr_jax.identity import of_files, of_place

__all__ = [  # the two verbs, and what builder packages need
    "ArrayCube",
    "FirstScenes",
    "Fractions",
    "LazyCube",
    "Normaliser",
    "PcidskCube",
    "PickedCube",
    "RawScene",
    "Region",
    "SceneBuilder",
    "SceneConfig",
    "Source",
    "SplitDefinition",
    "UserError",
    "arrays_of",
    "as_domain",
    "available",
    "band_means",
    "builder_class",
    "check_reduction",
    "check_shape",
    "load",
    "load_definition",
    "make_builder",
    "names",
    "of_files",
    "open_any",
    "open_cube",
    "open_pixels",
    "options",
    "overlap",
    "partner_sizes",
    "prepare",
    "spectral_range",
    "storage_dtype",
    "swir",
    "synthetic",
    "tile_origins",
    "twin_of",
    "unpack",
    "with_smoke",
]


@dataclass(eq=False)
class SceneConfig(tfds.core.BuilderConfig):
    """A dataset as one paper uses it.

    `shape` is the published scene's (rows, columns, bands), None where it varies; `dtype` the
    stored one; `extras` names what lies beside the image with its number of bands (0: a plane).
    """

    split: SplitDefinition = SplitDefinition(name="", citation="")
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
    """The twin of a config: a small synthetic scene with the same bands and storage, no files."""
    split, size = twins.definition(config.split)
    split = twins.in_domains(split) if config.options.get("domains") else split
    return replace(  # type: ignore[call-arg]
        config,
        name=name,
        description=f"Synthetic twin of {config.name}: same bands and storage, no files needed.",
        split=split,
        shape=(*size, config.shape[2]),
        smoke=True,
    )


class SceneBuilder(  # type: ignore[call-arg]
    tfds.core.GeneratorBasedBuilder, skip_registration=True
):
    """A dataset of scenes. Subclasses give `sources`, `open` and their configs."""

    VERSION = tfds.core.Version("1.0.0")
    HOMEPAGE = ""
    LICENCE = "No licence is stated by the provider."
    SENSOR = ""
    EVENLY_SPACED = True  # a config's nominal wavelengths hold where a file gives none
    NEEDS_OPTIONS = False  # whether no config is a mistake
    MANUAL_DOWNLOAD_INSTRUCTIONS = "Place the files that README.md names in this folder."

    manual_dir: Path | None = None
    progress: Progress | None = None
    failure: Exception | None = None

    def __init__(self, *, file_format: str = "array_record", **options: Any):
        super().__init__(file_format=file_format or "array_record", **options)

    @cached_property
    def stack(self) -> ExitStack:
        """The context managers that are open while a dataset is prepared."""
        return ExitStack()

    # Overridden by datasets.

    def sources(self) -> tuple[Source, ...]:
        """Returns the published files that this config needs."""
        return ()

    def open(self, files: Mapping[str, Path], stack: ExitStack) -> Iterable[RawScene]:
        """Yields the published scenes; readers are entered on the stack."""
        raise NotImplementedError

    def imitate(self) -> Iterable[RawScene]:
        """The synthetic scenes of a smoke config."""
        return twins.scenes(self.builder_config)

    def finish(self, raw: RawScene) -> RawScene:
        """Adds what real and synthetic scenes share, such as a simulated MSI."""
        return raw

    def define(self, raws: list[RawScene], files: Mapping[str, Path]) -> SplitDefinition:
        """The split definition with all regions resolved, each in its scene's domain."""
        split = self.builder_config.split.resolve({raw.name: raw.size for raw in raws})
        domains = {raw.name: raw.domain for raw in raws}
        regions = tuple(replace(r, domain=domains[r.scene]) for r in split.regions)
        return replace(split, regions=regions)

    @classmethod
    def config_from(cls, **options) -> SceneConfig:
        """A config from a user's options, for datasets that take options."""
        own = "; files of your own are --config.data.name=scene" if "path" in options else ""
        raise UserError(f"dataset '{cls.name}' takes no options ({', '.join(options)}){own}")

    # Called by TFDS.

    def download_and_prepare(self, **options: Any) -> None:
        """TFDS's preparation, which raises the original exception."""
        try:
            super().download_and_prepare(**options)
        except Exception as error:
            cause = self.failure or error
            if not isinstance(cause, OSError | UserError) and (number := disk_number(cause)):
                cause = OSError(number, os.strerror(number))  # in words of the library that wrote
            raise cause from (None if isinstance(cause, UserError) else error)
        finally:
            self.stack.close()

    def _info(self) -> tfds.core.DatasetInfo:
        config = self.builder_config
        asked = config.split.to_json()  # `split_definition` becomes the one in numbers
        metadata = {"split_definition": asked, "requested": asked, "smoke": config.smoke}
        return self.dataset_info_from_configs(
            features=_features(config),
            homepage=self.HOMEPAGE,
            license=self.LICENCE,
            metadata=tfds.core.MetadataDict(metadata),
        )

    def _split_generators(self, dl_manager: tfds.download.DownloadManager):
        with self._guarded():
            raws, files = self._raws(dl_manager)
            definition = self.define(raws, files)
            self._storage = replace(self.builder_config.storage, sensor=self.SENSOR)
            whole, found = plan.survey(raws, definition, self._storage.bands, self.progress)
            numbers = plan.constants(definition, whole, found)
            self.info.metadata["split_definition"] = definition.to_json()
            self.info.metadata["statistics"] = plan.summary(definition, found)
            self.info.metadata["sources"] = {name: of_place(p) for name, p in files.items()}
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
            raws = map(self._completed, self.open(files, self.stack))
        return [self.finish(raw) for raw in raws], files

    def _files(self, dl_manager) -> dict[str, Path]:
        manual = self.manual_dir
        if manual is None:
            try:
                manual = Path(dl_manager.manual_dir)
            except AssertionError:  # raised by TFDS if the folder does not exist
                manual = None
        found = {
            source.file: obtain(
                source, manual_dir=manual, cache_dir=self.cache_dir, progress=self.progress
            )
            for source in self.sources()
        }
        return {name: path for name, path in found.items() if path is not None}

    def _log_download_bytes(self) -> None:
        """Prints nothing in place of TFDS: `prepare` reports through `progress`."""

    def _log_download_done(self) -> None:
        pass

    def _completed(self, raw: RawScene) -> RawScene:
        if not self.NEEDS_OPTIONS:  # papers use a published file's values, whatever it declares
            raw = replace(raw, meta=replace(raw.meta, nodata=None))
        elif carried.gains(raw.meta.extra, raw.cube.bands):
            text = "the scene's gains differ from band to band and are not applied"
            print(f"warning: {raw.name}: {text}", file=sys.stderr)
        ends = self.builder_config.wavelengths if self.EVENLY_SPACED else None
        if raw.meta.wavelengths is not None or ends is None:
            return raw
        nominal = np.linspace(ends[0], ends[1], raw.cube.bands)
        return replace(raw, meta=replace(raw.meta, wavelengths=nominal))

    def unpacked(self, archive: Path) -> Path:
        """Unpacks an archive beside the downloads and returns the folder."""
        return unpack(archive, self.cache_dir / archive.name.split(".")[0])

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
        """TFDS rewords exceptions; `download_and_prepare` raises the first one as it was."""
        try:
            yield
        except Exception as error:
            self.failure = self.failure or error
            raise


def _features(config: SceneConfig) -> tfds.features.FeaturesDict:
    tensor, zlib = tfds.features.Tensor, tfds.features.Encoding.ZLIB
    exact = tfds.features.Encoding.BYTES  # without it, TFDS rounds to float32
    bands = config.storage.count
    features = {
        "image": tensor(shape=(None, None, bands), dtype=np.dtype(config.dtype), encoding=zlib),
        "wavelengths": tensor(shape=(bands,), dtype=np.float64, encoding=exact),
        "bad_bands": tensor(shape=(bands,), dtype=np.bool_),
        "transform": tensor(shape=(6,), dtype=np.float64, encoding=exact),
        **{key: tensor(shape=(), dtype=np.float64, encoding=exact) for key in plan.SCALARS},
        **{key: tfds.features.Scalar(np.int64) for key in plan.COUNTS},
        **{key: tfds.features.Text() for key in plan.TEXTS},
    }
    for key, count in config.extras.items():
        shape = (None, None, count) if count else (None, None)
        features[key] = tensor(shape=shape, dtype=np.float32, encoding=zlib)
    return tfds.features.FeaturesDict(features)
