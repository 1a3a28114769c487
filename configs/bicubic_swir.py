"""Bicubic interpolation x4 in SWIR2: nothing is trained, the test images are scored.

Paper: the first row of A-SNLSR's table (RMA, 2025).
Command: python main.py --config=configs/bicubic_swir.py --workdir=runs/bicubic_swir
Time: a minute on 2 CPU cores, once the tiles are prepared.
Expected: PSNR 31.89, SSIM 0.78, ERGAS 0.643, SAM 5.099, RMSE 0.026 on SWIR2 (published); not
reproduced here: the tiles must be fetched by hand.
"""

from configs import common


def get_config(arg: str | None = None):
    config = common.base()
    config.scale, smoke = common.parse(arg, scale=4, scales=(4,))
    config.model = {"name": "bicubic", "kernel": "torch"}
    config.data.name, config.data.config = "swir_park", "single"
    config.data.augment = False
    config.data.degradation = {"name": "psf"}
    config.eval.protocol, config.select_metric = "asnlsr", "SSIM"
    config = common.smoke(config) if smoke else config
    config.steps = config.epochs = 0
    return config
