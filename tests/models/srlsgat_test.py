"""SRLSGAT against the published code: golden cases, our own numbers, and its properties."""

import jax
import jax.numpy as jnp
import numpy as np
import parity
import pytest
from flax import linen as nn
from golden import cases
from parity import quick_jit as jit
from small_golden import check_small

from hsisr_jax import losses, models, port
from hsisr_jax.errors import UserError
from hsisr_jax.models.srlsgat import SpatialUnit

TINY = dict(bands=9, scale=4, features=16, blocks=1, group_size=4, group_overlap=1)  # 0-3 3-6 5-8


def inputs(bands=9, scale=4, size=(2, 5, 7)):
    lr = parity.made_up_cube(*size, bands)
    lms = parity.made_up_cube(size[0], scale * size[1], scale * size[2], bands, seed=1)
    return {"lr": jnp.asarray(lr), "lms": jnp.asarray(lms)}


class Twice(nn.Module):
    """Stands in for either half of the network: no parameters, no dropout."""

    @nn.compact
    def __call__(self, x, *, train=False):
        return 2 * x


def short(**options):
    """The network without its two halves, for what does not concern them: quick to compile."""
    return models.create("srlsgat", **{**TINY, "spatial": Twice(), "spectral": Twice(), **options})


def fill(module, batch, seed=0):
    """Made-up variables, without compiling `init`."""
    shapes = parity.shapes_of(module, batch)
    rng = np.random.default_rng(seed)

    def draw(shape):
        values = rng.standard_normal(shape.shape) / max(1, np.prod(shape.shape[:-1])) ** 0.5
        return (values if values.ndim > 1 else 1 + 0.1 * values).astype(np.float32)

    return jax.tree.map(draw, shapes)


@pytest.mark.parametrize("case", cases("srlsgat_*.npz"))
def test_equals_the_published_code(case):
    parity.run_case(
        case,
        losses.create("hybrid"),
        terms={"l1": "l1"},
        intermediates={"gat_heads_unit_out_att": "gat_before_elu"},
        tolerance=5e-6,
    )


def test_equals_stored_numbers():
    check_small("srlsgat")


def test_jraph_gives_the_same_network():
    """One compiled program for both, on an image that is odd and not square."""
    batch = inputs()
    module = short(spatial=None, group_size=9)
    params = fill(module, batch)

    @jit
    def both(params):
        def objective(params, graph):
            return jnp.square(module.clone(graph=graph).apply(params, batch)["sr"]).mean()

        return [jax.value_and_grad(objective)(params, graph) for graph in ("dense", "jraph")]

    (dense, expected), (sparse, found) = both(params)
    np.testing.assert_allclose(sparse, dense, rtol=1e-5)
    for a, b in zip(jax.tree.leaves(found["params"]), jax.tree.leaves(expected["params"])):
        np.testing.assert_allclose(a, b, atol=1e-5 * max(1, np.abs(b).max()))


def reaches(module, variables, batch):
    """Which bands of lr the output depends on."""

    def total(lr):
        sr = module.apply(variables, batch | {"lr": lr})["sr"]
        return (sr * jnp.arange(sr.size).reshape(sr.shape) / sr.size).sum()

    return np.abs(jit(jax.grad(total))(batch["lr"])).max((0, 1, 2)) > 0


@pytest.mark.parametrize("shared", [True, False])
def test_the_last_group_counts_as_released_and_all_groups_in_the_paper(shared):
    batch = inputs()
    for variant in ("released", "paper"):
        module = short(variant=variant, shared_branch=shared)
        found = reaches(module, fill(module, batch), batch)
        np.testing.assert_array_equal(found, np.arange(9) >= (5 if variant == "released" else 0))


def test_branches_with_equal_weights_are_one_shared_branch():
    batch = inputs()
    for variant in ("released", "paper"):
        module = short(variant=variant)
        variables = fill(module, batch)
        expected = jit(module.apply)(variables, batch)["sr"]
        copies = {
            kind: {k: v for k, v in tree.items() if k != "branch"}
            | {f"branch_{i}": tree["branch"] for i in range(3)}
            for kind, tree in variables.items()
        }
        found = jit(module.clone(shared_branch=False).apply)(copies, batch)["sr"]
        np.testing.assert_allclose(found, expected, atol=1e-5 * np.abs(expected).max())


