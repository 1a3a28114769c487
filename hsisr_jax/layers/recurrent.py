"""Recurrent layers over the rows and columns of a feature map.

SRLSGAT's vertical-horizontal BiLSTM. The cell is our own because PyTorch's has two biases: they add
up, but both receive the gradient, so a cell with one learns at half the speed and cannot be
exported. A map need not be square (the published code takes the root of the number of tokens).
"""

import jax
import jax.numpy as jnp
from flax import linen as nn

from hsisr_jax.layers.conv import Dense
from hsisr_jax.layers.initializers import xavier_normal
from hsisr_jax.ops.derivatives import with_gradient

# of input `k c 4d`, of state `k d 4d`, bias `k 4d`
Weights = tuple[jax.Array, jax.Array, jax.Array]


class LSTMCell(nn.Module):
    """One step of `k` independent LSTMs side by side; gates in PyTorch's order i, f, g, o."""

    def __call__(self, carry, x: jax.Array, weights: Weights):
        of_input, of_state, bias = weights
        state, memory = carry  # k m d each
        # the product with the input could leave the loop; on a CPU that is slower
        gates = x @ of_input + state @ of_state + bias[:, None]  # k m 4d
        i, f, g, o = jnp.split(gates.astype(jnp.float32), 4, axis=-1)
        i, f, g, o = nn.sigmoid(i), nn.sigmoid(f), jnp.tanh(g), nn.sigmoid(o)
        memory = f * memory + i * g
        state = (o * jnp.tanh(memory)).astype(x.dtype)
        return (state, memory), (state, memory, (i, f, g, o))


def _run(x: jax.Array, weights: Weights) -> tuple[jax.Array, jax.Array, jax.Array]:
    state = jnp.zeros((*x.shape[1:3], weights[1].shape[1]), x.dtype)
    scan = nn.scan(LSTMCell, in_axes=(0, nn.broadcast))()
    return scan.apply({}, (state, state.astype(jnp.float32)), x, weights)[1]


def _forward(x: jax.Array, weights: Weights):
    states, memories, gates = _run(x, weights)
    return states, (x, weights, states, memories, gates)


def _backward(residuals, dy: jax.Array):
    """Only what depends on the next step stays in the loop: the weights' gradients are one product
    over all steps, where autodiff's loop would add to them in memory at every step."""
    x, (of_input, of_state, bias), states, memories, gates = residuals

    turned = jax.lax.optimization_barrier(of_state.swapaxes(1, 2))  # once, not at every step

    def step(carry, at):
        dstate, dmemory = carry
        dy, memory, before, (i, f, g, o) = at
        dstate, bent = dstate.astype(jnp.float32) + dy, jnp.tanh(memory)
        dmemory = dmemory + dstate * o * (1 - bent * bent)
        into = (dmemory * g * i * (1 - i), dmemory * before * f * (1 - f),
                dmemory * i * (1 - g * g), dstate * bent * o * (1 - o))  # fmt: skip
        dgates = jnp.concatenate(into, -1).astype(x.dtype)  # k m 4d
        return (dgates @ turned, dmemory * f), dgates

    nothing = jnp.zeros_like(memories[0])
    seen = dy, memories, _before(memories), gates
    _, dgates = jax.lax.scan(step, (nothing.astype(x.dtype), nothing), seen, reverse=True)
    dx = dgates @ of_input.swapaxes(1, 2)
    d_input, d_state = _products(x, dgates), _products(_before(states), dgates)
    return dx, (d_input, d_state, dgates.sum((0, 2)).astype(bias.dtype))


def _products(x: jax.Array, dy: jax.Array) -> jax.Array:
    """`t k m c` and `t k m g` -> `k c g`; steps and pixels stay apart, as pixels may be sharded."""
    return jnp.einsum("tkmc,tkmg->kcg", x, dy)


def _before(x: jax.Array) -> jax.Array:
    """The state before every step: zero at first."""
    return jnp.concatenate([jnp.zeros_like(x[:1]), x[:-1]])


@with_gradient(_forward, _backward, point=lambda residuals: residuals[:2])
def lstm(x: jax.Array, weights: Weights) -> jax.Array:
    """States of `k` LSTMs over `t k m c`, from zero: `t k m d`."""
    return _run(x, weights)[0]


class BiLSTM2D(nn.Module):
    """BiLSTMs along the columns and along the rows of `b h w d`, joined by a linear layer.

    The paper's spectral attention mechanism (SpeAM). On square maps the four directions run as one
    scan of batched products, otherwise as two scans of two directions.
    """

    features: int

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        weights = self._weights(x.shape[-1])
        down = x.transpose(1, 0, 2, 3)  # h b w d: steps first
        right = x.transpose(2, 0, 1, 3)  # w b h d
        if x.shape[1] == x.shape[2]:
            outputs = self._scan([down, down[::-1], right, right[::-1]], weights)
        else:
            outputs = self._scan([down, down[::-1]], jax.tree.map(lambda w: w[:2], weights))
            outputs += self._scan([right, right[::-1]], jax.tree.map(lambda w: w[2:], weights))
        y = [
            outputs[0].transpose(1, 0, 2, 3),
            outputs[1][::-1].transpose(1, 0, 2, 3),
            outputs[2].transpose(1, 2, 0, 3),
            outputs[3][::-1].transpose(1, 2, 0, 3),
        ]
        y = jnp.concatenate(y, -1)  # b h w 4d
        return Dense(
            self.features, kernel_init=xavier_normal, bias_init=nn.initializers.zeros, name="join"
        )(y)

    def _weights(self, inputs: int) -> Weights:
        """Down, up, right, left: Glorot normal kernels and zero biases."""
        gates = 4 * self.features
        kernel_ih = self.param("kernel_ih", xavier_normal, (4, inputs, gates))
        kernel_hh = self.param("kernel_hh", xavier_normal, (4, self.features, gates))
        bias_ih = self.param("bias_ih", nn.initializers.zeros, (4, gates))
        bias_hh = self.param("bias_hh", nn.initializers.zeros, (4, gates))
        return kernel_ih, kernel_hh, bias_ih + bias_hh

    def _scan(self, sequences: list[jax.Array], weights: Weights) -> list[jax.Array]:
        """Runs equally long sequences `t b n d` together, each with its own weights."""
        steps, b, n, _ = sequences[0].shape
        x = jnp.stack(sequences, 1).reshape(steps, len(sequences), b * n, -1)  # t k m d
        y = lstm(x, weights)
        return [y[:, k].reshape(steps, b, n, -1) for k in range(len(sequences))]
