"""A real scene, where one is at hand: bicubic scores as others computed them, with other code."""

from importlib.util import find_spec

import numpy as np
import pytest
from golden import ROOT

from configs import common
from hsisr_jax.data import builder
from hsisr_jax.train import train_and_evaluate

# beside the golden cases, like them not part of the repository
JASPER = ROOT.parent / "data/jasperRidge2_R198.mat"
KEYS = ("MPSNR", "MSSIM", "SAM", "ERGAS")
TILES = [["test", top, top + 32, 64, 96] for top in (0, 32, 64)]
WHOLE = [["test", 0, 100, 0, 100]]


@pytest.mark.skipif(not JASPER.exists(), reason="the Jasper Ridge scene is not here")
@pytest.mark.parametrize(
    ("scale", "bands", "test", "expected"),
    [
        (2, None, WHOLE, (32.7820, 0.92468, 3.9155, 6.3162)),
        (4, None, WHOLE, (27.6380, 0.75404, 6.8921, 5.6470)),
        (2, [50, 81], TILES, (30.92, 0.8534, 0.482, 2.931)),
        (4, [50, 81], TILES, (26.47, 0.5888, 0.753, 2.461)),
        (4, None, TILES, (27.90, 0.6815, 4.448, 4.054)),
    ],
)
def test_bicubic_scores_of_jasper_ridge(tmp_path, scale, bands, test, expected):
    config = common.base()
    config.scale, config.mesh.data = scale, 1
    config.data.name, config.data.path, config.data.dir = "scene", str(JASPER), str(tmp_path / "d")
    config.data.options = {"regions": [["train", 0, 100, 0, 64], *test]}
    if bands:
        config.data.options.bands = bands
    found = train_and_evaluate(config, tmp_path / "run")["bicubic"]
    digits = (2e-2, 1e-4, 1e-3, 1e-3) if len(test) > 1 else (1e-3, 1e-4, 1e-3, 1e-3)
    for key, value, tolerance in zip(KEYS, expected, digits):
        assert found[key] == pytest.approx(value, abs=tolerance), key


@pytest.mark.skipif(not JASPER.exists(), reason="the Jasper Ridge scene is not here")
def test_two_domains_of_jasper_ridge(tmp_path):
    place = {"data_dir": tmp_path}
    builder.prepare("unmixing", "jasper_ridge_domains", manual_dir=JASPER.parent, **place)
    scenes = builder.load("unmixing", "jasper_ridge_domains", **place)
    assert [(s["role"], s["domain"]) for s in scenes] == [("train", 0), ("train", 1)] + [
        ("test", 1)
    ] * 3
    for scene in scenes:
        low, high = ((450, 1000), (1000, 2500))[scene["domain"]]
        inside = scene["wavelengths"]
        assert low <= inside.min() < inside.max() <= high and scene["image"].shape[2] == 30
    # plants are bright beyond 750 nm, and dark where their chlorophyll absorbs
    spectrum = scenes[0]["image"].mean((0, 1))
    red, infrared = (abs(scenes[0]["wavelengths"] - nm).argmin() for nm in (670, 800))
    assert spectrum[infrared] > 1.5 * spectrum[red]


@pytest.mark.skipif(find_spec("tensorly") is None, reason="pip install tensorly==0.10.0")
def test_indian_pines_as_a_package_has_it(tmp_path):
    builder.prepare("indian_pines", "whole", data_dir=tmp_path)
    train, *tests = builder.load("indian_pines", "whole", data_dir=tmp_path)
    assert train["image"].shape == (145, 96, 200) and len(tests) == 3
    assert (train["image"].min(), tests[0]["image"].shape) >= (955, (48, 48, 200))
    # carbon dioxide absorbs at 2008 and 2060 nm, oxygen at 761: the derived centres put it there
    spectrum, nm = np.median(train["image"], (0, 1)), train["wavelengths"]
    for low, high, centre, tolerance in (
        (735, 790, 761, 6), (1990, 2033, 2008, 6), (2033, 2090, 2060, 8)
    ):  # fmt: skip
        inside = (nm > low) & (nm < high)
        depth = spectrum[inside].max() - spectrum[inside]
        where = (nm[inside] * depth**2).sum() / (depth**2).sum()
        assert abs(where - centre) < tolerance, where
    builder.prepare("indian_pines", "domains", data_dir=tmp_path)
    scenes = builder.load("indian_pines", "domains", data_dir=tmp_path)
    assert {s["domain"] for s in scenes if s["role"] == "test"} == {1}
    assert all(s["image"].shape[2] == 30 for s in scenes)
