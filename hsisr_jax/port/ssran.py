"""SSRAN: variables of the published TensorFlow graph; kernels are height, width, in, out as ours.

The graph's scope names mix `Sep` and `Spe`; they are kept.
"""

from hsisr_jax.models.ssran import SSRAN
from hsisr_jax.port.engine import Entry, Table


def entries(module: SSRAN) -> list[Entry]:
    table = _conv("head", "Spe1")
    for i in range(module.blocks):
        ours, even, odd = f"block_{i}", 2 * i + 2, 2 * i + 3
        table += _conv(f"{ours}/spatial_0", f"Sep{even}_3")
        table += _conv(f"{ours}/spatial_1", f"Spe{odd}_3")
        table += _conv(f"{ours}/spectral_0", f"Sep{even}_1")
        table += _conv(f"{ours}/spectral_1", f"Spe{odd}_1")
        table += _conv(f"{ours}/fuse", f"Sep{odd}_concat")
        table.append(Entry(f"params/{ours}/attention/kernel", f"ECA{i + 1}/kernel"))
    table += _conv("tail", "Conv")
    return [*table, Entry("params/attention/kernel", "ECA_output/kernel")]


def _conv(path: str, scope: str) -> list[Entry]:
    return [
        Entry(f"params/{path}/kernel", f"{scope}/weights"),
        Entry(f"params/{path}/bias", f"{scope}/biases"),
    ]


TABLE = Table(
    entries, tensorflow=True, widths={"bands": ("Conv/biases", 0), "msi_bands": ("Spe1/weights", 2)}
)
