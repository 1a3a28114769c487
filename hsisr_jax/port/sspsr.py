"""SSPSR: `SSPSR.py` of the published code. Branches that do not share weights are one stack."""

from hsisr_jax.models.sspsr import SSPSR
from hsisr_jax.ops.bands import group_indices
from hsisr_jax.port.blocks import residual_block, upsampler
from hsisr_jax.port.engine import Entry, Table, conv, stacked


def entries(module: SSPSR) -> list[Entry]:
    if module.shared_branch:
        branch = _branch(module, "branch", "branch.", module.scale // 2)
    else:
        count = len(group_indices(module.bands, module.group_size, module.group_overlap))
        one = _branch(module, "branch", "", module.scale // 2)
        branch = stacked(one, "branch.{}.".format, count)
    return [
        *branch,
        *_branch(module, "trunk", "trunk.", 2, tail=False),
        *conv("skip", "skip_conv"),
        *conv("final", "final"),
    ]


def _branch(module: SSPSR, path: str, key: str, scale: int, *, tail: bool = True) -> list[Entry]:
    table = conv(f"{path}/head", f"{key}head")
    for i in range(module.blocks):
        ours, theirs = f"{path}/body/block_{i}", f"{key}body.net.{i}"
        table += residual_block(f"{ours}/spatial", f"{theirs}.spa")
        table += residual_block(f"{ours}/spectral", f"{theirs}.spc", attention=True)
    table += upsampler(f"{path}/upsample", f"{key}upsample", scale)
    return table + (conv(f"{path}/tail", f"{key}tail") if tail else [])


TABLE = Table(entries, widths={"bands": ("final.bias", 0)})
