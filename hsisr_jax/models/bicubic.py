"""Bicubic upsampling, the baseline without parameters, in MATLAB's or PyTorch's convention."""

from flax import linen as nn

from hsisr_jax import resize
from hsisr_jax.errors import UserError
from hsisr_jax.models.network import Network


class Bicubic(nn.Module):
    """`kernel="matlab"` is `imresize` (a = -0.5), `"torch"` is `interpolate` (a = -0.75)."""

    scale: int = 2
    kernel: str = "matlab"

    def __call__(self, batch: dict, *, train: bool = False) -> dict:
        lr = batch["lr"]
        if self.kernel == "matlab":
            return {"sr": resize.imresize(lr, self.scale)}
        if self.kernel == "torch":
            size = self.scale * lr.shape[-3], self.scale * lr.shape[-2]
            return {"sr": resize.interpolate(lr, size)}
        raise UserError(f"unknown kernel {self.kernel!r}: use 'matlab' or 'torch'")


NETWORK = Network("bicubic", Bicubic, whole="")
