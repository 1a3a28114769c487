"""SNLSR x4 trained in SWIR1 alone and tested in SWIR2: what A-SNLSR adapts, without adaptation.

Paper: Hu et al., "Exploring the spectral prior for hyperspectral image super-resolution", IEEE TIP
33, 2024, as the baseline of A-SNLSR (RMA, 2025).
Command: python main.py --config=configs/snlsr_swir.py --workdir=runs/snlsr_swir
Time: hours on 2 CPU cores; the authors report 16 minutes on a GPU.
Expected: PSNR 31.99, SSIM 0.78, ERGAS 0.915, SAM 5.213, RMSE 0.025 on SWIR2 (published, mean of 10
runs); not reproduced here: the tiles must be fetched by hand.

As published, encoder and endmembers stay at their random first values (`pretrain` is off there).
`--config.optimizer.freeze='()'` trains them, which is the fair comparison and the pre-training
stage; `--config.init_from=` a run of that trains the rest behind a frozen unmixing.
"""

from configs import common


def get_config(arg: str | None = None):
    config = common.base()
    config.scale, smoke = common.parse(arg, scale=4, scales=(4,))
    config.model = {"name": "snlsr"}
    config.data.name, config.data.config = "swir_park", "single"
    config.data.augment = False
    config.data.degradation = {"name": "psf"}
    config.loss = {"name": "snlsr"}
    config.batch_size, config.epochs = 4, 10
    # The rate is set once an epoch and falls to 1e-5; the least validation loss chooses the epoch.
    config.optimizer.learning_rate = 1e-3
    config.optimizer.schedule = {"name": "cosine_restarts", "period_epochs": 2, "factor": 1.0}
    config.optimizer.schedule.update({"final": 0.01, "hold_epochs": 1})
    config.eval.protocol, config.eval_every_epochs = "asnlsr", 1.0
    config.select, config.select_metric = "best", "loss"
    config.optimizer.freeze = ("encoder", "endmembers")  # `pretrain` off
    return common.smoke(config) if smoke else config
