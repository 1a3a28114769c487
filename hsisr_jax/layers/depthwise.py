"""The depthwise convolution layer: PyTorch's `Conv2d(d, d, k, padding=k // 2, groups=d)`."""

import jax
from flax import linen as nn

from hsisr_jax.layers.initializers import torch_uniform
from hsisr_jax.ops.depthwise import convolve_depthwise


class DepthwiseConv(nn.Module):
    """One `kernel_size` x `kernel_size` filter (odd) and one bias per channel, zero padding."""

    kernel_size: int = 3
    use_bias: bool = True

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        k, d = self.kernel_size, x.shape[-1]
        init = torch_uniform(k * k)
        y = convolve_depthwise(x, self.param("kernel", init, (k, k, d)))
        if not self.use_bias:
            return y
        return y + self.param("bias", init, (d,)).reshape(1, 1, 1, d)
