"""The porting engine: every array used exactly once, layouts inverted exactly, prefixes."""

import re

import jax
import numpy as np
import pytest
from flax.traverse_util import flatten_dict

from hsisr_jax import models, port
from hsisr_jax.errors import UserError
from hsisr_jax.port import engine
from hsisr_jax.port.engine import Entry, convert_in, convert_out, stacked, strip_prefix

RNG = np.random.default_rng(0)
TABLE = [
    *engine.conv("stem", "features.0"),
    *engine.conv_transpose("up", "features.1", bias=False),
    *engine.dense("out", "head"),
    *engine.batch_norm("norm", "bn"),
    *engine.weight_and_bias("squeeze", "se", engine.CONV_AS_DENSE),
    Entry("params/band/kernel", "conv1d.weight", engine.CONV1D),
    Entry("constants/index", "index", engine.Layout(dtype=np.int64)),
    *stacked(engine.dense("branch", "fc"), "branches.{}.".format, 2),
]
SHAPES = {  # theirs
    "features.0.weight": (4, 3, 5, 2),
    "features.0.bias": (4,),
    "features.1.weight": (3, 4, 5, 2),
    "head.weight": (6, 7),
    "head.bias": (6,),
    "bn.weight": (4,),
    "bn.bias": (4,),
    "bn.running_mean": (4,),
    "bn.running_var": (4,),
    "se.weight": (2, 3, 1, 1),
    "se.bias": (2,),
    "conv1d.weight": (4, 3, 5),
    "branches.0.fc.weight": (2, 3),
    "branches.0.fc.bias": (2,),
    "branches.1.fc.weight": (2, 3),
    "branches.1.fc.bias": (2,),
}
STATE = {
    **{k: RNG.normal(size=shape).astype(np.float32) for k, shape in SHAPES.items()},
    "bn.num_batches_tracked": np.array(7, np.int64),
    "index": np.arange(6).reshape(2, 3),
}
OURS = {  # shapes, written out by hand
    "params": {
        "stem": {"kernel": (5, 2, 3, 4), "bias": (4,)},
        "up": {"kernel": (5, 2, 3, 4)},
        "out": {"kernel": (7, 6), "bias": (6,)},
        "norm": {"scale": (4,), "bias": (4,)},
        "squeeze": {"kernel": (3, 2), "bias": (2,)},
        "band": {"kernel": (5, 3, 4)},
        "branch": {"kernel": (2, 3, 2), "bias": (2, 2)},
    },
    "batch_stats": {"norm": {"mean": (4,), "var": (4,)}},
    "constants": {"index": (2, 3)},
}


def hollow(tree=OURS):
    return jax.tree.map(
        lambda shape: jax.ShapeDtypeStruct(shape, np.float32),
        tree,
        is_leaf=lambda x: isinstance(x, tuple),
    )


def test_every_layout_and_its_inverse():
    variables = convert_in(TABLE, STATE, hollow())
    params = variables["params"]
    w = STATE["features.0.weight"]
    np.testing.assert_array_equal(params["stem"]["kernel"][4, 1, 2, 3], w[3, 2, 4, 1])
    w = STATE["features.1.weight"]  # in, out, height, width
    np.testing.assert_array_equal(params["up"]["kernel"][4, 1, 2, 3], w[2, 3, 4, 1])
    np.testing.assert_array_equal(params["out"]["kernel"], STATE["head.weight"].T)
    np.testing.assert_array_equal(params["squeeze"]["kernel"][2, 1], STATE["se.weight"][1, 2, 0, 0])
    np.testing.assert_array_equal(
        params["band"]["kernel"][4, 1, 3], STATE["conv1d.weight"][3, 1, 4]
    )
    for i in (0, 1):
        theirs = STATE[f"branches.{i}.fc.weight"]
        np.testing.assert_array_equal(params["branch"]["kernel"][i], theirs.T)
    assert variables["constants"]["index"].dtype == np.int32
    back = convert_out(TABLE, variables)
    assert set(back) == set(STATE)
    for key, value in STATE.items():
        np.testing.assert_array_equal(back[key], value, err_msg=key)
        assert back[key].dtype == value.dtype


def test_gradients_come_without_buffers():
    params = convert_in(TABLE, STATE, hollow())["params"]
    found = convert_out(TABLE, {"params": params})
    left_out = {"bn.running_mean", "bn.running_var", "bn.num_batches_tracked", "index"}
    assert set(found) == set(STATE) - left_out


@pytest.mark.parametrize("key", STATE)
def test_a_missing_array_is_named(key):
    state = {k: v for k, v in STATE.items() if k != key}
    with pytest.raises(UserError, match=f"lack '{key}'"):
        convert_in(TABLE, state, hollow())


def test_a_left_over_array_is_named():
    with pytest.raises(UserError, match="no place for: extra.bias, extra.weight"):
        convert_in(TABLE, {**STATE, "extra.weight": np.ones(2), "extra.bias": np.ones(2)}, hollow())


