"""Bicubic upsampling in both conventions."""

import jax
import jax.numpy as jnp
import numpy as np
import parity
import pytest

from hsisr_jax import models, port
from hsisr_jax.errors import UserError


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_torch_kernel_equals_pytorch(scale):
    torch = pytest.importorskip("torch")
    lr = parity.made_up_cube(2, 5, 7, 3)
    sr = models.create("bicubic", scale=scale, kernel="torch").apply({}, {"lr": lr})["sr"]
    nchw = torch.from_numpy(np.moveaxis(lr, -1, 1).copy())
    expected = torch.nn.functional.interpolate(nchw, scale_factor=scale, mode="bicubic")
    np.testing.assert_allclose(sr, np.moveaxis(expected.numpy(), 1, -1), atol=1e-5)
    one = models.create("bicubic", scale=scale, kernel="torch").apply({}, {"lr": lr[0]})["sr"]
    np.testing.assert_allclose(one, sr[0], atol=1e-6)  # without the axis of batches too


def test_matlab_kernel_is_keys_cubic_with_mirrored_borders():
    """A quarter pixel off the grid, a = -0.5: weights known in closed form."""
    weights = np.array([-0.0703125, 0.8671875, 0.2265625, -0.0234375])  # at distances .25 ... 1.75
    line = np.arange(6.0) ** 2
    lr = jnp.asarray(np.broadcast_to(line[:, None], (6, 4))[None, ..., None], jnp.float32)
    sr = models.create("bicubic", scale=2).apply({}, {"lr": lr})["sr"]
    found = np.asarray(sr[0, :, 3, 0])
    mirrored = np.concatenate([line[1::-1], line, line[:-3:-1]])  # half-sample symmetric
    odd = [weights @ mirrored[i + 1 : i + 5] for i in range(6)]
    even = [weights[::-1] @ mirrored[i : i + 4] for i in range(6)]
    np.testing.assert_allclose(found, np.stack([even, odd], 1).ravel(), atol=1e-5)


def test_has_no_weights():
    module, batch = models.create("bicubic"), {"lr": jnp.zeros((1, 4, 4, 2))}
    assert jax.tree.leaves(module.init(jax.random.key(0), batch)) == []
    assert port.to_torch(module, port.from_torch(module, {}, batch)) == {}


def test_an_unknown_kernel_is_named():
    with pytest.raises(UserError, match="'lanczos'.*'matlab' or 'torch'"):
        models.create("bicubic", kernel="lanczos").apply({}, {"lr": jnp.zeros((1, 4, 4, 2))})
