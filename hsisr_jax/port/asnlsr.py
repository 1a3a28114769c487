"""Names of A-SNLSR's weights: SNLSR's and those of one of the three domain discriminators."""

from collections.abc import Callable
from functools import partial

from flax import linen as nn

from hsisr_jax.errors import UserError
from hsisr_jax.port import snlsr
from hsisr_jax.port.engine import CONV1D, Entry, Table, batch_norm, conv, dense, weight_and_bias


def entries(module: nn.Module) -> list[Entry]:
    kind = module.discriminator
    if not isinstance(kind, str):
        raise UserError("the original's weights fit its own discriminators: name one of them")
    return [*snlsr.entries(module), *discriminator(kind, "discriminator/", "discriminator.")]


# of a discriminator: our name of a layer, its entries, their name and places, that of the last one
LAYERS: dict[str, tuple[str, Callable[..., list[Entry]], str, tuple[int, ...], int]] = {
    # reversal, then conv, norm, activation, pooling, dropout
    "conv2d": ("conv", conv, "cnn", (1, 6), 13),
    "conv1d": ("conv", partial(weight_and_bias, layout=CONV1D), "layers", (1, 5), 10),
    "fc": ("dense", dense, "layers", (2, 6), 10),
}


def discriminator(kind: str, ours: str = "", theirs: str = "") -> list[Entry]:
    """The table of one discriminator alone."""
    name, layer, within, places, last = LAYERS[kind]
    table = []
    for i, place in enumerate(places):
        table += layer(f"{ours}{name}_{i}", f"{theirs}{within}.{place}", bias=False)
        table += batch_norm(f"{ours}norm_{i}", f"{theirs}{within}.{place + 1}")
    return table + dense(f"{ours}guess", f"{theirs}{within}.{last}")


TABLE = Table(entries, widths={"bands": ("endmember.weight", 0)})
