"""The benchmark of quality: its protocol, its option sets, its table."""

import importlib.util
import sys
from pathlib import Path

import pytest

from configs import common

FILE = Path(__file__).parents[1] / "benchmarks" / "quality.py"


@pytest.fixture(scope="module")
def quality():
    spec = importlib.util.spec_from_file_location("quality_benchmark", FILE)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def args(quality, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["quality.py", "--scene=a.npy", "--bands=50:81"])
    return quality.arguments()


def test_an_ablation_has_each_option_alone_and_its_absence(quality):
    words = quality.sets_of("ablation")
    assert len(words) == 2 * len(common.AHEAD) + 2
    assert quality.options_of("paper") == []
    assert quality.options_of("ours") == list(common.AHEAD)
    assert quality.options_of("paper+loss") == ["loss"]
    assert set(common.AHEAD) - set(quality.options_of("ours-ema")) == {"ema"}
    with pytest.raises(SystemExit, match="unknown set"):
        quality.options_of("ours-speed")


def test_the_papers_set_is_the_published_recipe(quality, args):
    config = quality.configure(args, "srlsgat", 4, 2, "paper")
    assert (config.loss.name, config.optimizer.learning_rate, config.ema) == ("hybrid", 1e-4, 0)
    assert config.optimizer.schedule.name == "constant" and not config.residual
    assert (config.seed, config.scale, config.batch_size, config.steps) == (2, 4, 8, 4000)
    regions = config.data.options.regions
    assert list(regions[0]) == ["train", 0, 100, 0, 64]
    assert list(regions[3]) == ["test", 64, 96, 64, 96]
    assert list(config.data.options.bands) == [50, 81]


def test_every_option_changes_the_config(quality, args):
    plain = quality.configure(args, "rcam", 2, 0, "paper").to_json()
    for name in common.AHEAD:
        assert quality.configure(args, "rcam", 2, 0, f"paper+{name}").to_json() != plain


def test_a_trial_changes_what_the_sets_gave(quality, monkeypatch):
    line = "quality.py --scene=a.npy --change loss.spectral_angle=0.2 --change ema=0.5"
    monkeypatch.setattr(sys, "argv", line.split())
    config = quality.configure(quality.arguments(), "rcam", 2, 0, "ours")
    assert (config.loss.spectral_angle, config.ema, config.base_projection) == (0.2, 0.5, 3)
    monkeypatch.setattr(sys, "argv", ["quality.py", "--scene=a.npy", "--change", "speed=9"])
    with pytest.raises(SystemExit, match="--change speed"):
        quality.configure(quality.arguments(), "rcam", 2, 0, "ours")


def test_the_table_averages_over_seeds_and_cites_the_published_code(quality, args):
    bicubic = dict.fromkeys(quality.SHOWN, 1.0)
    rows = [
        {"network": "srlsgat", "scale": 2, "set": "ours", "seed": seed, "seconds": 3,
         "test": dict.fromkeys(quality.SHOWN, value), "bicubic": bicubic}
        for seed, value in ((0, 30.0), (1, 32.0))
    ]  # fmt: skip
    text = quality.table(rows, args)
    assert "| srlsgat x2 | ours | 2 | 31.00 | 31.0000 | 31.000 | 31.000 | 3 |" in text
    assert "| srlsgat x2 | published code | 3 | 31.33 |" in text
    assert "| srlsgat x2 | bicubic | - | 1.00 |" in text
