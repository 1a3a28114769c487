"""Functions with hand-written gradients, against the same ones without, in every direction."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hsisr_jax.layers import norm, recurrent
from hsisr_jax.layers.adversarial import reverse_gradient
from hsisr_jax.ops import convolution, depthwise, series, xla


def unit(x):
    return x / jnp.linalg.norm(x, axis=0, keepdims=True)


PADS = ((1, 1), (1, 1))
# name: the function, the same without its gradient, the shapes of its arguments
CASES = {
    "convolution": (
        lambda x, k: convolution.convolve(x, k, padding=PADS),
        lambda x, k: xla.convolve(x, k, 1, PADS),
        [(2, 5, 4, 3), (3, 3, 3, 2)],
    ),
    "strided": (
        lambda x, k: convolution.convolve(x, k, stride=2, padding=PADS),
        lambda x, k: xla.convolve(x, k, 2, PADS),
        [(2, 5, 4, 3), (3, 3, 3, 2)],
    ),
    "wide": (  # Winograd's form
        lambda x, k: convolution.convolve(x, 0.02 * k, padding=PADS),
        lambda x, k: xla.convolve(x, 0.02 * k, 1, PADS),
        [(1, 3, 4, 64), (3, 3, 64, 64)],
    ),
    "depthwise": (
        depthwise.convolve_depthwise,
        depthwise._shifted_sum,
        [(2, 4, 3, 2), (3, 3, 2)],
    ),
    "series": (
        lambda q, k, v: series.series_attention(unit(q), unit(k), v),
        lambda q, k, v: series.full_attention(unit(q), unit(k), v),
        [(4, 3), (4, 3), (4, 3)],
    ),
    "lstm": (
        lambda x, *w: recurrent.lstm(x, w),
        lambda x, *w: recurrent._run(x, w)[0],
        [(3, 2, 2, 3), (2, 3, 8), (2, 2, 8), (2, 8)],
    ),
    "norm": (
        lambda x, *row: norm.normalise(x, *row, jnp.zeros((1, 1, 3)), 1e-5)[0],
        lambda x, scale, bias: (
            (x - x.mean(1, keepdims=True)) * jax.lax.rsqrt(x.var(1, keepdims=True) + 1e-5) * scale
            + bias
        ),
        [(2, 7, 3), (1, 1, 3), (1, 1, 3)],
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_all_derivatives_are_those_of_the_plain_form(name):
    function, plain, shapes = CASES[name]
    rng = np.random.default_rng(0)
    draw = lambda: tuple(jnp.float32(rng.uniform(0.1, 0.9, s)) for s in shapes)  # noqa: E731
    at, along, other = draw(), draw(), draw()

    @jax.jit
    def everything(at, along, other):
        def of(f):
            def loss(args):
                return jnp.sum(jnp.sin(3 * f(*args)))

            def gradient(args):
                return jax.grad(loss)(args)

            pair = jax.tree.map(lambda *x: jnp.stack(x), at, other)
            shared = (pair[0], *at[1:])  # only the first argument differs
            batched = (0, *[None] * (len(at) - 1))
            return {
                "jvp": jax.jvp(lambda a: f(*a), (at,), (along,))[1],
                "gradient": gradient(at),
                "forward over reverse": jax.jvp(gradient, (at,), (along,))[1],
                "reverse over forward": jax.grad(lambda a: jax.jvp(loss, (a,), (along,))[1])(at),
                "vmap of gradient": jax.vmap(gradient)(pair),
                "vmap of one": jax.vmap(gradient, in_axes=(batched,))(shared),
                "gradient of vmap": jax.grad(
                    lambda p: jax.vmap(lambda *a: loss(a), in_axes=batched)(*p).sum()
                )(shared),
                "checkpoint": jax.grad(jax.checkpoint(loss))(at),
            }

        return of(function), of(plain)

    found, expected = everything(at, along, other)
    for key, values in expected.items():
        for got, value in zip(jax.tree.leaves(found[key]), jax.tree.leaves(values)):
            size = np.abs(value).max()
            np.testing.assert_allclose(got, value, rtol=0, atol=1e-4 * size + 1e-6, err_msg=key)


def test_a_reversed_gradient_is_reversed_in_forward_mode_too():
    x, v = jnp.arange(3.0), jnp.ones(3)
    function = lambda x: jnp.sum(jnp.sin(reverse_gradient(x, 0.5)))  # noqa: E731
    np.testing.assert_allclose(jax.jvp(function, (x,), (v,))[1], -0.5 * jnp.cos(x).sum(), rtol=1e-6)
    # how the reversed gradient changes: the forward pass is the identity
    change = jax.jvp(jax.grad(function), (x,), (v,))[1]
    np.testing.assert_allclose(change, 0.5 * jnp.sin(x), rtol=1e-6)
