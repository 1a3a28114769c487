"""Ships dataset builders and configs inside the wheel.

`datasets/x` becomes `hsisr_jax/_datasets/x`, `configs` becomes `hsisr_jax/_configs/configs`.

Everything else is in pyproject.toml, which cannot place a folder elsewhere and find packages too.
"""

from pathlib import Path

from setuptools import find_packages, setup

BUILDERS = "hsisr_jax._datasets"
CONFIGS = "hsisr_jax._configs.configs"
names = sorted(path.parent.name for path in Path("datasets").glob("*/*_dataset_builder.py"))

setup(
    packages=[
        *find_packages(include=["hsisr_jax*"]),
        *(f"{BUILDERS}.{name}" for name in names),
        CONFIGS,
    ],
    package_dir={
        CONFIGS: "configs",
        **{f"{BUILDERS}.{name}": f"datasets/{name}" for name in names},
    },
    package_data={
        "hsisr_jax": ["*.json"],
        "hsisr_jax.weights": ["*.npz", "*.md"],
        "hsisr_jax.report": ["*.html", "*.css", "*.js"],
        **{f"{BUILDERS}.{name}": ["*.md", "*.bib", "*.txt", "*.json"] for name in names},
    },
)
