"""A network as a correction: it starts at the base estimate, and what it learns is its own."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn
from parity import made_up_variables

from hsisr_jax import degrade, models, resize
from hsisr_jax.errors import UserError
from hsisr_jax.inference.projection import back_project
from hsisr_jax.models.correction import Correction, with_zeros
from hsisr_jax.models.spec import describe

BANDS, SCALE = 9, 2
SPATIAL = [name for name in models.names() if name not in ("anyband", "bicubic", "ssran")]


def correction(name, *, level=1.0, options=None, **base):
    """A small network that corrects a base."""
    base = {"kind": "bicubic", "level": level} | base
    options = models.find(name).tiny if options is None else options
    return describe(name, options, scale=SCALE, bands=BANDS, base=base)


def last_layer(name, **options):
    sizes = {"scale": 4, "bands": 30} | options
    return describe(name, options, scale=sizes["scale"], bands=sizes["bands"]).last_layer


def batch():
    lr = jax.random.uniform(jax.random.key(0), (1, 8, 8, BANDS))
    lms = resize.imresize(lr, SCALE)
    return {"lr": lr, "lms": lms, "domain": jnp.zeros(1, jnp.int32)}


@pytest.mark.parametrize("name", SPATIAL)
def test_every_network_starts_at_bicubic(name):
    """All parameters but the last layer's at 0.01: a sum of theirs would show in the output."""
    inputs = batch()
    spec = correction(name)
    module = spec.module()
    shapes = jax.eval_shape(lambda: module.init(jax.random.key(1), inputs, train=False))
    variables = jax.tree.map(lambda x: jnp.full(x.shape, 0.01, x.dtype), dict(shapes))
    variables["constants"] = {"level": jnp.float32(0.5)}
    variables.pop("intermediates", None)
    params = with_zeros(variables.pop("params"), module.last_layer)
    if "residual_gain" in params:
        params["residual_gain"] *= 0
    apply = jax.jit(lambda v: module.apply(v, inputs, train=False)["sr"])
    np.testing.assert_allclose(apply({**variables, "params": params}), inputs["lms"], atol=1e-6)
    changed = jax.tree.map(jnp.copy, params)
    for x in with_gain_or_layer(changed, spec.last_layer):
        x["bias" if "bias" in x else "residual_gain"] += 0.01
    assert jnp.abs(apply({**variables, "params": changed}) - inputs["lms"]).max() > 1e-5


def with_gain_or_layer(params, layer):
    """The dict of parameters that holds what starts at zero."""
    for name in layer.split("/") if layer else ():
        params = params[name]
    return [params]


def test_names_of_parameters_stay_the_networks_own():
    inputs = batch()
    spec = correction("sspsr")
    network, wrapped = spec.alone(), spec.module()
    plain = jax.eval_shape(lambda: network.init(jax.random.key(0), inputs, train=False))
    own = jax.eval_shape(lambda: wrapped.init(jax.random.key(0), inputs, train=False))
    assert jax.tree.structure(own["params"]) == jax.tree.structure(plain["params"])


def test_a_network_of_ones_own_starts_behind_a_gain():
    class Own(nn.Module):
        @nn.compact
        def __call__(self, batch, *, train=False):
            return {"sr": nn.Dense(BANDS)(batch["lms"])}

    module, inputs = Correction(Own()), batch()
    variables = module.init(jax.random.key(0), inputs, train=False)
    assert models.of(Own()).last_layer(Own()) is None
    np.testing.assert_array_equal(module.apply(variables, inputs)["sr"], inputs["lms"])
    gradient = jax.grad(lambda v: module.apply(v, inputs)["sr"].sum())(variables)
    assert np.abs(gradient["params"]["residual_gain"]).min() > 0


@pytest.mark.parametrize(
    "options, layer",
    [
        ({}, "reconstruction/conv_last"),
        ({"upsampler": "pixelshuffledirect"}, "reconstruction/conv_0"),
        ({"upsampler": ""}, None),
        ({"bands": 3}, None),
    ],
)
def test_srformers_last_layer(options, layer):
    assert last_layer("srformer", **options) == layer


