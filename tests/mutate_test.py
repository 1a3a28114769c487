"""The tool that changes lines and says which changes no test notices."""

import json

import pytest

from tools import mutate

CODE = "def double(x):\n    return 2 * x\n\n\ndef half(x):\n    return x / 2\n"
TEST = "from hsisr_jax.sums import double, half\n\n\ndef test_sums():\n    assert double(3) == 6\n"


@pytest.mark.parametrize("change", mutate.load(mutate.CHANGES, ""), ids=lambda c: c.name)
def test_every_change_has_one_place_and_its_tests(change):
    text = (mutate.ROOT / change.file).read_text()
    assert text.count(change.old) == 1 and change.new != change.old
    assert change.tests and all((mutate.ROOT / t.split("::")[0]).exists() for t in change.tests)


def test_it_says_which_changes_survive(tmp_path, monkeypatch, capsys):
    root = tmp_path / "root"
    for place, text in {"hsisr_jax/sums.py": CODE, "hsisr_jax/__init__.py": "", "t/a_test.py": TEST,
                        "pyproject.toml": "[tool.pytest.ini_options]\n"}.items():  # fmt: skip
        (root / place).parent.mkdir(parents=True, exist_ok=True)
        (root / place).write_text(text)
    monkeypatch.setattr(mutate, "ROOT", root)
    monkeypatch.setattr(mutate, "COPIED", ("hsisr_jax", "t"))
    monkeypatch.setattr(mutate, "FILES", ("pyproject.toml",))
    facts = {"file": "hsisr_jax/sums.py", "tests": ["t/a_test.py"]}
    changes = [{"name": "double", "old": "2 * x", "new": "3 * x"} | facts,
               {"name": "half", "old": "x / 2", "new": "x / 3"} | facts]  # fmt: skip
    (tmp_path / "changes.json").write_text(json.dumps(changes))
    given = ["--changes", str(tmp_path / "changes.json")]
    assert mutate.main(given) == 1
    said = capsys.readouterr().out
    assert "noticed: double" in said and "SURVIVED: half" in said and "1 of 2 changes" in said
    assert (root / "hsisr_jax" / "sums.py").read_text() == CODE
    assert mutate.main([*given, "--only", "double"]) == 0
    (tmp_path / "changes.json").write_text(json.dumps([changes[0] | {"old": "x"}]))
    with pytest.raises(SystemExit, match="has 4 times 'x'"):
        mutate.main(given)
