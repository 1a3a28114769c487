"""SSRAN against the published TensorFlow graph, and against a second writing of it in numpy."""

import jax
import jax.numpy as jnp
import numpy as np
import parity
import pytest
from golden import Case, cases

from hsisr_jax import losses, models, port
from hsisr_jax.errors import UserError


def relative(found, expected, tolerance, name=""):
    bound = tolerance * np.abs(expected).max()
    np.testing.assert_allclose(found, expected, rtol=0, atol=bound, err_msg=name)


@pytest.fixture(scope="module", params=cases("ssran_m*.npz", folder="ssran"))
def case(request):
    case = Case(request.param)
    config = case.config
    module = models.create("ssran", bands=config["bands_hsi"], msi_bands=config["bands_msi"])
    batch = {"msi": jnp.asarray(case["input/msi"]), "hr": jnp.asarray(case["target/hsi"])}
    variables = port.from_tensorflow(module, case.group("param"), batch)
    loss = losses.create("mse")

    def objective(params):
        out, sown = module.apply({"params": params}, batch, mutable=["intermediates"])
        return loss(out, batch)[0], (out["sr"], sown["intermediates"])

    step = jax.jit(jax.value_and_grad(objective, has_aux=True))
    return case, module, variables["params"], step


def test_forward_and_gradients_equal_the_published_graph(case):
    case, module, params, step = case
    (total, (sr, sown)), grads = step(params)
    relative(sr, case["output/hsi"], 1e-5)
    np.testing.assert_allclose(total, case["loss/total"], rtol=1e-5)
    for i in (1, 2, 3):
        relative(sown[f"block{i}"][0], case[f"feature/block{i}"], 1e-5)
        weights = sown[f"block_{i - 1}"]["attention"]["weights"][0]
        relative(weights, case[f"attention/ECA{i}"], 1e-5)
    relative(sown["attention"]["weights"][0], case["attention/ECA_output"], 1e-5)
    grads = port.to_tensorflow(module, {"params": grads})
    assert set(grads) == set(case.group("grad"))
    for name, expected in case.group("grad").items():
        relative(grads[name], expected, 2e-5, name)


def test_weights_come_back_unchanged(case):
    case, module, params, _ = case
    back = port.to_tensorflow(module, {"params": params})
    assert list(back) == case.config["trainable_variables"]
    for name, value in case.group("param").items():
        np.testing.assert_array_equal(back[name], value)
    assert sum(value.size for value in back.values()) == case.config["parameter_count"]


def sgd(params, grads, state, t, options):
    return jax.tree.map(lambda p, g: p - options["sgd_lr"] * g, params, grads), state


def adam(params, grads, state, t, options):
    """TensorFlow's form: epsilon is not corrected for bias."""
    o, (m, v) = options["adam"], state
    m = jax.tree.map(lambda m, g: o["b1"] * m + (1 - o["b1"]) * g, m, grads)
    v = jax.tree.map(lambda v, g: o["b2"] * v + (1 - o["b2"]) * g * g, v, grads)
    rate = o["lr"] * np.sqrt(1 - o["b2"] ** t) / (1 - o["b1"] ** t)
    move = lambda p, m, v: p - rate * m / (jnp.sqrt(v) + o["eps"])  # noqa: E731
    return jax.tree.map(move, params, m, v), (m, v)


@pytest.mark.parametrize(
    ("rule", "key", "tolerance"), [(sgd, "traj", 2e-5), (adam, "traj_adam", 5e-5)]
)
def test_ten_training_steps_equal_the_published_graph(case, rule, key, tolerance):
    case, module, params, step = case
    zeros = jax.tree.map(jnp.zeros_like, params)
    state, totals = (zeros, zeros), []
    for t in range(1, case.config["traj"]["steps"] + 1):
        (total, _), grads = step(params)
        params, state = rule(params, grads, state, t, case.config["traj"])
        totals.append(total)
    (total, (sr, _)), _ = step(params)
    relative(np.stack([*totals, total]), case[f"{key}/loss"], tolerance)
    relative(sr, case[f"{key}/output"], tolerance)
    after = port.to_tensorflow(module, {"params": params})
    for name, expected in case.group(f"{key}/param").items():
        relative(after[name], expected, tolerance, name)


