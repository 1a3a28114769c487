"""The compiled loop: the same numbers on any mesh, by any number of steps a call, from the host."""

from dataclasses import replace

import defaults
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import linen as nn

from hsisr_jax import mesh
from hsisr_jax.checkpoints import Checkpoints, targets
from hsisr_jax.data.batches import Recipe
from hsisr_jax.data.normalise import Normaliser
from hsisr_jax.data.pixel_file import PixelFile, StoredCube
from hsisr_jax.data.scenes import Scene, pixel_store
from hsisr_jax.errors import UserError
from hsisr_jax.layers.conv import Conv
from hsisr_jax.training import optimizers
from hsisr_jax.training.state import from_trees, split, trees
from hsisr_jax.training.steps import cast, make_step
from hsisr_jax.training.trainer import Trainer


class Tiny(nn.Module):
    @nn.compact
    def __call__(self, batch, *, train=False):
        x = Conv(32, name="head")(batch["lr"])
        x = nn.Dropout(0.1, deterministic=not train)(nn.relu(x))
        return {"sr": Conv(3, name="discriminator")(x)}


def loss(out, batch):
    error = jnp.mean(jnp.abs(out["sr"] - batch["hr"]))
    return error, {"l1": error}


def scene(bad=False):
    hr = np.random.default_rng(0).random((24, 24, 3), np.float32)
    if bad:
        hr[:8] = np.nan
    return Scene("s", {"hr": hr}, Normaliser())


def on_disk(whole: Scene, folder) -> Scene:
    """The same scene in a file of pixels."""
    height, width, bands = whole.hr.shape
    np.save(folder / "image.npy", np.asarray(whole.hr).reshape(-1, bands))
    cube = StoredCube(PixelFile(folder / "image.npy"), 0, width, (height, width))
    return replace(whole, cubes={"hr": cube})


