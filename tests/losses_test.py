"""Losses against the originals' numbers, numpy, and what they promise for masks and errors."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from golden import Case, cases, channels_last

from hsisr_jax import losses
from hsisr_jax.errors import UserError


@pytest.fixture(scope="module")
def made():
    """Outputs of an imaginary network of two bands of sizes, with a matching batch."""
    draw = np.random.default_rng(0)

    def cube(*shape):
        return jnp.asarray(draw.uniform(0.1, 1, shape), jnp.float32)

    out = {
        "sr": cube(3, 8, 4, 5),
        "reconstruction": cube(3, 4, 2, 5),
        "stages": [cube(3, 2, 1, 5), cube(3, 4, 2, 5)],
        "domain_logits": cube(3, 4, 2, 2),
    }
    batch = {
        "hr": cube(3, 8, 4, 5),
        "lr": cube(3, 4, 2, 5),
        "lr_div4": cube(3, 2, 1, 5),
        "lr_div2": cube(3, 4, 2, 5),
        "domain": jnp.array([0, 1, 0]),
    }
    return out, batch


def angle(x, y):
    """Mean spectral angle in float64, each norm raised by 1e-4 as in A-SNLSR."""
    x, y = np.asarray(x, np.float64), np.asarray(y, np.float64)
    norms = (np.linalg.norm(x, axis=-1) + 1e-4) * (np.linalg.norm(y, axis=-1) + 1e-4)
    return np.arccos((x * y).sum(-1) / norms).mean()


@pytest.mark.parametrize("path", cases("loss_hybrid.npz"))
@pytest.mark.parametrize(
    "name, spatial, spectral",
    [("l1_only", 0, 0), ("l1_spatial", 1, 0), ("l1_spectral", 0, 1), ("full", 1, 1)],
)
def test_hybrid_is_the_originals(path, name, spatial, spectral):
    case = Case(path)
    batch = {"hr": channels_last(case["target/gt"])}
    loss = losses.create("hybrid", spatial=1e-3 * spatial, spectral=1e-3 * spectral)

    def total(sr):
        return loss({"sr": sr}, batch)

    sr = jnp.asarray(channels_last(case["input/pred"]))
    (value, terms), grad = jax.value_and_grad(total, has_aux=True)(sr)
    np.testing.assert_allclose(value, case[f"loss/{name}"], rtol=1e-6)
    expected = channels_last(case[f"grad_pred/{name}"])
    np.testing.assert_allclose(grad, expected, atol=1e-6 * abs(expected).max())
    np.testing.assert_allclose(terms["spectral_tv"], case["loss/unweighted_spectral_tv"], rtol=1e-5)
    np.testing.assert_allclose(terms["spatial_tv"], case["loss/unweighted_spatial_tv"], rtol=1e-5)


def test_simple_losses(made):
    out, batch = made
    difference = np.asarray(out["sr"] - batch["hr"])
    np.testing.assert_allclose(
        losses.create("l1")(out, batch)[0], abs(difference).mean(), rtol=1e-6
    )
    np.testing.assert_allclose(
        losses.create("mse")(out, batch)[0], (difference**2).mean(), rtol=1e-6
    )


def test_hybrid_on_a_known_cube():
    """A cube that rises by 1 a row, 2 a column and 3 a band: variations 1 + 4 and 2 * 9."""
    i, j, c = np.meshgrid(np.arange(3), np.arange(4), np.arange(5), indexing="ij")
    cube = jnp.asarray(i + 2 * j + 3 * c, jnp.float32)[None]
    total, terms = losses.create("hybrid", spatial=0.1, spectral=0.01)({"sr": cube}, {"hr": cube})
    assert (terms["l1"], terms["spatial_tv"], terms["spectral_tv"]) == (0, 5, 18)
    np.testing.assert_allclose(total, 0.5 + 0.18, rtol=1e-6)


def test_hybrid_of_one_band_and_one_pixel_is_finite():
    cube = jnp.ones((1, 1, 1, 1))
    assert losses.create("hybrid")({"sr": cube}, {"hr": cube})[0] == 0


def test_snlsr_weights_its_angles(made):
    out, batch = made
    total, terms = losses.create("snlsr", spectral_weight=0.3)(out, batch)
    upscaling, unmixing = angle(out["sr"], batch["hr"]), angle(out["reconstruction"], batch["lr"])
    np.testing.assert_allclose(terms["spectral_angle"], upscaling, rtol=1e-5)
    np.testing.assert_allclose(terms["reconstruction_angle"], unmixing, rtol=1e-5)
    expected = terms["l1"] + terms["reconstruction_l1"] + 0.3 * (upscaling + unmixing)
    np.testing.assert_allclose(total, expected, rtol=1e-5)


def test_asnlsr_leaves_out_target_samples(made):
    """The super-resolution terms equal those of the source samples alone; the others keep all."""
    out, batch = made
    keep = np.array([0, 2])
    _, terms = losses.create("asnlsr")(out, batch)
    source = {"sr": out["sr"][keep], "reconstruction": out["reconstruction"][keep]}
    targets = {"hr": batch["hr"][keep], "lr": batch["lr"][keep]}
    _, expected = losses.create("snlsr")(source, targets)
    for key in ("l1", "spectral_angle"):
        np.testing.assert_allclose(terms[key], expected[key], rtol=1e-6)
    every = losses.create("snlsr")(out, batch)[1]
    for key in ("reconstruction_l1", "reconstruction_angle"):
        np.testing.assert_allclose(terms[key], every[key], rtol=1e-6)


@pytest.mark.parametrize("domain", [(0, 0, 0), (1, 1, 1), (0, 1, 1)])
def test_target_samples_send_no_gradient(made, domain):
    out, batch = made
    batch = {**batch, "domain": jnp.array(domain)}
    loss = losses.create("asnlsr")
    grad = jax.grad(lambda sr: loss({**out, "sr": sr}, batch)[0])(out["sr"])
    moved = np.abs(grad).max((1, 2, 3)) > 0
    np.testing.assert_array_equal(moved, np.array(domain) == 0)
    assert np.isfinite(grad).all()
    if all(domain):
        terms = loss(out, batch)[1]
        assert terms["l1"] == 0 and terms["spectral_angle"] == 0


def test_validation_form_keeps_every_sample(made):
    out, batch = made
    _, terms = losses.create("asnlsr", source_only=False)(out, batch)
    np.testing.assert_allclose(terms["l1"], losses.create("l1")(out, batch)[0], rtol=1e-6)


def test_domain_terms(made):
    out, batch = made
    weight_zero, terms = losses.create("asnlsr", domain_weight=0.0)(out, batch)
    total, _ = losses.create("asnlsr")(out, batch)
    logits = np.asarray(out["domain_logits"], np.float64)
    p = np.exp(logits) / np.exp(logits).sum(-1, keepdims=True)
    of_truth = np.stack([p[b, :, :, d] for b, d in enumerate([0, 1, 0])])
    np.testing.assert_allclose(terms["domain_cross_entropy"], -np.log(of_truth).mean(), rtol=1e-6)
    np.testing.assert_allclose(terms["domain_accuracy"], (of_truth > 0.5).mean(), rtol=1e-6)
    np.testing.assert_allclose(total - weight_zero, terms["domain_cross_entropy"], rtol=1e-5)


@pytest.mark.parametrize("path", cases("rcam_*.npz"))
def test_rcam_is_the_originals(path):
    case = Case(path)
    stages = [v for k, v in sorted(case.group("output").items()) if k.startswith("partial")]
    out = {
        "sr": channels_last(case["output/sr"]),
        "stages": [channels_last(stage) for stage in stages],
    }
    batch = {"hr": channels_last(case["target/hr"])}
    for key, value in case.group("target").items():
        batch[key.replace("lr_hsi_div", "lr_div")] = channels_last(value)
    total, terms = losses.create("rcam")(out, batch)
    np.testing.assert_allclose(total, case["loss/total"], rtol=1e-5)
    assert len(terms) == 1 + len(stages)


def test_rcam_finds_targets_by_size_not_by_order(made):
    out, batch = made
    total, terms = losses.create("rcam")(out, batch)
    first = np.abs(out["stages"][0] - batch["lr_div4"]).mean()
    np.testing.assert_allclose(terms["stage_0"], first, rtol=1e-6)
    np.testing.assert_allclose(total, sum(terms.values()), rtol=1e-6)


def test_weighted_adds_up_every_term(made):
    out, batch = made
    difference = np.asarray(out["sr"] - batch["hr"], np.float64)
    expected = {
        "charbonnier": np.sqrt(difference**2 + 1e-6).mean(),
        "spectral_gradient": abs(np.diff(difference, axis=-1)).mean(),
        "spatial_gradient": abs(np.diff(difference, axis=1)).mean()
        + abs(np.diff(difference, axis=2)).mean(),
    }
    weights = dict.fromkeys(losses.term_names(), 0.5)
    total, terms = losses.create("weighted", **weights)(out, batch)
    np.testing.assert_allclose(total, 0.5 * sum(terms.values()), rtol=1e-5)
    for key, value in expected.items():
        np.testing.assert_allclose(terms[key], value, rtol=1e-5)


@pytest.mark.parametrize("name", ["hybrid", "snlsr", "asnlsr", "rcam", "mse"])
def test_bfloat16_outputs_give_float32_terms(made, name):
    out, batch = jax.tree.map(lambda x: x.astype(jnp.bfloat16), made[0]), made[1]
    total, terms = jax.jit(losses.create(name))(out, batch)
    assert total.dtype == jnp.float32 and {v.dtype for v in terms.values()} == {jnp.dtype("f4")}
    np.testing.assert_allclose(total, losses.create(name)(*made)[0], rtol=2e-2)


def test_identical_and_zero_spectra_have_finite_gradients(made):
    _, batch = made
    loss = losses.create("weighted", spectral_angle=1.0)
    for hr in (batch["hr"], 1e4 * batch["hr"], jnp.zeros_like(batch["hr"])):
        value, grad = jax.value_and_grad(lambda sr, hr=hr: loss({"sr": sr}, {"hr": hr})[0])(hr)
        assert np.isfinite(value) and np.isfinite(grad).all()


@pytest.mark.parametrize(
    "name, options, words",
    [
        ("l2", {}, "unknown loss 'l2'"),
        ("hybrid", {"spatail": 1.0}, "no option 'spatail'"),
        ("l1", {"spatial": 1.0}, "it has none"),
        ("weighted", {"sam": 1.0}, "unknown loss term 'sam'"),
        ("weighted", {}, "needs a term"),
    ],
)
def test_errors_of_create(name, options, words):
    with pytest.raises(UserError, match=words):
        losses.create(name, **options)


@pytest.mark.parametrize(
    "name, lacking, words",
    [
        ("snlsr", "reconstruction", "'reconstruction' of the network"),
        ("asnlsr", "domain_logits", "'domain_logits' of the network"),
        ("rcam", "stages", "'stages' of the network"),
        ("asnlsr", "domain", "'domain' of the batch"),
        ("rcam", "lr_div4", "'lr_div4' of the batch"),
        ("l1", "hr", "'hr' of the batch"),
    ],
)
def test_errors_name_what_is_missing(made, name, lacking, words):
    out, batch = ({k: v for k, v in part.items() if k != lacking} for part in made)
    with pytest.raises(UserError, match=words):
        losses.create(name)(out, batch)


def test_error_on_other_sizes(made):
    out, batch = made
    with pytest.raises(UserError, match="scale and bands"):
        losses.create("l1")({"sr": out["sr"][:, ::2]}, batch)


def test_the_public_names_are_there():
    assert set(losses.names()) >= {"l1", "mse", "hybrid", "snlsr", "asnlsr", "rcam", "weighted"}


def test_a_weight_can_change_on_the_way(made):
    out, batch = made
    loss = losses.create("weighted", l1=1.0, spectral_angle=(0.4, 0.0))
    for progress, weight in ((0.0, 0.4), (0.75, 0.1), (1.0, 0.0)):
        total, terms = loss(out, {**batch, "progress": progress})
        np.testing.assert_allclose(total, terms["l1"] + weight * terms["spectral_angle"], rtol=1e-6)
    with pytest.raises(UserError, match="progress"):
        loss(out, batch)
    with pytest.raises(UserError, match="a pair"):
        losses.create("weighted", l1=(1.0, 2.0, 3.0))


def test_consistency_sees_what_is_wrong_at_low_resolution_alone(made):
    """A checkerboard, which no sensor of half the resolution sees, and an offset, which all see."""
    _, batch = made
    rows, columns = np.indices((8, 4))
    checkers = jnp.asarray(np.where((rows + columns) % 2, 0.1, -0.1)[None, ..., None], jnp.float32)
    loss = losses.create("weighted", consistency=1.0)
    hidden = loss({"sr": batch["hr"] + checkers}, batch)[0]
    seen = loss({"sr": batch["hr"] + 0.1}, batch)[0]
    assert hidden < 0.01
    np.testing.assert_allclose(seen, 0.1, rtol=1e-4)


@pytest.mark.parametrize("term", ["consistency", "relative_l1", "relative_mse", "l1"])
def test_targets_of_other_domains_are_not_looked_at(made, term):
    out, batch = made
    batch = batch | {"domain": jnp.arange(len(batch["hr"]))}
    other = batch | {"hr": jnp.where(batch["domain"][:, None, None, None] == 0, batch["hr"], 7.0)}
    loss = losses.create("weighted", source_only=True, **{term: 1.0})
    np.testing.assert_array_equal(loss(out, other)[0], loss(out, batch)[0])


@pytest.mark.parametrize("power", [1, 2])
def test_relative_terms_are_the_same_in_any_unit(made, power):
    out, batch = made
    loss = losses.create("weighted", **{f"relative_{'l1' if power == 1 else 'mse'}": 1.0})
    share = loss(out, batch)[0]
    error = np.abs(out["sr"] - batch["hr"]) ** power
    expected = error.mean() / np.asarray(batch["hr"]).mean() ** power
    np.testing.assert_allclose(share, expected, rtol=1e-5)
    thousandth = {"hr": batch["hr"] / 1000}
    np.testing.assert_allclose(loss({"sr": out["sr"] / 1000}, thousandth)[0], share, rtol=1e-5)


@pytest.mark.parametrize("name", ["l1", "mse"])
def test_hidden_pixels_made_equal_count_for_nothing(made, name):
    """The way of docs/models.md: values and gradients are those of the other pixels."""
    out, batch = made
    hr = batch["hr"].at[:, 1:3, 2].set(jnp.nan)
    seen = jnp.isfinite(hr).all(-1, keepdims=True)
    loss = losses.create(name)

    def masked(sr):
        pair = {"sr": jnp.where(seen, sr, 0)}, {"hr": jnp.where(seen, hr, 0)}
        return loss(out | pair[0], batch | pair[1])[0] / seen.mean()

    value, gradient = jax.value_and_grad(masked)(out["sr"])
    error = np.asarray(out["sr"] - hr)[np.asarray(seen)[..., 0]]
    power = {"l1": 1, "mse": 2}[name]
    np.testing.assert_allclose(value, (np.abs(error) ** power).mean(), rtol=1e-5)
    assert (np.asarray(gradient)[np.asarray(~seen)[..., 0]] == 0).all()
    assert np.isfinite(gradient).all()
