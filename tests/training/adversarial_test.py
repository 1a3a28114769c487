"""The adversarial step: the original's runs, and what each side of the game is sent."""

import defaults
import jax
import jax.numpy as jnp
import numpy as np
import parity
import pytest
import workdirs
from flax import linen as nn
from golden import Case, cases, channels_last

from hsisr_jax import losses, mesh, port
from hsisr_jax.checkpoints import Checkpoints, targets
from hsisr_jax.data.batches import Recipe
from hsisr_jax.data.scenes import Scene, pixel_store
from hsisr_jax.errors import UserError
from hsisr_jax.layers.adversarial import DenseDiscriminator, reverse_gradient
from hsisr_jax.models.spec import describe
from hsisr_jax.training import optimizers, setup, start
from hsisr_jax.training.adversarial import make_adversarial_step
from hsisr_jax.training.state import create as create_state
from hsisr_jax.training.state import from_trees, split, trees
from hsisr_jax.training.steps import make_step
from hsisr_jax.training.trainer import Trainer

KINDS = {"FCDomainDiscriminator": "fc", "ConvDomainDiscriminator": "conv1d"}
TASK = losses.create("snlsr", source_only=True)
BANDS, MATERIALS = 3, 5
SGD = defaults.optimizer(name="sgd", momentum=0.0, learning_rate=0.1)
ADAM = defaults.optimizer(learning_rate=1e-2, skip_unused=True)


class Judge(nn.Module):
    """A discriminator that draws nothing at random."""

    @nn.compact
    def __call__(self, x, *, train):
        return nn.Dense(2, name="guess")(nn.tanh(nn.Dense(4, name="hidden")(x)))


class Network(nn.Module):
    """What A-SNLSR is made of, in a few small layers."""

    random: bool = False  # the fully connected discriminator: statistics and dropout

    @nn.compact
    def __call__(self, batch, *, train=False):
        lr = batch["lr"]
        endmembers = nn.Dense(BANDS, name="endmembers")
        abundance = nn.softmax(nn.Dense(MATERIALS, name="encoder")(lr))
        sr = endmembers(nn.Dense(MATERIALS, name="tail")(abundance))
        hidden = reverse_gradient(abundance, batch.get("reversal", 0.01))
        logits = self.make_discriminator()(hidden, train=train)
        return {
            "sr": sr,
            "abundance": abundance,
            "reconstruction": endmembers(abundance),
            "domain_logits": logits,
        }

    @nn.nowrap
    def make_discriminator(self):
        return (DenseDiscriminator if self.random else Judge)(name="discriminator")


class Evaluating(nn.Module):
    """A network in evaluation mode, as the golden runs are: no dropout, running statistics."""

    network: nn.Module

    def setup(self):
        nn.share_scope(self, self.network)

    def __call__(self, batch, *, train=False):
        return self.network(batch, train=False)


def batch_of(*domains):
    n = len(domains)
    lr = parity.made_up_cube(n, 4, 4, BANDS)
    hr = parity.made_up_cube(n, 4, 4, BANDS, seed=1)
    return {"lr": jnp.asarray(lr), "hr": jnp.asarray(hr), "domain": jnp.array(domains)}


def build(config=ADAM, *, pair=True, random=False, make=make_adversarial_step, loss=TASK, **game):
    """A state of the small network and its compiled step."""
    module = Network(random=random)
    config = {"generator": config, "discriminator": config} if pair else config
    game = (defaults.step if make is make_step else defaults.game)(**game)
    txs, _ = optimizers.build_all(config, 10)
    state = create_state(module, txs, batch_of(0, 1), jax.random.key(0), ema=False)
    judge = {} if make is make_step else {"discriminator": module.make_discriminator()}
    return state, jax.jit(make(module, loss, txs, **judge, **game))


def several(state, step, batch, n=4):
    for i in range(n):
        state, scalars = step(state, batch, jax.random.key(i))
    return state, scalars


def close(a, b, **tolerance):
    assert jax.tree.structure(a) == jax.tree.structure(b)
    for x, y in zip(jax.tree.leaves(a), jax.tree.leaves(b)):
        np.testing.assert_allclose(x, y, **tolerance)


# ------------------------------------------------------------------------------- the original's


QUICK = cases("asnlsr_x4_conv2d.npz") + cases("asnlsr_x4_conv2d_nobicubic_frozen.npz")
SLOW = [
    pytest.param(*case.values, id=case.id, marks=[pytest.mark.slow, *case.marks])
    for case in cases("asnlsr_*.npz")
    if case.id not in [quick.id for quick in QUICK]
]


