"""Finds the builder packages, and registers them with TFDS: `tfds.builder("pavia/smoke")`.

TFDS may be imported before or after; nothing here imports it.
"""

import importlib.util
import sys
from importlib.abc import MetaPathFinder
from pathlib import Path

from hsisr_jax.errors import UserError

TFDS = "tensorflow_datasets"


def package_folder() -> Path:
    """The folder of builder packages: the repository's, or its copy in an installed wheel."""
    here = Path(__file__).resolve().parents[1]
    for folder in (here.parent / "datasets", here / "_datasets"):
        if (folder / "scene" / "scene_dataset_builder.py").is_file():
            return folder
    raise UserError(f"no dataset builders beside {here}; install the package again")


def names() -> tuple[str, ...]:
    """All datasets."""
    return tuple(sorted(p.parent.name for p in package_folder().glob("*/*_dataset_builder.py")))


class Provider:
    """Answers TFDS where it looks for a builder by name."""

    def has_dataset(self, name: str) -> bool:
        return name in names()

    def get_builder_cls(self, name: str) -> type:
        from hsisr_jax.data.catalogue import builder_class

        return builder_class(name)


class _Watch(MetaPathFinder):
    """An import hook that registers the provider after TFDS's import and removes itself."""

    def find_spec(self, fullname, path=None, target=None):
        if fullname != TFDS:
            return None
        sys.meta_path.remove(self)
        spec = importlib.util.find_spec(fullname)
        if spec and spec.loader:
            execute = spec.loader.exec_module

            def execute_and_register(module):
                execute(module)
                register()

            spec.loader.exec_module = execute_and_register  # type: ignore[method-assign]
        return spec


def register() -> None:
    """Adds the provider after those of TFDS."""
    sys.modules[TFDS].core.registered.add_dataset_builder_provider(Provider())


def announce() -> None:
    """Registers now, or when TFDS is imported."""
    if TFDS in sys.modules:
        register()
    else:
        sys.meta_path.insert(0, _Watch())
