"""Workdirs that are not what they should be give one clear line."""

import json

import numpy as np
import pytest
from report_workdirs import make

from hsisr_jax.errors import UserError
from hsisr_jax.report import runs, write
from hsisr_jax.report.__main__ import main


@pytest.fixture
def workdir(tmp_path):
    return make(tmp_path / "a", size=(16, 16, 6), images=("one",), steps=50)


def test_reads_everything_and_skips_a_torn_row(workdir):
    run = runs.load(workdir)
    assert run.name == "a" and run.config["model"]["features"] == 64
    assert [row["step"] for row in run.rows if row["kind"] == "train"] == [10, 20, 30, 40, 50]
    assert [path.stem for path in run.images] == ["one"]


def test_names_tell_runs_apart(tmp_path):
    for place in ("x/seed0", "y/seed0"):
        make(tmp_path / place, size=(16, 16, 6), images=(), steps=10)
    loaded = runs.load_all([tmp_path / "x/seed0", tmp_path / "y/seed0"])
    assert [run.name for run in loaded] == ["x/seed0", "y/seed0"]
    with pytest.raises(UserError, match="twice"):
        runs.load_all([tmp_path / "x/seed0", tmp_path / "y/../x/seed0"])


def test_a_folder_without_a_run(tmp_path):
    with pytest.raises(UserError, match="nothing to report"):
        runs.load(tmp_path)
    with pytest.raises(UserError, match="no such workdir"):
        runs.load(tmp_path / "none")
    with pytest.raises(UserError, match="at least one"):
        runs.load_all([])


@pytest.mark.parametrize("text", ["{", "[1]", "[" * 100_000])
def test_damaged_json(workdir, text):
    (workdir / "metrics.json").write_text(text)
    with pytest.raises(UserError, match=r"metrics\.json"):
        runs.load(workdir)


def test_pickles_are_refused(workdir):
    bomb = np.array([{"a": 1}], dtype=object)
    np.savez(workdir / "eval" / "one.npz", hr=bomb, sr=bomb)
    with pytest.raises(UserError, match=r"one\.npz"):
        write([workdir], workdir / "report.html")


@pytest.mark.parametrize(
    "arrays,word",
    [
        ({"hr": np.zeros((4, 4, 2))}, "sr"),
        ({"hr": np.zeros((4, 4, 2)), "sr": np.zeros((4, 5, 2))}, "shape"),
        ({"hr": np.zeros((4, 4)), "sr": np.zeros((4, 4))}, "hr"),
    ],
)
def test_images_of_the_wrong_shape(workdir, arrays, word):
    np.savez(workdir / "eval" / "one.npz", **arrays)
    with pytest.raises(UserError, match=word):
        write([workdir], workdir / "report.html")


def test_truncated_images(workdir):
    path = workdir / "eval" / "one.npz"
    path.write_bytes(path.read_bytes()[:500])
    with pytest.raises(UserError, match=r"one\.npz"):
        write([workdir], workdir / "report.html")


def test_command(workdir, tmp_path, capsys):
    assert main([str(workdir), f"--output={tmp_path}/out/page.html"]) == 0
    assert (tmp_path / "out" / "page.html").stat().st_size > 50_000
    assert main([str(tmp_path / "none")]) == 2
    assert "no such workdir" in capsys.readouterr().err
    assert main([str(workdir), f"--output={tmp_path}"]) == 2  # a folder


def test_an_unfinished_run_shows_its_curves(workdir):
    (workdir / "metrics.json").unlink()
    for path in (workdir / "eval").iterdir():
        path.unlink()
    text = write([workdir], workdir / "page.html").read_text()
    assert "not evaluated yet" in text and 'data-charts="charts"' in text


def test_flat():
    assert runs.flat({"a": {"b": 1, "c": {}}, "d": [2]}) == {"a.b": 1, "a.c": {}, "d": [2]}
    assert json.dumps(runs.number(True)) == "null"


ODD = (float("nan"), float("inf"), float("-inf"), 10**400, -(10**400), None, True, "x", [1], {})


@pytest.mark.parametrize("value", ODD, ids=lambda v: str(v)[:5])
@pytest.mark.parametrize("place", ["step", "loss", "test", "bicubic", "parameters", "seconds"])
def test_numbers_that_are_none_are_no_traceback(workdir, tmp_path, value, place):
    row = {"kind": "train", "step": 60, "loss": 0.5} | ({place: value} if place != "test" else {})
    with (workdir / "metrics.jsonl").open("a") as file:
        file.write(json.dumps(row) + "\n")
        file.write(json.dumps(row | {"kind": "eval", "MPSNR": value}) + "\n")
    found = json.loads((workdir / "metrics.json").read_text())
    found["images"][0]["test"]["MPSNR"] = value
    if place in ("test", "bicubic"):
        found[place]["MPSNR"] = value
    else:
        found[place] = value
    found["seed"] = found["best_step"] = value
    (workdir / "metrics.json").write_text(json.dumps(found))
    page = write([workdir], tmp_path / "page" / "index.html").read_text()
    if place == "test" and value != value:
        assert '<span class="value">NaN<' in page