@pytest.mark.parametrize("path", QUICK + SLOW)
def test_paired_states_repeat_the_originals_run(path):
    """Ten steps of one Adam over everything, by two of them: losses, and the last output."""
    case = Case(path)
    traj, constructor = case.config["traj"], case.config["constructor"]
    module = parity.create(case.config)
    if swap := case.config.get("discriminator_swap"):
        width = swap["constructor"].get("n_features", None)
        module = module.clone(discriminator=KINDS[swap["class"]], discriminator_features=width)
    batch = parity.read_batch(case)
    variables = port.from_torch(module, case.group("param"), batch)
    one = defaults.optimizer(learning_rate=traj["lr"], skip_unused=True)
    frozen = ("encoder", "endmembers") if case.config["frozen_params"] else ()
    txs, _ = optimizers.build_all(
        {"generator": one | {"freeze": frozen}, "discriminator": one}, traj["steps"]
    )
    task = losses.create(
        "snlsr", source_only=True, spectral_weight=constructor.get("weight_spectral_loss", 0.1)
    )

    def loss(out, batch):
        total, terms = task(out, batch)
        return total, terms | {"sr": out["sr"]}

    judge = module.make_discriminator()
    step = jax.jit(
        make_adversarial_step(Evaluating(module), loss, txs, discriminator=judge, **defaults.game())
    )
    state = given(variables, txs)
    totals = []
    with jax.default_matmul_precision("highest"):
        for _ in range(traj["steps"]):
            state, scalars = step(state, batch, jax.random.key(0))
            totals.append(scalars["loss"])
        _, scalars = step(state, batch, jax.random.key(0))
    np.testing.assert_allclose(np.stack(totals), case["traj/loss"], rtol=1e-4)
    np.testing.assert_allclose(scalars["loss"], case["traj/final_loss"], rtol=1e-4)
    np.testing.assert_allclose(scalars["sr"], channels_last(case["traj/output"]), atol=1e-4)


def given(variables, txs):
    """A state at step 0 with these variables."""

    class Given(nn.Module):
        def init(self, *_, **__):
            return jax.tree.map(jnp.asarray, dict(variables))

    return create_state(Given(), txs, {}, jax.random.key(0), ema=False)


def test_a_pair_of_equal_optimizers_is_one_optimizer():
    """Also with dropout and statistics, whose keys and updates are the same."""
    batch = batch_of(0, 1, 0)
    pair, paired = several(*build(random=True), batch)
    single, scalars = several(*build(random=True, pair=False), batch)
    close(pair.params, single.params, atol=1e-6)
    close(pair.batch_stats, single.batch_stats, atol=1e-6)
    close(paired, scalars, rtol=1e-5)
    assert set(pair.opt_state) == {"generator", "discriminator"}
    moments = jax.tree.leaves(pair.opt_state["discriminator"], is_leaf=lambda x: hasattr(x, "mu"))
    assert any(set(m.mu) == {"discriminator"} for m in moments if hasattr(m, "mu"))


def test_the_published_game_is_the_published_loss():
    """The task and the game apart give the step of the `asnlsr` loss."""
    batch = batch_of(0, 1, 0)
    apart, _ = several(*build(random=True), batch)
    whole, _ = several(*build(random=True, make=make_step, loss=losses.create("asnlsr")), batch)
    close(apart.params, whole.params, atol=1e-6)


# ------------------------------------------------------------------------------------- the game


def gradient(state, params, batch, kind, *, truth):
    """d/dparams of the discriminator's loss, written out; without a reversal."""

    def value(params):
        encoded = nn.Dense(MATERIALS).apply({"params": params["encoder"]}, batch["lr"])
        abundance = nn.softmax(encoded)
        logits = Judge().apply({"params": params["discriminator"]}, abundance, train=True)
        logits = logits.reshape(len(truth), -1, 2)
        one_hot = np.eye(2)[truth][:, None, :]
        if kind == "least_squares":
            return jnp.mean(0.5 * ((logits - one_hot) ** 2).sum(-1))
        return -jnp.mean((jax.nn.log_softmax(logits) * one_hot).sum(-1))

    return jax.grad(value)(params)


def nothing(out, batch):
    return 0.0 * out["sr"].sum(), {}


def after_sgd(params, generator, discriminator):
    """Parameters after one plain gradient step of each side."""
    grads = {k: generator.get(k) for k in params} | {"discriminator": discriminator}
    return jax.tree.map(lambda p, g: p - 0.1 * g, params, grads)


