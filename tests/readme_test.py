"""What README and docs say: commands run or parse, files and links exist, snippets work."""

import ast
import importlib.util
import re
import shlex
from pathlib import Path

import numpy as np
import pytest
from command import hsisr

ROOT = Path(__file__).parents[1]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")])
SCRIPTS = ("benchmarks.", "experiments.", "tools.")
FOLDERS = "configs|benchmarks|experiments|tools|docs|hsisr_jax|datasets|tests"
MODULES = ("hsisr_jax.", *SCRIPTS)
# What a page may name that a run writes or a user has.
MADE = (
    "runs/",
    "report/",
    "checkpoints/",
    "eval/",
    "dist/",
    "build/",
    "~",
    "/",
    ".venv",
    "shared/",
)


def blocks(page: Path, *languages: str) -> list[str]:
    return re.findall(rf"```(?:{'|'.join(languages)})\n(.*?)```", page.read_text(), re.DOTALL)


def commands(page: Path) -> list[str]:
    """Lines of shell blocks, continued lines joined, comments gone."""
    found = []
    for block in blocks(page, "sh", "bash", "console"):
        for line in block.replace("\\\n", " ").splitlines():
            line = re.split(r"\s#\s|\s#$", line.removeprefix("$ "))[0].strip()
            if line and not line.startswith("#"):
                found.append(line)
    return found


COMMANDS = [(page, line) for page in PAGES for line in commands(page)]


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.name)
def test_links_lead_somewhere(page):
    text = re.sub(r"```.*?```", "", page.read_text(), flags=re.DOTALL)
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        path, _, anchor = target.partition("#")
        if "://" in target or target.startswith("mailto:"):
            continue
        file = (page.parent / path).resolve() if path else page
        assert file.exists(), target
        if anchor:
            titles = re.findall(r"^#+ (.*)$", file.read_text(), re.MULTILINE)
            slugs = [re.sub(r"[^\w\- ]", "", t.lower()).replace(" ", "-") for t in titles]
            assert anchor in slugs, target


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.name)
def test_named_files_exist(page):
    """`configs/x.py`, `benchmarks/y.py`, ... in the text and in commands."""
    pattern = rf"(?<![\w/.<])((?:{FOLDERS}|\.ci)/[\w/.\-]+\.\w+)"
    missing = {
        name
        for name in re.findall(pattern, page.read_text())
        if not (ROOT / name).exists() and not re.search(r"/(my|x|y|mine|name)[\w]*\.", name)
    }
    assert missing == set()


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.name)
def test_python_blocks_parse(page):
    for block in blocks(page, "python", "py"):
        assert ast.parse(block).body, block


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.name)
def test_python_blocks_import_what_exists(page):
    for block in blocks(page, "python", "py"):
        for node in ast.walk(ast.parse(block)):
            if isinstance(node, ast.ImportFrom) and node.module.split(".")[0] == "hsisr_jax":
                module = importlib.import_module(node.module)
                for name in node.names:
                    whole = f"{node.module}.{name.name}"
                    assert hasattr(module, name.name) or importlib.util.find_spec(whole), whole


@pytest.mark.parametrize(
    ("page", "line"), COMMANDS, ids=[f"{page.name}:{line[:60]}" for page, line in COMMANDS]
)
def test_commands_parse(page, line):
    """Every command is one that exists, with flags and configs that exist."""
    words = [word for word in shlex.split(line) if word not in ("time",)]
    while words and re.fullmatch(r"[A-Z_]+=.*", words[0]):
        words = words[1:]
    program = words[0].split("/")[-1]
    if program == "make":
        targets = re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
        assert all(word in targets for word in words[1:] if "=" not in word)
    elif program.startswith("python") and words[1] == "-m":
        module = ROOT.joinpath(*words[2].split("."))
        ours = words[2].startswith(MODULES)
        assert not ours or module.with_suffix(".py").exists() or (module / "__main__.py").exists()
        if words[2].startswith(SCRIPTS):
            check_flags(module.with_suffix(".py"), words[3:])
    elif (program.startswith("python") and words[1] == "main.py") or program == "hsisr":
        parse(words[2 if program != "hsisr" else 1 :])
    elif program.startswith("python") and words[1].endswith(".py"):
        check_flags(ROOT / words[1], words[2:])
    else:
        assert program in {"pip", "pytest", "ruff", "mypy", "git", "cd", "srun", "sbatch", "curl",
                           "tensorboard", "python", "export", "for", "do", "done", "wait",
                           "flock", "nvidia-smi", "mkdir", "docker", "kill", "ssh", "mpirun",
                           "run"}, line  # fmt: skip


def check_flags(script: Path, words: list[str]) -> None:
    texts = script.read_text() + (ROOT / "benchmarks" / "timing.py").read_text()
    for flag in (word for word in words if word.startswith("--")):
        assert f'"{flag.split("=")[0]}"' in texts, flag


def parse(words: list[str]) -> None:
    """Flags and overrides of a training command, without running it."""
    words = [word for word in words if word not in ("&", "|", ";") and not word.startswith(">")]
    words = [word.replace("...", "1") for word in words if word not in ("...", "[...]")]
    config = next((w for w in words if w.startswith("--config=")), None)
    if config:
        path = config.removeprefix("--config=").split(":")[0]
        if not (ROOT / path).exists():
            assert re.search(r"(my|mine|1|<)", path), path
            return
        words = [w.replace("--config=", f"--config={ROOT}/") if w == config else w for w in words]
    # with a mode that does not exist all else is parsed and checked, and nothing begins
    modes = [w for w in words if w.startswith("--mode=")]
    assert all(w in (f"--mode={m}" for m in ("train", "eval", "predict", "prepare", "export"))
               for w in modes), modes  # fmt: skip
    words = [w for w in words if w not in modes]
    _, _, error = hsisr(*words, "--mode=parse")
    assert "unknown --mode=parse" in error, error


def test_the_readmes_python_example_runs():
    """The block as it stands, on cubes of a few pixels and a narrow network."""
    block = next(b for b in blocks(ROOT / "README.md", "python") if "models.create" in b)
    lr = np.random.default_rng(0).random((1, 4, 4, 31), np.float32)
    lms = lr.repeat(4, 1).repeat(4, 2)
    names = {"lr": lr, "lms": lms, "hr": lms}
    exec(compile(block.replace("features=64", "features=16"), "README.md", "exec"), names)
    assert names["sr"].shape == lms.shape
    assert set(names["scores"]) >= {"MPSNR", "SAM"}


def test_every_config_and_page_is_named_somewhere():
    text = "".join(page.read_text() for page in PAGES)
    for page in (ROOT / "docs").glob("*.md"):
        assert f"{page.name}" in text.replace(page.read_text(), ""), page.name
