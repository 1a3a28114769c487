"""Prediction with a run's network does what the run's own evaluation did, unless flags say more."""

import json

import numpy as np
import pytest
import tiny_config
import workdirs

import hsisr_jax
from hsisr_jax import formats, predict, resize, train
from hsisr_jax.data.normalise import Normaliser
from hsisr_jax.inference import trained
from hsisr_jax.inference.options import Options

PLAIN = {"quicklook": False, "limits": "none"}  # the evaluation has no limits


@pytest.mark.parametrize("tile", [0, 12])
def test_prediction_equals_the_evaluation(tmp_path, tile):
    """A network that looks at whole images, evaluated with the mean over flips and one round of
    back-projection, on an image larger than a training patch: from a file, and from an array."""
    config, folder = tiny_config.get_config(), tmp_path / "run"
    config.model = {"name": "rcam", **workdirs.TINY["rcam"]}
    config.eval.self_ensemble, config.eval.projection, config.eval.save = True, 1, "npy"
    config.eval.tile, config.eval.overlap = tile, 4
    workdirs.make(folder, "rcam", bands=6)
    (folder / "config.json").write_text(config.to_json())
    train.evaluate_only(config, folder)
    (path,) = (folder / "outputs").glob("*_pred.npy")
    estimate = np.load(path)
    truth = np.load(path.with_name(path.name.replace("_pred", "_gt")))
    assert max(truth.shape) == 64 > config.data.patch
    card = trained.load(folder).card
    assert (card.tile, card.overlap) == ((12, 4) if tile else (32, 0))
    normaliser = Normaliser(**card.domains[0]["normaliser"])
    cube = np.float32(normaliser.invert(np.asarray(resize.imresize(truth, 0.5)), np))
    meta = formats.SceneMeta(wavelengths=np.asarray(card.domains[0]["wavelengths"]))
    formats.write_scene(tmp_path / "in.npy", cube, meta)

    def predicted(**options):
        options = Options(**PLAIN, **options)
        predict.predict(folder, tmp_path / "in.npy", tmp_path / "out.npy", options)
        return normaliser.apply(formats.read_scene(tmp_path / "out.npy")[0], np)

    exact = {"rtol": 0, "atol": 0.002 if tile else 1e-5}  # blended alike, but for the tiles' rims
    np.testing.assert_allclose(predicted(), estimate, **exact)
    if tile:
        return
    in_memory = hsisr_jax.sharpen(cube, 2, workdir=folder, limits=False)
    np.testing.assert_allclose(normaliser.apply(in_memory, np), estimate, **exact)
    assert np.abs(predicted(self_ensemble=False) - estimate).max() > 1e-4
    scores = json.loads((folder / "metrics.json").read_text())["test"]
    rmse = float(np.sqrt(np.mean((predicted() - truth) ** 2)))
    assert rmse == pytest.approx(scores["RMSE"], rel=1e-3)