@pytest.mark.parametrize("kind", ["cross_entropy", "least_squares"])
@pytest.mark.parametrize("objective", ["reversal", "non_saturating"])
def test_each_side_is_sent_its_own_gradient(kind, objective):
    batch, truth = batch_of(0, 1, 1), np.array([0, 1, 1])
    state, step = build(
        SGD, loss=nothing, objective=objective, domain_loss=kind, strength=0.7, ramp=0.0
    )
    new, scalars = step(state, batch, jax.random.key(0))
    judged = gradient(state, state.params, batch, kind, truth=truth)
    if objective == "reversal":
        hidden = jax.tree.map(lambda g: -0.7 * g, judged)
    else:
        swapped = gradient(state, state.params, batch, kind, truth=1 - truth)
        hidden = jax.tree.map(lambda g: 0.7 * g, swapped)
    expected = after_sgd(state.params, hidden, judged["discriminator"])
    close(new.params, expected, atol=1e-6)
    assert np.abs(new.params["encoder"]["kernel"] - state.params["encoder"]["kernel"]).max() > 1e-5
    assert float(scalars["adversarial_strength"]) == pytest.approx(0.7)


def test_further_discriminator_steps_come_first_and_touch_it_alone():
    batch, truth = batch_of(0, 1), np.array([0, 1])
    state, step = build(SGD, loss=nothing, strength=0.5, discriminator_steps=3)
    new, _ = step(state, batch, jax.random.key(0))
    params = state.params
    for _ in range(2):
        grads = gradient(state, params, batch, "cross_entropy", truth=truth)
        moved = jax.tree.map(
            lambda p, g: p - 0.1 * g, params["discriminator"], grads["discriminator"]
        )
        params = params | {"discriminator": moved}
    grads = gradient(state, params, batch, "cross_entropy", truth=truth)
    hidden = jax.tree.map(lambda g: -0.5 * g, grads)
    expected = after_sgd(params, hidden, grads["discriminator"])
    close(new.params, expected, atol=1e-6)
    assert int(new.step) == 1


def test_further_steps_move_statistics_and_survive_what_is_not_finite():
    state, step = build(random=True, discriminator_steps=2)
    _, plain = build(random=True)
    batch = batch_of(0, 1)
    more, _ = step(state, batch, jax.random.key(0))
    one, _ = plain(state, batch, jax.random.key(0))
    norm = [s.batch_stats["discriminator"]["norm_0"]["mean"] for s in (state, one, more)]
    assert np.abs(norm[2] - norm[0]).max() > 1.2 * np.abs(norm[1] - norm[0]).max()
    bad = batch | {"lr": batch["lr"].at[0].set(jnp.nan)}
    after, _ = step(state, bad, jax.random.key(0))
    close(after.params, state.params, atol=0)
    close(after.opt_state, state.opt_state, atol=0)
    assert int(after.skipped) == 1 and int(after.step) == 1


def test_the_strength_grows_over_the_run():
    state, step = build(SGD, strength=0.5, ramp=10.0, steps=20)
    found = []
    for i in (0, 5, 19):
        _, scalars = step(state.replace(step=jnp.int32(i)), batch_of(0, 1), jax.random.key(0))
        found.append(float(scalars["adversarial_strength"]))
    progress = np.array([0, 5, 19]) / 20
    np.testing.assert_allclose(found, 0.5 * (2 / (1 + np.exp(-10 * progress)) - 1), rtol=1e-5)


@pytest.mark.parametrize("objective", ["reversal", "non_saturating"])
def test_batches_of_one_domain(objective):
    """Without a source sample nothing but the unmixing, hence not the tail, learns."""
    state, step = build(objective=objective)
    target, _ = several(state, step, batch_of(1, 1))
    close(target.params["tail"], state.params["tail"], atol=0)
    encoders = [s.params["encoder"]["kernel"] for s in (target, state)]
    assert np.abs(encoders[0] - encoders[1]).max() > 1e-3
    source, scalars = several(state, step, batch_of(0, 0))
    assert np.abs(source.params["tail"]["kernel"] - state.params["tail"]["kernel"]).max() > 1e-3
    assert all(np.isfinite(x).all() for x in jax.tree.leaves((source.params, scalars)))
    assert int(source.skipped) == int(target.skipped) == 0


def test_each_side_has_its_own_optimizer():
    """Learning rates and clipping by side; a rate of zero holds the side still."""
    module = Network()
    txs, _ = optimizers.build_all({"generator": SGD | {"clip": 1e-3},
                                   "discriminator": SGD | {"learning_rate": 0.0}}, 10)  # fmt: skip
    state = create_state(module, txs, batch_of(0, 1), jax.random.key(0), ema=False)
    judge = module.make_discriminator()
    new, _ = jax.jit(
        make_adversarial_step(module, TASK, txs, discriminator=judge, **defaults.game())
    )(state, batch_of(0, 1), jax.random.key(0))
    moved = split(jax.tree.map(lambda a, b: a - b, new.params, state.params), txs)
    size = {k: float(jnp.sqrt(sum((x**2).sum() for x in jax.tree.leaves(v))))
            for k, v in moved.items()}  # fmt: skip
    assert size == {"generator": pytest.approx(1e-4, rel=1e-3), "discriminator": 0.0}


# ------------------------------------------------------------------------------------- the loop


