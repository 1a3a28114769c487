"""Metrics with a guide image against a published toolbox's own numbers (see `guided_golden.py`)."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from guided_golden import FILE, RATIOS, images

from hsisr_jax import metrics
from hsisr_jax.errors import UserError

GOLDEN = json.loads(FILE.read_text())


def close(value, expected, rtol=2e-5):
    np.testing.assert_allclose(value, expected, rtol=rtol, atol=2e-6)


@pytest.mark.parametrize("ratio", RATIOS)
def test_the_toolbox_has_the_same_numbers(ratio):
    given, golden = images(ratio), GOLDEN[str(ratio)]
    sharp, ms, guide = (given[key].astype(np.float32) for key in ("sharp", "ms", "guide"))
    close(metrics.d_lambda(sharp, ms), golden["d_lambda"])
    close(metrics.d_lambda(sharp, ms, exponent=2), golden["d_lambda_p2"])
    close(metrics.d_s(sharp, ms, guide), golden["d_s"])
    close(metrics.qnr(sharp, ms, guide), golden["qnr"])
    options = {"size": 16, "p": 2, "q": 2, "alpha": 0.5}
    close(metrics.qnr(sharp, ms, guide, **options), golden["qnr_exponents"])
    close(metrics.hqnr(sharp, ms, guide[..., None]), golden["hqnr"])
    paper = {"protocol": "paper"}
    close(metrics.d_lambda(sharp, ms, **paper), golden["paper_d_lambda"])
    close(metrics.d_s(sharp, ms, guide, **paper), golden["paper_d_s"])


@pytest.mark.parametrize("ratio", RATIOS)
def test_q2n_is_the_toolboxes(ratio):
    from hsisr_jax.metrics.guided import _upsampled

    given, golden = images(ratio), GOLDEN[str(ratio)]
    sharp = given["sharp"].astype(np.float32)
    up = np.asarray(_upsampled(jnp.asarray(given["ms"], jnp.float32), ratio, "interp23"))
    close(metrics.q2n(sharp, up, integers=True), golden["q2n"])
    cut = np.s_[:61, :50]
    close(metrics.q2n(sharp[cut], up[cut], size=16, shift=8, integers=True),
          golden["q2n_overlapping"])  # fmt: skip
    close(metrics.q2n(sharp[..., :4], up[..., :4], integers=True), golden["q2n_four_bands"])
    close(metrics.q2n(sharp / 2047, up / 2047), golden["unrounded_q2n"])


def test_an_upsampled_image_and_a_batch_give_the_same():
    given = images(4)
    sharp, ms, guide = (given[key].astype(np.float32) for key in ("sharp", "ms", "guide"))
    up = np.asarray(jax.image.resize(ms, sharp.shape, "linear"))
    pair = [np.stack([x, x[::-1]]) for x in (sharp, up, guide)]
    batch = metrics.hqnr(*pair, ratio=4)
    assert batch.shape == (2,)
    close(batch[0], metrics.hqnr(sharp, up, guide, ratio=4))
    assert float(metrics.hqnr(sharp, up, guide, ratio=4, mtf=[0.2, 0.3, 0.3, 0.4, 0.3])) < 1


def test_perfect_and_degenerate_images_are_finite():
    rng = np.random.default_rng(0)
    x = rng.random((32, 32, 6)).astype(np.float32)
    x[..., 1], x[..., 2] = 0.5, 0  # a constant band and an empty one
    close(metrics.q2n(x, x), 1)
    close(metrics.d_lambda(x, x), 0)
    assert np.isfinite(metrics.q2n(x, x + 0.01)) and float(metrics.q2n(x, x + 0.01)) < 1
    ms, guide = x.reshape(16, 2, 16, 2, 6).mean((1, 3)), x[..., 0]
    for score in (metrics.d_lambda, metrics.hqnr):
        more = (guide,) if score is metrics.hqnr else ()
        value, slope = jax.value_and_grad(score)(x, ms, *more)
        assert np.isfinite(slope).all() and np.isfinite(value)


def test_better_images_score_better():
    given = images(4)
    sharp, ms, guide = (given[key].astype(np.float32) for key in ("sharp", "ms", "guide"))
    noise = np.random.default_rng(1).normal(size=sharp.shape).astype(np.float32)
    scores = [float(metrics.hqnr(sharp + k * noise, ms, guide)) for k in (0, 60, 240)]
    assert scores == sorted(scores, reverse=True)
    assert float(metrics.q2n(sharp, sharp + noise)) > float(metrics.q2n(sharp, sharp + 50 * noise))


@pytest.mark.parametrize(
    "call, words",
    [
        (lambda x: metrics.d_s(x, x, x[..., 0]), "ratio=4"),
        (lambda x: metrics.d_s(x, x[::2, ::2], x), "one band"),
        (lambda x: metrics.d_s(x, x[::3, ::2], x[..., 0]), "whole scale"),
        (lambda x: metrics.d_lambda(x, x[..., :2]), "same bands"),
        (lambda x: metrics.d_lambda(x, x, protocol="paper"), "not upsampled"),
        (lambda x: metrics.d_lambda(x, x, protocol="matlab"), "toolbox, paper"),
        (lambda x: metrics.d_lambda(x, x, interpolation="cubic"), "interp23, bicubic"),
        (lambda x: metrics.d_lambda(x, x, size=64), "64 pixels"),
        (lambda x: metrics.d_lambda(x[:45, :45], x[:15, :15]), "powers of 2"),
        (lambda x: metrics.hqnr(x, x, x[..., 0], ratio=4, mtf=1.5), "between 0 and 1"),
        (lambda x: metrics.q2n(x[:10], x[:10]), "16 pixels"),
    ],
)
def test_a_wrong_argument_is_a_clear_error(call, words):
    with pytest.raises(UserError, match=words):
        call(np.ones((48, 48, 3), np.float32))