@pytest.mark.parametrize("scale, layer", [(2, "stage_0/upsample"), (8, "stage_2/upsample")])
def test_rcams_last_layer(scale, layer):
    assert last_layer("rcam", scale=scale) == layer


def test_spectral_super_resolution_starts_at_the_linear_map():
    msi = jax.random.uniform(jax.random.key(0), (2, 4, 4, 3))
    kernel = np.random.default_rng(0).random((3, 5))
    base = {"kind": "least_squares"}
    module = describe("ssran", {"features": 8}, scale=1, bands=5, msi_bands=3, base=base).module()
    params = module.init(jax.random.key(1), {"msi": msi}, train=False)["params"]
    params = with_zeros(params, module.last_layer)
    params["least_squares"] = {"kernel": kernel, "bias": np.arange(5.0)}
    sr = module.apply({"params": params}, {"msi": msi}, train=False)["sr"]
    np.testing.assert_allclose(sr, np.asarray(msi) @ kernel + np.arange(5.0), rtol=1e-5)


def test_zeros_under_one_path_only():
    params = {"a": {"b": jnp.ones(2), "bb": jnp.ones(2)}, "b": jnp.ones(2)}
    zeroed = with_zeros(params, "a/b")
    assert not zeroed["a"]["b"].any() and zeroed["a"]["bb"].all() and zeroed["b"].all()


def test_a_darker_scene_gives_the_same_detail():
    """Values and level of a tenth: all outputs are a tenth."""
    inputs = batch()
    bright = correction("snlsr", level=0.4, options={"features": 8, "materials": 4}).module()
    variables = made_up_variables(bright, inputs)
    apply = jax.jit(lambda v, x: bright.apply(v, x, train=False))
    dark = {**inputs, "lr": inputs["lr"] / 10, "lms": inputs["lms"] / 10}
    stored = variables["constants"]["level"]
    np.testing.assert_allclose(stored, 0.4)
    here = apply(variables, inputs)
    there = apply({**variables, "constants": {"level": stored / 10}}, dark)
    for name in ("sr", "reconstruction"):
        np.testing.assert_allclose(there[name], here[name] / 10, rtol=1e-3, atol=1e-5)


def test_the_base_may_be_back_projected():
    """It starts at what `inference.projection` makes of the bicubic image, dark pixels held."""
    inputs = batch()
    inputs["lr"] = inputs["lr"] * jnp.linspace(0, 1, 8)[None, :, None, None]
    inputs["lms"] = resize.imresize(inputs["lr"], SCALE)
    observe = degrade.create("bicubic", scale=SCALE).observe
    base = {"rounds": 2, "dark_level": 0.09, "degradation": {"name": "bicubic"}}
    module = correction("snlsr", level=1.5, kind="back_projected", **base).module()
    variables = made_up_variables(module, inputs)
    params = with_zeros(variables["params"], module.last_layer)
    sr = jax.jit(lambda v: module.apply(v, inputs)["sr"])({**variables, "params": params})
    lms, lr = (np.asarray(inputs[name][0]) for name in ("lms", "lr"))
    expected = back_project(lms, lr, observe, scale=SCALE, rounds=2, dark=0.09)
    np.testing.assert_allclose(sr[0], expected, atol=1e-5)
    bright = jnp.sqrt(jnp.mean(inputs["lms"] ** 2, -1)) > 0.12
    assert jnp.abs(observe(sr)["lr"] - inputs["lr"]).max() < 0.1
    assert 0.1 < bright.mean() < 0.95  # both kinds of pixels are there


def test_a_network_that_starts_at_bicubic_takes_no_base():
    with pytest.raises(UserError, match="'anyband' corrects bicubic.*config.base.kind=none"):
        correction("anyband")
    assert correction("anyband", kind="none").module()