def trainer():
    rng = np.random.default_rng(0)
    scenes = [
        Scene(str(d), {"hr": rng.random((20, 20, BANDS), np.float32)}, domain=d) for d in (0, 1)
    ]
    corners = [(s, r, c) for s in (0, 1) for r in (0, 4, 8, 12) for c in (0, 4, 8, 12)]
    txs, _ = optimizers.build_all({"generator": ADAM, "discriminator": ADAM}, 12)
    module = Network(random=True)
    return Trainer(
        module=module,
        step=make_adversarial_step(
            module,
            TASK,
            txs,
            discriminator=module.make_discriminator(),
            **defaults.game(ramp=10.0, discriminator_steps=2, steps=12, strength=0.1),
        ),
        optimizers=txs,
        recipe=Recipe(lambda hr, key: {"lr": hr * 0.5}, scale=1, domains=2),
        patches=pixel_store(scenes, np.array(corners), 8),
        mesh=mesh.make(1, 1),
        seed=3,
        batch_size=4,
        augment=False,
        on_device=True,
        ema=False,
    )


def run(trainer, stops, state=None):
    state = trainer.first_state() if state is None else state
    for source, n in trainer.sources(int(state.step), stops):
        state, scalars = trainer.advance(state, source, n)
    return state, scalars


def test_a_resumed_run_is_the_same_to_the_last_bit(tmp_path):
    """Both sides' parameters, moments and statistics, in the middle of the strength's growth."""
    running = trainer()
    whole, scalars = run(running, [5, 12])
    assert 0 < float(scalars["domain_accuracy"]) <= 1
    first, _ = run(running, [5])
    with Checkpoints(tmp_path) as checkpoints:
        checkpoints.save(5, trees(first))
    with Checkpoints(tmp_path) as checkpoints:
        abstract = running.abstract_state()
        asked = targets(trees(abstract), trees(running.shardings))
        restored = from_trees(checkpoints.restore(5, asked), abstract)
    again, _ = run(running, [12], restored)
    jax.tree.map(np.testing.assert_array_equal, trees(again), trees(whole))


# ----------------------------------------------------------------------------- losses, mistakes


@pytest.mark.parametrize("smoothing", [0.0, 0.2])
def test_domain_losses_are_torchs(smoothing):
    torch = pytest.importorskip("torch")
    logits = np.random.default_rng(0).standard_normal((3, 4, 5, 3)).astype(np.float32)
    domain = np.array([2, 0, 1])
    out, batch = {"domain_logits": jnp.asarray(logits)}, {"domain": jnp.asarray(domain)}
    found, terms = losses.create("domain", label_smoothing=smoothing)(out, batch)
    flat = torch.tensor(logits.reshape(-1, 3))
    expected = torch.nn.functional.cross_entropy(
        flat, torch.tensor(domain.repeat(20)), label_smoothing=smoothing
    )
    np.testing.assert_allclose(found, expected, rtol=1e-5)
    assert set(terms) == {"domain_cross_entropy", "domain_accuracy"}
    found, terms = losses.create("domain", kind="least_squares", label_smoothing=smoothing)(
        out, batch
    )
    truth = np.eye(3)[domain] * (1 - smoothing) + smoothing / 3
    expected = 0.5 * ((logits - truth[:, None, None]) ** 2).sum(-1).mean()
    np.testing.assert_allclose(found, expected, rtol=1e-5)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"objective": "wasserstein"}, "reversal or non_saturating"),
        ({"domain_loss": "hinge"}, "unknown domain loss 'hinge'"),
        ({"label_smoothing": 1.0}, "label_smoothing is 1.0"),
        ({"discriminator_steps": 0}, "1 or more"),
        ({"strenght": 1.0}, "known are objective"),
        ({"ramp": 10.0}, "number of steps"),
        ({"discriminator_steps": 2, "pair": False}, "as a pair"),
    ],
)
def test_mistakes_are_named(options, message):
    with pytest.raises(UserError, match=message):
        build(**options)


def test_a_network_without_discriminator_is_refused():
    with pytest.raises(UserError, match="such as asnlsr"):
        setup.discriminator(describe("snlsr", {}, scale=2, bands=3))


def test_adaptation_starts_from_a_network_without_discriminator(tmp_path):
    """Pre-training: the generator's weights are found, the discriminator keeps its first ones."""
    workdir = workdirs.make(tmp_path / "run", "snlsr", bands=3)
    options = workdirs.TINY["snlsr"]
    spec = describe("asnlsr", options, scale=2, bands=3)
    found = start.weights_of(str(workdir), spec)
    expected = spec.shapes()["params"]
    assert set(expected) - set(found["params"]) == {"discriminator"}
    other = describe("asnlsr", options | {"materials": 3}, scale=2, bands=3)
    with pytest.raises(UserError, match="does not fit this network"):
        start.weights_of(str(workdir), other)
