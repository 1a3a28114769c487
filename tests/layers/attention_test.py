"""Channel attention against PyTorch's layers, and against a convolution written in numpy."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hsisr_jax.errors import UserError
from hsisr_jax.layers.attention import ChannelAttention, EfficientChannelAttention

X = jax.random.normal(jax.random.key(0), (2, 5, 3, 16))


def test_channel_attention_equals_pytorch():
    torch = pytest.importorskip("torch")
    params = ChannelAttention(reduction=4).init(jax.random.key(1), X)
    weights = params["params"]
    squeeze, excite = torch.nn.Conv2d(16, 4, 1), torch.nn.Conv2d(4, 16, 1)
    for layer, name in ((squeeze, "squeeze"), (excite, "excite")):
        kernel = np.array(weights[name]["kernel"]).T[:, :, None, None].copy()
        layer.weight.data = torch.from_numpy(kernel)
        layer.bias.data = torch.from_numpy(np.array(weights[name]["bias"]))
    x = torch.from_numpy(np.moveaxis(np.asarray(X), -1, 1).copy())
    gate = excite(torch.relu(squeeze(x.mean((2, 3), keepdim=True)))).sigmoid()
    expected = np.moveaxis((x * gate).detach().numpy(), 1, -1)
    found = ChannelAttention(reduction=4).apply(params, X)
    np.testing.assert_allclose(found, expected, atol=1e-6)


@pytest.mark.parametrize("size", [1, 3, 5])
def test_neighbouring_channels_weigh_each_other(size):
    layer = EfficientChannelAttention(size)
    kernel = np.random.default_rng(0).standard_normal(size).astype(np.float32)
    found = layer.apply({"params": {"kernel": jnp.asarray(kernel)[:, None, None]}}, X)
    mean = np.asarray(X.mean((1, 2)))
    scores = np.stack([np.correlate(m, kernel, "same") for m in mean])
    expected = X * (1 / (1 + np.exp(-scores)))[:, None, None]
    np.testing.assert_allclose(found, expected, atol=1e-6)


def test_means_are_float32_below_it():
    """64 x 64 equal pixels: a bfloat16 sum would stop growing long before the last."""
    layer = EfficientChannelAttention(1)
    x = jnp.full((1, 64, 64, 2), 1.0, jnp.bfloat16)
    kernel = jnp.full((1, 1, 1), 1.0, jnp.bfloat16)
    found = np.asarray(layer.apply({"params": {"kernel": kernel}}, x), np.float32)
    np.testing.assert_allclose(found, 1 / (1 + np.exp(-1)), rtol=5e-3)


def test_too_few_features_to_squeeze_are_refused():
    with pytest.raises(UserError, match="features >= 16"):
        ChannelAttention().init(jax.random.key(0), X[..., :8])
