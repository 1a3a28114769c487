"""Back-projection gives the input back; with kept angles it moves brightness alone."""

import jax
import numpy as np
import pytest

from hsisr_jax import degrade, resize
from hsisr_jax.data.batches import Recipe
from hsisr_jax.data.normalise import Normaliser
from hsisr_jax.data.scenes import Scene
from hsisr_jax.errors import UserError
from hsisr_jax.inference.baselines import back_projected, projects
from hsisr_jax.inference.evaluate import Protocol, evaluate
from hsisr_jax.inference.projection import BANDS_AT_ONCE, back_project
from hsisr_jax.layers.back_projection import along, held


@pytest.fixture(scope="module")
def seen():
    """A rough cube with more bands than are worked on at once, and what its sensor saw."""
    hr = np.random.default_rng(0).random((16, 24, BANDS_AT_ONCE + 3), np.float32)
    observe = degrade.create("bicubic", scale=2).observe
    return hr, np.asarray(observe(hr)["lr"]), observe


def residue(sr, lr, observe):
    return float(np.abs(np.asarray(observe(sr)["lr"]) - lr).max())


def test_rounds_bring_the_estimate_to_the_input(seen):
    hr, lr, observe = seen
    start = np.asarray(resize.imresize(lr, 2))
    left = [
        residue(back_project(start, lr, observe, scale=2, rounds=n), lr, observe) for n in (0, 1, 4)
    ]
    assert left[1] < 0.6 * left[0] and left[2] < 0.6 * left[1]
    error = [
        np.square(back_project(start, lr, observe, scale=2, rounds=n) - hr).mean() for n in (0, 4)
    ]
    assert error[1] < error[0]


def test_what_gives_the_input_back_stays(seen):
    hr, lr, observe = seen
    np.testing.assert_allclose(back_project(hr, lr, observe, scale=2, rounds=3), hr, atol=1e-5)


def test_kept_angles_change_brightness_alone(seen):
    hr, lr, observe = seen
    start = np.asarray(resize.imresize(lr, 2))
    found = back_project(start, lr, observe, scale=2, rounds=2, dark=np.inf)
    cosine = (found * start).sum(-1) / np.linalg.norm(found, axis=-1)
    np.testing.assert_allclose(cosine, np.linalg.norm(start, axis=-1), rtol=1e-5)
    free = back_project(start, lr, observe, scale=2, rounds=2)
    assert np.square(free - found).sum() < np.square(free - start).sum()  # the nearest such cube


def test_dark_pixels_keep_their_direction_and_bright_ones_do_not():
    x = np.array([[0.1, 0.1], [0.3, 0.3], [0.5, 0.5]])  # rms 0.1, 0.3, 0.5
    moved = x + [[0.2, 0.0]]
    found = held(x, moved, 0.2, np)
    np.testing.assert_allclose(found, [[0.2, 0.2], [0.45, 0.35], [0.7, 0.5]])
    np.testing.assert_array_equal(held(x, moved, 0.0, np), moved)


def test_along_never_turns_a_spectrum_round():
    direction = np.array([[1.0, 0.0], [0.0, 0.0], [1.0, 1.0]])
    x = np.array([[-1.0, 2.0], [3.0, 3.0], [1.0, 3.0]])
    np.testing.assert_allclose(along(direction, x, np), [[0, 0], [0, 0], [2, 2]])


def test_evaluation_projects_when_asked(seen):
    """The observation model is the recipe's, here a Gaussian's."""
    hr = seen[0]
    recipe = Recipe(degrade.create("gaussian", scale=2), scale=2)
    scene = Scene("s", {"hr": hr}, Normaliser())
    apply = jax.jit(lambda variables, inputs: {"sr": inputs["lms"]})
    scores = {
        rounds: evaluate(
            apply, {}, [scene], recipe, Protocol(ratio=2, projection=rounds, dark=np.inf)
        ).means("test")
        for rounds in (0, 2)
    }
    assert scores[2]["MPSNR"] > scores[0]["MPSNR"]
    assert scores[2]["SAM"] == pytest.approx(scores[0]["SAM"], rel=1e-4)


def test_logarithms_cannot_be_projected():
    with pytest.raises(UserError, match="projection"):
        _ = Recipe(degrade.create("bicubic", scale=2), scale=2, floor=1e-4).observation
    with pytest.raises(UserError, match="projection"):
        _ = Recipe(None).observation


def test_the_baseline_without_a_network(seen):
    hr, lr, observe = seen
    recipe = Recipe(degrade.create("bicubic", scale=2), scale=2)
    batch = {"lr": lr[None], "lms": np.asarray(resize.imresize(lr, 2))[None]}
    found = back_projected(recipe, rounds=2, dark=0.0)(batch)
    assert residue(found, lr, observe) < 0.5 * residue(batch["lms"][0], lr, observe)
    spectral = degrade.create("spectral", scale=1, response=np.eye(4))
    assert projects(recipe) and not projects(Recipe(recipe.degrade, scale=2, floor=1e-4))
    assert not projects(Recipe(None)) and not projects(Recipe(spectral))
