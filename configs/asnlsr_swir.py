"""A-SNLSR x4: super-resolution learnt in SWIR1, carried to SWIR2 by adversarial adaptation.

Paper: "Cross-Spectral Domain Adaptation for Hyperspectral Image Super-Resolution", RMA, 2025.
Command: python main.py --config=configs/asnlsr_swir.py --workdir=runs/asnlsr_swir
Time: hours on 2 CPU cores; the authors report 20 minutes on a GPU.
Expected: PSNR 33.82, SSIM 0.81, ERGAS 0.776, SAM 4.755, RMSE 0.020 on SWIR2 (published, mean of 10
runs); not reproduced here: the tiles must be fetched by hand. What docs/adaptation.md measures is
the synthetic twin.

Both sides have the published optimizer, and the reversal its fixed strength of 0.01: the published
step. `config.adversarial` and the pair of optimizers are what to tune.
"""

from configs import common


def get_config(arg: str | None = None):
    config = common.base()
    config.scale, smoke = common.parse(arg, scale=4, scales=(4,))
    config.model = {"name": "asnlsr", "bicubic_skip": False}
    config.data.name, config.data.config = "swir_park", "asnlsr"
    config.data.augment = False  # both domains train, in the range that the authors fixed
    config.data.degradation = {"name": "psf"}
    config.loss = {"name": "snlsr", "source_only": True}
    config.batch_size, config.epochs = 4, 10
    # scripts/2_train_adversarial_sisr.py: the rate falls to 1e-4, and SSIM chooses the epoch.
    config.optimizer.learning_rate = 1e-3
    config.optimizer.schedule = {"name": "cosine_restarts", "period_epochs": 2, "factor": 1.0}
    config.optimizer.schedule.update({"final": 0.1, "hold_epochs": 1})
    config.eval.protocol, config.eval_every_epochs = "asnlsr", 1.0
    config.select, config.select_metric = "best", "SSIM"
    common.against_discriminator(config)
    return common.smoke(config) if smoke else config
