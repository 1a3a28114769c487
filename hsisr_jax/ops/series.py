"""Channel-by-channel attention of unit vectors as a power series.

SNLSR attends between the channels of one pixel: `out_i = sum_j exp(q_i k_j) v_j / sum_j exp(q_i
k_j)`, a `d x d` matrix for every pixel. Here q and k have unit length, so `|q_i k_j| <= 1` and a
few terms of the exponential series give it to the last bit of float32:

    sum_j exp(q_i k_j) v_j = sum_n q_i^n / n! * M_n,    M_n = sum_j k_j^n v_j

The moments `M_n` are one number per pixel: no `d x d` matrix is made, and the gradients are again
such series. With `TERMS` terms the remainder is below `2.8e-8 * max|v| / d`, its derivative's below
`3e-7 * max|v| / d` (beyond the first two powers, the sum of `|k_j|^n` of a unit vector is at most
one). It holds only while q and k are normalised.

The weights are nearly equal, so the output is nearly the mean of v, and its gradients are small
differences of large sums. Hence the mean is taken off v before the sums and put back after them.

Arrays are `d p`, channels first: sums over channels and sums over neighbouring pixels then run
along whole vectors of pixels.
"""

import jax
import jax.numpy as jnp
from jax import lax

from hsisr_jax.ops.derivatives import with_gradient
from hsisr_jax.ops.platforms import platform

TERMS = 11


def full_attention(q: jax.Array, k: jax.Array, v: jax.Array) -> jax.Array:
    """The same with the whole matrix: any q and k, `d * d` numbers for every pixel."""
    weights = jax.nn.softmax(q.T[:, :, None] * k.T[:, None, :], axis=-1)  # p i j
    return jnp.einsum("pij,jp->ip", weights, v, precision=lax.Precision.HIGHEST)


def _forward(q, k, v):
    mean = v.mean(0, keepdims=True)  # 1 p
    powers, values = _moments(k, (jnp.ones_like(k), v - mean))
    change = _polynomial(q, values) / _polynomial(q, powers)
    return mean + change, (q, k, v - mean, change, powers, values)


def _backward(residuals, gradient):
    q, k, v, out, powers, values = residuals
    a = gradient / _polynomial(q, powers)
    b = -a * out
    a_moments, b_moments = _moments(q, (a, b))
    dq = a * _polynomial(q, values[1:]) + b * _polynomial(q, powers[1:])
    dk = v * _polynomial(k, a_moments[1:]) + _polynomial(k, b_moments[1:])
    return dq, dk, _polynomial(k, a_moments)


# a constant in v moves the output by itself, so the residuals' centred v has the same tangents
@with_gradient(_forward, _backward, point=lambda residuals: residuals[:3])
def series_attention(q: jax.Array, k: jax.Array, v: jax.Array) -> jax.Array:
    """Softmax over `j` of `q[i, p] * k[j, p]`, applied to `v[j, p]`; all float32 `d p`."""
    return _forward(q, k, v)[0]


def _moments(x: jax.Array, weights: tuple[jax.Array, ...]) -> list[tuple[jax.Array, ...]]:
    """Sums over channels of `x^n * weight`, `n < TERMS`, for each weight, all in one pass."""
    operands = list(weights)
    power = x
    for n in range(1, TERMS):
        operands += [power * weight for weight in weights]
        power = power * x if n < TERMS - 1 else power
    sums = _sums(*operands)
    return [sums[i :: len(weights)] for i in range(len(weights))]


@jax.custom_jvp
def _sums(*operands: jax.Array) -> list[jax.Array]:
    """Over the first axis of each."""
    if platform() == "gpu":  # so many sums in one kernel need more shared memory than there is
        return [operand.sum(0) for operand in operands]
    zeros = [jnp.zeros((), operands[0].dtype)] * len(operands)
    return list(lax.reduce(list(operands), zeros, lambda a, b: [x + y for x, y in zip(a, b)], (0,)))


@_sums.defjvp
def _sums_of_tangents(primals, tangents):
    """One by one: JAX has no transpose of several at once."""
    return _sums(*primals), [tangent.sum(0) for tangent in tangents]


def _polynomial(x: jax.Array, moments: tuple[jax.Array, ...]) -> jax.Array:
    """`sum_n x^n moments_n / n!` by Horner's rule; a moment is `p`, the result `d p`."""
    y = jnp.broadcast_to(moments[-1][None], x.shape)
    for n in range(len(moments) - 1, 0, -1):
        y = y * (x * (1 / n)) + moments[n - 1][None]
    return y
