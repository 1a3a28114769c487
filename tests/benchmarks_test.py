"""Every benchmark and every tool that measures runs at its small size and writes its numbers."""

import importlib.util
import json
import math
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

ROOT = Path(__file__).parents[1]
QUICK = [
    "benchmarks.data --small",
    "benchmarks.metrics --small",
    "benchmarks.device --small --parts attention",
]
SLOW = [
    "benchmarks.train_step --small --networks srlsgat --graphs dense jraph",
    "benchmarks.train_step --small --networks sspsr --precision float32 bfloat16 --steps 1 3",
    "benchmarks.inference --small --networks ssran rcam",
    "tools.roofline --small --networks snlsr",
    "tools.roofline --paper --networks srlsgat sspsr",
    "benchmarks.micro_srlsgat --small",
    "benchmarks.micro_snlsr --small --full",
    "benchmarks.micro_groups --small",
    "benchmarks.micro_layers --small",
    "benchmarks.scaling --devices 2 --processes 2",
    "benchmarks.scaling --paper",
    "benchmarks.start",
    "benchmarks.device --small",
    "benchmarks.disk --small",
    "benchmarks.sensors --small --sensors enmap",
]
FOR_TPUS = pytest.param(
    "tools.compile_for --small --networks ssran",
    marks=[
        pytest.mark.slow,
        pytest.mark.skipif(not importlib.util.find_spec("libtpu"), reason="needs libtpu"),
    ],
)


def run(command: str, path: Path) -> dict:
    env = os.environ | {"JAX_PLATFORMS": "cpu", "XLA_FLAGS": ""}
    arguments = [sys.executable, "-m", *f"{command} --rounds=1 --json={path}".split()]
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
    from benchmarks import timing

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


def test_the_table_of_a_device_names_what_failed_and_what_there_was_no_time_for(monkeypatch):
    from benchmarks import device

    def breaks(name, args, kind):
        yield {"what": name, "precision": "float32", "ms": 1.5, "rate": 2.0, "unit": "examples/s"}
        raise RuntimeError("out of memory\nat some length")

    monkeypatch.setattr(device, "speed_of", breaks)
    args = SimpleNamespace(networks=["sspsr"], parts=["training"], minutes=1, small=True)
    rows = device.run(args)
    assert [row.get("right") for row in rows] == [None, False]
    args.minutes = -1
    rows += device.run(args)
    table = device.markdown(rows, ["a fact"]).splitlines()
    assert table[0] == "- a fact" and len({line.count("|") for line in table[2:]}) == 1
    assert "| training | sspsr | float32 | 1.50 | 2 examples/s |" in table[4]
    assert "WRONG: RuntimeError: out of memory |" in table[5]
    assert "not run: -1 minutes are over" in table[6]
