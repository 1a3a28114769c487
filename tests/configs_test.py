"""Every config: what it says of itself, that it loads, builds at full size, trains as `:smoke`."""

import ast
import importlib.util
import inspect
import json
import re
from pathlib import Path

import jax
import pytest

from configs import common
from hsisr_jax import models
from hsisr_jax.data import builder
from hsisr_jax.train import train_and_evaluate
from hsisr_jax.training import experiment, fit
from tests.helpers.command import hsisr

ROOT = Path(__file__).parents[1]
FILES = sorted(p for p in (ROOT / "configs").glob("*.py") if p.stem not in ("common", "__init__"))
BOARDS = [p for p in FILES if p.stem.startswith("leaderboard")]  # a config over configs
CONFIGS = [p for p in FILES if p not in BOARDS]
NEEDS_A_PATH = {"scene", "asnlsr_scene"}
# One of each network and each kind of data: the others differ from these in bands alone.
QUICK = {"srlsgat_pavia", "sspsr_cave", "ssran_paris", "asnlsr_swir", "bicubic_swir"}


def load(path: Path):
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def named(paths, quick=frozenset()):
    """Test parameters; where some are quick, the rest is slow."""
    return [
        pytest.param(
            path, id=path.stem, marks=[pytest.mark.slow] if quick and path.stem not in quick else []
        )
        for path in paths
    ]


@pytest.fixture(scope="session")
def datasets(tmp_path_factory):
    return tmp_path_factory.mktemp("datasets")


@pytest.fixture(scope="session")
def scene(tmp_path_factory):
    """A file of the user's, for the config that needs one."""
    import numpy as np

    from hsisr_jax.data.synthetic import generate

    path = tmp_path_factory.mktemp("scene") / "mine.npy"
    np.save(path, generate(96, 96, 12, seed=1)[0])
    return path


def twin(path: Path, argument: str, datasets: Path):
    """A config on the synthetic twin of its dataset."""
    config = load(path).get_config(argument)
    if "smoke" not in argument:
        tiny = load(path).get_config(f"{argument},smoke".strip(","))
        config.data.name = tiny.data.name
        config.data.config, config.data.options = tiny.data.config, tiny.data.options
        config.mesh.data, config.batch_size = 1, 8
    config.data.dir = str(datasets)
    if config.data.placement == "disk":
        config.data.placement = "device"  # as the others, whose patches are a source of batches
    return config


@pytest.mark.parametrize("path", named(FILES))
def test_it_says_what_it_is(path):
    text = ast.get_docstring(ast.parse(path.read_text()))
    for item in ("Command:", "Time:", "Expected"):
        assert item in text, item
    assert "Paper:" in text or path.stem in ("scene", "bicubic_swir") or path in BOARDS
    assert f"configs/{path.name}" in re.search(r"Command:(.*)", text).group(1)
    assert len(path.read_text().splitlines()) <= (100 if path in BOARDS else 60)


@pytest.mark.parametrize("path", named(CONFIGS))
def test_it_loads_locked_and_refuses_unknown_keys_and_arguments(path):
    module = load(path)
    assert list(inspect.signature(module.get_config).parameters) == ["arg"]
    config = module.get_config()
    config.lock()
    with pytest.raises(AttributeError):
        config.lerning_rate = 1.0
    assert config.model.name in models.names()
    offered = models.find(config.model.name).scales
    other = next(scale for scale in (3, 5) if scale not in offered)
    with pytest.raises(ValueError, match="unknown: use"):
        module.get_config(f"x{other}")
    json.dumps(config.to_dict())  # it must become config.json
    assert module.get_config().to_dict() == config.to_dict()


def test_every_network_has_a_config():
    found = {load(path).get_config().model.name for path in CONFIGS}
    assert found == set(models.names())


@pytest.mark.parametrize("path", named(p for p in CONFIGS if p.stem not in NEEDS_A_PATH))
def test_the_full_size_network_builds_and_its_step_can_be_traced(path, datasets):
    """Shapes only: nothing is compiled, whatever the size."""
    run = fit.prepare(experiment.describe(twin(path, "", datasets)))
    state = run.trainer.abstract_state()
    source = run.trainer.patches
    after, scalars = jax.eval_shape(run.trainer._advance, state, source, run.trainer.seeds, 1)
    same = jax.tree.map(lambda a, b: (a.shape, a.dtype) == (b.shape, b.dtype), state, after)
    assert all(jax.tree.leaves(same))
    assert "loss" in scalars
    assert (run.steps > 0) == (path.stem != "bicubic_swir")
    assert set(run.rates) == set(state.opt_state)


def test_configs_know_the_datasets_of_own_files():
    """The configs list them, since importing the builders would take seconds."""
    own = {name for name in builder.names() if builder.builder_class(name).NEEDS_OPTIONS}
    assert own == set(common.OWN)


def test_a_trial_on_ones_own_file_keeps_the_regions(scene, tmp_path):
    """And without a file it is one on the synthetic twin."""
    command = ("--mode=prepare", f"--config.data.dir={tmp_path}")
    file = f"--config.data.path={scene}"
    code, said, wrong = hsisr("--config=scene:x2,smoke", *command, file)
    assert code == 0, wrong
    sizes = re.findall(r"(train|validation|test) +mine_\w+: hr \((\d+), (\d+), 12\)", said)
    assert [role for role, *_ in sizes] == ["train", "validation", "test"], said
    assert [int(h) * int(w) for _, h, w in sizes] == [96 * 48, 96 * 16, 96 * 32], said
    for config in ("scene:x2,smoke", "asnlsr_scene:smoke"):
        code, said, wrong = hsisr(f"--config={config}", *command)
        assert code == 0 and "mine" not in said, wrong
    code, _, wrong = hsisr("--config=asnlsr_scene:smoke", *command, file)
    assert code == 2 and "wavelengths" in wrong  # of the file: its ranges are still asked for


@pytest.mark.parametrize("path", named(CONFIGS, QUICK))
def test_smoke_trains_saves_and_evaluates(path, datasets, scene, tmp_path):
    config = twin(path, "smoke", datasets)
    config.steps, config.log_every, config.checkpoint_every = 2, 1, 1
    config.data.placement = "device"
    if path.stem == "scene":
        config.data.path = str(scene)
    if config.base.kind == "pretrained":
        config.select = "last"  # two steps need not beat the packaged network
    found = train_and_evaluate(config, tmp_path)
    assert found["steps"] == 2 and found["skipped"] == 0
    assert all(value == value for value in found["test"].values())
    assert (tmp_path / "report" / "index.html").stat().st_size > 10_000
    rows = [json.loads(row) for row in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    trained = config.model.name != "bicubic"
    assert {row["step"] for row in rows if row["kind"] == "train"} == {1, 2}
    assert all(row["gradient_norm"] > 0 for row in rows if row["kind"] == "train") == trained
    again = train_and_evaluate(config, tmp_path)  # nothing is left to train: the same scores
    assert again["test"] == found["test"]
