"""The order of the layers, read off the import statements: see docs/architecture.md."""

import ast
import subprocess
import sys
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "hsisr_jax"
RANKS = {
    0: ("errors", "__init__"),
    1: ("arguments", "ops", "resize", "mesh", "cluster", "formats", "identity", "locks", "files"),
    2: ("layers", "degrade", "losses", "metrics", "checkpoints", "report"),
    3: ("models", "data", "view", "weights"),
    4: ("port", "inference"),
    5: ("training",),
    6: ("own_config", "train", "predict", "sharpening"),
    7: ("leaderboard", "assess", "many", "shared", "xarray"),
    8: ("scene_page", "uncertainty"),
    9: ("modes",),
    10: ("cli",),
}
RANK = {name: rank for rank, names in RANKS.items() for name in names}
COMMANDS = 10  # `python -m` and what it alone uses: above all libraries
FILES = sorted(PACKAGE.rglob("*.py"))
FOLDERS = ("configs", "benchmarks", "experiments", "tools", "tests/helpers")
SCRIPTS = [path for folder in FOLDERS for path in sorted((ROOT / folder).glob("*.py"))]
ABOUT = ("bases", "correction", "spec")  # of any network
PLOTTING = {"matplotlib", "PIL", "plotly"}


def imports(path: Path, *, inside_functions: bool = True) -> list[str]:
    """Dotted names that a file imports; `from a import b` counts as `a.b`."""
    tree = ast.parse(path.read_text())
    nodes = ast.walk(tree) if inside_functions else _outside_functions(tree)
    found = []
    for node in nodes:
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            found += [f"{node.module}.{alias.name}" for alias in node.names]
    return found


def _outside_functions(node: ast.AST):
    for child in ast.iter_child_nodes(node):
        if not isinstance(child, (ast.FunctionDef, ast.AsyncFunctionDef)):
            yield child
            yield from _outside_functions(child)


def place(path: Path) -> tuple[str, int]:
    """The top folder or file of a module of ours, and its rank."""
    top = path.relative_to(PACKAGE).parts[0].removesuffix(".py")
    return top, COMMANDS if path.stem == "__main__" else RANK[top]


def third_party(path: Path, **options) -> set[str]:
    return {name.split(".")[0] for name in imports(path, **options)}


def test_every_file_has_a_rank():
    assert {path.relative_to(PACKAGE).parts[0].removesuffix(".py") for path in FILES} <= set(RANK)


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_a_file_imports_only_from_below_or_beside(path):
    top, rank = place(path)
    for name in imports(path):
        if name.split(".")[0] != "hsisr_jax":
            continue
        other = name.split(".")[1]
        assert other == top or RANK[other] < rank, f"{path}: {name}"


def module_file(name: str) -> Path | None:
    """The file that a dotted name of ours lies in."""
    parts = name.split(".")
    while len(parts) > 1:
        for path in (
            ROOT.joinpath(*parts).with_suffix(".py"),
            ROOT.joinpath(*parts, "__init__.py"),
        ):
            if path.exists():
                return path
        parts = parts[:-1]
    return None


def test_no_file_is_imported_while_it_is_being_imported():
    graph = {
        path: {
            found
            for name in imports(path, inside_functions=False)
            if name.startswith("hsisr_jax.") and (found := module_file(name)) not in (None, path)
        }
        for path in FILES
    }
    try:
        list(TopologicalSorter(graph).static_order())
    except CycleError as error:
        pytest.fail(" -> ".join(str(path.relative_to(ROOT)) for path in error.args[1]))


def test_no_model_imports_another_one():
    for path in (PACKAGE / "models").glob("*.py"):
        used = {n.split(".")[2] for n in imports(path) if n.startswith("hsisr_jax.models.")}
        beside = {"network", "bases", "correction"} if path.stem in ABOUT else {"network"}
        assert used <= beside | ({"snlsr"} if path.stem == "asnlsr" else set()), path


def test_libraries_have_their_places():
    for path in FILES:
        top, used = place(path)[0], third_party(path)
        assert "tensorflow" not in used, path
        assert "torch" not in third_party(path, inside_functions=False), path
        assert "torch" not in used or top == "port", path
        assert "jraph" not in used or path.parent.name == "layers", path
        assert "tensorflow_datasets" not in used or top == "data", path
        # the decoder of band folders, and the quick look beside a predicted scene
        assert not used & PLOTTING or top in ("report", "formats", "inference", "predict"), path
        if top in ("formats", "report"):
            assert not used & {"jax", "flax"}, path
    assert sum("jraph" in third_party(path) for path in FILES) == 1


def test_configs_never_import_the_library():
    for path in (ROOT / "configs").glob("*.py"):
        others = third_party(path) - sys.stdlib_module_names
        assert others <= {"configs", "ml_collections"}, path


def test_builders_need_little_of_ours():
    allowed = ("hsisr_jax.formats", "hsisr_jax.errors", "hsisr_jax.data.builder")
    for path in (ROOT / "datasets").rglob("*.py"):
        ours = [name for name in imports(path) if name.startswith("hsisr_jax")]
        assert all(name.startswith(allowed) for name in ours), path
        assert not third_party(path) & {"jax", "flax", "torch", "tensorflow"}, path


def test_files_stay_short_and_functions_too():
    for path in [*FILES, *SCRIPTS]:
        text = path.read_text()
        assert text.count("\n") <= 350, path
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.FunctionDef):
                assert node.end_lineno - node.lineno < 80, f"{path}: {node.name}"


def test_no_file_is_a_drawer_or_hides_the_standard_library():
    for path in FILES:
        assert path.stem not in ("utils", "helpers", "misc", "common"), path
        top = path.parent == PACKAGE
        assert not top or path.stem not in sys.stdlib_module_names, path


def test_networks_losses_and_metrics_load_without_datasets_and_torch():
    """In a process of its own: other people's code imports these alone."""
    code = (
        "import sys\n"
        "from hsisr_jax import degrade, losses, metrics, models, port, resize\n"
        "[models.create(name) for name in models.names()]\n"
        "heavy = {'tensorflow', 'tensorflow_datasets', 'torch', 'orbax', 'rasterio', 'h5py'}\n"
        "print(*sorted(heavy & {name.split('.')[0] for name in sys.modules}))\n"
    )
    found = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=300
    )
    assert found.returncode == 0, found.stderr
    assert set(found.stdout.split()) <= {"orbax"}  # flax.serialization may load it


def test_a_config_loads_without_jax():
    code = (
        "import sys, importlib.util\n"
        "spec = importlib.util.spec_from_file_location('c', 'configs/quickstart.py')\n"
        "module = importlib.util.module_from_spec(spec); spec.loader.exec_module(module)\n"
        "module.get_config('smoke'); print('jax' in sys.modules)\n"
    )
    found = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=100
    )
    assert found.stdout.strip() == "False", found.stderr
