"""`imresize` against MATLAB's numbers, `interpolate` against PyTorch's, and what both rely on."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from golden import Case, cases, channels_last

from hsisr_jax import resize
from hsisr_jax.errors import UserError


def as_cube(x):
    return x[..., None] if x.ndim == 2 else x


@pytest.fixture(params=["dense", "blocks"])
def form(request, monkeypatch):
    """Both ways of applying the matrices; three output pixels a block makes many small blocks."""
    monkeypatch.setattr(resize, "DENSE_UP_TO", {"dense": 10**9, "blocks": 3}[request.param])
    monkeypatch.setattr(resize, "BLOCK", 3)
    resize._plan.cache_clear()
    yield request.param
    resize._plan.cache_clear()


@pytest.mark.parametrize("file", cases("*.npz", folder="imresize"))
def test_imresize_is_matlabs(file, form):
    case = Case(file)
    for entry in case.config["cases"]:
        x, expected = (as_cube(case[f"{entry['name']}/{k}"]) for k in ("input", "output"))
        with jax.enable_x64(True):
            exact = jax.jit(resize.imresize, static_argnums=1)(x, entry["scale"])
        size = max(1.0, np.abs(expected).max())
        tolerance = 1e-12 if x.dtype == np.float64 else 1e-6
        assert exact.dtype == x.dtype
        np.testing.assert_allclose(exact, expected, rtol=0, atol=tolerance * size, err_msg=entry)
        if form == "blocks" or x.dtype == np.float32:
            continue
        single = jax.jit(resize.imresize, static_argnums=1)(x.astype(np.float32), entry["scale"])
        np.testing.assert_allclose(single, expected, rtol=0, atol=1e-6 * size, err_msg=entry)


@pytest.mark.parametrize("file", cases("*.npz", folder="imresize"))
def test_the_published_chains_come_out(file):
    case = Case(file)
    for chain in case.config["chains"]:
        name = chain["name"] if isinstance(chain, dict) else chain
        scale = int(name.removeprefix("chain"))
        lr = resize.imresize(case[f"{name}/gt"], 1 / scale)
        np.testing.assert_allclose(lr, case[f"{name}/ms"], rtol=0, atol=1e-6)
        lms = resize.imresize(case[f"{name}/ms"], scale)
        np.testing.assert_allclose(lms, case[f"{name}/ms_bicubic"], rtol=0, atol=1e-6)


def torch_method(name):
    method = "bicubic" if name.startswith("bicubic") else "bilinear"
    return method, "_corners" in name


@pytest.mark.parametrize("file", cases("ops_interpolate.npz"))
def test_interpolate_is_pytorchs(file):
    case = Case(file)
    checked = 0
    for key, expected in case.group("output").items():
        source, name = key.split("/")
        if not name.startswith("bi"):
            continue  # pooling and nearest neighbours belong to other files
        method, corners = torch_method(name)
        x = channels_last(case[f"input/{source}"])
        x = x[:, :1, :1] if "from_1x1" in name else x
        f = jax.jit(resize.interpolate, static_argnums=(1, 2, 3))
        y = f(x, expected.shape[-2:], method, corners)
        # PyTorch rounds the coordinates to float32; ours are float64
        np.testing.assert_allclose(y, channels_last(expected), rtol=0, atol=5e-6, err_msg=key)
        checked += 1
    assert checked >= 30


def test_interpolate_against_torch_here():
    torch = pytest.importorskip("torch")
    x = np.random.default_rng(0).random((2, 9, 7, 3), dtype=np.float32)
    for method in ("bicubic", "bilinear"):
        for corners in (False, True):
            for size in ((18, 14), (5, 11), (1, 1), (9, 7)):
                expected = torch.nn.functional.interpolate(
                    torch.from_numpy(x).permute(0, 3, 1, 2),
                    size=size,
                    mode=method,
                    align_corners=corners,
                )
                f = jax.jit(resize.interpolate, static_argnums=(1, 2, 3))
                expected = channels_last(expected.numpy())
                np.testing.assert_allclose(f(x, size, method, corners), expected, atol=2e-6)


@pytest.mark.parametrize("n, scale", [(16, 0.5), (7, 0.125), (9, 4.0), (10, 1 / 3), (11, 0.7)])
def test_weights(n, scale):
    matrix = resize.weights(n, scale)
    assert matrix.shape == (int(np.ceil(n * scale)), n)
    np.testing.assert_allclose(matrix.sum(axis=1), 1, rtol=1e-14)
    x = np.random.default_rng(1).random((n, 1, 2), dtype=np.float32)
    np.testing.assert_allclose(
        resize.imresize(np.repeat(x, 4, axis=1), scale)[:, 0], matrix @ x[:, 0], atol=2e-6
    )


def test_large_images_take_the_blocks_and_agree_with_the_matrix():
    n = 2 * resize.DENSE_UP_TO + 5
    x = np.random.default_rng(2).random((n, 4, 2), dtype=np.float32)
    for scale in (0.25, 2):
        assert resize._plan(resize._matlab_taps, n, float(scale)).windows is not None
        y = resize.imresize(x, scale)
        rows, columns = resize.weights(n, scale), resize.weights(4, scale)
        expected = np.einsum("on,pm,nmc->opc", rows, columns, x)
        np.testing.assert_allclose(y, expected, atol=2e-6)


def test_gradient_is_the_transposed_matrix_and_vmap_is_the_batch():
    x = jnp.asarray(np.random.default_rng(3).random((2, 8, 8, 2), dtype=np.float32))
    f = jax.jit(lambda x: resize.imresize(x, 0.5))
    cotangent = jnp.ones((2, 4, 4, 2))
    (gradient,) = jax.vjp(f, x)[1](cotangent)
    column = resize.weights(8, 0.5).sum(axis=0)
    expected = np.broadcast_to(np.outer(column, column)[None, :, :, None], gradient.shape)
    np.testing.assert_allclose(gradient, expected, atol=1e-6)
    np.testing.assert_allclose(jax.vmap(f)(x), f(x), atol=5e-7)


def test_dtypes_are_kept():
    x = np.full((4, 4, 1), 0.3)
    assert resize.imresize(jnp.asarray(x, jnp.bfloat16), 2).dtype == jnp.bfloat16
    assert resize.imresize(x.astype(np.float16), 2).dtype == jnp.float16
    assert resize.imresize(np.full((4, 4, 1), 7, np.uint16), 2).dtype == jnp.float32
    np.testing.assert_allclose(resize.imresize(np.full((4, 4, 1), 7, np.uint16), 2), 7, rtol=1e-6)


@pytest.mark.parametrize(
    "call",
    [
        lambda x: resize.imresize(x, 0),
        lambda x: resize.imresize(x, float("nan")),
        lambda x: resize.imresize(x, (4, 4)),
        lambda x: resize.imresize(x[0, :, 0], 2),
        lambda x: resize.imresize(x[:0], 2),
        lambda x: resize.interpolate(x, (4, 4), "lanczos"),
        lambda x: resize.interpolate(x, (4, 0)),
    ],
)
def test_a_wrong_argument_is_a_clear_error(call):
    with pytest.raises(UserError, match="resiz|scale|method|size"):
        call(np.zeros((4, 4, 1)))
