"""Names of A-SNLSR's `models/srformer.py`, class `SRFormer`."""

import numpy as np
from flax import linen as nn

from hsisr_jax.port.blocks import upsampler
from hsisr_jax.port.engine import Entry, Layout, Table, conv, dense, layer_norm

INDEX = Layout(dtype=np.int64)  # PyTorch's index type
DEPTHWISE = Layout((2, 3, 0, 1), drop=(3,))  # d 1 h w -> h w d


def entries(module: nn.Module) -> list[Entry]:
    table = conv("conv_first", "conv_first")
    if module.ape:
        table = [Entry("params/position_embedding", "absolute_pos_embed"), *table]
    if module.patch_norm:
        table += layer_norm("patch_norm", "patch_embed.norm")
    for i, depth in enumerate(module.depths):
        for j in range(depth):
            key = f"layers.{i}.residual_group.blocks.{j}"
            table += _block(f"group_{i}_block_{j}", key, module, shifted=j % 2 == 1)
        table += _body_conv(f"group_{i}_conv", f"layers.{i}.conv", module)
    table += layer_norm("norm", "norm")
    table += _body_conv("conv_after_body", "conv_after_body", module)
    return table + _reconstruction("reconstruction", module)


def _block(path: str, key: str, module: nn.Module, *, shifted: bool) -> list[Entry]:
    table = []
    if shifted and module.padded_size > module.window_size:
        table.append(Entry(f"constants/{path}/mask", f"{key}.attn_mask"))
    table += layer_norm(f"{path}/norm1", f"{key}.norm1")
    theirs, ours = f"{key}.attn", f"{path}/attention"
    table += [
        Entry(f"params/{ours}/position_bias", f"{theirs}.relative_position_bias_table"),
        Entry(
            f"constants/{ours}/position_index", f"{theirs}.aligned_relative_position_index", INDEX
        ),
    ]
    for name in ("kv", "q"):
        table += dense(f"{ours}/{name}", f"{theirs}.{name}", bias=module.qkv_bias)
    table += dense(f"{ours}/proj", f"{theirs}.proj")
    table += layer_norm(f"{path}/norm2", f"{key}.norm2")
    table += dense(f"{path}/mlp/fc1", f"{key}.mlp.fc1")
    depthwise = f"{key}.mlp.dwconv.depthwise_conv.0"
    table += [
        Entry(f"params/{path}/mlp/depthwise/kernel", f"{depthwise}.weight", DEPTHWISE),
        Entry(f"params/{path}/mlp/depthwise/bias", f"{depthwise}.bias"),
    ]
    return table + dense(f"{path}/mlp/fc2", f"{key}.mlp.fc2")


def _body_conv(path: str, key: str, module: nn.Module) -> list[Entry]:
    if module.resi_connection == "1conv":
        return conv(f"{path}/conv_0", key)
    return [entry for i in range(3) for entry in conv(f"{path}/conv_{i}", f"{key}.{2 * i}")]


def _reconstruction(path: str, module: nn.Module) -> list[Entry]:
    if module.upsampler == "pixelshuffledirect":
        return conv(f"{path}/conv_0", "upsample.0")
    table = []
    if module.upsampler:
        table += conv(f"{path}/conv_before_upsample", "conv_before_upsample.0")
    if module.upsampler == "pixelshuffle":
        table += upsampler(f"{path}/upsample", "upsample", module.scale)
    if module.upsampler == "nearest+conv":
        for name in ("conv_up1", "conv_up2", "conv_hr"):
            table += conv(f"{path}/{name}", name)
    return table + conv(f"{path}/conv_last", "conv_last")


TABLE = Table(entries, prefixes=("module.", "srformer."), widths={"bands": ("conv_last.bias", 0)})
