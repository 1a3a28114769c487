"""Name tables of the blocks that SSPSR and SRLSGAT share (their `common.py`)."""

from hsisr_jax.layers.upsample import stages
from hsisr_jax.port.engine import CONV_AS_DENSE, Entry, batch_norm, conv, weight_and_bias


def channel_attention(path: str, key: str, *, first: int = 0) -> list[Entry]:
    """`key` names the sequence of layers, `first` the place of its first convolution."""
    return [
        *weight_and_bias(f"{path}/squeeze", f"{key}.{first}", CONV_AS_DENSE),
        *weight_and_bias(f"{path}/excite", f"{key}.{first + 2}", CONV_AS_DENSE),
    ]


def residual_block(
    path: str, key: str, *, norm: bool = False, attention: bool = False
) -> list[Entry]:
    """`ResBlock`, or `ResAttentionBlock` when `attention`; with batch normalisation when `norm`."""
    entries, place = [], 0
    for i in range(2):
        entries += conv(f"{path}/conv_{i}", f"{key}.body.{place}")
        if norm:
            entries += batch_norm(f"{path}/norm_{i}", f"{key}.body.{place + 1}")
        place += 1 + norm + (i == 0)  # the ReLU stands after the first half only
    if attention:
        entries += channel_attention(f"{path}/attention", f"{key}.body.{place}.conv_du")
    return entries


def upsampler(path: str, key: str, scale: int) -> list[Entry]:
    """A convolution and a shuffle for each factor: places 0, 2, 4 ... hold the weights."""
    return [
        entry
        for i in range(len(stages(scale)))
        for entry in conv(f"{path}/conv_{i}", f"{key}.{2 * i}")
    ]
