"""The folder and the names of the builder packages; imports nothing heavy."""

from pathlib import Path

from hsisr_jax.errors import UserError


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
