"""SRLSGAT on the Washington DC Mall, bands 81 to 111, as the paper trains it.

Paper: Dong et al., "Hyperspectral image super-resolution via joint network with spectral-spatial
strategy", Geo-spatial Information Science, 2025.
Command: python main.py --config=configs/srlsgat_wdc.py:x4 --workdir=runs/srlsgat_wdc_x4
Time: a GPU is needed for the full size (1.3 TFLOP a step); `:smoke` takes seconds on a CPU.
Expected: the paper's table; not reproduced here, where no GPU was at hand.
"""

from configs import common


def get_config(arg: str | None = None):
    config = common.base()
    config.scale, smoke = common.parse(arg, scale=2)
    common.srlsgat(config)
    config.data.name, config.data.config = "washington_dc", "srlsgat"
    return common.smoke(config) if smoke else config
