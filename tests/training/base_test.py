"""The base of a correction before the first step: its fitted filters."""

import jax
import numpy as np
import pytest
import tiny_config

from hsisr_jax.models.residual import FILTERS
from hsisr_jax.ops import filters
from hsisr_jax.train import Run
from hsisr_jax.training import base


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    config = tiny_config.get_config()
    config.data.dir = str(tmp_path_factory.mktemp("data"))
    config.residual, config.base_filters, config.projection_dark = True, 4, 0.0
    config.data.augmentations = {"gain": {"spread": 0.5}}
    run = Run(config)
    run.prepare()
    return run


def test_training_starts_at_the_best_linear_upscaling(run):
    state, other = run.first(), run.trainer.first_state()
    fitted = state.params[FILTERS]
    assert fitted.shape == (25, 4) and not np.any(other.params[FILTERS])
    np.testing.assert_array_equal(state.ema[FILTERS], fitted)
    batch = run.trainer.batch_at(0)
    apply = jax.jit(lambda state: run.module.apply(state.variables, batch)["sr"])
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
    config.residual, config.base_filters = True, 4
    run = Run(config)
    run.prepare()
    found = base.fitted_filters(run.trainer)
    patches = run.trainer.patches
    known = patches.domain[:, None] == 0
    run.trainer.patches = patches.replace(gain=np.where(known, patches.gain, 3 * patches.gain))
    np.testing.assert_array_equal(base.fitted_filters(run.trainer), found)
    run.trainer.patches = patches.replace(gain=np.where(known, 0, patches.gain))
    assert np.abs(found).max() > 1e-3 and not base.fitted_filters(run.trainer).any()
