"""The convolutions' own gradients against autodiff of XLA's convolution, and PyTorch's numbers."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from golden import Case, cases, channels_last
from jax import lax

from hsisr_jax.layers.conv import Conv, ConvTranspose
from hsisr_jax.ops.convolution import convolve, convolve_transposed
from hsisr_jax.ops.cpu.convolution import cached_pixels


def reference(x, kernel, stride, padding):
    return lax.conv_general_dilated(
        x, kernel, (stride, stride), padding, dimension_numbers=("NHWC", "HWIO", "NHWC")
    )


@pytest.mark.parametrize(
    "case",  # shape, kernel, stride, padding and, where there are fewer than channels in, outputs
    [
        ((4, 6, 7, 3), 3, 1, 1),
        ((5, 9, 11, 2), 5, 4, 2),
        ((3, 8, 8, 4), 3, 2, 1),
        ((2, 11, 14, 3), 3, 2, 0),
        ((1, 7, 7, 2), 7, 1, 0),
        ((6, 5, 6, 4), 1, 1, 0),
        ((4, 7, 6, 64), 3, 1, 1),  # from 64 channels on, Winograd's form
        ((1, 6, 5, 70), 3, 1, 0),
        ((5, 23, 20, 64), 3, 1, 1),  # and a loop over chunks of images
        ((7, 4, 4, 64), 3, 2, 1),
        ((5, 23, 20, 64), 3, 1, 1, 7),  # fewer channels out than in
        ((2, 11, 10, 9), 5, 4, 2, 2),
        ((2, 8, 7, 9), 3, 1, 0, 1),
        ((1, 130, 128, 5), 3, 1, 1),  # too large to hold all shifts
        ((1, 8, 8, 70), 5, 1, 2),
    ],
)
def test_gradients_equal_autodiff(case, monkeypatch):
    monkeypatch.setattr("hsisr_jax.ops.cpu.convolution.CACHED", 2048)
    shape, k, stride, pad, out = (*case, max(case[0][-1], 5))[:5]
    keys = jax.random.split(jax.random.key(0), 3)
    x = jax.random.normal(keys[0], shape)
    kernel = jax.random.normal(keys[1], (k, k, shape[-1], out))
    pads = ((pad, pad), (pad, pad))
    expected, pull = jax.vjp(lambda x, w: reference(x, w, stride, pads), x, kernel)
    found, pull_ours = jax.vjp(lambda x, w: convolve(x, w, stride=stride, padding=pads), x, kernel)
    dy = jax.random.normal(keys[2], expected.shape)
    for ours, theirs in zip([found, *pull_ours(dy)], [expected, *pull(dy)]):
        np.testing.assert_allclose(ours, theirs, rtol=0, atol=3e-6 * jnp.abs(theirs).max())
    if shape[-1] < 64:  # Winograd's form rounds by the largest value
        np.testing.assert_allclose(found, expected, atol=1e-5)


@pytest.mark.parametrize(
    ("told", "pixels"),
    [("1024K\n", 2048), ("2048K\n", 4096), ("256K\n", 1024), ("8192K\n", 4096), ("", 2048)],
)
def test_pixels_at_a_time_follow_the_size_of_the_cache(tmp_path, told, pixels):
    (tmp_path / "size").write_text(told)
    assert cached_pixels(tmp_path / "size") == pixels
    assert cached_pixels(tmp_path / "missing") == 2048


@pytest.mark.parametrize(
    ("k", "stride", "pad", "extra"), [(5, 4, 1, 1), (3, 2, 1, 1), (4, 2, 1, 0)]
)
def test_transposed_convolution_is_the_gradient_of_a_strided_one(k, stride, pad, extra):
    keys = jax.random.split(jax.random.key(1), 2)
    x = jax.random.normal(keys[0], (2, 4, 5, 3))
    kernel = jax.random.normal(keys[1], (k, k, 3, 2))
    y = convolve_transposed(x, kernel, stride=stride, padding=pad, output_padding=extra)
    pads = ((pad, pad), (pad, pad))
    _, pull = jax.vjp(
        lambda y: reference(y, kernel.swapaxes(2, 3), stride, pads)[:, :4, :5], jnp.zeros_like(y)
    )
    np.testing.assert_allclose(y, pull(x)[0], atol=1e-5)


@pytest.mark.parametrize("case", cases("ops_layers.npz"))
def test_layers_equal_pytorch(case):
    case = Case(case)
    image = channels_last(case["input/image"])
    for name, layer in {
        "conv_k5s4p2": Conv(4, 5, stride=4),
        "conv_k3s2p1": Conv(4, 3, stride=2),
        "conv_k3s2p0": Conv(4, 3, stride=2, padding=0),
        "conv_k7_reflect": Conv(1, 7, mode="reflect"),
        "convT_k5s4p1o1": ConvTranspose(4, 5, 4, 1, 1),
        "convT_k3s2p1o1": ConvTranspose(4, 3, 2, 1, 1),
        "convT_k4s2p1o0": ConvTranspose(3, 4, 2, 1, 0),
    }.items():
        weights = case.group(f"param/{name}")
        axes = (2, 3, 0, 1) if name.startswith("convT") else (2, 3, 1, 0)
        params = {"kernel": weights["weight"].transpose(axes)}
        if "bias" in weights:
            params["bias"] = weights["bias"]
        else:
            layer = layer.clone(use_bias=False)
        found = layer.apply({"params": params}, image)
        np.testing.assert_allclose(found, channels_last(case[f"output/{name}"]), atol=1e-5)
