"""What a run can be scored beside, by `config.eval.baselines`."""

import jax
import numpy as np
import pytest
import tiny_config

import hsisr_jax
from hsisr_jax import degrade
from hsisr_jax.errors import UserError
from hsisr_jax.inference import baselines
from hsisr_jax.training import checks

SENSOR = {"name": "mtf", "mtf": 0.3}


def image() -> dict[str, jax.Array]:
    rows, columns, bands = np.indices((24, 32, 5))
    hr = 0.5 + 0.2 * np.sin(rows / 3 + bands) * np.cos(columns / 4 - bands / 3)
    return degrade.create("mtf", scale=2, mtf=0.3)(hr[None].astype(np.float32)) | {"hr": hr[None]}


def test_anyband_is_what_a_user_would_get():
    batch = image()
    made = baselines.anyband(2, SENSOR)(batch)
    expected = hsisr_jax.sharpen(np.asarray(batch["lr"][0]), 2, degradation=SENSOR, limits=False)
    np.testing.assert_allclose(made, expected, atol=1e-4)


def test_an_unknown_one_is_refused():
    config = tiny_config.get_config()
    config.eval.baselines = ("anyband", "nearest")
    with pytest.raises(UserError, match="'nearest' is unknown: use anyband"):
        checks.check(config)
    with pytest.raises(UserError, match="'anyband' enlarges, and this run does not"):
        baselines.check(("anyband",), 1)
