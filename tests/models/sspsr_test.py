"""SSPSR against the published code: golden cases, stored numbers of our own, and its properties."""

import jax
import jax.numpy as jnp
import numpy as np
import parity
import pytest
from flax import linen as nn
from golden import cases
from small_golden import check_small

from hsisr_jax import losses, models, port
from hsisr_jax.errors import UserError

TINY = dict(bands=11, features=16, blocks=1, group_size=5, group_overlap=2)


def inputs(bands=11, scale=4, size=(2, 5, 3)):
    lr = parity.made_up_cube(*size, bands)
    lms = parity.made_up_cube(size[0], scale * size[1], scale * size[2], bands, seed=1)
    return {"lr": jnp.asarray(lr), "lms": jnp.asarray(lms)}


@pytest.mark.parametrize("case", cases("sspsr_*.npz"))
def test_equals_the_published_code(case):
    parity.run_case(case, losses.create("hybrid"), terms={"l1": "l1"})


def test_equals_stored_numbers():
    check_small("sspsr")


@pytest.mark.parametrize("scale", [2, 8])
def test_separate_branches_at_scales_that_the_original_lacks(scale):
    """Every group through its own branch: the same as a shared one on that group's bands alone."""
    batch = inputs(scale=scale)
    separate = models.create("sspsr", **TINY, scale=scale, shared_branch=False)
    state = parity.made_up_weights(separate, batch)
    found = groups(separate, port.from_torch(separate, state, batch), batch)
    total, counts = np.zeros_like(found), np.zeros(11)
    for g, start in enumerate((0, 3, 6)):
        alone = separate.clone(shared_branch=True, bands=5)
        cut = {k: v[..., start : start + 5] for k, v in batch.items()}
        weights = parity.made_up_weights(alone, cut)  # of the rest: any
        prefix = f"branch.{g}."
        weights |= {k.replace(prefix, "branch."): v for k, v in state.items() if prefix in k}
        total[..., start : start + 5] += groups(alone, port.from_torch(alone, weights, cut), cut)
        counts[start : start + 5] += 1
    np.testing.assert_allclose(found, total / counts, atol=1e-5)


def groups(module, variables, batch):
    """What enters the trunk: the groups' outputs, averaged where they overlap."""
    run = jax.jit(lambda v, batch: module.apply(v, batch, mutable=["intermediates"])[1])
    found = run(variables, batch)
    return np.asarray(found["intermediates"]["averaged_groups"][0])


@pytest.mark.parametrize("shared", [True, False])
def test_groups_in_a_loop_equal_groups_in_a_batch(shared, monkeypatch):
    monkeypatch.setattr("hsisr_jax.ops.cpu.convolution.CACHED", 70)  # two groups of 2 x 5 x 3
    batch = inputs(14)
    module = models.create("sspsr", **TINY | {"bands": 14}, shared_branch=shared)
    params = parity.made_up_variables(module, batch)["params"]
    results = {}
    for grouping in ("auto", "batched", "loop"):
        net = module.clone(grouping=grouping)

        def objective(params, net=net):
            return jnp.square(net.apply({"params": params}, batch)["sr"]).mean()

        forward = jax.jit(objective).trace(params)  # gradients have loops of their own
        loops = any(
            eqn.primitive.name == "scan" and eqn.params["length"] == (2 if shared else 4)
            for eqn in scans(forward.jaxpr.jaxpr)
        )
        assert loops == (grouping != "batched")  # these tests run on a CPU
        if grouping != "auto":
            results[grouping] = jax.jit(jax.value_and_grad(objective))(params)
    (one, grads), (other, expected) = results["loop"], results["batched"]
    np.testing.assert_allclose(one, other, rtol=1e-5)
    for path, leaf in jax.tree_util.tree_leaves_with_path(expected):
        found = dict(jax.tree_util.tree_leaves_with_path(grads))[path]
        np.testing.assert_allclose(found, leaf, atol=1e-5 * np.abs(leaf).max() + 1e-8)


def scans(jaxpr):
    """All operations of a program, those of the programs that it calls included."""
    for eqn in jaxpr.eqns:
        yield eqn
        for value in eqn.params.values():
            value = getattr(value, "jaxpr", value)
            if hasattr(value, "eqns"):
                yield from scans(value)


def test_bands_outside_a_group_do_not_leak_before_the_trunk():
    batch = inputs()
    module = models.create("sspsr", **TINY)
    variables = parity.made_up_variables(module, batch)
    before = groups(module, variables, batch)
    after = groups(module, variables, batch | {"lr": batch["lr"].at[..., 9].add(1.0)})
    changed = np.abs(after - before).max((0, 1, 2)) > 0
    np.testing.assert_array_equal(changed, np.arange(11) >= 6)  # the group 6 ... 10 alone


class Twice(nn.Module):
    """What the paper's body is when its residual branches give nothing: `x + x`."""

    @nn.compact
    def __call__(self, x, *, train=False):
        return 2 * x


def test_a_residual_scale_of_zero_leaves_the_long_skip():
    batch = inputs()
    module = models.create("sspsr", **TINY, res_scale=0.0)
    params = parity.made_up_variables(module, batch)["params"]
    hollow = dict(params)
    for name in ("branch", "trunk"):
        hollow[name] = {k: v for k, v in params[name].items() if k != "body"}
    twice = module.clone(branch_body=Twice(), trunk_body=Twice())
    expected = twice.apply({"params": hollow}, batch)["sr"]
    np.testing.assert_allclose(module.apply({"params": params}, batch)["sr"], expected, atol=2e-5)


@pytest.mark.parametrize(
    ("options", "word"),
    [
        ({"scale": 3}, "use 2, 4"),
        ({"bands": 12}, "lr has 11"),
        ({"scale": 2}, "not lr"),
        ({"group_size": 12}, "use 1 to 11"),
        ({"group_overlap": 5}, "below group_size"),
        ({"features": 8}, "features >= 16"),
        ({"grouping": "batch"}, "auto, batched or loop"),
    ],
)
def test_what_cannot_work_is_refused_in_words(options, word):
    module = models.create("sspsr", **{**TINY, **options})
    with pytest.raises(UserError, match=word):
        jax.eval_shape(lambda: module.init(jax.random.key(0), inputs(), train=False))
