"""Networks side by side: each learns from its own part of a batch, their mean is the estimate.

Lakshminarayanan, Pritzel and Blundell, "Simple and Scalable Predictive Uncertainty Estimation using
Deep Ensembles", NeurIPS 2017. What one start learns by accident the others do not, and where they
disagree the estimate is not to be trusted: `spread` is that map.
"""

import jax
import jax.numpy as jnp
from flax import linen as nn

from hsisr_jax.errors import UserError


def bare(module: nn.Module) -> nn.Module:
    """The network inside wrappers."""
    while inner := getattr(module, "network", None) or getattr(module, "member", None):
        module = inner
    return module


class Ensemble(nn.Module):
    """`members` copies of a network from different starts; every parameter gets a first axis.

    In training the batch is dealt out among them and their outputs are put back in its order, so
    that losses and steps know nothing of it. One after the other: the memory of one at a time.
    """

    member: nn.Module
    members: int

    @nn.compact
    def __call__(self, batch: dict, *, train: bool = False) -> dict:
        axes = {name: 0 for name in ("params", "batch_stats", "constants", "intermediates")}
        run = nn.scan(
            lambda network, _, hand: ((), network(hand if train else batch, train=train)),
            variable_axes=axes,
            split_rngs={"params": True, "dropout": True},
            length=self.members,
        )
        _, outs = run(self.member, (), self.dealt(batch) if train else None)  # n b/n ... or n b ...
        if train:
            return jax.tree.map(lambda x: x.swapaxes(0, 1).reshape(-1, *x.shape[2:]), outs)
        mean = jax.tree.map(lambda x: x.mean(0), outs)
        return mean | {"spread": jnp.std(outs["sr"], axis=0)}

    def dealt(self, batch: dict) -> dict:
        """Every array `b ...` as `n b/n ...`, like cards: a sharded batch stays where it is."""
        n = self.members

        def deal(x: jax.Array) -> jax.Array:
            if len(x) % n:
                raise UserError(
                    f"a batch of {len(x)} cannot be dealt out among {n} networks: set "
                    f"config.batch_size to a multiple of {n}, or config.members"
                )
            return x.reshape(-1, n, *x.shape[1:]).swapaxes(0, 1)

        return {name: deal(x) for name, x in batch.items()}
