"""The network for any sensor: any number of bands, one basis a scene, what it is told."""

import jax
import numpy as np
import pytest

from hsisr_jax import models, resize, weights
from hsisr_jax.inference import packaged
from hsisr_jax.layers import sensor
from hsisr_jax.ops import components

SCALE = 2


def cube(bands: int, side: int = 12, seed: int = 0) -> np.ndarray:
    """A few smooth images, mixed into bands."""
    rng = np.random.default_rng(seed)
    few = resize.imresize(rng.random((side // 4, side // 4, 3)).astype(np.float32), 4)
    return np.array(few @ rng.random((3, bands)), np.float32)


def batch(lr: np.ndarray) -> dict:
    return {"lr": lr[None], "lms": np.asarray(resize.imresize(lr[None], SCALE))}


def run(lr: np.ndarray, variables: dict | None = None, *, flips: int = 1, **options) -> np.ndarray:
    module = models.create("anyband", scale=SCALE, flips=flips, **options)
    return np.asarray(module.apply(variables or weights.anyband(SCALE), batch(lr))["sr"][0])


@pytest.mark.parametrize("bands", [1, 3, 40])
def test_one_set_of_weights_serves_any_number_of_bands(bands):
    sr = run(cube(bands), flips=4)
    assert sr.shape == (24, 24, bands) and np.isfinite(sr).all()


def test_band_order_and_units_do_not_matter():
    lr = cube(30)
    order = np.random.default_rng(1).permutation(30)
    np.testing.assert_allclose(run(lr[..., order]), run(lr)[..., order], atol=1e-3)
    np.testing.assert_allclose(run(1000 * lr) / 1000, run(lr), atol=1e-3)


def test_constant_bands_stay_constant():
    lr = cube(6)
    lr[..., 2] = 0.25
    np.testing.assert_allclose(run(lr)[..., 2], 0.25, atol=1e-5)
    flat = np.full((8, 8, 5), 0.5, np.float32)
    np.testing.assert_allclose(run(flat), 0.5, atol=1e-5)


def test_tiles_share_the_basis_of_their_scene():
    """The part of a scene with the scene's basis gives the scene's result, away from its edge."""
    lr = cube(8, side=64)
    whole = components.basis(lr.reshape(-1, 8), 32)
    variables = weights.anyband(SCALE) | {"scene": whole._asdict()}
    part = run(lr[:, :44], variables)
    np.testing.assert_allclose(part[:, :40], run(lr, variables)[:, :40], atol=2e-3)


def test_the_basis_is_that_of_the_compiled_function():
    lr = cube(30)
    ours, theirs = components.basis(lr.reshape(-1, 30), 4), components.basis_of(lr, 4)
    np.testing.assert_allclose(ours.deviations[:3], theirs.deviations[:3], rtol=1e-3)
    images = np.abs(ours.images(lr)[..., :3]) - np.abs(theirs.images(lr)[..., :3])
    assert np.abs(images).max() < 1e-2


def test_seen_by_the_sensor_again_it_is_its_input():
    """Back-projection leaves little of what the input does not say."""
    lr = cube(6, side=32)
    for name in sensor.KNOWN:
        sr = run(lr, degradation=name)
        down = sensor.matrix(32, SCALE, name, 0.3)
        again = np.einsum("ij,jkc,lk->ilc", down, sr, down)
        bicubic = np.einsum("ij,jkc,lk->ilc", down, batch(lr)["lms"][0], down)
        assert np.square(again - lr).mean() < 0.1 * np.square(bicubic - lr).mean()


def test_a_sensor_that_blurs_more_is_sharpened_more():
    lr = cube(6, side=32)
    detail = [np.square(run(lr, degradation="mtf", mtf=m) - batch(lr)["lms"][0]).mean()
              for m in (0.1, 0.3, 0.5)]  # fmt: skip
    assert detail[0] > detail[1] > detail[2]


def test_what_the_sensor_passes_is_its_transfer_function():
    passed = sensor.transfer(4, "mtf", 0.3)
    expected = [0.3 ** (f**2) for f in sensor.FREQUENCIES]
    np.testing.assert_allclose(passed, expected, atol=2e-3)


def test_in_training_it_is_told_what_its_options_say_otherwise():
    """A component image with a sensor's number and its noise, and the same as a scene's basis."""
    small = {"scale": SCALE, "features": 4, "blocks": 1}
    module, inputs = models.create("anyband", **small), batch(cube(1, side=16) - 0.5)
    shapes = jax.eval_shape(module.init, jax.random.key(0), inputs)
    rng = np.random.default_rng(0)
    variables = jax.tree.map(lambda x: rng.normal(0, 0.3, x.shape).astype(np.float32), shapes)
    noise, one = np.full(1, 0.1, np.float32), np.ones(1, np.float32)
    basis = {"mean": 0 * one, "vectors": one[:, None], "deviations": one, "noise": noise}
    train = jax.jit(lambda told: module.apply(variables, inputs | told, train=True)["sr"])
    found = []
    for number in (0, 1, 6):
        name, mtf = sensor.FAMILY[number]
        same = models.create("anyband", degradation=name, mtf=mtf, flips=1, **small)
        expected = jax.jit(same.apply)(variables | {"scene": basis}, inputs)["sr"]
        found.append(train({"sensor": np.array([number]), "noise": noise}))
        np.testing.assert_allclose(found[-1], expected, atol=2e-5)
    found.append(train({"sensor": np.array([0]), "noise": 0 * noise}))
    assert all(np.abs(x - found[0]).max() > 1e-3 for x in found[1:])


def test_an_untrained_network_is_a_back_projected_image():
    """Its last layer starts at zero, so that training starts at a good estimate."""
    module = models.create("anyband", scale=SCALE, features=8, blocks=1)
    inputs = batch(cube(5))
    variables = module.init(jax.random.key(0), inputs)
    tail = variables["params"]["trunk"][f"tail_x{SCALE}"]
    assert not any(np.any(x) for x in jax.tree.leaves(tail))
    assert not np.allclose(module.apply(variables, inputs)["sr"], inputs["lms"], atol=1e-4)


@pytest.mark.parametrize("scale", [2, 3, 4, 8])
def test_weights_fit_the_network(scale):
    card = packaged.load(scale).card
    shapes = jax.tree.map(lambda x: x.shape, card.spec.shapes()["params"])
    assert jax.tree.map(lambda x: x.shape, weights.anyband(scale)["params"]) == shapes
