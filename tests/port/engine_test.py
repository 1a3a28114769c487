"""The name tables: every array used exactly once, errors that name the array, stacked branches."""

import jax
import jax.numpy as jnp
import numpy as np
import parity
import pytest

from hsisr_jax import models, port
from hsisr_jax.errors import UserError

BATCH = {"lr": jnp.zeros((1, 4, 4, 7)), "lms": jnp.zeros((1, 8, 8, 7))}


@pytest.fixture(scope="module")
def network():
    options = dict(bands=7, scale=2, features=16, blocks=1, group_size=4, group_overlap=2)
    module = models.create("sspsr", **options, shared_branch=False)
    return module, parity.made_up_weights(module, BATCH)


def test_the_tables_are_exact_inverses(network):
    module, state = network
    back = port.to_torch(module, port.from_torch(module, state, BATCH))
    assert list(back) == list(state)
    for key, value in state.items():
        np.testing.assert_array_equal(back[key], value)


def test_a_wrappers_prefix_may_be_there(network):
    module, state = network
    plain = port.from_torch(module, state, BATCH)
    wrapped = port.from_torch(module, {f"module.{k}": v for k, v in state.items()}, BATCH)
    jax.tree.map(np.testing.assert_array_equal, plain, wrapped)


def test_every_branch_lands_in_its_own_place(network):
    module, state = network
    found = port.from_torch(module, state, BATCH)["params"]["branch"]["head"]["bias"]
    assert found.shape == (3, 16)
    np.testing.assert_array_equal(found[2], state["branch.2.head.bias"])


def test_gradients_convert_without_buffers(network):
    module, state = network
    params = port.from_torch(module, state, BATCH)["params"]
    grads = port.to_torch(module, {"params": jax.tree.map(lambda x: 2 * x, params)})
    np.testing.assert_array_equal(grads["branch.1.tail.weight"], 2 * state["branch.1.tail.weight"])


@pytest.mark.parametrize(
    ("change", "word"),
    [
        (lambda s: s.pop("branch.1.head.bias"), "lack 'branch.1.head.bias'"),
        (lambda s: s.update(extra=np.zeros(2)), "no place for: extra"),
        (lambda s: s.update({"branch.1.head.bias": np.zeros(3)}), "'branch.1.head.bias' has shape"),
        (lambda s: s.update({"final.bias": np.zeros((7, 1))}), "'final.bias' has shape"),
    ],
)
def test_weights_of_another_network_are_named(network, change, word):
    module, state = network
    state = dict(state)
    change(state)
    with pytest.raises(UserError, match=word):
        port.from_torch(module, state, BATCH)


def test_variables_without_a_name_are_named(network):
    module, state = network
    variables = port.from_torch(module, state, BATCH)
    more = {"params": {**variables["params"], "other": {"kernel": np.zeros(1)}}}
    with pytest.raises(UserError, match="no name for: params/other/kernel"):
        port.to_torch(module, more)
    less = {"params": {k: v for k, v in variables["params"].items() if k != "final"}}
    with pytest.raises(UserError, match="lack params/final/kernel"):
        port.to_torch(module, less)
