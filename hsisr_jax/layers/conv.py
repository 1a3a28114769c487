"""The convolution layers of every network: PyTorch's conventions, channels last.

An input of another type than the parameters (bfloat16, integers) is computed in the wider one.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from flax import linen as nn
from flax.linen.dtypes import promote_dtype

from hsisr_jax.layers.initializers import torch_uniform
from hsisr_jax.ops.convolution import convolve, convolve_transposed, linear
from hsisr_jax.ops.depthwise import convolve_depthwise


class Conv(nn.Module):
    """2-D convolution; `padding` is per side (default: `kernel_size // 2`).

    `mode` is `zeros` or `reflect`. The default initialiser is PyTorch's.
    """

    features: int
    kernel_size: int = 3
    stride: int = 1
    padding: int | None = None
    mode: str = "zeros"
    use_bias: bool = True
    kernel_init: Callable | None = None
    bias_init: Callable | None = None

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        k = self.kernel_size
        pad = k // 2 if self.padding is None else self.padding
        init = torch_uniform(k * k * x.shape[-1])
        kernel = self.param("kernel", self.kernel_init or init, (k, k, x.shape[-1], self.features))
        if self.mode == "reflect":
            x = jnp.pad(x, ((0, 0), (pad, pad), (pad, pad), (0, 0)), mode="reflect")
            pad = 0
        elif self.mode != "zeros":
            raise ValueError(f"mode must be 'zeros' or 'reflect', not {self.mode!r}")
        x, kernel = promote_dtype(x, kernel)
        y = convolve(x, kernel, stride=self.stride, padding=((pad, pad), (pad, pad)))
        if not self.use_bias:
            return y
        bias = self.param("bias", self.bias_init or init, (self.features,))
        return y + bias.reshape(1, 1, 1, -1)


class ConvTranspose(nn.Module):
    """2-D transposed convolution with PyTorch's sizes and default initialiser."""

    features: int
    kernel_size: int
    stride: int
    padding: int = 0
    output_padding: int = 0
    use_bias: bool = True

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        k = self.kernel_size
        init = torch_uniform(k * k * self.features)  # PyTorch takes fan-in from axis 1
        kernel = self.param("kernel", init, (k, k, x.shape[-1], self.features))
        y = convolve_transposed(
            x, kernel, stride=self.stride, padding=self.padding, output_padding=self.output_padding
        )
        if not self.use_bias:
            return y
        return y + self.param("bias", init, (self.features,)).reshape(1, 1, 1, -1)


class Dense(nn.Module):
    """Linear layer on the last axis with PyTorch's default initialiser."""

    features: int
    use_bias: bool = True
    kernel_init: Callable | None = None
    bias_init: Callable | None = None

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        init = torch_uniform(x.shape[-1])
        kernel = self.param("kernel", self.kernel_init or init, (x.shape[-1], self.features))
        y = linear(x, kernel)
        if not self.use_bias:
            return y
        bias = self.param("bias", self.bias_init or init, (self.features,))
        return y + bias.reshape((1,) * (y.ndim - 1) + (-1,))


class DepthwiseConv(nn.Module):
    """Depthwise convolution: one filter (of odd size) and one bias a channel, zero padding."""

    kernel_size: int = 3
    use_bias: bool = True

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        k, d = self.kernel_size, x.shape[-1]
        init = torch_uniform(k * k)
        y = convolve_depthwise(*promote_dtype(x, self.param("kernel", init, (k, k, d))))
        if not self.use_bias:
            return y
        return y + self.param("bias", init, (d,)).reshape(1, 1, 1, d)
