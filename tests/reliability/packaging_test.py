"""The pinned versions: complete, within the ranges that users get, and none of them TensorFlow."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.version import Version

ROOT = Path(__file__).parents[2]


def canonical(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def read(name: str) -> list[Requirement]:
    lines = ((ROOT / name).read_text()).splitlines()
    return [Requirement(line) for line in lines if line.strip() and not line.startswith("#")]


LOCKED = {canonical(r.name): r for r in read("requirements-lock.txt")}


def test_every_requirement_is_pinned_within_its_range():
    for requirement in read("requirements.txt") + read("requirements-dev.txt"):
        pinned = LOCKED[canonical(requirement.name)]
        (exact,) = pinned.specifier
        assert exact.operator == "=="
        assert requirement.specifier.contains(exact.version, prereleases=True), requirement.name


def test_every_pin_is_exact_and_from_an_index():
    for requirement in LOCKED.values():
        assert requirement.url is None and len(list(requirement.specifier)) == 1
        assert Version(next(iter(requirement.specifier)).version)


def test_no_tensorflow_and_no_torch():
    heavy = {"tensorflow", "tensorflow-cpu", "tf-nightly", "torch", "keras"}
    assert not heavy & set(LOCKED)


# Known holes of parsers that meet strangers' files: (package, first version without it).
FIXED = {
    "pillow": "12.0",  # buffer overflow when DDS is written (11.3) and older ones
    "requests": "2.32.4",
    "jinja2": "3.1.6",
    "protobuf": "6.31.1",
    "h5py": "3.11",
    "pyyaml": "6.0",
    "certifi": "2024.7.4",
    "urllib3": "2.5.0",
}


def test_pins_are_not_older_than_known_fixes():
    for name, version in FIXED.items():
        if name in LOCKED:
            pinned = next(iter(LOCKED[name].specifier)).version
            assert Version(pinned) >= Version(version), name


def test_the_wheel_holds_every_folder_of_code():
    """setuptools leaves out a folder without `__init__.py`."""
    folders = {path.parent for path in (ROOT / "hsisr_jax").rglob("*.py")}
    assert not [folder for folder in folders if not (folder / "__init__.py").exists()]


@pytest.mark.slow
def test_an_installed_wheel_trains_by_the_name_of_a_config(tmp_path):
    """In a folder of its own, with the packages of this environment beside it."""
    pip = [sys.executable, "-m", "pip"]
    build = [*pip, "wheel", "--no-deps", "--no-build-isolation", "-w", tmp_path / "dist", ROOT]
    subprocess.run(build, check=True, capture_output=True, cwd=tmp_path)
    (wheel,) = (tmp_path / "dist").glob("*.whl")
    subprocess.run(
        [*pip, "install", "--no-deps", "--target", tmp_path / "site", wheel],
        check=True,
        capture_output=True,
    )
    (tmp_path / "empty").mkdir()
    given = ["--config=srlsgat_pavia:smoke", "--config.steps=2", f"--config.data.dir={tmp_path}"]
    done = subprocess.run(
        [sys.executable, "-c", "from hsisr_jax.cli import run; run()", *given],
        cwd=tmp_path / "empty",
        env=os.environ | {"PYTHONPATH": str(tmp_path / "site")},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("workdir: runs/srlsgat_pavia_x2_smoke")
