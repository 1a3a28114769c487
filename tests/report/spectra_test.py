"""Packed cubes decode to what the page claims."""

import zlib

import numpy as np
import pytest
from report_workdirs import blurred, scene

from hsisr_jax.report import spectra


def decoded(group, key):
    """The cube as the page shows it, after quantisation."""
    cube = group.cubes[key]
    planes = np.frombuffer(zlib.decompress(cube.data), np.uint8)
    planes = planes.reshape(-1, 2, cube.height, cube.width).astype(np.uint16)
    zigzag = planes[:, 0] | planes[:, 1] << 8
    scores = (zigzag >> 1).astype(np.int16) ^ -(zigzag & 1).astype(np.int16)
    for index, predicted in enumerate(cube.predicted):
        if predicted:
            scores[index] = np.cumsum(scores[index], axis=1, dtype=np.int16)
    return group.mean + np.einsum("khw,kc->hwc", scores * np.float32(group.step), group.basis)


@pytest.fixture(scope="module")
def cubes():
    truth, _ = scene(40, 48, 24)
    return {"truth": truth, "bicubic": blurred(truth, 4)}


def test_stated_errors_are_the_errors_of_the_decoded_cubes(cubes):
    group = spectra.pack(cubes, budget=1e9)
    for key, cube in cubes.items():
        error = decoded(group, key) - cube
        packed = group.cubes[key]
        np.testing.assert_allclose(np.sqrt(np.mean(error**2)), packed.rms, rtol=1e-3)
        np.testing.assert_allclose(np.abs(error).max(), packed.worst, rtol=1e-2)
        assert packed.rms < 1e-3 * group.span


def test_smaller_budgets_make_smaller_pages_and_larger_errors(cubes):
    fine, coarse = (spectra.pack(cubes, budget=budget) for budget in (1e9, 12_000))
    sizes = [sum(len(c.data) for c in group.cubes.values()) for group in (fine, coarse)]
    assert sizes[1] < 1.15 * 12_000 < sizes[0]
    assert coarse.cubes["truth"].rms > fine.cubes["truth"].rms
    assert coarse.cubes["truth"].rms < 0.05 * coarse.span


def test_a_noiseless_mixture_needs_as_few_components_as_it_has_materials():
    rng = np.random.default_rng(0)
    cube = rng.dirichlet(np.ones(4), (30, 30)) @ rng.random((4, 50))
    group = spectra.pack({"a": cube}, budget=1e9)
    assert len(group.basis) == 3  # abundances sum to one
    assert group.cubes["a"].worst < 5e-3 * group.span


@pytest.mark.parametrize(
    "cube",
    [
        np.random.default_rng(0).random((5, 7, 1)),
        np.full((4, 6, 3), 0.25),
        (np.arange(6 * 5 * 4).reshape(6, 5, 4) * 500).astype(np.uint16),
        np.where(np.arange(400).reshape(10, 10, 4) == 77, 1e6, 1.0).astype(np.float32),
    ],
    ids=["one band", "constant", "uint16", "outlier"],
)
def test_unusual_cubes(cube):
    group = spectra.pack({"a": cube}, budget=1e9)
    error = np.abs(decoded(group, "a") - cube)
    assert error.max() <= 2e-3 * max(np.ptp(cube.astype(np.float64)), 1.0)


def test_differences_that_wrap_round_decode():
    scores = np.array([[-32_000, 32_000, -31_000]], np.int16)[..., None]
    data, predicted = spectra._deflate(scores)
    group = spectra.Group(
        np.zeros(1, np.float32),
        np.ones((1, 1), np.float32),
        1.0,
        1.0,
        {"a": spectra.Packed(1, 3, data, predicted, 0.0, 0.0)},
    )
    np.testing.assert_array_equal(decoded(group, "a"), scores.astype(np.float32))
    forced = spectra.Packed(1, 3, _predict(scores), (True,), 0.0, 0.0)
    group = spectra.Group(group.mean, group.basis, 1.0, 1.0, {"a": forced})
    np.testing.assert_array_equal(decoded(group, "a"), scores.astype(np.float32))


def _predict(scores: np.ndarray) -> bytes:
    import zlib

    change = scores[..., 0].copy()
    change[:, 1:] -= scores[:, :-1, 0]
    zigzag = ((change.astype(np.int32) << 1) ^ (change.astype(np.int32) >> 15)) & 0xFFFF
    return zlib.compress(bytes((zigzag & 255).ravel().tolist() + (zigzag >> 8).ravel().tolist()))
