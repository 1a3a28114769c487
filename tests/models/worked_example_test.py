"""The worked examples of docs/models.md run, are short, and do what they say."""

import re
from pathlib import Path

import jax
import numpy as np
import pytest

DOCUMENT = Path(__file__).parents[2] / "docs" / "models.md"


def run(section: str) -> tuple[str, dict]:
    text = DOCUMENT.read_text().split(f"## {section}")[1]
    code = re.search(r"```python\n(.*?)```", text, re.DOTALL).group(1)
    names = {"__name__": "example"}  # a module of this name is looked up by dataclasses
    exec(compile(code, "docs/models.md", "exec"), names)  # noqa: S102
    return code, names


@pytest.fixture(scope="module")
def example():
    return run("Replacing a component")


def test_the_training_loop_learns():
    code, names = run("Writing your own training loop")
    assert len([line for line in code.splitlines() if line.strip()]) < 40
    history = names["history"]
    assert len(history) == 20 and min(history[-5:]) < 0.9 * history[0]
    assert "batch_stats" in names["variables"]


def test_the_example_is_short(example):
    code, _ = example
    lines = [line for line in code.splitlines() if line.strip()]
    assert len(lines) < 30


def test_gradients_reach_the_swapped_component(example):
    _, names = example
    trunk, found = names["variables"]["params"]["trunk"]["body"], names["grads"]["trunk"]["body"]
    assert jax.tree.structure(found) == jax.tree.structure(trunk)
    assert {"GAT_0", "MultiAdjacency_0", "SpatialSpectralNet_0"} == set(trunk)
    for leaf in jax.tree.leaves(found["GAT_0"]):
        assert np.isfinite(leaf).all() and np.abs(leaf).max() > 0


def test_the_branch_keeps_the_papers_body(example):
    _, names = example
    assert set(names["variables"]["params"]["branch"]["body"]) == {"block_0"}
