"""The same run on any mesh: losses, evaluation and statistics do not depend on the devices."""

import functools

import defaults
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn
from flax.traverse_util import flatten_dict
from jax.sharding import PartitionSpec as P

from hsisr_jax import losses, mesh, models
from hsisr_jax.checkpoints import Checkpoints, targets
from hsisr_jax.data.batches import Recipe
from hsisr_jax.data.normalise import Normaliser
from hsisr_jax.data.scenes import Scene, pixel_store
from hsisr_jax.degrade import create as degradation
from hsisr_jax.inference.evaluate import Protocol, evaluate, forward
from hsisr_jax.layers.conv import Conv
from hsisr_jax.layers.recurrent import BiLSTM2D
from hsisr_jax.layers.residual import ResidualBlock
from hsisr_jax.training import make_step, optimizers
from hsisr_jax.training.state import from_trees, trees
from hsisr_jax.training.trainer import Trainer

STEPS = 20


class WithStatistics(nn.Module):
    """Batch normalisation, whose statistics must be those of the global batch."""

    @nn.compact
    def __call__(self, batch, *, train=False):
        x = Conv(32, name="head")(batch["lms"])
        x = ResidualBlock(3, norm=True, attention=True, name="block")(x, train=train)
        return {"sr": Conv(6, name="tail")(x)}


def scene():
    rng = np.random.default_rng(0)
    cube = rng.random((40, 40, 6), np.float32)
    return Scene("s", {"hr": (cube * 60000).astype(np.uint16)}, Normaliser(1 / 60000, 0.0))


class Plain(nn.Module):
    @nn.compact
    def __call__(self, batch, *, train=False):
        x = nn.relu(Conv(64, name="head")(batch["lms"]))
        return {"sr": Conv(6, name="tail")(x)}


NETWORKS = {
    "plain": Plain,
    "statistics": WithStatistics,
    "sspsr": lambda: models.create(
        "sspsr", bands=6, scale=2, features=16, blocks=1, group_size=4, group_overlap=2
    ),
}


def trainer(network, data, fsdp, *, batch_size=8, accumulate=1, on_device=True):
    where = np.array([(0, r, c) for r in range(0, 25, 4) for c in range(0, 25, 4)])
    txs, _ = optimizers.build_all(
        defaults.optimizer(learning_rate=1e-3, accumulate=accumulate), STEPS
    )
    module = NETWORKS[network]()
    return Trainer(
        module=module,
        step=make_step(module, losses.create("hybrid"), txs, **defaults.step()),
        optimizers=txs,
        recipe=Recipe(degradation("bicubic", scale=2), scale=2),
        patches=pixel_store([scene()], where, 16),
        mesh=mesh.make(data, fsdp),
        seed=1,
        batch_size=batch_size,
        augment=True,
        on_device=on_device,
        ema=False,
    )


def run(tr, steps=STEPS):
    state, found = tr.first_state(), []
    for source, n in tr.sources(0, list(range(1, steps + 1))):
        state, scalars = tr.advance(state, source, n)
        found.append(float(scalars["loss"]))
    return state, found


@pytest.mark.parametrize(
    ("network", "data", "fsdp"),
    [
        ("statistics", 8, 1),
        ("statistics", 2, 4),
        pytest.param("sspsr", 2, 4, marks=pytest.mark.slow),
    ],
)
def test_losses_are_those_of_one_device(alone, network, data, fsdp):
    state, found = run(trainer(network, data, fsdp))
    np.testing.assert_allclose(found, alone(network)[1], rtol=1e-5)
    # not the means: a bias in front of a normalisation has no gradient but rounding noise, which
    # Adam turns into steps of full length that the normalisation takes out again; some of it stays
    # in the variances of the next layer
    expected = dict(flatten_dict(alone(network)[0].batch_stats))
    for path, value in flatten_dict(state.batch_stats).items():
        if path[-1] == "var":
            np.testing.assert_allclose(value, expected[path], rtol=1e-3)


@pytest.fixture(scope="module")
def alone():
    return functools.cache(lambda network: run(trainer(network, 1, 1)))


def test_fsdp_divides_parameters_and_their_moments():
    tr = trainer("plain", 1, 4)
    state = tr.first_state()
    kernel = state.params["head"]["kernel"]
    assert kernel.sharding.spec == P(None, None, None, "fsdp")
    assert kernel.addressable_shards[0].data.size * 4 == kernel.size
    held = {d: 0 for d in jax.devices()[:4]}
    for leaf in jax.tree.leaves(state):
        for shard in leaf.addressable_shards:
            held[shard.device] += shard.data.nbytes
    whole = sum(leaf.nbytes for leaf in jax.tree.leaves(state))
    assert max(held.values()) < 0.35 * whole


