"""Networks trained side by side, each on its own part of a batch; the estimate is their mean.

Lakshminarayanan, Pritzel and Blundell, "Simple and Scalable Predictive Uncertainty Estimation using
Deep Ensembles", NeurIPS 2017. The standard deviation
of their outputs, `spread`, indicates where the estimate is uncertain.
"""

import jax
import jax.numpy as jnp
from flax import linen as nn

from hsisr_jax.errors import UserError


class Ensemble(nn.Module):
    """`members` copies of a network from different starts; every parameter gets a first axis.

    In training each gets a part of the batch, and outputs are put back in the batch's order, so
    losses and steps are unaffected. They run one after the other, with the memory of one.
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
        """Reshapes arrays `b ...` to `n b/n ...`, in turns, so that shards stay in place."""
        n = self.members

        def deal(x: jax.Array) -> jax.Array:
            if len(x) % n:
                raise UserError(
                    f"a batch of {len(x)} cannot be dealt out among {n} networks: set "
                    f"config.batch_size to a multiple of {n}, or config.members"
                )
            return x.reshape(-1, n, *x.shape[1:]).swapaxes(0, 1)

        return {name: deal(x) for name, x in batch.items()}
