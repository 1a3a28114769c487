"""The quick part of the suite: its list names tests that exist, and leaves one of every file."""

import re
from pathlib import Path

ROOT = Path(__file__).parent
LISTED = [
    line.split()
    for line in (ROOT / "full.txt").read_text().splitlines()
    if not line.startswith("#")
]


def defined_in(path: Path) -> set[str]:
    return set(re.findall(r"^def (test_\w+)", path.read_text(), re.MULTILINE))


def test_the_list_names_tests_that_exist():
    names = [name for name, *_ in LISTED]
    assert len(names) == len(set(names))
    for name, *rest in LISTED:
        path, _, test = name.partition("::")
        assert test in defined_in(ROOT / path), name
        assert rest in ([], ["rest"], ["golden"]), name


def test_every_file_keeps_a_test():
    left_out = {name for name, *rest in LISTED if not rest}
    for path in ROOT.rglob("*_test.py"):
        prefix = path.relative_to(ROOT).as_posix()
        assert {f"{prefix}::{test}" for test in defined_in(path)} - left_out, path
