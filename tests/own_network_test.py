"""A network of one's own: one file outside the package and one registration are all it takes."""

import importlib.util

import jax
import numpy as np
import pytest
import tiny_config

from hsisr_jax import formats, models, predict, train
from hsisr_jax.formats import SceneMeta
from hsisr_jax.inference import trained

FILE = '''
"""Two convolutions and a pixel shuffle."""

from flax import linen as nn

from hsisr_jax import models
from hsisr_jax.layers.conv import Conv
from hsisr_jax.layers.upsample import pixel_shuffle
from hsisr_jax.models.network import Network


class Shuffle(nn.Module):
    bands: int = 6
    scale: int = 2
    features: int = 8

    @nn.compact
    def __call__(self, batch, *, train=False):
        x = nn.relu(Conv(self.features, name="head")(batch["lr"]))
        y = Conv(self.scale**2 * self.bands, name="tail")(x)
        return {"sr": pixel_shuffle(y, self.scale)}


models.register(Network("shuffle", Shuffle, whole="", last_layer=lambda module: "tail"))
'''


@pytest.fixture
def registered(tmp_path, monkeypatch):
    monkeypatch.setattr(models, "_registered", {})
    path = tmp_path / "shuffle.py"
    path.write_text(FILE)
    spec = importlib.util.spec_from_file_location("shuffle", path)
    spec.loader.exec_module(importlib.util.module_from_spec(spec))


@pytest.mark.parametrize("base", ["none", "back_projected"])
def test_it_trains_resumes_evaluates_predicts_and_is_exported(registered, tmp_path, base):
    assert models.names()[-1] == "shuffle"
    config = tiny_config.get_config()
    config.model = {"name": "shuffle", "features": 4}
    config.base.kind, config.ema, config.seed = base, 0.0, 5
    config.data.dir, config.steps, config.eval_every = str(tmp_path / "data"), 2, 0
    first = train.train_and_evaluate(config, tmp_path / "run")
    config.steps = 4
    found = train.train_and_evaluate(config, tmp_path / "run")
    assert found["steps"] == 4 and found["seconds"] > first["seconds"] > 0
    whole = train.train_and_evaluate(config, tmp_path / "at_once")
    assert whole["test"] == pytest.approx(found["test"], rel=1e-5)
    assert train.evaluate_only(config, tmp_path / "run")["test"] == pytest.approx(found["test"])

    card, weights = trained.load(tmp_path / "run")
    cube = np.random.default_rng(0).random((12, 10, 6), np.float32)
    meta = SceneMeta(wavelengths=np.asarray(card.domains[0]["wavelengths"]))
    formats.write_scene(tmp_path / "in.npy", cube, meta)
    options = predict.Options(quicklook=False, limits="none")
    predict.predict(tmp_path / "run", tmp_path / "in.npy", tmp_path / "out.npy", options)
    assert np.load(tmp_path / "out.npy").shape == (24, 20, 6)

    predict.export(tmp_path / "run", tmp_path / "m.stablehlo")
    exported = jax.export.deserialize(bytearray((tmp_path / "m.stablehlo").read_bytes()))
    made = exported.call(cube[None])[0]
    np.testing.assert_allclose(np.load(tmp_path / "out.npy"), made, atol=1e-5)
    assert weights()[1] == 4


def test_a_name_that_is_taken_or_unknown_is_refused(registered):
    from hsisr_jax.errors import UserError
    from hsisr_jax.models.network import Network

    with pytest.raises(UserError, match="there is a network 'rcam' already"):
        models.register(Network("rcam", models.find("shuffle").build))
    with pytest.raises(UserError, match="did you mean 'shuffle'"):
        models.create("shufle")


MIXER = """
from flax import linen as nn

from hsisr_jax import models
from hsisr_jax.models.network import Network


class Mixer(nn.Module):
    bands: int = 6

    @nn.compact
    def __call__(self, batch, *, train=False):
        abundance = nn.softmax(nn.Dense(3, name="encoder")(batch["lr"]))
        sr = nn.Dense(self.bands, name="spectra")(abundance).repeat(2, 1).repeat(2, 2)
        return {"sr": sr, "abundance": abundance}


models.register(Network("mixer", Mixer, endmembers="spectra/kernel"))
models.register(Network("silent", Mixer))
"""


@pytest.mark.parametrize(
    ("name", "members", "told"), [("mixer", 1, True), ("mixer", 2, False), ("silent", 1, False)]
)
def test_scores_are_written_before_what_the_report_tells_of_domains(
    monkeypatch, tmp_path, capsys, name, members, told
):
    """With abundances of members, or endmembers that nobody named, the report tells of none; where
    the weights came from may be gone."""
    monkeypatch.setattr(models, "_registered", {})
    exec(compile(MIXER, "mixer.py", "exec"), {"__name__": "mixer"})
    config = tiny_config.get_config()
    config.model, config.members, config.ema = {"name": name}, members, 0.0
    config.data.options = {"height": 64, "width": 64, "bands": 6, "domains": 2}
    config.data.dir, config.steps, config.eval_every = str(tmp_path / "data"), 2, 0
    train.train_and_evaluate(config, tmp_path / "first")
    config.init_from = str(tmp_path / "first")
    found = train.train_and_evaluate(config, tmp_path / "run")
    domains = tmp_path / "run" / "eval" / "domains.npz"
    assert domains.exists() == told
    assert not told or "features_before" in np.load(domains)
    (tmp_path / "first").rename(tmp_path / "gone")
    (tmp_path / "run" / "metrics.json").unlink()
    again = train.evaluate_only(config, tmp_path / "run")
    assert again["test"] == pytest.approx(found["test"])
    assert again["seconds"] == found["seconds"] > 0
    assert (tmp_path / "run" / "metrics.json").exists()
    assert ("no abundances of before" in capsys.readouterr().err) == told
