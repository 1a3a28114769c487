"""SSRAN on Pavia University: 4 simulated IKONOS bands in, 103 out.

Paper: Zheng, Chen and Lu, "Spectral super-resolution of multispectral images using spatial-spectral
residual attention network", IEEE Transactions on Geoscience and Remote Sensing, 2022.
Command: python main.py --config=configs/ssran_pavia.py --workdir=runs/ssran_pavia
Time: hours on 2 CPU cores (58,879 patches, 200 epochs); a GPU takes minutes.
Expected: the paper's table; not reproduced here: the scene must be fetched by hand.
"""

from configs import common


def get_config(arg: str | None = None):
    config = common.base()
    config.scale, smoke = common.parse(arg, scale=1, scales=(1,))
    common.ssran(config)
    config.data.name, config.data.config = "pavia", "ssran"
    return common.smoke(config) if smoke else config
