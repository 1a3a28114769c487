"""The row-column LSTM against a plain NumPy one, and PyTorch's gradients."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from parity import quick_jit as jit

from hsisr_jax.layers import recurrent
from hsisr_jax.layers.recurrent import BiLSTM2D

FEATURES = 6
SIZES = [(3, 5), (4, 4), (1, 1), (5, 1)]


def made(size, seed=0):
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((2, *size, FEATURES)).astype(np.float32)
    kernel, bias = (4, FEATURES, 4 * FEATURES), (4, 4 * FEATURES)
    shapes = {"kernel_ih": kernel, "kernel_hh": kernel, "bias_ih": bias, "bias_hh": bias}
    params = {k: 0.4 * rng.standard_normal(s).astype(np.float32) for k, s in shapes.items()}
    join = {"kernel": (24, 6), "bias": (6,)}
    params["join"] = {k: 0.4 * rng.standard_normal(s).astype(np.float32) for k, s in join.items()}
    return x, params


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def lstm(x, params, k):
    """One direction, one step after another, float64: `m t d` -> `m t d`."""
    w = {name: np.asarray(params[name][k], np.float64) for name in params if name != "join"}
    state = memory = np.zeros((len(x), FEATURES))
    out = []
    for t in range(x.shape[1]):
        gates = x[:, t] @ w["kernel_ih"] + w["bias_ih"] + state @ w["kernel_hh"] + w["bias_hh"]
        i, f, g, o = np.split(gates, 4, axis=1)
        memory = sigmoid(f) * memory + sigmoid(i) * np.tanh(g)
        state = sigmoid(o) * np.tanh(memory)
        out.append(state)
    return np.stack(out, 1)


def expected(x, params):
    b, h, w, d = x.shape
    columns = x.transpose(0, 2, 1, 3).reshape(-1, h, d)
    rows = x.reshape(-1, w, d)
    parts = [lstm(columns, params, 0), lstm(columns[:, ::-1], params, 1)[:, ::-1]]
    parts = [p.reshape(b, w, h, d).transpose(0, 2, 1, 3) for p in parts]
    right = [lstm(rows, params, 2), lstm(rows[:, ::-1], params, 3)[:, ::-1]]
    parts += [p.reshape(b, h, w, d) for p in right]
    return np.concatenate(parts, -1) @ params["join"]["kernel"] + params["join"]["bias"]


@pytest.mark.parametrize("size", SIZES)
def test_equals_a_plain_loop(size):
    x, params = made(size)
    found = jit(BiLSTM2D(FEATURES).apply)({"params": params}, x)
    np.testing.assert_allclose(found, expected(x.astype(np.float64), params), atol=2e-6)


@pytest.mark.parametrize("size", SIZES[:2])
def test_gradients_equal_pytorch(size):
    torch = pytest.importorskip("torch")
    x, params = made(size)
    nets = [torch.nn.LSTM(FEATURES, FEATURES, batch_first=True, bidirectional=True) for _ in "vh"]
    for k in range(4):
        suffix = "_reverse" if k % 2 else ""
        for ours, theirs in (("kernel", "weight"), ("bias", "bias")):
            for part in ("ih", "hh"):
                target = getattr(nets[k // 2], f"{theirs}_{part}_l0{suffix}")
                target.data = torch.from_numpy(params[f"{ours}_{part}"][k].T.copy())
    t = torch.from_numpy(x).requires_grad_()
    b, h, w, d = x.shape
    down = nets[0](t.permute(0, 2, 1, 3).reshape(-1, h, d))[0].reshape(b, w, h, 2 * d)
    right = nets[1](t.reshape(-1, w, d))[0].reshape(b, h, w, 2 * d)
    y = torch.cat([down.permute(0, 2, 1, 3), right], -1) @ torch.from_numpy(
        params["join"]["kernel"]
    )
    (y**2).sum().backward()

    def objective(params, x):
        join = params["join"] | {"bias": jnp.zeros(FEATURES)}
        y = BiLSTM2D(FEATURES).apply({"params": params | {"join": join}}, x)
        return jnp.square(y).sum()

    grads, dx = jit(jax.grad(objective, argnums=(0, 1)))(params, x)
    np.testing.assert_allclose(dx, t.grad, atol=1e-4)
    for k in range(4):
        suffix = "_reverse" if k % 2 else ""
        for ours, theirs in (("kernel", "weight"), ("bias", "bias")):
            for part in ("ih", "hh"):  # both biases get the whole gradient
                wanted = getattr(nets[k // 2], f"{theirs}_{part}_l0{suffix}").grad.numpy().T
                np.testing.assert_allclose(grads[f"{ours}_{part}"][k], wanted, atol=2e-4)


def test_bfloat16_stays_near():
    x, params = made((4, 4))
    low = jax.tree.map(lambda v: jnp.asarray(v, jnp.bfloat16), (params, x))
    found = jit(BiLSTM2D(FEATURES).apply)({"params": low[0]}, low[1])
    assert found.dtype == jnp.bfloat16
    np.testing.assert_allclose(found.astype(jnp.float32), expected(x, params), atol=0.05)


def test_starts_as_the_original_does():
    """Glorot normal kernels per direction, zero biases."""
    params = jit(BiLSTM2D(64).init)(jax.random.key(0), jnp.zeros((1, 2, 2, 64)))["params"]
    for k in range(4):
        np.testing.assert_allclose(params["kernel_ih"][k].std(), (2 / 320) ** 0.5, rtol=0.03)
    np.testing.assert_allclose(params["join"]["kernel"].std(), (2 / 320) ** 0.5, rtol=0.03)
    assert not np.any(params["bias_ih"]) and not np.any(params["join"]["bias"])


def test_written_gradients_equal_autodiff():
    """Of input and weights; the loop that autodiff turns round is the same one."""
    rng = np.random.default_rng(1)
    x = jnp.asarray(rng.standard_normal((4, 2, 3, 5)), jnp.float32)
    shapes = (2, 5, 24), (2, 6, 24), (2, 24)
    weights = tuple(jnp.asarray(0.4 * rng.standard_normal(s), jnp.float32) for s in shapes)
    aim = jnp.asarray(rng.standard_normal((4, 2, 3, 6)), jnp.float32)

    def gradients(run):
        return jit(jax.grad(lambda x, w: (run(x, w) * aim).sum(), (0, 1)))(x, weights)

    autodiff = gradients(lambda x, w: recurrent._run(x, w)[0])
    jax.tree.map(
        partial(np.testing.assert_allclose, rtol=1e-5, atol=1e-5),
        gradients(recurrent.lstm),
        autodiff,
    )


def test_half_precision_keeps_its_types():
    x, params = made((3, 3))
    half = jax.tree.map(lambda a: jnp.asarray(a, jnp.bfloat16), (params, x))
    net = BiLSTM2D(FEATURES)
    out = jit(lambda p, x: net.apply({"params": p}, x))(*half)
    found = jit(jax.grad(lambda p, x: net.apply({"params": p}, x).sum(), (0, 1)))(*half)
    assert out.dtype == jnp.bfloat16
    assert {leaf.dtype for leaf in jax.tree.leaves(found)} == {jnp.dtype(jnp.bfloat16)}
    wanted = jax.grad(lambda p: net.apply({"params": p}, x).sum())(params)["kernel_hh"]
    np.testing.assert_allclose(found[0]["kernel_hh"].astype(np.float32), wanted, atol=0.1, rtol=0.1)
