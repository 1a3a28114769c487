"""SSRAN on the Paris pair: ALI's 9 bands in, Hyperion's 128 out.

Paper: Zheng, Chen and Lu, "Spectral super-resolution of multispectral images using spatial-spectral
residual attention network", IEEE Transactions on Geoscience and Remote Sensing, 2022.
Command: python main.py --config=configs/ssran_paris.py --workdir=runs/ssran_paris
Time: about 3 minutes on 2 CPU cores.
Expected: mean test PSNR about 29.1 dB (the published graph with Adam 1e-3 gives 29.10 over three
seeds); the least-squares map gives 27.06 dB.
"""

from configs import common


def get_config(arg: str | None = None):
    config = common.base()
    arg, ahead = common.take(arg, "ahead")
    config.scale, smoke = common.parse(arg, scale=1, scales=(1,))
    common.ssran(config)
    config.data.name, config.data.config = "paris", "ssran"
    if ahead:
        config.loss = {"name": "l1"}
        config.optimizer.schedule = {"name": "cosine", "warmup": 50}
        config.data.augmentations = {"gain": {"spread": 0.3}}
    return common.smoke(config) if smoke else config
