"""SRLSGAT: `SRLSGAT.py` of the published code, unused parameters included.

The original fails to build branches that do not share weights; ours go by the names that it would
have given them, `branch.0.`, `branch.1.` and so on. `variant="paper"` has no original.
"""

from hsisr_jax.errors import UserError
from hsisr_jax.models.srlsgat import SRLSGAT, UNITS, groups_of
from hsisr_jax.port.blocks import residual_block, upsampler
from hsisr_jax.port.engine import DENSE, Entry, Table, conv, conv_transpose, dense, layer_norm

DIRECTIONS = ("LSTM_v.{}_l0", "LSTM_v.{}_l0_reverse", "LSTM_h.{}_l0", "LSTM_h.{}_l0_reverse")


def entries(module: SRLSGAT) -> list[Entry]:
    if module.variant != "released" or module.spatial or module.spectral:
        raise UserError("only srlsgat as released has PyTorch weights: variant='released'")
    names = [("branch", "branch")]
    if not module.shared_branch:
        count = len(groups_of(module)[0])
        names = [(f"branch_{i}", f"branch.{i}") for i in range(count)]
    table = [entry for ours, theirs in names for entry in _branch(module, ours, theirs)]
    return [*table, *conv("skip", "skip_conv"), *conv("final", "final")]


def _branch(module: SRLSGAT, path: str, key: str) -> list[Entry]:
    table = [
        *conv(f"{path}/encoder/conv", f"{key}.pre.head"),
        *_graph_attention(f"{path}/spatial_unit", f"{key}.spatial"),
        *layer_norm(f"{path}/norm", f"{key}.Layer_norm"),
    ]
    for i in range(UNITS):
        table += _spectral_unit(f"{path}/spectral_unit_{i}", f"{key}.layer.{i}")
    for i in range(module.blocks):
        theirs = f"{key}.last.SSPN.net.{i}"
        table += residual_block(f"{path}/decoder/spatial_{i}", f"{theirs}.spa", norm=True)
        table += residual_block(
            f"{path}/decoder/spectral_{i}", f"{theirs}.spc", norm=True, attention=True
        )
    return [
        *table,
        *conv_transpose(f"{path}/decoder/expand", f"{key}.last.transpose_conv"),
        *upsampler(f"{path}/upsample", f"{key}.upsample", module.scale),
        *conv(f"{path}/tail", f"{key}.tail"),
    ]


def _graph_attention(path: str, key: str) -> list[Entry]:
    table = []
    for head in range(2):
        table += _attention_layer(f"{path}/attention/heads", f"{key}.body.attention_{head}", head)
    return [
        *table,
        *_attention_layer(f"{path}/attention/output", f"{key}.body.out_att", 0),
        *dense(f"{path}/adjacency/qkv", f"{key}.weighted_adj.qkv", bias=False),
        *dense(f"{path}/adjacency/proj", f"{key}.weighted_adj.proj"),
    ]


def _attention_layer(path: str, key: str, head: int) -> list[Entry]:
    return [
        Entry(f"params/{path}/kernel", f"{key}.W", index=head),
        Entry(f"params/{path}/logits", f"{key}.a", index=head),
    ]


def _spectral_unit(path: str, key: str) -> list[Entry]:
    table = []
    for index, name in enumerate(DIRECTIONS):
        for part in ("ih", "hh"):
            kernel, bias = (
                f"{key}.BiLstm.{name.format(f'{x}_{part}')}" for x in ("weight", "bias")
            )
            table += [
                Entry(f"params/{path}/lstm/kernel_{part}", kernel, DENSE, index=index),
                Entry(f"params/{path}/lstm/bias_{part}", bias, index=index),
            ]
    return [
        *table,
        *dense(f"{path}/lstm/join", f"{key}.BiLstm.fc"),
        *dense(f"{path}/mlp/expand", f"{key}.Mlp.fc1"),
        *dense(f"{path}/mlp/contract", f"{key}.Mlp.fc2"),
        *layer_norm(f"{path}/norm", f"{key}.Layer_norm"),
    ]


TABLE = Table(entries, widths={"bands": ("final.bias", 0)})
