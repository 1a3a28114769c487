"""A-SNLSR against the published code: outputs, gradients through the reversal, discriminators."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import parity
import pytest
from golden import Case, cases, channels_last
from snlsr_golden import SOWN

from hsisr_jax import losses, models, port
from hsisr_jax.errors import UserError
from hsisr_jax.layers.adversarial import DISCRIMINATORS, reverse_gradient
from hsisr_jax.port import asnlsr as table
from hsisr_jax.port.engine import convert_in, convert_out

KINDS = {  # the original's class -> our option
    "FCDomainDiscriminator": "fc",
    "ConvDomainDiscriminator": "conv1d",
    "Conv2dDomainDiscriminator": "conv2d",
}
TINY = dict(bands=3, scale=2, features=4, materials=6)


def build(config):
    module = parity.create(config)
    swap = config.get("discriminator_swap")
    if swap is None:
        return module
    width = swap["constructor"].get("n_features", None)
    return module.clone(discriminator=KINDS[swap["class"]], discriminator_features=width)


@pytest.mark.parametrize("path", cases("asnlsr_*.npz"))
def test_equals_the_published_code(path):
    weight = Case(path).config["constructor"].get("weight_spectral_loss", 0.1)
    terms = {"domain_cross_entropy": "Class_Loss", "domain_accuracy": "Class_Accuracy"}
    loss = losses.create("asnlsr", spectral_weight=weight)
    parity.run_case(path, loss, build=build, terms=terms, intermediates=SOWN)


@pytest.mark.parametrize("path", cases("asnlsr_*.npz"))
def test_logged_losses_are_the_originals(path):
    """In training and in validation, from the original's own outputs."""
    case = Case(path)
    out = {k: jnp.asarray(channels_last(v)) for k, v in case.group("output").items()}
    batch = parity.read_batch(case)
    for group, source_only in (("loss", True), ("metric", False)):
        shown = losses.create("asnlsr", domain_weight=0.01, source_only=source_only)
        np.testing.assert_allclose(shown(out, batch)[0], case[f"{group}/Loss"], rtol=1e-5)


@pytest.mark.parametrize("path", cases("discriminator_*.npz"))
def test_discriminators_alone(path):
    case = Case(path)
    kind, options = KINDS[case.config["model"]], case.config["constructor"]
    module = DISCRIMINATORS[kind](domains=options["n_domains"], features=options["n_features"])
    x = jnp.asarray(channels_last(case["input/abundance"]))
    shapes = jax.eval_shape(lambda: module.init(jax.random.key(0), x, train=False))
    entries = table.discriminator(kind)
    variables = convert_in(entries, case.group("param"), shapes)
    back = convert_out(entries, variables)
    assert all(np.array_equal(back[k], v) for k, v in case.group("param").items())
    batch = {"domain": jnp.asarray(case.config["domain"])}
    loss = losses.create("weighted", domain_cross_entropy=1.0)
    rest = {"batch_stats": variables["batch_stats"]}

    @jax.jit
    @lambda f: jax.value_and_grad(f, argnums=(0, 1), has_aux=True)
    def step(params, x):
        x = reverse_gradient(x, options["loss_ratio"])
        logits = module.apply({"params": params, **rest}, x, train=False)
        return loss({"domain_logits": logits}, batch)[0], logits

    (total, logits), (grads, x_grad) = step(variables["params"], x)
    expected = channels_last(case["output/domain_logits"])
    np.testing.assert_allclose(logits, expected, atol=1e-5)
    np.testing.assert_allclose(total, case["loss/total"], rtol=1e-5)
    parity._close_gradient("abundance", np.moveaxis(x_grad, -1, 1), case["input_grad/abundance"])
    parity.check_gradients(case, convert_out(entries, {"params": grads}))

    adam, params, totals = optax.adam(1e-4), variables["params"], []
    state = adam.init(params)
    for _ in range(10):
        (total, _), (grads, _) = step(params, x)
        updates, state = adam.update(grads, state)
        params = optax.apply_updates(params, updates)
        totals.append(total)
    np.testing.assert_allclose(np.stack(totals), case["traj/loss"], rtol=1e-4)
    (_, logits), _ = step(params, x)
    np.testing.assert_allclose(logits, channels_last(case["traj/output"]), atol=1e-4)


