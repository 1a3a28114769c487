"""The leaderboard: what is done is kept, the table is right, and texts are escaped."""

import csv
import json

import numpy as np
import pytest
from ml_collections import ConfigDict

from configs import common, leaderboard_jasper, leaderboard_swir
from hsisr_jax import leaderboard, train
from hsisr_jax.errors import UserError
from hsisr_jax.report import board


def config(seeds=(0, 1), **networks):
    result = ConfigDict({"runs": {}, "seeds": seeds})
    for name, label in networks.items():
        one = common.base()
        one.scale, one.model.name, one.data.name = 4, name, "pavia"
        entry = {"dataset": "Pavia <Centre>", "network": label, "config": one}
        result.runs[f"pavia_{name}_x4"] = ConfigDict(entry)
    return result


@pytest.fixture
def trainer(monkeypatch):
    """Training that takes no time: PSNR is 30 + the seed, and more for SSPSR."""
    calls = []

    def fake(config, workdir):
        calls.append((config.model.name, config.seed))
        if config.model.name == "esrt":
            raise UserError("no <data> | none")
        value = 30.0 + config.seed + (config.model.name == "sspsr")
        scores = {"MPSNR": value, "SAM": 5 - value / 10}
        costs = {"parameters": 1234, "seconds": 10.0 + config.seed}
        result = {"test": scores, "bicubic": {"MPSNR": 28.5, "SAM": 6.0}} | costs
        workdir.mkdir(parents=True)
        (workdir / "metrics.json").write_text(json.dumps(result))
        (workdir / "config.json").write_text(config.to_json())
        return result

    monkeypatch.setattr(train, "train_and_evaluate", fake)
    return calls


def test_what_is_done_is_not_trained_again(trainer, tmp_path):
    both = config(sspsr="SSPSR", rcam="RCAM")
    first = leaderboard.run(both, tmp_path)
    assert trainer == [("rcam", 0), ("sspsr", 0), ("rcam", 1), ("sspsr", 1)]
    again = leaderboard.run(both, tmp_path)
    assert len(trainer) == 4 and [vars(row) for row in first] == [vars(row) for row in again]
    leaderboard.run(config(seeds=(0, 1, 2), rcam="RCAM"), tmp_path)
    assert trainer[4:] == [("rcam", 2)]


def test_the_table_has_means_deviations_and_published_figures(trainer, tmp_path):
    leaderboard.run(config(sspsr="SSPSR", rcam="RCAM"), tmp_path)
    with (tmp_path / "leaderboard.csv").open() as file:
        rows = {row["network"]: row for row in csv.DictReader(file)}
    assert list(rows) == ["bicubic", "RCAM", "SSPSR"]
    assert float(rows["SSPSR"]["MPSNR_mean"]) == 31.5
    assert float(rows["SSPSR"]["MPSNR_std"]) == pytest.approx(np.std([31, 32], ddof=1))
    assert float(rows["SSPSR"]["MPSNR_published"]) == 29.1581
    assert float(rows["bicubic"]["MPSNR_published"]) == 27.5874
    assert rows["RCAM"]["MPSNR_published"] == "" and rows["RCAM"]["parameters"] == "1234"
    assert float(rows["RCAM"]["seconds"]) == 10.5
    text = (tmp_path / "leaderboard.md").read_text()
    assert "**31.5 ± 0.71 [29.16]**" in text and "| bicubic | 28.5 [27.59] |" in text
    assert "Jiang" in text


def test_a_baseline_has_a_row_for_each_range_it_was_scored_in(monkeypatch, trainer, tmp_path):
    plain = train.train_and_evaluate

    def wider(config, workdir):
        result = plain(config, workdir)
        if config.model.name == "sspsr":
            result["bicubic"] = {"MPSNR": 31.0, "SAM": 6.0}
        return result

    monkeypatch.setattr(train, "train_and_evaluate", wider)
    rows = leaderboard.run(config(seeds=(0,), sspsr="SSPSR", rcam="RCAM", snlsr="SNLSR"), tmp_path)
    assert [(row.network, row.scores["MPSNR"]) for row in rows[:2]] == [
        ("bicubic in the range of RCAM, SNLSR", [28.5]),
        ("bicubic in the range of SSPSR", [31.0]),
    ]
    assert [row.network for row in rows[2:]] == ["RCAM", "SNLSR", "SSPSR"]


def test_names_are_escaped_and_failures_are_told(trainer, tmp_path, capsys):
    rows = leaderboard.run(config(seeds=(0,), rcam="<b>RCAM", esrt="ESRT"), tmp_path)
    page = (tmp_path / "leaderboard.html").read_text()
    assert "Pavia &lt;Centre&gt;" in page and "&lt;b&gt;RCAM" in page and "<b>RCAM" not in page
    assert "ESRT failed: seed 0: no &lt;data&gt; | none" in page
    assert "no <data> \\| none" in (tmp_path / "leaderboard.md").read_text()
    assert [bool(row.failure) for row in rows] == [False, True, False]
    assert "failed: no <data>" in capsys.readouterr().err


def test_protocols_are_not_mixed():
    first = board.Row("A", 2, "x", "sspsr", scores={"MPSNR": [1.0]})
    second = board.Row("A", 2, "y", "asnlsr", scores={"PSNR": [2.0]})
    text = board.markdown([first, second], [])
    assert text.count("## A, x2") == 2


def test_lower_is_better_for_angles():
    rows = [board.Row("A", 2, name, "sspsr", scores={"SAM": [value]})
            for name, value in (("x", 3.0), ("y", 2.0))]  # fmt: skip
    assert board.best(rows, "SAM") is rows[1]


def test_the_command_tells_mistakes_in_a_line(capsys, monkeypatch, tmp_path):
    for arguments, word in (
        (["--workdir=a"], "give a config"),
        ([f"--config={tmp_path}/none.py", "--workdir=a"], f"no config file {tmp_path}/none.py"),
        (["--config", "none.py", "--workdir=a"], "no config file none.py"),
        (["--workdir=a", "more"], "unexpected argument 'more'"),
        (["--config=configs/leaderboard_jasper.py"], "--workdir is missing"),
    ):
        argv = ["leaderboard", *arguments]
        monkeypatch.setattr("sys.argv", argv)
        assert leaderboard.main(argv) == 2
        error = capsys.readouterr().err
        assert error.startswith("error: ") and word in error


@pytest.mark.parametrize("flag", ["--help", "-h"])
def test_help_lists_the_flags_and_a_config_s_keys(flag, capsys):
    config = "configs/leaderboard_jasper.py:smoke"
    for arguments, word in (([], "--workdir: the folder"), ([f"--config={config}"], "seeds: ")):
        with pytest.raises(SystemExit) as end:
            leaderboard.main(["leaderboard", flag, *arguments])
        out, err = capsys.readouterr()
        assert (end.value.code, err) == (0, "") and out.startswith("usage: ") and word in out


def test_the_configs_name_every_network_of_their_comparison():
    jasper = leaderboard_jasper.get_config("x2,x4,seeds=2")
    names = {run.config.model.name for run in jasper.runs.values()}
    assert names == {"sspsr", "srlsgat", "snlsr", "rcam"} and jasper.seeds == (0, 1)
    assert {run.config.scale for run in jasper.runs.values()} == {2, 4}
    assert len(leaderboard_swir.get_config("smoke").runs) == 5
