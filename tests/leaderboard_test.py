"""The leaderboard: what is done is kept, the table is right, and texts are escaped."""

import csv
import json
import re

import numpy as np
import pytest
from ml_collections import ConfigDict

from configs import common, leaderboard_jasper, leaderboard_scenes, leaderboard_swir
from hsisr_jax import leaderboard, train
from hsisr_jax.errors import UserError
from hsisr_jax.report import board


def config(seeds=(0, 1), **networks):
    result = ConfigDict({"runs": {}, "seeds": seeds, "manual_dir": ""})
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
        if config.model.name == "snlsr":
            result["baselines"] = {"back_projected": {"MPSNR": 29.0, "SAM": 5.5}}
        workdir.mkdir(parents=True)
        (workdir / "metrics.json").write_text(json.dumps(result))
        (workdir / "config.json").write_text(config.to_json())
        return result

    monkeypatch.setattr(train, "train_and_evaluate", fake)
    return calls


def test_what_its_config_lacks_is_named(tmp_path):
    with pytest.raises(UserError, match="needs seeds, manual_dir"):
        leaderboard.run({"runs": {}}, tmp_path)


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
    assert "| 31.50 ± 0.707 [29.16] |" in text and "| bicubic | 28.50 [27.59] |" in text
    assert "Jiang" in text


def test_the_page_links_to_the_reports_of_the_runs(trainer, tmp_path):
    leaderboard.run(config(sspsr="SSPSR"), tmp_path)
    for seed in (0, 1):
        report = tmp_path / "pavia_sspsr_x4" / f"seed_{seed}" / "report"
        report.mkdir()
        (report / "index.html").write_text("<!doctype html>")
    leaderboard.run(config(sspsr="SSPSR"), tmp_path)
    text = (tmp_path / "leaderboard.html").read_text()
    links = re.findall('<th scope="row"><a href="(.*?)">|<a href="(.*?)">[01]</a>', text)
    found = [link for groups in links for link in groups if link]
    assert len(found) == 3 and all((tmp_path / link).is_file() for link in found)


def test_a_baseline_has_a_row_for_each_range_it_was_scored_in(monkeypatch, trainer, tmp_path):
    plain = train.train_and_evaluate

    def wider(config, workdir):
        result = plain(config, workdir)
        if config.model.name == "sspsr":
            result["bicubic"] = {"MPSNR": 31.0, "SAM": 6.0}
        return result

    monkeypatch.setattr(train, "train_and_evaluate", wider)
    rows = leaderboard.run(config(seeds=(0,), sspsr="SSPSR", rcam="RCAM", snlsr="SNLSR"), tmp_path)
    assert [(row.network, row.scores["MPSNR"]) for row in rows[:3]] == [
        ("bicubic in the range of RCAM, SNLSR", [28.5]),
        ("bicubic in the range of SSPSR", [31.0]),
        ("back-projected", [29.0]),
    ]
    assert [row.network for row in rows[3:]] == ["RCAM", "SNLSR", "SSPSR"]


def test_names_are_escaped_and_failures_are_told(trainer, tmp_path, capsys):
    rows = leaderboard.run(config(seeds=(0,), rcam="<b>RCAM", esrt="ESRT"), tmp_path)
    page = (tmp_path / "leaderboard.html").read_text()
    assert "Pavia &lt;Centre&gt;" in page and "&lt;b&gt;RCAM" in page and "<b>RCAM" not in page
    assert "ESRT failed: seed 0: no &lt;data&gt; | none" in page
    assert "no &lt;data&gt; \\| none" in (tmp_path / "leaderboard.md").read_text()
    assert [bool(row.failure) for row in rows] == [False, True, False]
    assert "failed: no <data>" in capsys.readouterr().err


def scored(**values):
    return [board.Row("A", 2, name, "sspsr", seeds=len(v), scores={"MPSNR": v})
            for name, v in values.items()]  # fmt: skip


@pytest.mark.parametrize(
    "rows, wins",
    [
        (scored(x=[31.0, 31.2], y=[30.0, 30.2]), "x"),
        (scored(x=[30.0, 31.0], y=[30.1, 30.3]), None),  # their seeds differ by more
        (scored(x=[31.0], y=[30.0, 30.1]), None),  # one seed says nothing of its spread
        (scored(x=[31.0, 31.1], y=[30.0]), None),
        (scored(x=[31.0, 31.1]), "x"),
    ],
)
def test_bold_is_what_leads_by_more_than_the_spread_of_seeds(rows, wins):
    found = board.winner(rows, "MPSNR")
    assert (found and found.network) == wins
    assert ("**" in board.markdown(rows, []).split("- ")[0]) == (wins is not None)


def test_a_baseline_has_no_spread():
    rows = scored(x=[31.0, 31.2], bicubic=[30.0])
    rows[1].seeds = 0
    assert board.winner(rows, "MPSNR") is rows[0]


def test_a_column_has_the_same_decimals_in_every_row():
    text = board.markdown(scored(x=[27.9], y=[28.291]), [])
    assert "| 27.90 |" in text and "| 28.29 |" in text


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


@pytest.mark.parametrize("name", ["=cmd|' /C calc'!A0", "+1", "-1", "@SUM(A1)", "\t=1"])
def test_no_cell_is_a_formula(name):
    row = board.Row(name, 4, name, "sspsr", scores={"MPSNR": [30.0]})
    lines = list(csv.reader(board.to_csv([row]).splitlines()))
    cells = dict(zip(*lines))
    assert cells["network"] == cells["dataset"] == f"'{name}" and cells["MPSNR_mean"] == "30.0"


def test_no_html_in_markdown():
    row = board.Row("<b>", 4, "<script>alert(1)</script> | a", "sspsr", failure="<img src=x>")
    text = board.markdown([row], [])
    assert "&lt;script&gt;" in text and "\\| a" in text
    assert not any(part in text for part in ("<script", "<img", "<b>"))


def test_a_score_that_is_not_finite_is_never_bold():
    rows = [board.Row("d", 4, n, "sspsr", scores={"MPSNR": [v], "SAM": [v]})
            for n, v in (("a", float("nan")), ("b", 2.0), ("c", float("-inf")))]  # fmt: skip
    assert board.best(rows, "MPSNR") is rows[1] and board.best(rows, "SAM") is rows[1]
    assert board.best(rows[:1], "MPSNR") is None


def test_the_board_of_scenes(tmp_path):
    """Each network by both recipes on each scene and scale; Indian Pines from a file or package."""
    whole = leaderboard_scenes.get_config(f"data={tmp_path},steps=40,seeds=2")
    assert len(whole.runs) == 4 * 2 * 2 * 4 and whole.seeds == (0, 1)
    (tmp_path / "Indian_pines_corrected.npy").touch()
    some = leaderboard_scenes.get_config(f"data={tmp_path},x4,pines,paris,rcam").runs
    assert sorted(some) == ["paris_rcam_anyband_x4", "paris_rcam_paper_x4",
                            "pines_rcam_anyband_x4", "pines_rcam_paper_x4"]  # fmt: skip
    paper, ours = some.pines_rcam_paper_x4, some.pines_rcam_anyband_x4
    assert (paper.config.base.kind, ours.config.base.kind) == ("none", "pretrained")
    assert paper.network == "RCAM, its paper's recipe" and ours.network == "RCAM on anyband"
    assert paper.config.data.path == str(tmp_path / "Indian_pines_corrected.npy")
    trial = leaderboard_scenes.get_config("smoke,x2,snlsr").runs
    assert len(trial) == 2 and not any(one.config.data.path for one in trial.values())