def test_training_as_released_updates_the_statistics_group_by_group():
    batch = inputs()
    module = short()
    variables = fill(module, batch)

    @jit
    def train(variables, batch, module=module):
        return module.apply(variables, batch, train=True, mutable=["batch_stats"])

    out, updates = train(variables, batch)
    state = variables
    alone = module.clone(bands=4, group_size=4)
    ends = {k: jax.tree.map(lambda x: x[..., :4], variables["params"][k]) for k in ("final",)}
    skip = {"bias": np.zeros(16), "kernel": np.zeros((3, 3, 4, 16), np.float32)}
    for start in (0, 3, 5):
        cut = {k: v[..., start : start + 4] for k, v in batch.items()}
        params = variables["params"] | ends | {"skip": skip}
        _, state = jit(lambda v, b: alone.apply(v, b, train=True, mutable=["batch_stats"]))(
            {"params": params, "batch_stats": state["batch_stats"]}, cut
        )
    for a, b in zip(jax.tree.leaves(updates), jax.tree.leaves(state)):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)
    assert np.isfinite(out["sr"]).all()


def test_names_of_separate_branches():
    """The original cannot be built so; the names are those that its ModuleList would give."""
    batch = inputs()
    module = models.create("srlsgat", **TINY, shared_branch=False)
    state = parity.made_up_weights(module, batch)
    assert "branch.2.layer.1.BiLstm.LSTM_h.weight_hh_l0_reverse" in state
    parity.check_round_trip(module, port.from_torch(module, state, batch), state)


def test_a_partial_last_patch_is_the_image_with_zeros_beside_it():
    """Before the decoder: tokens of 5x7 pixels at stride 2 are those of the padded 6x8."""
    module, batch = short(spatial=None), inputs()
    wider = {"lr": jnp.pad(batch["lr"], ((0, 0), (0, 1), (0, 1), (0, 0)))}
    wider["lms"] = jnp.pad(batch["lms"], ((0, 0), (0, 4), (0, 4), (0, 0)))
    variables = fill(module, batch)

    @jit
    def tokens(batch):
        _, sown = module.apply(variables, batch, mutable=["intermediates"])
        return sown["intermediates"]["branch"]["fused_normalised"][0]

    found = tokens(batch)
    assert found.shape == (2, 12, 16)
    np.testing.assert_allclose(found, tokens(wider), atol=1e-5)


def test_every_parameter_of_the_paper_variant_learns():
    """The released one holds 27 arrays that nothing uses."""
    batch = inputs(size=(1, 5, 7))
    module = models.create("srlsgat", **TINY, variant="paper")
    variables = fill(module, batch)

    @jit
    def gradient(params):
        def objective(params):
            out = module.apply(
                {"params": params}, batch, train=True, rngs={"dropout": jax.random.key(0)}
            )
            return jnp.square(out["sr"]).mean()

        return jax.grad(objective)(params)

    grads = jax.tree_util.tree_leaves_with_path(gradient(variables["params"]))
    assert len(grads) > 50
    for path, grad in grads:
        assert np.isfinite(grad).all() and np.abs(grad).max() > 0, jax.tree_util.keystr(path)


def test_the_paper_variant_has_no_published_weights():
    module = models.create("srlsgat", **TINY, variant="paper")
    with pytest.raises(UserError, match="variant='released'"):
        port.to_torch(module, {})


def test_graph_attention_serves_other_networks():
    """The worked example of docs/models.md: MAW-GAT in place of SSPSR's body."""
    module = models.create(
        "sspsr", bands=5, scale=2, features=16, group_size=5, group_overlap=0,
        branch_body=SpatialUnit(16), trunk_body=Twice(),
    )  # fmt: skip
    batch = inputs(bands=5, scale=2, size=(1, 4, 3))
    shapes = parity.shapes_of(module, batch)["params"]["branch"]["body"]
    assert set(shapes) == {"adjacency", "attention"}
    out = jax.eval_shape(lambda v: module.apply(v, batch), fill(module, batch))
    assert out["sr"].shape == (1, 8, 6, 5)


@pytest.mark.parametrize(
    ("options", "word"),
    [
        ({"variant": "best"}, "released or paper"),
        ({"graph": "sparse"}, "use dense, jraph, auto"),
        ({"bands": 12}, "lr has 9"),
        ({"scale": 2}, "not lr"),
        ({"group_overlap": 4}, "below group_size"),
        ({"features": 8}, "features >= 16"),
        ({"scale": 6}, "power of two"),
    ],
)
def test_what_cannot_work_is_refused_in_words(options, word):
    module = models.create("srlsgat", **{**TINY, **options})
    batch = inputs(scale=6) if options.get("scale") == 6 else inputs()
    with pytest.raises(UserError, match=word):
        jax.eval_shape(lambda: module.init(jax.random.key(0), batch, train=False))
