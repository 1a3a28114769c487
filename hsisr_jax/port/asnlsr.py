"""Names of A-SNLSR's weights: SNLSR's and those of one of the three domain discriminators."""

from flax import linen as nn

from hsisr_jax.errors import UserError
from hsisr_jax.port import snlsr
from hsisr_jax.port.engine import CONV1D, Entry, Table, batch_norm, conv, dense, weight_and_bias


def entries(module: nn.Module) -> list[Entry]:
    kind = module.discriminator
    if not isinstance(kind, str):
        raise UserError("the original's weights fit its own discriminators: name one of them")
    return [*snlsr.entries(module), *discriminator(kind, "discriminator/", "discriminator.")]


def discriminator(kind: str, ours: str = "", theirs: str = "") -> list[Entry]:
    """The table of one discriminator alone."""
    return TABLES[kind](ours, theirs)


def _conv2d(ours: str, theirs: str) -> list[Entry]:
    table = []
    for i, place in enumerate((1, 6)):  # reversal, then conv, norm, activation, pooling, dropout
        table += conv(f"{ours}conv_{i}", f"{theirs}cnn.{place}", bias=False)
        table += batch_norm(f"{ours}norm_{i}", f"{theirs}cnn.{place + 1}")
    return table + dense(f"{ours}guess", f"{theirs}cnn.13")


def _conv1d(ours: str, theirs: str) -> list[Entry]:
    layer = lambda path, key: weight_and_bias(path, key, CONV1D, bias=False)  # noqa: E731
    return _two_layers(ours, theirs, "conv", (1, 5), layer)


def _fc(ours: str, theirs: str) -> list[Entry]:
    layer = lambda path, key: dense(path, key, bias=False)  # noqa: E731
    return _two_layers(ours, theirs, "dense", (2, 6), layer)


def _two_layers(ours: str, theirs: str, name: str, places: tuple[int, int], layer) -> list[Entry]:
    table = []
    for i, place in enumerate(places):
        table += layer(f"{ours}{name}_{i}", f"{theirs}layers.{place}")
        table += batch_norm(f"{ours}norm_{i}", f"{theirs}layers.{place + 1}")
    return table + dense(f"{ours}guess", f"{theirs}layers.10")


TABLES = {"conv2d": _conv2d, "conv1d": _conv1d, "fc": _fc}


TABLE = Table(entries, widths={"bands": ("endmember.weight", 0)})
