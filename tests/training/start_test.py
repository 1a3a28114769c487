"""The base of a correction before the first step: its fitted filters."""

import jax
import numpy as np
import pytest
import tiny_config
import workdirs

from hsisr_jax import weights
from hsisr_jax.errors import UserError
from hsisr_jax.inference import trained
from hsisr_jax.models.bases import FILTERS
from hsisr_jax.models.spec import describe
from hsisr_jax.ops import filters
from hsisr_jax.training import experiment, fit, start


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    config = tiny_config.get_config()
    config.data.dir = str(tmp_path_factory.mktemp("data"))
    config.base.update({"kind": "filters", "radius": 4, "rounds": 0, "dark": 0.0})
    config.data.augmentations = {"gain": {"spread": 0.5}}
    return fit.prepare(experiment.describe(config))


def test_training_starts_at_the_best_linear_upscaling(run):
    state, other = run.first(), run.trainer.first_state()
    fitted = state.params[FILTERS]
    assert fitted.shape == (25, 4) and not np.any(other.params[FILTERS])
    np.testing.assert_array_equal(state.ema[FILTERS], fitted)
    batch = run.trainer.batch_at(0)
    apply = jax.jit(lambda state: run.experiment.module.apply(state.variables, batch)["sr"])
    expected = batch["lms"] + filters.detail(batch["lr"], fitted, 2)
    np.testing.assert_allclose(apply(state), expected, atol=1e-5)
    np.testing.assert_allclose(apply(other), batch["lms"], atol=1e-5)
    errors = [float(np.square(apply(s) - batch["hr"]).mean()) for s in (state, other)]
    assert errors[0] < 0.9 * errors[1]


def test_steps_leave_the_filters_alone(run):
    state = run.first()
    before = np.array(state.params[FILTERS])
    (source, n), *_ = run.trainer.sources(0, [1])
    state, scalars = run.trainer.advance(state, source, n)
    assert scalars["gradient_norm"] > 0
    np.testing.assert_array_equal(state.params[FILTERS], before)


def test_targets_of_other_domains_are_not_looked_at(tmp_path):
    """Adaptation: what the fit sees of domain 1 may be anything."""
    config = tiny_config.get_config("adversarial")
    config.data.dir = str(tmp_path / "data")
    config.base.update({"kind": "filters", "radius": 4, "rounds": 0})
    run = fit.prepare(experiment.describe(config))
    spec = run.experiment.spec
    found = start.fitted_filters(spec, run.trainer)
    patches = run.trainer.patches
    known = patches.domain[:, None] == 0
    run.trainer.patches = patches.replace(gain=np.where(known, patches.gain, 3 * patches.gain))
    np.testing.assert_array_equal(start.fitted_filters(spec, run.trainer), found)
    run.trainer.patches = patches.replace(gain=np.where(known, 0, patches.gain))
    assert np.abs(found).max() > 1e-3 and not start.fitted_filters(spec, run.trainer).any()


def test_a_run_starts_from_the_packaged_weights_by_their_name():
    found = start.weights_of("anyband", describe("anyband", {}, scale=3, bands=3))
    jax.tree.map(np.testing.assert_array_equal, found, weights.anyband(3))
    assert np.abs(found["params"]["trunk"]["tail_x3"]["kernel"]).max() > 0
    with pytest.raises(UserError, match="params/trunk of anyband does not fit this network"):
        start.weights_of("anyband", describe("anyband", {"features": 8}, scale=3, bands=3))
    with pytest.raises(UserError, match="config.init_from: there are no weights for scale 5"):
        start.weights_of("anyband", describe("anyband", {}, scale=5, bands=3))


def test_what_another_run_does_not_have_is_told(tmp_path, capsys):
    """An RCAM of x4 begins with the stage of one of x2."""
    workdir = workdirs.make(tmp_path / "x2", "rcam", bands=6)
    config = tiny_config.get_config()
    config.scale, config.model.features, config.data.dir = 4, 8, str(tmp_path / "data")
    config.init_from = str(workdir)
    state = fit.prepare(experiment.describe(config)).first()
    told = f"starting from the weights of {workdir}; it has no stage_1: new"
    assert told in capsys.readouterr().err
    weights = trained.load(workdir).weights()[0]["params"]["stage_0"]
    jax.tree.map(np.testing.assert_array_equal, state.params["stage_0"], weights)
