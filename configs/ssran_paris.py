"""SSRAN on the Paris pair: ALI's 9 bands in, Hyperion's 128 out.

Paper: Zheng, Chen and Lu, "Spectral super-resolution of multispectral images using spatial-spectral
residual attention network", IEEE Transactions on Geoscience and Remote Sensing, 2022.
Command: python main.py --config=configs/ssran_paris.py --workdir=runs/ssran_paris
Time: about 6 minutes on 2 CPU cores.
Expected: 30.07, 30.10 and 29.84 dB with seeds 0, 1 and 2; the least-squares map gives 27.06 dB. The
published loss, with the Adam and stepped rate that the paper does not mention and tiles side by
side (`configs/ssran_paris.py:paper`), gives 28.74, 27.50 and 29.24 dB with seeds 0, 1 and 2: some
starts lose bands. An absolute loss, pairs of varied brightness and a smooth rate do not.
"""

from configs import common


def get_config(arg: str | None = None):
    config = common.base()
    arg, as_published = common.take(arg, "paper")
    config.scale, smoke = common.parse(arg, scale=1, scales=(1,))
    common.ssran(config)
    config.data.name, config.data.config = "paris", "ssran"
    if not as_published:
        config.loss = {"name": "l1"}
        config.optimizer.schedule = {"name": "cosine", "warmup": 50}
        config.data.augmentations = {"gain": {"spread": 0.5}}
        config.eval.overlap = 3  # every pixel in sixteen tiles: 0.8 dB over tiles side by side
        config.members, config.batch_size, config.epochs = 2, 200, 400  # 100 and 200 for each
    return common.smoke(config) if smoke else config
