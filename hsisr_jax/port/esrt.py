"""Names of A-SNLSR's `models/esrt.py`, class `ESRT`, as its wrapper `ESRTNetwork` stores them."""

from flax import linen as nn

from hsisr_jax.port.blocks import channel_attention, upsampler
from hsisr_jax.port.engine import Entry, Table, conv, dense, layer_norm


def entries(module: nn.Module) -> list[Entry]:
    table = upsampler("up_upsampler", "esrt.up.0", module.scale)
    table += conv("up", "esrt.up.1.conv", bias=False)
    table += conv("head", "esrt.head.0")
    for i in range(module.blocks):
        table += _block(f"body{i}", f"esrt.body.{i}")
    table += upsampler("tail_upsampler", "esrt.tail.0", module.scale)
    return table + conv("tail", "esrt.tail.1") + conv("reduce", "esrt.reduce")


def _block(path: str, key: str) -> list[Entry]:
    table = []
    for i in (1, 2, 3):
        table += _high_preserving_block(f"{path}/encoder{i}", f"{key}.encoder{i}")
    table += conv(f"{path}/reduce", f"{key}.reduce")
    table += _scales(path, key, (2, 1))
    table += _transformer(f"{path}/transformer", f"{key}.attention")
    return table + conv(f"{path}/alise", f"{key}.alise")


def _high_preserving_block(path: str, key: str) -> list[Entry]:
    table = []
    names = ("encoder", "decoder_low", "decoder_high", "tail")
    for ours, theirs in zip(names, (*names[:3], "alise")):
        table += _feature_block(f"{path}/{ours}", f"{key}.{theirs}")
    table += conv(f"{path}/merge", f"{key}.alise2.conv", bias=False)
    return table + channel_attention(f"{path}/attention", f"{key}.att.conv_du")


def _feature_block(path: str, key: str) -> list[Entry]:
    table = []
    for layer in ("layer1", "layer2"):
        table += conv(f"{path}/{layer}/conv", f"{key}.{layer}.conv")
        table += conv(f"{path}/{layer}/conv1", f"{key}.{layer}.conv1")
        table.append(Entry(f"params/{path}/{layer}/slope", f"{key}.{layer}.relu.weight"))
        table += _scales(f"{path}/{layer}", f"{key}.{layer}", (1, 2))
    table += conv(f"{path}/layer4", f"{key}.layer4.conv", bias=False)
    table += conv(f"{path}/merge", f"{key}.alise.conv", bias=False)
    table += channel_attention(f"{path}/attention", f"{key}.atten.conv_du")
    return table + _scales(path, key, (1, 2, 3, 4, 5))


def _transformer(path: str, key: str) -> list[Entry]:
    attention = f"{path}/attention"
    table = dense(f"{attention}/reduce", f"{key}.atten.reduce", bias=False)
    table += dense(f"{attention}/qkv", f"{key}.atten.qkv", bias=False)
    table += dense(f"{attention}/proj", f"{key}.atten.proj")
    table += layer_norm(f"{path}/norm1", f"{key}.norm1")
    table += dense(f"{path}/fc1", f"{key}.mlp.fc1") + dense(f"{path}/fc2", f"{key}.mlp.fc2")
    return table + layer_norm(f"{path}/norm2", f"{key}.norm2")


def _scales(path: str, key: str, numbers: tuple[int, ...]) -> list[Entry]:
    return [Entry(f"params/{path}/weight{n}", f"{key}.weight{n}.scale") for n in numbers]


TABLE = Table(
    entries, prefixes=("module.", "esrt."), own_prefix="esrt.", widths={"bands": ("tail.1.bias", 0)}
)
