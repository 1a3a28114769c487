"""Spectral angles in full precision with finite gradients; variations as in the hybrid loss."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from golden import Case, cases, channels_last
from jax.test_util import check_grads

from hsisr_jax.ops import spectral


def random_pair(*shape, seed=0):
    rng = np.random.default_rng(seed)
    return rng.random(shape), rng.random(shape)


def arccos(x, y, a=0.0, p=0.0, d=0.0):
    """The textbook formula in float64."""
    norms = np.linalg.norm(x, axis=-1), np.linalg.norm(y, axis=-1)
    return np.arccos(((x * y).sum(-1) + d) / ((norms[0] + a) * (norms[1] + a) + p))


@pytest.mark.parametrize("epsilons", [(0, 0, 0), (1e-2, 0, 0), (0, 1e-2, 0), (1e-2, 2e-2, 1e-2)])
def test_angle_is_the_arccos(epsilons):
    x, y = random_pair(50, 9)
    a, p, d = epsilons
    ours = spectral.spectral_angle(x, y, norm_epsilon=a, product_epsilon=p, dot_epsilon=d)
    np.testing.assert_allclose(ours, arccos(x, y, a, p, d), rtol=2e-6)
    ours = spectral.spectral_angle(x.T, y.T, norm_epsilon=a, axis=0)
    np.testing.assert_allclose(ours, arccos(x, y, a), rtol=2e-6)


@pytest.mark.parametrize("size", [1e-1, 1e-3, 1e-5])
def test_small_angles_keep_their_digits_in_float32(size):
    x = np.eye(4, dtype=np.float32)[:1] * 3
    y = np.array([[np.cos(size), np.sin(size), 0, 0]], np.float32)
    true = np.arctan2(float(y[0, 1]), float(y[0, 0]))
    np.testing.assert_allclose(spectral.spectral_angle(x, y), true, rtol=2e-6)
    opposite = spectral.spectral_angle(x, -y)
    np.testing.assert_allclose(opposite, np.pi - true, rtol=2e-7)


@pytest.mark.parametrize(
    "x, y, angle",
    [
        ([1.0, 2.0, 3.0], [1.0, 2.0, 3.0], 0.0),
        ([1.0, 2.0, 4.0], [0.5, 1.0, 2.0], 0.0),
        ([1.0, 2.0, 4.0], [-1.0, -2.0, -4.0], np.pi),
        ([0.0, 0.0, 0.0], [0.0, 0.0, 0.0], 0.0),
        ([1.0, 0.0, 0.0], [0.0, 0.0, 0.0], 0.0),
        ([1.0, 0.0, 0.0], [0.0, 2.0, 0.0], np.pi / 2),
    ],
)
def test_degenerate_pairs_have_finite_values_and_gradients(x, y, angle):
    f = spectral.spectral_angle
    value, gradients = jax.value_and_grad(f, (0, 1))(jnp.array(x), jnp.array(y))
    assert value == pytest.approx(angle, abs=1e-3 if angle > 2 else 1e-6)
    assert np.isfinite(gradients).all()
    if angle == 0:
        np.testing.assert_array_equal(gradients, 0)


def test_zero_vectors_with_epsilons_are_at_right_angles():
    zero, x = jnp.zeros(3), jnp.array([1.0, 2.0, 3.0])
    angle = spectral.spectral_angle(zero, x, norm_epsilon=1e-4)
    assert angle == pytest.approx(np.pi / 2)
    assert np.isfinite(jax.grad(spectral.spectral_angle)(zero, x)).all()


def test_gradient_of_the_angle_against_differences():
    x, y = random_pair(2, 5, seed=4)
    with jax.enable_x64(True):
        f = lambda x: spectral.spectral_angle(x, y, norm_epsilon=1e-4).sum()  # noqa: E731
        check_grads(f, (jnp.asarray(x),), order=1, modes=["rev"], rtol=1e-5)


def test_half_precision_is_computed_in_float32():
    x, y = (jnp.asarray(v, jnp.bfloat16) for v in random_pair(3, 64))
    angle = spectral.spectral_angle(x, y)
    assert angle.dtype == jnp.float32
    np.testing.assert_allclose(angle, arccos(np.asarray(x, float), np.asarray(y, float)), rtol=1e-5)


@pytest.mark.parametrize("file", cases("loss_hybrid.npz"))
def test_variations_are_the_hybrid_losss(file):
    case = Case(file)
    x = channels_last(case["input/pred"])
    spatial, bands = spectral.spatial_variation(x), spectral.spectral_variation(x)
    np.testing.assert_allclose(spatial, case["loss/unweighted_spatial_tv"], rtol=5e-6)
    np.testing.assert_allclose(2 * bands, case["loss/unweighted_spectral_tv"], rtol=5e-6)


def test_spectral_gradient():
    x = np.array([[[1.0, 4.0, 2.0]]])
    np.testing.assert_array_equal(spectral.spectral_gradient(x), [[[3.0, -2.0]]])


def test_safe_sqrt():
    value, gradient = jax.vmap(jax.value_and_grad(spectral.safe_sqrt))(jnp.array([4.0, 0.0, -1.0]))
    np.testing.assert_allclose(value, [2, 0, 0])
    np.testing.assert_allclose(gradient, [0.25, 0, 0])
