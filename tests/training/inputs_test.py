"""Training on what the sensor sees of the test scenes, where there is nothing else."""

import numpy as np
import pytest
import tiny_config

from hsisr_jax import resize
from hsisr_jax.train import train_and_evaluate
from hsisr_jax.training import experiment


def config(tmp_path, train_on):
    config = tiny_config.get_config()
    config.data.dir, config.data.train_on = str(tmp_path / "data"), train_on
    config.data.patch, config.data.stride, config.eval_every = 8, 2, 0
    return config


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("inputs")


@pytest.mark.parametrize("train_on", ["inputs", "both"])
def test_the_patches_come_from_the_degraded_test_scenes(folder, train_on):
    run = experiment.describe(config(folder, train_on))
    own = run.learnt.train[len(run.data.train) if train_on == "both" else 0 :]
    assert len(own) == len(run.data.test) and len(run.data.train) == 1
    for made, scene in zip(own, run.data.test):
        expected = resize.imresize(scene.normaliser.linear(scene.hr, np), 1 / 2)
        np.testing.assert_allclose(made.normaliser.linear(made.hr, np), expected, atol=1e-6)


def test_a_network_learns_from_them_alone(folder):
    given = config(folder, "inputs")
    given.data.options = {"height": 192, "width": 192, "bands": 6}
    given.data.patch, given.data.stride, given.ema = 16, 4, 0.0
    given.checkpoint_every = 0
    sspsr = {"name": "sspsr", "features": 16, "blocks": 1, "group_size": 3, "group_overlap": 0}
    given.model = sspsr
    given.base.kind = "bicubic"
    given.optimizer.schedule = {"name": "cosine"}
    given.optimizer.learning_rate, given.steps, given.batch_size = 3e-3, 300, 8
    found = train_and_evaluate(given, folder / "run")
    # Five seeds gain 0.75 to 0.97 dB.
    assert found["test"]["MPSNR"] > found["bicubic"]["MPSNR"] + 0.3
