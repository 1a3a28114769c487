"""The configs of papers against the authors' own scripts, kept as data with file and line."""

import importlib.util
import json
from math import cos, pi
from pathlib import Path

import numpy as np
import pytest

from hsisr_jax import models
from hsisr_jax.training.optimizers import build_all

ROOT = Path(__file__).parents[1]
PUBLISHED = json.loads((ROOT / "tests" / "data" / "published_recipes.json").read_text())
CASES = [(paper, name) for paper, known in PUBLISHED.items() for name in known["configs"]]
EPOCH = 10  # steps


def config_of(name: str):
    spec = importlib.util.spec_from_file_location(name, ROOT / "configs" / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.get_config()


def at(config, key: str):
    """The value at a dotted key; of an option that the config leaves out, the network's default."""
    part, _, name = key.rpartition(".")
    section = config
    for step in filter(None, part.split(".")):
        section = section[step]
    if part == "model" and name not in section:
        return getattr(models.create(section["name"]), name)
    return section[name]


@pytest.mark.parametrize(("paper", "name"), CASES)
def test_a_config_has_the_values_of_the_authors_scripts(paper, name):
    config, known = config_of(name), PUBLISHED[paper]
    for key, value, source in known["values"]:
        assert at(config, key) == value, f"{key}: {known['repository']}, {source}"
    for key, theirs, ours, source in known.get("ours", []):
        assert at(config, key) == ours != theirs, f"{key}: {known['repository']}, {source}"


@pytest.mark.parametrize(("paper", "name"), CASES)
def test_the_rate_of_every_epoch(paper, name):
    config, known = config_of(name), PUBLISHED[paper]["rate"]
    epochs = int(config.epochs)
    _, rates = build_all(config.optimizer.to_dict(), epochs * EPOCH, EPOCH)
    for rate in rates.values():
        first = float(rate(0))
        for e in range(epochs):
            expected = eval(known["formula"], {"e": e, "cos": cos, "pi": pi})  # noqa: S307
            for step in (e * EPOCH, e * EPOCH + EPOCH - 1):
                np.testing.assert_allclose(rate(step) / first, expected, rtol=1e-4, err_msg=str(e))


def test_ten_runs_for_the_table_of_a_snlsr():
    assert len(config_of("leaderboard_swir").seeds) == 10
