"""SSRAN on the Washington DC Mall: simulated multispectral bands in, 191 out.

Paper: Zheng, Chen and Lu, "Spectral super-resolution of multispectral images using spatial-spectral
residual attention network", IEEE Transactions on Geoscience and Remote Sensing, 2022.
Command: python main.py --config=configs/ssran_wdc.py --workdir=runs/ssran_wdc
Time: hours on 2 CPU cores; a GPU takes minutes.
Expected: the paper's table; not reproduced here: the scene must be fetched by hand.
"""

from configs import common


def get_config(arg: str | None = None):
    config = common.base()
    config.scale, smoke = common.parse(arg, scale=1, scales=(1,))
    config.model = {"name": "ssran"}
    config.data.name, config.data.config = "washington_dc", "ssran"
    config.data.augment = False
    config.data.degradation = {"name": "none"}
    config.loss = {"name": "mse"}
    config.batch_size, config.epochs = 100, 200
    # The optimizer is not published. Ours is Adam with 1e-3: the script's 0.01 is another one's.
    config.optimizer.learning_rate = 1e-3
    config.optimizer.schedule = {"name": "step", "every_epochs": 50, "factor": 0.1}
    config.eval.protocol, config.eval.ratio, config.select_metric = "ssran", 1, "PSNR"
    config.eval.tile, config.eval.overlap, config.eval.batch = 4, 0, 256
    return common.smoke(config) if smoke else config