def test_four_small_batches_are_one_large_batch():
    whole, _ = run(trainer("plain", 1, 1, batch_size=8), 2)
    parts, _ = run(trainer("plain", 1, 1, batch_size=2, accumulate=4), 8)
    for a, b in zip(jax.tree.leaves(whole.params), jax.tree.leaves(parts.params)):
        np.testing.assert_allclose(a, b, atol=2e-5)


def test_a_checkpoint_of_four_devices_evaluates_alike_on_two_and_one(tmp_path):
    first = trainer("plain", 2, 2)
    state, _ = run(first, 3)
    with Checkpoints(tmp_path) as checkpoints:
        checkpoints.save(3, trees(state))
    apply = forward(first.module)
    image = [scene()]
    results = []
    for data, fsdp in ((2, 2), (1, 2), (2, 1), (1, 1)):
        tr = trainer("plain", data, fsdp)
        abstract = tr.abstract_state()
        with Checkpoints(tmp_path) as checkpoints:
            found = checkpoints.restore(3, targets(trees(abstract), trees(tr.shardings)))
        restored = from_trees(found, abstract)
        for a, b in zip(jax.tree.leaves(restored), jax.tree.leaves(state)):
            np.testing.assert_array_equal(a, b)
        variables = jax.device_put(jax.device_get(restored.averaged), jax.devices()[0])
        scores = evaluate(apply, variables, image, tr.recipe, Protocol(ratio=2)).means("test")
        results.append(scores)
        sharded = evaluate(apply, restored.averaged, image, tr.recipe, Protocol(ratio=2))
        np.testing.assert_allclose(
            list(sharded.means("test").values()), list(scores.values()), rtol=1e-5
        )
    assert results.count(results[0]) == 4


def test_recurrent_weights_get_sums_not_states():
    from tools.modules import collectives

    grid, net = mesh.make(8, 1), BiLSTM2D(6)
    x = jax.device_put(jnp.ones((8, 4, 4, 6)), mesh.batch(grid))
    weights = jax.device_put(net.init(jax.random.key(0), x), mesh.replicated(grid))
    gradient = jax.grad(lambda w, x: jnp.square(net.apply(w, x)).mean())
    compiled = jax.jit(gradient, out_shardings=mesh.replicated(grid)).lower(weights, x).compile()
    assert {x.kind for x in collectives(compiled.as_text())} == {"all-reduce"}


def test_collective_bytes_are_read_off_the_module():
    from tools.modules import collectives, sent, totals

    grid = mesh.make(4, 1)
    x = jax.device_put(jnp.ones((8, 100)), mesh.batch(grid))
    total = jax.jit(lambda x: x.sum(0), out_shardings=mesh.replicated(grid))
    found = collectives(total.lower(x).compile().as_text(), 4)
    assert totals(found) == {"all-reduce": 400}
    assert sent(found) == 600


@pytest.mark.parametrize(
    "name", ["ssran", *(pytest.param(n, marks=pytest.mark.slow) for n in ("sspsr", "srformer"))]
)
def test_on_accelerators_devices_send_gradients_and_nothing_else(name):
    """The forms for TPUs, compiled for simulated devices: no device gets another one's images."""
    from benchmarks.networks import case_of, shaped_training
    from hsisr_jax.ops.platforms import tracing_for
    from tools.modules import collectives, totals

    grid = mesh.make(4, 1)
    with tracing_for("tpu"):
        _, advance, arguments = shaped_training(case_of(name, small=True, batch=4), grid)
        lowered = jax.jit(advance, out_shardings=mesh.replicated(grid)).lower(*arguments)
    gradients = sum(4 * leaf.size for leaf in jax.tree.leaves(arguments[0].params))
    found = totals(collectives(lowered.compile().as_text(), grid.size))
    assert set(found) == {"all-reduce"}
    assert gradients <= found["all-reduce"] < 1.02 * gradients  # and a few sums of the loss


def test_groups_of_bands_fold_without_moving_images_between_devices():
    from hsisr_jax.ops.bands import fold_groups, split_groups, unfold_groups
    from tools.modules import collectives

    grid = mesh.make(8, 1)
    x = jax.ShapeDtypeStruct((8, 4, 4, 6), jnp.float32, sharding=mesh.batch(grid))

    def of_groups(x):
        groups = split_groups(x, (0, 2, 3), 3)  # g b h w s
        return unfold_groups(jnp.sin(fold_groups(groups)), 3).sum(0)

    compiled = jax.jit(of_groups, out_shardings=mesh.batch(grid)).lower(x).compile()
    assert collectives(compiled.as_text(), grid.size) == []
    cube = np.random.default_rng(0).random((8, 4, 4, 6), np.float32)
    expected = sum(np.sin(cube[..., start : start + 3]) for start in (0, 2, 3))
    np.testing.assert_allclose(compiled(jax.device_put(cube, x.sharding)), expected, rtol=1e-5)
