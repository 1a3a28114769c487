"""The public names of the library, and the house rules that every function follows."""

import ast
import importlib
import inspect
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FILES = sorted((ROOT / "hsisr_jax").rglob("*.py"))
# Names that README, notebooks and other people's code use, with their parameters.
PUBLIC = {
    "models.create": "name, **kwargs",
    "models.names": "",
    "port.from_torch": "module, state_dict, batch",
    "port.to_torch": "module, variables",
    "port.from_tensorflow": "module, weights, batch",
    "port.to_tensorflow": "module, variables",
    "losses.create": "name, **kwargs",
    "metrics.evaluate": "reference, estimate, *, protocol, data_range, ratio, mask",
    "resize.imresize": "x, scale",
    "resize.interpolate": "x, size, method, align_corners",
    "degrade.psf_downsample": "x, kernel, factor",
    "degrade.gaussian_response": "centres, widths, wavelengths",
    "degrade.apply_response": "x, response",
    "train.train_and_evaluate": "config, workdir",
    "formats.read_scene": "path",
    "formats.write_scene": "path",
}
# Tables of names are documented where they are defined, one entry at a time.
TABLES = {"entries"}


def functions(path: Path) -> list[ast.FunctionDef]:
    return [node for node in ast.parse(path.read_text()).body if isinstance(node, ast.FunctionDef)]


def is_public(function: ast.FunctionDef) -> bool:
    return not function.name.startswith("_")


@pytest.mark.parametrize("name", PUBLIC)
def test_public_names_and_their_parameters(name):
    module, function = name.rsplit(".", 1)
    found = inspect.signature(getattr(importlib.import_module(f"hsisr_jax.{module}"), function))
    names = []
    for parameter in found.parameters.values():
        if parameter.kind is parameter.KEYWORD_ONLY and "*" not in names:
            names.append("*")
        names.append(("**" if parameter.kind is parameter.VAR_KEYWORD else "") + parameter.name)
    expected = PUBLIC[name].split(", ") if PUBLIC[name] else []
    if module == "formats":
        assert names[:1] == expected
    else:
        assert [n.replace("**options", "**kwargs") for n in names] == expected


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(ROOT / "hsisr_jax")))
def test_house_rules(path):
    tree = ast.parse(path.read_text())
    assert ast.get_docstring(tree), "a file says what it is for"
    for function in functions(path):
        parameters = [a.arg for a in [*function.args.args, *function.args.kwonlyargs]]
        assert "rng" not in parameters or path.name == "synthetic.py", f"{function.name}: key"
        if is_public(function):
            short = function.end_lineno - function.lineno < 5  # the name says it all
            documented = ast.get_docstring(function) or short or function.name in TABLES
            assert documented, f"{function.name} has no docstring"
            assert all(
                default is None or not isinstance(default, (ast.List, ast.Dict, ast.Set))
                for default in [*function.args.defaults, *function.args.kw_defaults]
            ), f"{function.name}: a default that calls share"


@pytest.mark.parametrize(
    "path", [p for p in FILES if p.parent.name in ("ops", "metrics", "models", "formats")], ids=str
)
def test_results_of_public_functions_are_typed(path):
    for function in filter(is_public, functions(path)):
        assert function.returns is not None, function.name


def test_public_classes_are_documented():
    for path in FILES:
        for node in ast.parse(path.read_text()).body:
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                assert ast.get_docstring(node) or len(node.body) < 6, f"{path}: {node.name}"


def test_nobody_catches_everything():
    """`except:` and `except BaseException:` swallow a stop by the user."""
    for path in FILES:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ExceptHandler):
                reraises = any(isinstance(n, ast.Raise) for n in ast.walk(node))
                name = getattr(node.type, "id", None)
                bare = node.type is None or name == "BaseException"
                assert not bare or reraises, f"{path}:{node.lineno}"


def test_nothing_unpickles_or_evaluates():
    for path in FILES:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call):
                called = ast.unparse(node.func)
                assert called not in ("eval", "exec", "pickle.load", "pickle.loads"), path
                for keyword in node.keywords:
                    if keyword.arg == "allow_pickle":
                        assert ast.unparse(keyword.value) == "False", path
                    if keyword.arg == "weights_only":
                        assert ast.unparse(keyword.value) == "True", path
                if called.endswith("torch.load"):
                    assert any(k.arg == "weights_only" for k in node.keywords), path