@pytest.fixture(scope="module")
def tiny():
    """A network of each kind on 5 x 6 pixels, its variables, and a function of the gradients."""
    batch = {
        "lr": jnp.asarray(parity.made_up_cube(2, 5, 6, 3)),
        "hr": jnp.asarray(parity.made_up_cube(2, 10, 12, 3, seed=1)),
        "domain": jnp.array([0, 1]),
    }
    module = models.create("asnlsr", **TINY)
    variables = port.from_torch(module, parity.made_up_weights(module, batch), batch)
    variables = {k: variables[k] for k in ("params", "batch_stats")}
    loss = losses.create("weighted", domain_cross_entropy=1.0)

    @jax.jit
    def gradients(strength):
        def total(params):
            full = {**batch, "reversal": strength}
            return loss(module.apply({**variables, "params": params}, full), batch)[0]

        return jax.grad(total)(variables["params"])

    return module, variables, batch, gradients


def test_reversal_in_the_batch_scales_the_generators_gradient_alone(tiny):
    """The adversarial gradient of the encoder is proportional to minus the strength."""
    *_, gradients = tiny
    off, weak, plain = gradients(0.0), gradients(0.5), gradients(-1.0)
    assert all(not np.any(g) for g in jax.tree.leaves(off["encoder"]))
    for a, b in zip(jax.tree.leaves(weak["encoder"]), jax.tree.leaves(plain["encoder"])):
        np.testing.assert_allclose(a, -0.5 * b, rtol=1e-4, atol=1e-8)
    for a, b in zip(jax.tree.leaves(weak["discriminator"]), jax.tree.leaves(off["discriminator"])):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-8)
    assert any(np.any(g) for g in jax.tree.leaves(plain["encoder"]))
    assert all(not np.any(g) for g in jax.tree.leaves(weak["tail"]))


def test_everything_but_the_discriminator_is_an_snlsr(tiny):
    """The generator's parameters alone are a whole SNLSR, with the same outputs."""
    module, variables, batch, _ = tiny
    generator = {k: v for k, v in variables["params"].items() if k != "discriminator"}
    apart = jax.jit(models.create("snlsr", **TINY).apply)({"params": generator}, batch)
    out = jax.jit(module.apply)(variables, batch)
    assert out["domain_logits"].shape == (2, 5, 6, 2)
    for key, value in apart.items():
        np.testing.assert_allclose(out[key], value, atol=1e-6)


@pytest.mark.parametrize("kind", list(DISCRIMINATORS))
def test_discriminators_in_training(kind):
    """Any size; statistics move, dropout draws; in evaluation neither happens."""
    module = DISCRIMINATORS[kind](domains=3)
    x = jnp.asarray(parity.made_up_cube(2, 5, 7, 6))
    variables = module.init(jax.random.key(0), x, train=False)

    def train(seed):
        rngs = {"dropout": jax.random.key(seed)}
        return module.apply(variables, x, train=True, rngs=rngs, mutable=["batch_stats"])

    (one, updates), (other, _) = train(1), train(2)
    assert one.shape == (2, 5, 7, 3) and np.abs(one - other).max() > 1e-4
    before, after = variables["batch_stats"]["norm_0"], updates["batch_stats"]["norm_0"]
    assert np.abs(before["mean"] - after["mean"]).max() > 1e-5
    if kind == "conv2d":
        assert np.ptp(np.asarray(one), axis=(1, 2)).max() == 0  # one guess an image


def test_a_discriminator_of_ones_own():
    from flax import linen as nn

    class Mean(nn.Module):
        @nn.compact
        def __call__(self, x, *, train):
            return nn.Dense(2)(x)

    module = models.create("asnlsr", **TINY, discriminator=Mean())
    shapes = parity.shapes_of(module, {"lr": jnp.zeros((1, 4, 4, 3))})
    assert "discriminator" in shapes["params"]


@pytest.mark.parametrize(
    "options, size, words",
    [
        ({"discriminator": "conv3d"}, 5, "unknown discriminator 'conv3d'"),
        ({}, 3, "sides of 4 or more"),
        ({"discriminator": "conv1d", "materials": 4}, 5, "5 materials"),
    ],
)
def test_what_cannot_work_is_refused_in_words(options, size, words):
    module = models.create("asnlsr", **{**TINY, **options})
    with pytest.raises(UserError, match=words):
        parity.shapes_of(module, {"lr": jnp.zeros((1, size, size, 3))})