def trainer(
    devices=1, fsdp=1, *, on_device=True, bad=False, pair=False, ema=True, folder=None, seed=3
):
    where = np.array([(0, r, c) for r in range(0, 17, 4) for c in range(0, 17, 4)])
    config = (defaults.pair if pair else defaults.optimizer)(learning_rate=1e-2)
    txs, _ = optimizers.build_all(config, 100)
    module = Tiny()
    seen = on_disk(scene(bad), folder) if folder else scene(bad)
    return Trainer(
        module=module,
        step=make_step(module, loss, txs, **defaults.step(ema_decay=0.9)),
        optimizers=txs,
        recipe=Recipe(lambda hr, key: {"lr": hr * 0.5, "lms": hr}, scale=1),
        patches=pixel_store([seen], where, 8),
        mesh=mesh.make(devices // fsdp, fsdp),
        seed=seed,
        batch_size=8,
        augment=True,
        on_device=on_device,
        ema=ema,
    )


def run(trainer, stops, state=None):
    state = trainer.first_state() if state is None else state
    losses = []
    for source, n in trainer.sources(int(state.step), stops):
        state, scalars = trainer.advance(state, source, n)
        losses.append(float(scalars["loss"]))
    return state, losses


def equal(a, b):
    jax.tree.map(np.testing.assert_array_equal, jax.device_get(trees(a)), jax.device_get(trees(b)))


@pytest.fixture(scope="module")
def reference():
    return run(trainer(), list(range(1, 21)))


def test_training_lowers_the_loss(reference):
    _, losses = reference
    assert np.mean(losses[-5:]) < 0.55 * losses[0]  # white noise: 0.25 is its median error


def test_any_number_of_steps_a_call_is_the_same_run(reference):
    state, losses = run(trainer(), [3, 10, 20])
    equal(state, reference[0])
    np.testing.assert_allclose(losses[0], np.mean(reference[1][:3]), rtol=1e-6)


@pytest.mark.parametrize("on_device", [True, False])
def test_one_program_serves_all_seeds(on_device):
    """A second seed finds it in the compilation cache; what it trains on is its own."""
    texts, weights = [], []
    for seed in (3, 4, 2**40):
        one = trainer(on_device=on_device, seed=seed)
        state = trainer(on_device=on_device).first_state()
        source, n = next(one.sources(0, [2]))
        texts.append(one._advance.lower(state, source, one.seeds, one._count(n)).as_text())
        weights.append(jax.device_get(one.advance(state, source, n)[0].params))
    assert texts[0] == texts[1] == texts[2]
    for a in range(3):
        leaves = zip(*map(jax.tree.leaves, (weights[a], weights[a - 1])))
        assert any((x != y).any() for x, y in leaves)


@pytest.mark.parametrize("steps", [[3, 10, 20], list(range(1, 21))])
def test_host_batches_give_the_same_run(reference, steps):
    state, _ = run(trainer(on_device=False), steps)
    for a, b in zip(jax.tree.leaves(state.params), jax.tree.leaves(reference[0].params)):
        np.testing.assert_allclose(a, b, atol=1e-6)


def test_batches_from_disk_train_to_the_same_bits_and_resume_there(tmp_path):
    stored = trainer(on_device=False, folder=tmp_path)
    whole, losses = run(trainer(on_device=False), [2, 4, 6])
    state, first = run(stored, [2])
    state, rest = run(trainer(on_device=False, folder=tmp_path), [4, 6], state)
    equal(state, whole)
    assert first + rest == losses
    jax.tree.map(np.testing.assert_array_equal, stored.batch_at(5), trainer().batch_at(5))


@pytest.mark.parametrize(("devices", "fsdp"), [(8, 1), (8, 4), (2, 2)])
@pytest.mark.parametrize("on_device", [True, False])
def test_meshes_agree(reference, devices, fsdp, on_device):
    sharded = trainer(devices, fsdp, on_device=on_device)
    state, losses = run(sharded, list(range(1, 21)))
    np.testing.assert_allclose(losses, reference[1], rtol=1e-5)
    kernel = state.params["head"]["kernel"]
    assert len(kernel.sharding.device_set) == devices


def test_fsdp_cuts_large_parameters():
    placed = mesh.parameter(mesh.make(2, 4), (3, 3, 64, 256))
    assert placed.spec == jax.sharding.PartitionSpec(None, None, None, "fsdp")
    assert mesh.parameter(mesh.make(2, 4), (64,)).spec == jax.sharding.PartitionSpec()


def test_resume_is_bit_identical_on_any_mesh(tmp_path, reference):
    first, _ = run(trainer(), [7])
    with Checkpoints(tmp_path) as checkpoints:
        checkpoints.save(7, trees(first))
    for devices in (1, 4):
        again = trainer(devices)
        with Checkpoints(tmp_path) as checkpoints:
            asked = targets(trees(again.abstract_state()), trees(again.shardings))
            restored = from_trees(checkpoints.restore(7, asked), again.abstract_state())
        equal(restored, first)
        if devices == 1:
            equal(run(again, [13, 20], restored)[0], reference[0])


def test_a_step_that_is_not_finite_changes_nothing_but_counters():
    run_ = trainer(bad=True)
    state = run_.first_state()
    before = jax.device_get(state.params)
    for source, n in run_.sources(0, [1, 2, 3, 4, 5, 40]):
        skipped = int(state.skipped)
        state, scalars = run_.advance(state, source, n)
        none_counted = int(state.skipped) - skipped == n
        assert np.isnan(float(scalars["loss"])) == none_counted
        assert np.isnan(float(scalars["gradient_norm"])) == none_counted
    assert int(state.step) == 40
    assert 0 < int(state.skipped) < 40
    assert all(np.isfinite(x).all() for x in jax.tree.leaves(jax.device_get(state)))
    assert any(
        (a != b).any() for a, b in zip(jax.tree.leaves(before), jax.tree.leaves(state.params))
    )


def test_paired_optimizers_equal_one(reference):
    state, losses = run(trainer(pair=True), list(range(1, 21)))
    np.testing.assert_allclose(losses, reference[1], rtol=1e-6)
    assert set(state.opt_state) == {"generator", "discriminator"}
    parts = split(state.params, state.opt_state)
    assert set(parts["discriminator"]) == {"discriminator"} and set(parts["generator"]) == {"head"}


def test_average_of_the_weights_follows_its_formula():
    tr = trainer()
    state = tr.first_state()
    expected = jax.device_get(state.params)
    for step, (source, n) in enumerate(tr.sources(0, [1, 2, 3, 4])):
        state, _ = tr.advance(state, source, n)
        rate = min(0.9, (1 + step) / (10 + step))
        expected = jax.tree.map(
            lambda a, p, rate=rate: rate * a + (1 - rate) * p,
            expected,
            jax.device_get(state.params),
        )
    for a, b in zip(jax.tree.leaves(state.ema), jax.tree.leaves(expected)):
        np.testing.assert_allclose(a, b, atol=1e-6)


def test_bfloat16_computes_in_it_and_keeps_float32_parameters():
    seen = {}

    class Spy(nn.Module):
        @nn.compact
        def __call__(self, batch, *, train=False):
            x = Conv(3, name="head")(batch["lr"])
            seen["dtype"] = x.dtype
            return {"sr": x}

    txs = {"model": optax.with_extra_args_support(optax.sgd(0.1))}
    step = make_step(Spy(), loss, txs, **defaults.step(precision="bfloat16"))
    from hsisr_jax.training import state as states

    batch = {"lr": jnp.ones((2, 4, 4, 3)), "hr": jnp.zeros((2, 4, 4, 3))}
    state = states.create(Spy(), txs, batch, jax.random.key(0), ema=False)
    state, scalars = jax.jit(step)(state, batch, jax.random.key(1))
    assert seen["dtype"] == jnp.bfloat16
    assert scalars["loss"].dtype == jnp.float32
    assert {x.dtype for x in jax.tree.leaves(state.params)} == {jnp.dtype("float32")}
    assert cast({"a": jnp.arange(3)}, "bfloat16")["a"].dtype == jnp.int32


def test_a_batch_that_the_mesh_cannot_split_is_refused():
    with pytest.raises(UserError, match="multiple of 3"):
        trainer(3)
    with pytest.raises(UserError, match="devices and there are 8"):
        mesh.make(16)
