"""A real scene, where one is at hand: bicubic scores as others computed them, with other code."""

import pytest
from golden import ROOT

from configs import common
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
