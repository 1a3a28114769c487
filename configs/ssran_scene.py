"""SSRAN on a pair of yours: a hyperspectral cube and a multispectral image of the same pixels.

Paper: Zheng et al., "Spectral super-resolution of multispectral imagery with joint sparse and
low-rank learning" (SSRAN's network), IEEE TGRS, 2022.
Command: python main.py --config=configs/ssran_scene.py --config.data.path=/my/scene.hdr \
    --config.data.options.msi=/my/msi.tif
Time: minutes on a CPU for 100 x 100 pixels.
Expected: depends on the pair; the table has the best linear map of the bands beside it.
"""

from configs import common


def get_config(arg: str | None = None):
    config = common.base()
    config.scale, smoke = common.parse(arg, scale=1, scales=(1,))
    config.model = {"name": "ssran"}
    config.data.name = "scene"
    config.data.options = {"msi": "", "patch": 4, "stride": 1}
    config.data.augment = False
    config.data.degradation = {"name": "none"}
    config.loss = {"name": "mse"}
    config.batch_size, config.epochs = 100, 20
    # The optimizer is not published. Ours is Adam with 1e-3: the script's 0.01 is another one's.
    config.optimizer.learning_rate = 1e-3
    config.optimizer.schedule = {"name": "step", "every_epochs": 50, "factor": 0.1}
    config.eval.protocol, config.eval.ratio, config.select_metric = "ssran", 1, "PSNR"
    config.eval.tile, config.eval.overlap, config.eval.batch = 4, 0, 256
    config.log_every = 50
    if smoke:  # the twin of a dataset that has both
        config.data.name, config.data.config = "paris", "ssran"
    return common.smoke(config) if smoke else config
