"""When validation happens without being asked for, and what is refused where it cannot."""

from types import SimpleNamespace

import numpy as np
import pytest
import tiny_config

from configs import common
from hsisr_jax.errors import UserError
from hsisr_jax.training import checks, experiment, fit


def test_what_needs_validation_images_is_refused_without_any():
    config, said, data = common.base(), [], SimpleNamespace(name="mine")
    config.data.name, config.select = "scene", "best"
    with pytest.raises(UserError, match=r"'best' needs .* mine has none: .*validation_patches=0.1"):
        checks.check_validation(config, data, 0, said.append)
    config.select, config.patience = "last", 3
    with pytest.raises(UserError, match=r"config\.patience needs validation images"):
        checks.check_validation(config, data, 0, said.append)
    config.patience, config.eval_every, config.data.name = 0, 5, "other"
    checks.check_validation(config, data, 0, said.append)
    assert len(said) == 1 and "nothing is validated" in said[0] and "docs/datasets.md" in said[0]
    config.select = "best"
    checks.check_validation(config, data, 2, said.append)
    assert len(said) == 1


@pytest.mark.parametrize(
    ("side", "select", "steps", "period"),
    [(64, "last", 300, 30), (64, "last", 30, 10), (5000, "last", 300, 0), (5000, "best", 300, 30),
     (0, "best", 300, 0)],
)  # fmt: skip
def test_small_sets_are_validated_some_times_a_run(side, select, steps, period):
    hr = np.broadcast_to(np.float32(0), (side, side, 6))
    images = [SimpleNamespace(hr=hr)] if side else []
    run = SimpleNamespace(validation=images, config=SimpleNamespace(select=select))
    assert fit._usual_period(run, steps) == period


def test_an_evaluation_does_not_mind_validation_images_that_its_protocol_cannot_score(tmp_path):
    config = tiny_config.get_config()
    config.data.options = {"height": 64, "width": 64, "bands": 6, "fractions": (0.375, 0.125, 0.5)}
    config.data.dir, config.eval.protocol = str(tmp_path), "ssran"
    config.select_metric = "PSNR"
    with pytest.raises(UserError, match=r"validation_1 of 64x8 pixels .* scores 32 pixels a side"):
        experiment.describe(config)
    described = experiment.describe(config, evaluates=True)
    sides = [min(scene.hr.shape[:2]) for scene in described.data.test_images(config.scale)]
    assert sides == [32]
