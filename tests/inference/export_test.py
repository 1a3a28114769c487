"""Exported networks: the same numbers, without Flax and without this library."""

import os
import runpy
import subprocess
import sys
from pathlib import Path

import jax
import numpy as np
import pytest
import workdirs
from parity import made_up_variables

from hsisr_jax import models, predict, resize
from hsisr_jax.data.normalise import Normaliser
from hsisr_jax.errors import UserError
from hsisr_jax.inference import export, trained
from hsisr_jax.models.bases import FILTERS
from hsisr_jax.models.network import UNKNOWN_REACH
from hsisr_jax.models.spec import describe

EXAMPLE = Path(__file__).parents[2] / "examples" / "load_exported.py"
FILES = ("m.stablehlo", "in.npy", "out.npy")
BLOCKED = """
import runpy, sys
class Refused:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in ("flax", "hsisr_jax", "orbax", "optax", "ml_collections"):
            raise ImportError(name)
sys.meta_path.insert(0, Refused())
del sys.argv[0]
runpy.run_path(sys.argv[0], run_name="__main__")
"""


def test_the_example_needs_jax_alone(tmp_path, capsys):
    seen = Normaliser(gain=0.5, bias=0.1)
    workdir = workdirs.make(tmp_path / "run", "rcam", normaliser=seen)
    predict.export(workdir, tmp_path / "m.stablehlo")
    assert "any batch and size" in capsys.readouterr().out
    cube = workdirs.scene(13, 17)
    np.save(tmp_path / "in.npy", cube)
    arguments = [str(EXAMPLE), *(str(tmp_path / n) for n in ("m.stablehlo", "in.npy", "out.npy"))]
    script = [sys.executable, "-c", BLOCKED, *arguments]
    ended = subprocess.run(script, env=os.environ, capture_output=True, text=True)
    assert ended.stdout.strip() == "(13, 17, 4) -> (26, 34, 4)", ended.stderr
    card, weights = trained.load(workdir)
    variables, _ = weights()
    lr = seen.apply(cube[None], np)
    sr = card.module().apply(variables, {"lr": lr}, train=False)["sr"]
    np.testing.assert_allclose(np.load(tmp_path / "out.npy"), seen.invert(sr[0], np), atol=1e-5)


def test_only_an_earlier_export_is_replaced(tmp_path):
    workdir = workdirs.make(tmp_path / "run")
    for name, existing in (("t.tif", "t.tif"), ("metrics", "metrics.json")):
        (tmp_path / existing).write_text("{}")
        with pytest.raises(UserError, match=f"{existing} exists.*another --output"):
            predict.export(workdir, tmp_path / name)
        assert (tmp_path / existing).read_text() == "{}"
    assert len(list(tmp_path.iterdir())) == 3
    model = tmp_path / "m.stablehlo"
    predict.export(workdir, model)
    first = model.stat().st_mtime_ns
    predict.export(workdir, model)
    assert model.stat().st_mtime_ns > first


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_resizing_of_free_size_equals_that_of_known_size(scale):
    def both(x):
        size = scale * x.shape[1], scale * x.shape[2]
        return resize.imresize(x, scale), resize.interpolate(x, size)

    shape = jax.export.symbolic_shape("b, h, w, 3", constraints=["h >= 4", "w >= 4"])
    exported = jax.export.export(jax.jit(both))(jax.ShapeDtypeStruct(shape, np.float32))
    x = np.random.default_rng(0).random((2, 5, 9, 3), np.float32)
    for free, known in zip(exported.call(x), both(x)):
        np.testing.assert_allclose(free, known, atol=1e-6)


@pytest.mark.parametrize("scale", [2, 4])
def test_shrinking_of_free_size_equals_that_of_known_size(scale):
    def shrink(x):
        return resize.imresize(resize.imresize(x, scale) ** 2, 1 / scale)

    shape = jax.export.symbolic_shape("b, h, w, 3", constraints=["h >= 4", "w >= 4"])
    exported = jax.export.export(jax.jit(shrink))(jax.ShapeDtypeStruct(shape, np.float32))
    x = np.random.default_rng(0).random((2, 5, 9, 3), np.float32)
    np.testing.assert_allclose(exported.call(x), shrink(x), atol=1e-6)


def test_a_corrected_base_is_exported_for_any_size(tmp_path):
    base = {"kind": "filters", "level": 1.0, "rounds": 2, "radius": 2, "dark_level": 0.0,
            "degradation": {"name": "bicubic"}}  # fmt: skip
    spec = describe("rcam", workdirs.TINY["rcam"], scale=2, bands=4, members=2, base=base)
    card = trained.Trained(spec, domains=[{"wavelengths": None, "normaliser": {}}])
    example = {k: np.zeros(x.shape, x.dtype) for k, x in spec.example(8, 8).items()}
    variables = made_up_variables(card.module(), example)
    variables["params"][FILTERS] = np.random.default_rng(1).normal(size=(9, 4))
    facts = export.write(tmp_path / "m.stablehlo", card, variables)
    assert facts["free"] == "any batch and size"
    exported = jax.export.deserialize(bytearray((tmp_path / "m.stablehlo").read_bytes()))
    cubes = np.random.default_rng(0).random((1, 11, 9, 4), np.float32)
    expected = export.physical_function(card, variables)(cubes)
    np.testing.assert_allclose(exported.call(cubes), expected, atol=1e-5)


