"""The experiment on image quality: its protocol, its option sets, its table."""

import sys

import pytest

from experiments import quality


@pytest.fixture
def args(monkeypatch):
    monkeypatch.setattr(sys, "argv", ["quality.py", "--scene=a.npy", "--bands=50:81"])
    return quality.arguments()


def test_an_ablation_has_each_option_alone_and_its_absence():
    words = quality.sets_of("ablation")
    assert len(words) == 2 * len(quality.OPTIONS) + 2
    assert quality.options_of("paper") == []
    assert quality.options_of("ours") == list(quality.OPTIONS)
    assert quality.options_of("paper+loss") == ["loss"]
    assert set(quality.OPTIONS) - set(quality.options_of("ours-ema")) == {"ema"}
    with pytest.raises(SystemExit, match="unknown set"):
        quality.options_of("ours-speed")


def test_the_papers_set_is_the_published_recipe(args):
    config = quality.configure(args, "srlsgat", 4, 2, "paper")
    assert (config.loss.name, config.optimizer.learning_rate, config.ema) == ("hybrid", 1e-4, 0)
    assert config.optimizer.schedule.name == "constant" and config.base.kind == "none"
    assert (config.seed, config.scale, config.batch_size, config.steps) == (2, 4, 8, 4000)
    regions = config.data.options.regions
    assert list(regions[0]) == ["train", 0, 100, 0, 64]
    assert list(regions[3]) == ["test", 64, 96, 64, 96]
    assert list(config.data.options.bands) == [50, 81]


def test_every_option_changes_the_config(args):
    plain = quality.configure(args, "rcam", 2, 0, "paper").to_json()
    for name in quality.OPTIONS:
        assert quality.configure(args, "rcam", 2, 0, f"paper+{name}").to_json() != plain


def test_a_trial_changes_what_the_sets_gave(monkeypatch):
    line = "quality.py --scene=a.npy --change loss.spectral_angle=0.2 --change ema=0.5"
    monkeypatch.setattr(sys, "argv", line.split())
    config = quality.configure(quality.arguments(), "rcam", 2, 0, "ours")
    assert (config.loss.spectral_angle, config.ema, config.base.kind) == (
        0.2, 0.5, "back_projected")  # fmt: skip
    monkeypatch.setattr(sys, "argv", ["quality.py", "--scene=a.npy", "--change", "speed=9"])
    with pytest.raises(SystemExit, match="--change speed"):
        quality.configure(quality.arguments(), "rcam", 2, 0, "ours")


def test_the_table_averages_over_seeds_and_cites_the_published_code(args):
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
