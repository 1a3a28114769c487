"""The config of a run as a config file, so that flags can change it: `own_config.py:runs/a`."""

from ml_collections import ConfigDict

from hsisr_jax.training.workdir import read_config


def get_config(workdir: str) -> ConfigDict:
    """The content of the workdir's `config.json`."""
    return ConfigDict(read_config(workdir))
