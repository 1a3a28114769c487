"""The worked examples of docs/models.md run, are short, and do what they say."""

import re
from pathlib import Path

import jax
import numpy as np
import pytest

DOCUMENT = Path(__file__).parents[2] / "docs" / "models.md"


def code_of(section: str) -> str:
    text = DOCUMENT.read_text().split(f"## {section}")[1]
    return re.search(r"```python\n(.*?)```", text, re.DOTALL).group(1)


def run(section: str) -> dict:
    names = {"__name__": "example"}  # a module of this name is looked up by dataclasses
    exec(compile(code_of(section), "docs/models.md", "exec"), names)  # noqa: S102
    return names


@pytest.fixture(scope="module")
def names():
    return run("Replacing a component")


@pytest.mark.parametrize(
    "section, most", [("Replacing a component", 30), ("Writing your own training loop", 40)]
)
def test_they_are_short(section, most):
    assert len([line for line in code_of(section).splitlines() if line.strip()]) < most


def test_the_training_loop_learns():
    names = run("Writing your own training loop")
    history = names["history"]
    assert len(history) == 20 and min(history[-5:]) < 0.9 * history[0]
    assert "batch_stats" in names["variables"]


def test_gradients_reach_the_swapped_component(names):
    trunk, found = names["variables"]["params"]["trunk"]["body"], names["grads"]["trunk"]["body"]
    assert jax.tree.structure(found) == jax.tree.structure(trunk)
    assert {"GAT_0", "MultiAdjacency_0", "SpatialSpectralNet_0"} == set(trunk)
    for leaf in jax.tree.leaves(found["GAT_0"]):
        assert np.isfinite(leaf).all() and np.abs(leaf).max() > 0


def test_the_branch_keeps_the_papers_body(names):
    assert set(names["variables"]["params"]["branch"]["body"]) == {"block_0"}
