"""The experiment on adaptation of real scenes: its rows, its first stage, its table."""

import sys
from pathlib import Path

import jax
import pytest
from flax.traverse_util import flatten_dict

from experiments import adaptation_scenes as experiment


@pytest.fixture
def options(monkeypatch, tmp_path):
    line = f"x --smoke --seeds=1 --unmixing=2 --steps=2 --rows=strength_0 --workdir={tmp_path}"
    monkeypatch.setattr(sys, "argv", line.split())
    return experiment.arguments()


@pytest.fixture(autouse=True)
def random_numbers():
    """The command changes JAX's generator for its process."""
    before = jax.config.jax_default_prng_impl
    yield
    jax.config.update("jax_default_prng_impl", before)


@pytest.fixture
def folder(options):
    return Path(options.workdir)


def test_only_rows_of_the_game_see_the_target(options):
    configs = {name: experiment.config_of(name, options).data.config for name in experiment.ROWS}
    both = {name for name, config in configs.items() if config.endswith("domains_smoke")}
    alone = {name for name, game in experiment.ROWS.items() if game is None}
    assert both == set(experiment.ROWS) - alone
    assert alone == {"rcam", "esrt", "srformer", "frozen", "source"}
    first = (
        experiment.config_of("unmixing", options),
        experiment.config_of("unmixing_source", options),
    )
    assert [one.data.config[13:] for one in first] == ["domains_smoke", "single_smoke"]


def test_rows_differ_by_their_game_alone(options):
    plain, ramped = (experiment.config_of(n, options).to_dict() for n in ("strength_0", "ramped"))
    assert plain.pop("adversarial")["strength"] == 0
    assert ramped.pop("adversarial")["strength"] == 0.1
    assert plain == ramped


def test_snlsr_as_published_trains_neither_encoder_nor_a_correction(options):
    options.base = "pretrained"
    config = experiment.config_of("frozen", options)
    assert config.base.kind == "none" and experiment.STAGES["frozen"] is None
    assert set(config.optimizer.freeze) == set(experiment.UNMIXING)
    assert not experiment.config_of("source", options).optimizer.freeze


@pytest.mark.slow
def test_rows_that_correct_the_packaged_network_start_from_it(options):
    options.base = "pretrained"
    options.steps = 0
    row = experiment.Row(experiment.config_of("source", options))
    scores = row.score(row.train(0)[0].averaged)
    assert abs(scores["test"]["PSNR"] - scores["anyband"]["PSNR"]) < 0.2
    assert scores["anyband"]["PSNR"] > scores["back_projected"]["PSNR"] > scores["bicubic"]["PSNR"]


@pytest.mark.parametrize("name", ["rcam", "aligned"])
def test_the_step_of_a_row_can_be_traced(name, options):
    kind = experiment.AlignedRow if name in experiment.ALIGNED else experiment.Row
    row = kind(experiment.config_of(name, options))
    state = jax.eval_shape(row.create, jax.random.key(0))
    _, scalars = jax.eval_shape(row.one_step, state, row.trainer.patches, 0)
    assert ("domain_accuracy" in scalars) == (name != "rcam")


def test_an_unknown_row_is_named(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["x", "--rows=source,stronger"])
    with pytest.raises(SystemExit, match="2"):
        experiment.arguments()
    assert "'stronger' is unknown" in capsys.readouterr().err


@pytest.mark.slow
def test_the_first_stage_is_trained_once_and_the_row_starts_from_it(folder, capsys):
    experiment.main()
    files = sorted(path.name for path in folder.iterdir())
    assert [name.split("_")[1] for name in files] == ["strength", "unmixing"]
    out = capsys.readouterr().out
    assert "unmixing seed 0: " in out and "| strength_0 | " in out and "| back_projected | " in out
    experiment.main()  # everything is kept
    assert "seed 0: " not in capsys.readouterr().out


@pytest.mark.slow
def test_a_row_starts_with_the_endmembers_of_the_first_stage(options, folder):
    options.steps = 0
    stage = experiment.Kept("unmixing", experiment.config_of("unmixing", options), folder, None)
    row = experiment.Kept("published", experiment.config_of("published", options), folder, stage)
    first, then = (flatten_dict(x.result(0)["variables"]["params"]) for x in (stage, row))
    for path, value in first.items():
        if path[0] in experiment.UNMIXING:
            assert (then[path] == value).all()


def test_the_table_says_what_the_adversary_changes():
    def found(value):
        scores = {name: dict.fromkeys(experiment.SHOWN, value) for name in ("test", "bicubic")}
        return {"scores": scores, "scalars": {"domain_accuracy": 0.5}}

    table = {"strength_0": [found(1.0), found(3.0)], "published": [found(2.0), found(4.0)]}
    text = experiment.shown(table)
    assert "| strength_0 | 2.0000 ± 1.0000 |" in text
    assert "published against strength_0, the same seed: PSNR +1.0000 ± 0.0000" in text
