"""RCAM: `RCAMSRNetwork` of `models/sisr.py` and `models/rcam.py` of the A-SNLSR code."""

import math

from hsisr_jax.models.rcam import RCAM
from hsisr_jax.port.blocks import channel_attention
from hsisr_jax.port.engine import Entry, Table, conv, conv_transpose


def entries(module: RCAM) -> list[Entry]:
    table = []
    for i in range(round(math.log2(module.scale))):
        ours, theirs = f"stage_{i}", f"upsample_subnets.{i}"
        table += conv(f"{ours}/head", f"{theirs}.pre_db.0")
        for j in range(module.dense_blocks):
            table += _dense_block(f"{ours}/dense_{j}", f"{theirs}.db_networks.{j}", module.rcams)
        table += conv_transpose(f"{ours}/upsample", f"{theirs}.upsample_layer")
    return table


def _dense_block(path: str, key: str, rcams: int) -> list[Entry]:
    table = []
    for i in range(rcams):
        ours, theirs = f"{path}/rcam_{i}", f"{key}.rcam_layers.{i}"
        table += conv(f"{ours}/conv_0", f"{theirs}.pre_attention.0")
        table += conv(f"{ours}/conv_1", f"{theirs}.pre_attention.2")
        attention = f"{theirs}.attention_computation"
        table += channel_attention(f"{ours}/attention", attention, first=1)
    return table + conv(f"{path}/fuse", f"{key}.post_rcam.0")


TABLE = Table(entries, widths={"bands": ("upsample_subnets.0.upsample_layer.bias", 0)})
