"""What every network must do."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import parity
import pytest
from flax import linen as nn
from golden import ROOT
from zoo import ROWS, make_batch, tiny

from hsisr_jax import models
from hsisr_jax.errors import UserError


def test_the_table_and_the_library_hold_the_same_networks():
    assert tuple(ROWS) == models.names()


@pytest.mark.parametrize("name", ROWS)
def test_parameters_at_the_defaults(name):
    module = models.create(name)
    shapes = parity.shapes_of(module, make_batch(module, (16, 16)))
    leaves = jax.tree.leaves(shapes.get("params", {}))
    assert sum(leaf.size for leaf in leaves) == ROWS[name].parameters


def manifest():
    file = ROOT / "state_dict_manifest.json"
    networks = json.loads(file.read_text()) if file.exists() else {}
    known = {k: v for k, v in networks.items() if v["class_name"] in parity.MODELS}
    skipped = pytest.param(None, marks=pytest.mark.skip(reason="no golden data"), id="none")
    return [pytest.param(v, id=k) for k, v in known.items()] or [skipped]


@pytest.mark.parametrize("network", manifest())
def test_names_and_shapes_equal_the_published_full_size_networks(network):
    module = parity.create(network)
    found = parity.manifest_of(module, make_batch(module, (16, 16)))
    expected = {name.removeprefix("srformer."): shape for name, shape, *_ in network["state"]}
    assert found == expected


@pytest.mark.parametrize("name", ROWS)
def test_output_sizes(name):
    for scale in ROWS[name].scales:
        module = tiny(name) if scale is None else tiny(name, scale=scale)
        for h, w in ROWS[name].sizes:
            batch = make_batch(module, (h, w))

            def forward(key, module=module, batch=batch):
                return module.init_with_output(key, batch, train=False)

            out, variables = jax.eval_shape(forward, jax.random.key(0))
            factor = scale or 1
            assert out["sr"].shape == (2, h * factor, w * factor, getattr(module, "bands", 5))
            assert out["sr"].dtype == jnp.float32
            trained, updates = jax.eval_shape(
                lambda variables, module=module, batch=batch: module.apply(
                    variables,
                    batch,
                    train=True,
                    rngs={"dropout": jax.random.key(1)},
                    mutable=["batch_stats"],
                ),
                variables,
            )
            assert trained["sr"].shape == out["sr"].shape
            old = jax.tree.structure(variables.get("batch_stats", {}))
            assert jax.tree.structure(updates.get("batch_stats", {})) == old


@pytest.fixture(scope="module", params=list(ROWS))
def network(request):
    """A tiny network on an odd input, with its output and gradients, compiled once."""
    module = tiny(request.param)
    batch = make_batch(module, ROWS[request.param].sizes[0])
    variables = parity.made_up_variables(module, batch)
    rest = {k: v for k, v in variables.items() if k != "params"}

    def objective(params, batch):
        sr = module.apply({**rest, "params": params}, batch, train=False)["sr"]
        return jnp.square(sr - 0.5).mean(), sr

    step = jax.jit(jax.value_and_grad(objective, argnums=(0, 1), has_aux=True, allow_int=True))
    (_, sr), grads = step(variables.get("params", {}), batch)
    return request.param, module, batch, variables, np.asarray(sr), grads


def test_gradients_reach_the_input_and_most_parameters(network):
    name, module, batch, _, sr, (grads, inputs) = network
    assert np.isfinite(sr).all()
    leaves = [np.asarray(leaf) for leaf in jax.tree.leaves(grads)]
    assert all(np.isfinite(leaf).all() for leaf in leaves)
    reached = np.mean([np.abs(leaf).max() > 0 for leaf in leaves]) if leaves else 1
    assert reached > 0.6  # the published SRLSGAT and ESRT hold parameters that nothing uses
    source = "msi" if name == "ssran" else "lr"
    assert np.abs(inputs[source]).max() > 0


def test_a_sample_does_not_depend_on_the_others(network):
    """`jax.vmap` over single samples gives the same as the batch."""
    _, module, batch, variables, sr, _ = network

    def alone(sample):
        batch = jax.tree.map(lambda x: x[None], sample)
        return module.apply(variables, batch, train=False)["sr"][0]

    np.testing.assert_allclose(jax.jit(jax.vmap(alone))(batch), sr, atol=5e-5)


def test_bfloat16(network):
    """Parameters and batch cast, as the training step does; the result stays near."""
    name, module, batch, variables, sr, _ = network
    cast = lambda x: x.astype(jnp.bfloat16) if x.dtype == jnp.float32 else x  # noqa: E731
    low = {k: jax.tree.map(cast, v) if k == "params" else v for k, v in variables.items()}
    forward = jax.jit(lambda v, batch: module.apply(v, batch, train=False)["sr"])
    found = forward(low, jax.tree.map(cast, batch))
    assert found.dtype == jnp.bfloat16
    error = np.abs(np.asarray(found, np.float32) - sr).max() / np.abs(sr).max()
    assert 0 < error < ROWS[name].bf16


@pytest.mark.parametrize("dtype", [jnp.bfloat16, jnp.uint16])
@pytest.mark.parametrize("name", ROWS)
def test_inputs_of_another_type_than_the_parameters(name, dtype):
    """They are computed in the wider type, as Flax's own layers do, with gradients."""
    module = tiny(name)
    batch = make_batch(module, ROWS[name].sizes[0])
    shapes = parity.shapes_of(module, batch)
    variables = jax.tree.map(lambda s: jnp.zeros(s.shape, s.dtype), shapes)
    rest = {k: v for k, v in variables.items() if k != "params"}
    given = {k: x.astype(dtype) if x.dtype == jnp.float32 else x for k, x in batch.items()}

    def objective(params, batch):
        sr = module.apply({**rest, "params": params}, batch, train=False)["sr"]
        return sr.astype(jnp.float32).mean(), sr

    gradient = jax.value_and_grad(objective, has_aux=True)
    (_, sr), grads = jax.eval_shape(gradient, variables.get("params", {}), given)
    assert all(leaf.dtype == jnp.float32 for leaf in jax.tree.leaves(grads))
    assert jnp.issubdtype(sr.dtype, jnp.floating)


