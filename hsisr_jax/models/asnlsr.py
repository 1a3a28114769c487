"""A-SNLSR: SNLSR with adversarial alignment of the abundances of two spectral domains.

A discriminator predicts the domain of an abundance map; a gradient reversal between the two trains
the encoder to make that impossible. High-resolution targets of the source domain (0) then
serve the target domain as well. The losses are in `losses.create("asnlsr")`.

The parameters of the discriminator are those under `discriminator`; everything else at the top is
the generator, named as in `SNLSR`, whose weights it can start from. The published code has the
reversal's strength fixed at 0.01; here the batch may hold another one (`reversal`, a scalar), so
that it can grow during training.
"""

import dataclasses

from flax import linen as nn

from hsisr_jax.errors import UserError
from hsisr_jax.layers.adversarial import DISCRIMINATORS, reverse_gradient
from hsisr_jax.models import snlsr
from hsisr_jax.models.network import lr_of
from hsisr_jax.models.snlsr import SNLSR


class AdversarialSNLSR(SNLSR):
    """SNLSR's outputs and `domain_logits`, `b h w k`."""

    domains: int = 2
    discriminator: str | nn.Module = "conv2d"  # "conv1d", "fc", or a module `b h w m` -> `b h w k`
    discriminator_features: int | None = None  # 16 for conv2d, else 8, when None
    reversal: float = 0.01
    norm_groups: int = 1  # parts of a batch that the discriminator normalises each on its own

    @nn.compact
    def __call__(self, batch: dict, *, train: bool = False) -> dict:
        out = self._super_resolve(lr_of(batch, "asnlsr"))
        strength = batch.get("reversal", self.reversal)
        abundance = reverse_gradient(out["abundance"], strength)
        return {**out, "domain_logits": self.make_discriminator()(abundance, train=train)}

    @nn.nowrap
    def make_discriminator(self) -> nn.Module:
        """The discriminator, which outside of a call can be applied on its own."""
        kind = self.discriminator
        if isinstance(kind, nn.Module):
            return kind
        if kind not in DISCRIMINATORS:
            known = ", ".join(DISCRIMINATORS)
            raise UserError(f"unknown discriminator {kind!r}: known are {known}")
        width = self.discriminator_features
        options = {"norm_groups": self.norm_groups} | ({} if width is None else {"features": width})
        return DISCRIMINATORS[kind](domains=self.domains, name="discriminator", **options)


NETWORK = dataclasses.replace(
    snlsr.NETWORK,
    name="asnlsr",
    build=AdversarialSNLSR,
    discriminator=lambda asnlsr: asnlsr.make_discriminator(),
)