def by_hand(weights: dict, x: np.ndarray, blocks: int) -> np.ndarray:
    """The graph of the paper, one image, in float64 numpy."""

    def conv(x, scope):
        kernel, (h, w, _) = weights[f"{scope}/weights"].astype(np.float64), x.shape
        k = len(kernel)
        padded = np.pad(x, ((k // 2, k // 2), (k // 2, k // 2), (0, 0)))
        shifts = [padded[i : i + h, j : j + w] @ kernel[i, j] for i in range(k) for j in range(k)]
        return sum(shifts) + weights[f"{scope}/biases"]

    def attend(x, name):
        kernel = weights[f"{name}/kernel"].astype(np.float64).ravel()
        mean = np.convolve(x.mean((0, 1)), kernel[::-1], "same")
        return x / (1 + np.exp(-mean))

    relu = lambda x: np.maximum(x, 0)  # noqa: E731
    x = relu(conv(x, "Spe1"))
    for i in range(1, blocks + 1):
        spatial = relu(conv(relu(conv(x, f"Sep{2 * i}_3")), f"Spe{2 * i + 1}_3"))
        spectral = relu(conv(relu(conv(x, f"Sep{2 * i}_1")), f"Spe{2 * i + 1}_1"))
        pair = [spectral, spatial] if i == 1 else [spatial, spectral]
        y = relu(conv(np.concatenate(pair, -1), f"Sep{2 * i + 1}_concat"))
        x = relu(x + attend(y, f"ECA{i}"))
    return attend(conv(x, "Conv"), "ECA_output")


def test_equals_the_graph_written_in_numpy():
    module = models.create("ssran", bands=9, msi_bands=3, features=8, blocks=2, kernel_size=3)
    msi = parity.made_up_cube(2, 5, 7, 3)
    weights = parity.made_up_weights(module, {"msi": msi})
    variables = port.from_tensorflow(module, weights, {"msi": msi})
    sr = module.apply(variables, {"msi": jnp.asarray(msi)})["sr"]
    expected = np.stack([by_hand(weights, x.astype(np.float64), 2) for x in msi])
    assert np.abs(expected).max() > 0.05
    np.testing.assert_allclose(sr, expected, atol=1e-5)


def test_starts_as_tensorflow_starts():
    """Glorot uniform kernels, zero biases, Glorot for the attention's five taps as well."""
    module, batch = models.create("ssran"), {"msi": jnp.zeros((1, 4, 4, 4))}
    params = jax.jit(module.init)(jax.random.key(0), batch)["params"]
    kernel = np.asarray(params["block_1"]["spatial_0"]["kernel"])
    bound = np.sqrt(6 / (9 * 64 + 9 * 64))
    assert 0.99 * bound < np.abs(kernel).max() <= bound
    assert kernel.std() == pytest.approx(bound / np.sqrt(3), rel=0.02)
    assert not params["block_1"]["spatial_0"]["bias"].any()
    assert 0 < np.abs(params["attention"]["kernel"]).max() <= np.sqrt(6 / 10)


@pytest.mark.parametrize(
    ("options", "word"), [({"msi_bands": 5}, "msi has 4"), ({"kernel_size": 4}, "must be odd")]
)
def test_what_cannot_work_is_refused_in_words(options, word):
    module = models.create("ssran", **options)
    with pytest.raises(UserError, match=word):
        jax.eval_shape(lambda: module.init(jax.random.key(0), {"msi": jnp.zeros((1, 4, 4, 4))}))
    with pytest.raises(UserError, match="lacks: set config.data.degradation.name=spectral"):
        jax.eval_shape(lambda: module.init(jax.random.key(0), {"hr": jnp.zeros((1, 4, 4, 4))}))
