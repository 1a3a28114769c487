"""ESRT x4 trained in SWIR1 alone and tested in SWIR2.

Paper: Lu et al., "Transformer for single image super-resolution", CVPR Workshops, 2022, as the
baseline of A-SNLSR (RMA, 2025).
Command: python main.py --config=configs/esrt_swir.py --workdir=runs/esrt_swir
Time: hours on 2 CPU cores; the authors report 13 minutes on a GPU.
Expected: PSNR 33.43, SSIM 0.78, ERGAS 0.802, SAM 5.615, RMSE 0.021 on SWIR2 (published, mean of 10
runs); not reproduced here: the tiles must be fetched by hand.
"""

from configs import common


def get_config(arg: str | None = None):
    config = common.base()
    config.scale, smoke = common.parse(arg, scale=4, scales=(4,))
    common.swir(config, "esrt")
    return common.smoke(config) if smoke else config