def test_tiles_of_the_evaluation_fit_an_export_of_any_size(tmp_path, capsys):
    """SSRAN is trained and scored on 4 x 4 pixels, and depends on the size."""
    workdir = workdirs.make(tmp_path / "run", "ssran", scale=1, msi=3, tile=4)
    predict.export(workdir, tmp_path / "m.stablehlo")
    assert "any batch and size" in capsys.readouterr().out
    exported = jax.export.deserialize(bytearray((tmp_path / "m.stablehlo").read_bytes()))
    card, weights = trained.load(workdir)
    msi = workdirs.scene(4, 4, 3)[None]
    sr = card.module().apply(weights()[0], {"msi": msi}, train=False)["sr"]
    np.testing.assert_allclose(exported.call(msi), sr, atol=1e-5)


def test_a_correction_of_the_packaged_network_is_exported_for_any_batch(tmp_path):
    """As `configs/scene.py` trains it: components of the scene, stored with the weights."""
    options = {"features": 8, "blocks": 1, "components": 4, "sharpened": 3, "one_basis": True}
    inner = describe("anyband", options, scale=2, bands=4).to_json()
    base = {"kind": "pretrained", "level": 1.0, "source": "anyband", "spec": inner}
    spec = describe("rcam", workdirs.TINY["rcam"], scale=2, bands=4, base=base)
    card = trained.Trained(spec, domains=[{"wavelengths": None, "normaliser": {}}], tile=8)
    example = {k: np.zeros(x.shape, x.dtype) for k, x in spec.example(8, 8).items()}
    variables = made_up_variables(card.module(), example)
    facts = export.write(tmp_path / "m.stablehlo", card, variables)
    assert facts["free"] == "any batch" and facts["input"].startswith("float32[b,8,8,4]")
    exported = jax.export.deserialize(bytearray((tmp_path / "m.stablehlo").read_bytes()))
    cubes = np.random.default_rng(0).random((3, 8, 8, 4), np.float32)
    expected = export.physical_function(card, variables)(cubes)
    np.testing.assert_allclose(exported.call(cubes), expected, atol=1e-4)


def test_a_network_whose_graph_has_a_size_keeps_it(tmp_path, monkeypatch):
    """SRLSGAT is exported for the training patch, in batches of any length."""
    options = {"group_size": 3, "features": 16, "blocks": 1}
    domains = [{"wavelengths": None, "normaliser": {}}]
    spec = describe("srlsgat", options, scale=2, bands=6)
    card = trained.Trained(spec, domains=domains, tile=8)
    example = {k: np.zeros(x.shape, x.dtype) for k, x in spec.example(8, 8).items()}
    variables = made_up_variables(card.module(), example)
    facts = export.write(tmp_path / "m.stablehlo", card, variables)
    assert facts["free"] == "any batch" and facts["input"].startswith("float32[b,8,8,6]")
    np.save(tmp_path / "in.npy", workdirs.scene(9, 8, 6))
    monkeypatch.setattr(sys, "argv", [str(EXAMPLE), *(f"{tmp_path}/{n}" for n in FILES)])
    with pytest.raises(SystemExit, match=r"tiles of 8 x 8 pixels, not \(9, 8, 6\)"):
        runpy.run_path(str(EXAMPLE), run_name="__main__")
    exported = jax.export.deserialize(bytearray((tmp_path / "m.stablehlo").read_bytes()))
    cubes = np.random.default_rng(0).random((3, 8, 8, 6), np.float32)
    expected = export.physical_function(card, variables)(cubes)
    np.testing.assert_allclose(exported.call(cubes), expected, atol=1e-5)


def test_what_is_exported_does_not_take_a_cpus_forms():
    """SNLSR's sums in one reduction do not compile for GPUs; its batch would have a fixed size."""
    spec = describe("snlsr", {"features": 8, "materials": 4}, scale=2, bands=4)
    card = trained.Trained(spec, domains=[{"wavelengths": None, "normaliser": {}}])
    example = {k: np.zeros(x.shape, x.dtype) for k, x in spec.example(8, 8).items()}
    variables = made_up_variables(card.module(), example)
    exported, free = export.export(card, variables)
    assert exported.platforms == export.PLATFORMS and free == "any batch"
    reductions = [x for x in exported.mlir_module().splitlines() if "stablehlo.reduce(" in x]
    assert reductions and max(line.count("init:") for line in reductions) <= 2


def test_every_network_says_how_it_is_tiled():
    reach = {name: models.find(name).whole for name in models.names()}
    assert {name for name, why in reach.items() if not why} == {"anyband", "bicubic", "srformer"}
    assert UNKNOWN_REACH not in reach.values()


def test_a_missing_folder_is_told_as_such(tmp_path):
    workdir = workdirs.make(tmp_path / "run")
    with pytest.raises(UserError, match="No such file or directory; make its folder first"):
        predict.export(workdir, tmp_path / "no" / "m.stablehlo")


@pytest.mark.parametrize(
    ("names", "word"),
    [(("m.stablehlo", "in.tif", "out.npy"), "in.tif: not a cube that numpy.save wrote"),
     (("m.stablehlo", "flat.npy", "out.npy"), r"flat.npy: \(3, 4\), not \(height, width, 4\)"),
     (("m.stablehlo",), "input.npy output.npy"), (("in.tif", "in.npy", "out.npy"), "not a network"),
     (("m.stablehlo", "none.npy", "out.npy"), "No such file")],
)  # fmt: skip
def test_the_example_says_what_it_cannot_read(tmp_path, monkeypatch, names, word):
    predict.export(workdirs.make(tmp_path / "run", "rcam"), tmp_path / "m.stablehlo")
    (tmp_path / "in.tif").write_bytes(b"II*\0")
    np.save(tmp_path / "in.npy", workdirs.scene(9, 9))
    np.save(tmp_path / "flat.npy", np.zeros((3, 4)))
    monkeypatch.setattr(sys, "argv", [str(EXAMPLE), *(str(tmp_path / name) for name in names)])
    with pytest.raises(SystemExit, match=word):
        runpy.run_path(str(EXAMPLE), run_name="__main__")
