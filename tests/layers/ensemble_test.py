"""Networks side by side: alone they give the same numbers, together their mean."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn

from configs import common
from hsisr_jax import models, resize
from hsisr_jax.errors import UserError
from hsisr_jax.layers.ensemble import Ensemble
from hsisr_jax.models.correction import with_zeros
from hsisr_jax.models.spec import describe
from hsisr_jax.training import checks

MEMBERS, BATCH, BANDS = 2, 4, 6


def batch():
    lr = jax.random.uniform(jax.random.key(0), (BATCH, 8, 8, BANDS))
    return {"lr": lr, "lms": resize.imresize(lr, 2), "msi": lr[..., :3]}


def create(name):
    sizes = {"ssran": {"msi_bands": 3}, "srlsgat": {"group_size": 3}, "rcam": {"scale": 2}}
    return models.create(name, bands=BANDS, **models.find(name).tiny, **sizes[name])


class Normalised(nn.Module):
    """A network with statistics of its batch."""

    @nn.compact
    def __call__(self, batch, *, train=False):
        x = nn.BatchNorm(use_running_average=not train)(nn.Dense(5)(batch["lms"]))
        return {"sr": nn.Dense(BANDS)(nn.relu(x))}


def of_member(variables, n):
    """The variables of one network, as it would have them alone."""
    return {kind: jax.tree.map(lambda x: x[n], tree["member"]) for kind, tree in variables.items()}


@pytest.mark.parametrize("name", ["ssran", "srlsgat"])
def test_the_mean_of_networks_from_different_starts(name):
    inputs, network = batch(), create(name)
    ensemble = Ensemble(network, MEMBERS)
    variables = jax.jit(lambda key: ensemble.init(key, inputs))(jax.random.key(1))
    variables.pop("intermediates", None)
    out = jax.jit(ensemble.apply)(variables, inputs)
    apply = jax.jit(network.apply)
    alone = [apply(of_member(variables, n), inputs)["sr"] for n in range(MEMBERS)]
    assert np.abs(alone[0] - alone[1]).max() > 1e-3
    np.testing.assert_allclose(out["sr"], np.mean(alone, 0), atol=1e-5)
    np.testing.assert_allclose(out["spread"], np.std(alone, 0), atol=1e-5)


def test_each_learns_from_its_own_part_of_the_batch():
    """Outputs, batch statistics and gradients are those of a network that saw its part alone."""
    inputs, network = batch(), Normalised()
    ensemble = Ensemble(network, MEMBERS)
    variables = ensemble.init(jax.random.key(1), inputs)
    target = jax.random.uniform(jax.random.key(2), inputs["lms"].shape)

    def learn(module, variables, inputs, target):
        def loss(params):
            seen = variables | {"params": params}
            out, updates = module.apply(seen, inputs, train=True, mutable=["batch_stats"])
            return jnp.square(out["sr"] - target).mean(), (out["sr"], updates["batch_stats"])

        return jax.jit(jax.grad(loss, has_aux=True))(variables["params"])

    grads, (sr, stats) = learn(ensemble, variables, inputs, target)
    for n in range(MEMBERS):
        part = {name: x[n::MEMBERS] for name, x in inputs.items()}
        own = of_member(variables, n)
        expected, (own_sr, own_stats) = learn(network, own, part, target[n::MEMBERS])
        np.testing.assert_allclose(sr[n::MEMBERS], own_sr, atol=1e-5)
        found = of_member({"stats": stats, "grads": grads}, n)
        scaled = jax.tree.map(lambda x: MEMBERS * x, found["grads"])  # means over the whole batch
        for a, b in ((found["stats"], own_stats), (scaled, expected)):
            jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-5), a, b)


def test_a_correction_by_several_networks_starts_at_the_base():
    inputs, tiny = batch(), models.find("rcam").tiny
    base = {"kind": "bicubic", "level": 1.0}
    spec = describe("rcam", tiny, scale=2, bands=BANDS, members=MEMBERS, base=base)
    module = spec.module()
    assert spec.last_layer == "member/stage_0/upsample"
    variables = jax.jit(lambda key: module.init(key, inputs))(jax.random.key(1))
    params = with_zeros(variables["params"], module.last_layer)
    out = jax.jit(module.apply)({**variables, "params": params}, inputs)
    np.testing.assert_allclose(out["sr"], inputs["lms"], atol=1e-6)
    np.testing.assert_allclose(out["spread"], 0, atol=1e-6)


def test_a_batch_that_cannot_be_dealt_out_is_told():
    inputs, ensemble = batch(), Ensemble(create("ssran"), 3)
    with pytest.raises(UserError, match="4 cannot be dealt out among 3 networks"):
        jax.eval_shape(lambda: ensemble.init(jax.random.key(0), inputs, train=True))


@pytest.mark.parametrize(
    "changes, told",
    [
        ({"members": 3}, "config.members 3: use 1 or more, and a config.batch_size"),
        ({"members": 0}, "config.members 0: use 1 or more"),
        ({"members": 2, "training": "adversarial"}, "for supervised training"),
    ],
)
def test_a_config_that_cannot_be_dealt_out_is_refused_at_the_start(changes, told):
    config = common.base()
    config.update(changes)
    with pytest.raises(UserError, match=told):
        checks.check(config)
