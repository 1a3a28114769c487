"""Every benchmark runs at its small size and writes its numbers."""

import importlib.util
import json
import math
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
QUICK = ["data.py --small", "metrics.py --small"]
SLOW = [
    "train_step.py --small --networks srlsgat --graphs dense jraph",
    "train_step.py --small --networks sspsr --precision float32 bfloat16 --steps 1 3",
    "inference.py --small --networks ssran rcam",
    "roofline.py --small --networks snlsr",
    "roofline.py --paper --networks srlsgat sspsr",
    "micro_srlsgat.py --small",
    "micro_snlsr.py --small --full",
    "micro_groups.py --small",
    "micro_layers.py --small",
    "scaling.py --devices 2 --processes 2",
    "scaling.py --paper",
    "start.py",
]
FOR_TPUS = pytest.param(
    "compile_for.py --small --networks ssran",
    marks=[
        pytest.mark.slow,
        pytest.mark.skipif(not importlib.util.find_spec("libtpu"), reason="needs libtpu"),
    ],
)


def run(command: str, path: Path) -> dict:
    env = os.environ | {"JAX_PLATFORMS": "cpu", "XLA_FLAGS": ""}
    arguments = [sys.executable, *f"benchmarks/{command} --rounds=1 --json={path}".split()]
    done = subprocess.run(arguments, cwd=ROOT, env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert len(done.stdout.splitlines()) > 1
    return json.loads(path.read_text())


def numbers(tree) -> list[float]:
    if isinstance(tree, dict):
        return [x for value in tree.values() for x in numbers(value)]
    if isinstance(tree, list):
        return [x for value in tree for x in numbers(value)]
    return [tree] if isinstance(tree, float) else []


@pytest.mark.parametrize(
    "command", [*QUICK, *(pytest.param(c, marks=pytest.mark.slow) for c in SLOW), FOR_TPUS]
)
def test_it_runs_and_writes_its_numbers(command, tmp_path):
    found = run(command, tmp_path / "found.json")
    assert found["environment"]["cores"] >= 1
    values = numbers(found["results"])
    assert len(values) > 3 and all(math.isfinite(x) for x in values)


def test_ratios_are_of_the_same_round():
    import timing

    found = timing.summary({"a": [1.0, 4.0, 2.0], "b": [0.5, 2.0, 4.0]})
    assert found["a"]["ratio"] == found["a"]["ratio_of_minima"] == 1
    assert found["b"]["ratio"] == 2 and found["b"]["ratio_of_minima"] == 2
    assert found["b"] | {"ratio": 0, "ratio_of_minima": 0} == {
        "median": 2, "least": 0.5, "spread": 8, "ratio": 0, "ratio_of_minima": 0
    }  # fmt: skip
    calls = []
    forms = {name: lambda name=name: calls.append(name) for name in "ab"}
    assert {k: len(v) for k, v in timing.interleaved(forms, 2).items()} == {"a": 2, "b": 2}
    assert calls == list("aabb" * 3)  # twice in a row, and a round to warm up
