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
    config.model = {"name": "esrt"}
    config.data.name, config.data.config = "swir_park", "single"
    config.data.augment = False
    config.data.degradation = {"name": "psf"}
    config.batch_size, config.epochs = 4, 10
    # The rate is set once an epoch and falls to 1e-5; the least validation loss chooses the epoch.
    config.optimizer.learning_rate = 1e-3
    config.optimizer.schedule = {"name": "cosine_restarts", "period_epochs": 2, "factor": 1.0}
    config.optimizer.schedule.update({"final": 0.01, "hold_epochs": 1})
    config.eval.protocol, config.eval_every_epochs = "asnlsr", 1.0
    config.select, config.select_metric = "best", "loss"
    return common.smoke(config) if smoke else config
