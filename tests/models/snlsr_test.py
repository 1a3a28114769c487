"""SNLSR against the published code, and what it promises for sizes, scales and attention."""

import jax
import jax.numpy as jnp
import numpy as np
import parity
import pytest
from golden import Case, cases
from small_golden import check_small
from snlsr_golden import SOWN

from hsisr_jax import losses, models, port
from hsisr_jax.errors import UserError
from hsisr_jax.models.snlsr import UnmixingEncoder, two_stages
from hsisr_jax.resize import interpolate

TERMS = {
    "l1": "Spatial_Loss_Upscaling",
    "reconstruction_l1": "Spatial_Loss_Unmixing",
    "spectral_angle": "Spectral_Loss_Upscaling",
    "reconstruction_angle": "Spectral_Loss_Unmixing",
}
TINY = dict(bands=3, scale=2, features=4, materials=6)


# A spectrum of length 0.0004 among lengths near 0.4: the gradient of its angle turns with the last
# bits of the output, and with it the sign of a gradient of 1e-8 and Adam's step of 2e-4.
UNSTEADY = "snlsr_x8_outputs_x16"


def loss_of(path):
    weight = Case(path).config["constructor"].get("weight_spectral_loss", 0.1)
    return losses.create("snlsr", spectral_weight=weight)


@pytest.mark.parametrize("path", cases("snlsr_*.npz"))
def test_equals_the_published_code(path):
    trained = 1e-3 if path.stem == UNSTEADY else 1e-4
    parity.run_case(path, loss_of(path), terms=TERMS, intermediates=SOWN, trained=trained)


@pytest.mark.parametrize("path", cases(f"{UNSTEADY}.npz"))
def test_equals_the_published_steps_without_rounding(path):
    parity.run_in_float64(path, loss_of(path), trained=1e-5)


def test_equals_stored_numbers():
    check_small("snlsr")


@pytest.fixture(scope="module")
def tiny():
    module = models.create("snlsr", **TINY)
    batch = {"lr": jnp.asarray(parity.made_up_cube(2, 7, 5, 3))}
    variables = port.from_torch(module, parity.made_up_weights(module, batch), batch)
    return module, variables, batch, jax.jit(module.apply)(variables, batch)


def test_abundances_are_shares_and_mix_the_endmembers(tiny):
    _, variables, _, out = tiny
    assert out["abundance"].min() >= 0
    np.testing.assert_allclose(out["abundance"].sum(-1), 1, atol=1e-5)
    endmembers = np.asarray(variables["params"]["endmembers"]["kernel"])
    expected = np.asarray(out["abundance"]) @ endmembers
    np.testing.assert_allclose(out["reconstruction"], expected, atol=1e-6)


def test_without_endmembers_only_the_bicubic_image_is_left(tiny):
    module, variables, batch, out = tiny
    none = {"endmembers": {"kernel": jnp.zeros((6, 3))}}
    params = {**variables["params"], **none}
    left = jax.jit(module.apply)({"params": params}, batch)["sr"]
    np.testing.assert_allclose(left, interpolate(batch["lr"], (14, 10)), atol=1e-6)
    assert np.abs(out["sr"] - left).max() > 1e-3


def test_both_forms_of_the_attention_agree(tiny):
    module, variables, batch, out = tiny
    full = jax.jit(module.clone(attention="full").apply)(variables, batch)["sr"]
    np.testing.assert_allclose(full, out["sr"], atol=2e-6)


@pytest.mark.parametrize("scale, stages", [(1, (1, 1)), (2, (1, 2)), (3, (1, 3)), (4, (2, 2))])
def test_gives_the_scale_it_is_asked_for(scale, stages):
    assert two_stages(scale) == stages
    module = models.create("snlsr", **{**TINY, "scale": scale})
    batch = {"lr": jnp.zeros((1, 3, 4, 3))}
    shapes = jax.eval_shape(lambda: module.init_with_output(jax.random.key(0), batch)[0])
    assert shapes["sr"].shape == (1, 3 * scale, 4 * scale, 3)


def test_large_scales_are_split_evenly():
    assert [two_stages(s) for s in (6, 8, 9, 12, 16)] == [(2, 3), (2, 4), (3, 3), (3, 4), (4, 4)]


def test_stage_scales_are_the_originals_quirk():
    module = models.create("snlsr", **{**TINY, "scale": 8}, stage_scales=(4, 4))
    batch = {"lr": jnp.zeros((1, 3, 4, 3))}
    shapes = jax.eval_shape(lambda: module.init_with_output(jax.random.key(0), batch)[0])
    assert shapes["sr"].shape == (1, 48, 64, 3)


@pytest.mark.parametrize(
    "options, size, words",
    [
        ({}, (2, 9, 3), "sides of 3 or more"),
        ({}, (9, 9, 4), "4 bands"),
        ({"scale": 5}, (9, 9, 3), "cannot upsample by 5"),
        ({"attention": "fast"}, (9, 9, 3), "unknown attention 'fast'"),
        ({"features": 3}, (9, 9, 3), "4 features"),
        ({"encoder": UnmixingEncoder(4)}, (9, 9, 3), "encoder gives 4 .* set materials=4"),
    ],
)
def test_what_cannot_work_is_refused_in_words(options, size, words):
    module = models.create("snlsr", **{**TINY, **options})
    with pytest.raises(UserError, match=words):
        parity.shapes_of(module, {"lr": jnp.zeros((1, *size))})


def test_weights_of_another_encoder_are_refused():
    module = models.create("snlsr", **TINY, encoder=UnmixingEncoder(6))
    with pytest.raises(UserError, match="leave encoder out"):
        port.to_torch(module, {"params": {}})
