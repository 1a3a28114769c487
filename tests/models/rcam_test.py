"""RCAM against the published code, and what its stages promise."""

import jax
import jax.numpy as jnp
import numpy as np
import parity
import pytest
from golden import Case, cases
from small_golden import check_small

from hsisr_jax import losses, models
from hsisr_jax.errors import UserError

TINY = dict(bands=4, features=8, dense_blocks=2, rcams=2)


@pytest.mark.parametrize("case", cases("rcam_*.npz"))
def test_equals_the_published_code(case):
    stages = Case(case).group("output").keys() - {"sr"}
    terms = {f"stage_{i}": f"Partial_Loss_{i}" for i in range(len(stages))}
    parity.run_case(case, losses.create("rcam"), terms={"l1": "Main_Loss", **terms})


def test_equals_stored_numbers():
    check_small("rcam")


def test_a_stage_is_the_whole_network_at_a_smaller_scale():
    batch = {"lr": jnp.asarray(parity.made_up_cube(1, 5, 3, 4))}
    module = models.create("rcam", **TINY, scale=4, bicubic_skip=True)
    params = parity.made_up_variables(module, batch)["params"]
    out = jax.jit(module.apply)({"params": params}, batch)
    assert [stage.shape[1:3] for stage in out["stages"]] == [(10, 6)]
    first = {"params": {"stage_0": params["stage_0"]}}
    smaller = jax.jit(module.clone(scale=2).apply)(first, batch)
    assert smaller["stages"] == []
    np.testing.assert_allclose(smaller["sr"], out["stages"][0], atol=1e-6)


def test_a_spectral_input_gives_all_bands():
    batch = {"lr": jnp.zeros((1, 3, 4, 2))}
    module = models.create("rcam", **TINY, scale=4, input_bands=2)
    shapes = jax.eval_shape(lambda: module.init_with_output(jax.random.key(0), batch)[0])
    assert shapes["sr"].shape == (1, 12, 16, 4)
    assert shapes["stages"][0].shape == (1, 6, 8, 4)


@pytest.mark.parametrize(
    ("options", "word"),
    [
        ({"scale": 3}, "use 2, 4"),
        ({"bands": 5}, "lr has 4"),
        ({"rcams": 0}, "at least 1"),
        ({"bands": 5, "input_bands": 4, "bicubic_skip": True}, "cannot be added"),
    ],
)
def test_what_cannot_work_is_refused_in_words(options, word):
    module = models.create("rcam", **{**TINY, **options})
    with pytest.raises(UserError, match=word):
        jax.eval_shape(lambda: module.init(jax.random.key(0), {"lr": jnp.zeros((1, 3, 4, 4))}))