@pytest.mark.parametrize(
    ("key", "shape", "path"),
    [
        ("head.weight", (5, 7), r"params/out/kernel needs \(6, 7\)"),
        ("head.weight", (6, 7, 1), r"params/out/kernel needs \(6, 7\)"),
        ("features.0.weight", (4, 3), r"params/stem/kernel needs \(4, 3, 5, 2\)"),
        ("se.weight", (2, 3, 3, 3), r"params/squeeze/kernel needs \(2, 3, 1, 1\)"),
        ("conv1d.weight", (), r"params/band/kernel needs \(4, 3, 5\)"),
        ("branches.1.fc.weight", (2,), r"params/branch/kernel needs \(2, 3\)"),
        ("bn.num_batches_tracked", (3,), r"needs \(\)"),
    ],
)
def test_an_array_of_another_shape_is_named_with_both_shapes(key, shape, path):
    state = {**STATE, key: np.ones(shape, STATE[key].dtype)}
    given = re.escape(f"{key!r} has shape {shape}; ")
    with pytest.raises(UserError, match=f"{given}.*{path}"):
        convert_in(TABLE, state, hollow())


def test_a_counter_keeps_its_type_through_a_compiled_function():
    variables = jax.jit(lambda tree: tree)(convert_in(TABLE, STATE, hollow()))
    counter = convert_out(TABLE, variables)["bn.num_batches_tracked"]
    assert counter == 7 and counter.dtype == np.int64


def test_what_only_one_side_has_is_named():
    ours = {**OURS, "params": {**OURS["params"], "more": {"bias": (3,)}}}
    with pytest.raises(UserError, match="no value for: params/more/bias"):
        convert_in(TABLE, STATE, hollow(ours))
    fewer = {**OURS, "params": {k: v for k, v in OURS["params"].items() if k != "band"}}
    with pytest.raises(UserError, match="no params/band/kernel for 'conv1d.weight'"):
        convert_in(TABLE, STATE, hollow(fewer))
    variables = convert_in(TABLE, STATE, hollow())
    with pytest.raises(UserError, match="no name for: params/more"):
        convert_out(TABLE, {**variables, "params": {**variables["params"], "more": np.ones(1)}})
    del variables["params"]["out"]["bias"]
    with pytest.raises(UserError, match="lack params/out/bias .for 'head.bias'"):
        convert_out(TABLE, variables)


def test_long_lists_of_names_are_cut():
    extra = {f"x{i}": np.ones(1) for i in range(9)}
    with pytest.raises(UserError, match="x0, x1, x2, x3, x4 and 4 more"):
        convert_in(TABLE, {**STATE, **extra}, hollow())


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (["module.a", "module.b"], ["a", "b"]),
        (["module.net.a", "module.net.b"], ["a", "b"]),
        (["net.a", "net.b"], ["a", "b"]),
        (["_orig_mod.module.a", "_orig_mod.module.b"], ["a", "b"]),
        (["model.network.a.kernel", "model.network.b"], ["a.kernel", "b"]),
        (["model_a", "model_b"], ["model_a", "model_b"]),  # no words
        (["module.a", "b"], ["a", "b"]),  # b is named as left over, not a
        ([], []),
    ],
)
def test_a_prefix_goes_from_every_name_that_has_it(names, expected):
    state = strip_prefix({name: np.ones(1) for name in names}, ("module.", "net."))
    assert list(state) == expected


def test_a_name_with_and_without_a_prefix_is_refused():
    with pytest.raises(UserError, match="with and without a prefix of module."):
        strip_prefix({"module.a": np.ones(1), "a": np.ones(1)}, ("module.",))


SMALL = {
    "srformer": dict(image_size=8, embed_dim=8, depths=(2,), num_heads=(2,), window_size=4),
    "esrt": dict(features=16, heads=8),
    "rcam": dict(features=8, dense_blocks=1, rcams=1),  # all its own names begin with one word
}


@pytest.mark.parametrize(
    ("name", "stored", "wrapper"),
    [("esrt", "esrt.", "esrt."), ("srformer", "", "srformer."), ("rcam", "", "model.")],
)
def test_wrappers_of_the_published_networks(name, stored, wrapper):
    """With or without the wrapper's prefix: the same variables; names come back as stored."""
    module = models.create(name, bands=3, scale=2, **SMALL[name])
    batch = {"lr": np.zeros((1, 4, 4, 3), np.float32)}
    shapes = jax.eval_shape(lambda: module.init(jax.random.key(0), batch))
    variables = jax.tree.map(lambda s: RNG.normal(size=s.shape).astype(s.dtype), shapes)
    state = port.to_torch(module, variables)
    assert all(key.startswith(stored) for key in state)
    bare = {key.removeprefix(stored): value for key, value in state.items()}
    for prefix in ("", wrapper, "module.", f"module.{wrapper}", f"_orig_mod.model.{wrapper}"):
        found = port.from_torch(module, {prefix + k: v for k, v in bare.items()}, batch)
        for path, value in flatten_dict(variables).items():
            np.testing.assert_array_equal(flatten_dict(found)[path], value)
        assert list(port.to_torch(module, found)) == list(state)
    with pytest.raises(UserError, match=r"no place for: \S*foo.bar$"):
        port.from_torch(module, {**state, "foo.bar": np.ones(1)}, batch)


def test_a_module_without_an_original_is_refused():
    from flax import linen as nn

    with pytest.raises(UserError, match="no PyTorch original for Dense; there are: .*esrt"):
        port.to_torch(nn.Dense(3), {})