def test_unknown_names_and_options_are_answered_with_the_known_ones():
    with pytest.raises(UserError, match="did you mean 'sspsr'.*srlsgat"):
        models.create("sspr")
    with pytest.raises(UserError, match="did you mean 'asnlsr'"):
        models.create("A-SNLSR")
    with pytest.raises(UserError, match="no option 'n_scale'.*scale.*features"):
        models.create("sspsr", n_scale=4)


def test_a_class_in_place_of_a_module():
    with pytest.raises(UserError, match="trunk_body is the class Dense: give a module, Dense"):
        models.create("sspsr", trunk_body=nn.Dense)


@pytest.mark.parametrize("name", ["sspsr", "srlsgat"])
def test_batches_that_lack_something(name):
    module, lr = tiny(name), jnp.zeros((1, 8, 8, 7))
    words = rf"no lms: lms is resize.imresize\(lr, {module.scale}\)"
    with pytest.raises(UserError, match=words):
        parity.shapes_of(module, {"lr": lr})
    with pytest.raises(UserError, match=r"not lr \(8, 8, 7\): use lr\[None\]"):
        parity.shapes_of(module, {"lr": lr[0], "lms": lr[0]})


@pytest.mark.parametrize("name", ["snlsr", "asnlsr", "rcam", "esrt", "srformer", "anyband"])
def test_a_cube_without_the_axis_of_batches(name):
    module, lr = tiny(name), jnp.zeros((1, 8, 8, 5))
    with pytest.raises(UserError, match=rf"{name} reads .*not lr \(8, 8, 5\): use lr\[None\]"):
        parity.shapes_of(module, {"lr": lr[0]})
    with pytest.raises(UserError, match=rf"{name} reads lr .*which the batch lacks"):
        parity.shapes_of(module, {"hr": lr})


@pytest.mark.parametrize("value", [0, -1, 2.5, "many"])
def test_sizes_are_whole_numbers_above_0(value):
    with pytest.raises(UserError, match="features is .*: use a whole number of at least 1"):
        models.create("rcam", features=value)
    assert models.create("sspsr", group_overlap=0).group_overlap == 0
