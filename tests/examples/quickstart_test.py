"""`make quickstart`: a table, a picture and a page."""

import sys

import pytest
from PIL import Image

from configs import quickstart as config
from examples import quickstart


def test_it_ends_with_a_table_a_picture_and_a_page(tmp_path, monkeypatch, capsys):
    given = ["quickstart", f"--workdir={tmp_path}", "--config=synthetic,smoke"]
    monkeypatch.setattr(sys, "argv", given)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    quickstart.main()
    out = capsys.readouterr().out
    assert "without any training" in out and "| trained on top |" in out
    rows = (tmp_path / "quickstart.md").read_text().splitlines()
    assert len(rows) == 2 + len(quickstart.ROWS)
    psnr = {row.split(" | ")[0].strip("| "): float(row.split(" | ")[1]) for row in rows[2:]}
    assert psnr["anyband, as shipped"] > psnr["bicubic"]
    with Image.open(tmp_path / "quickstart.png") as picture:
        assert picture.width > 100 and len(picture.convert("RGB").getcolors(10**6)) > 50
    assert (tmp_path / "report" / "index.html").is_file()


@pytest.mark.parametrize(
    "found, argument, name",
    [(None, "x2", "synthetic"), (1, "x2", "indian_pines"), (1, "x4,synthetic", "synthetic")],
)
def test_the_scene_is_real_where_the_package_has_it(found, argument, name, monkeypatch):
    monkeypatch.setattr(config.importlib.util, "find_spec", lambda _: found)
    assert config.get_config(argument).data.name == name
