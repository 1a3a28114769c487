"""SSPSR on Chikusei, 128 bands, as the paper trains it.

Paper: Jiang et al., "Learning spatial-spectral prior for super-resolution of hyperspectral
imagery", IEEE Transactions on Computational Imaging, 2020.
Command: python main.py --config=configs/sspsr_chikusei.py:x4 --workdir=runs/sspsr_chikusei_x4
Time: a GPU is needed for the full size (7.7 TFLOP a step); `:smoke` takes seconds on a CPU.
Expected (published, x4): PSNR 40.36, SSIM 0.9413, SAM 2.353; x8: 35.84, 0.8624, 4.013. Not
reproduced here, where no GPU was at hand.
"""

from configs import common


def get_config(arg: str | None = None):
    config = common.base()
    config.scale, smoke = common.parse(arg, scale=4)
    common.sspsr(config)
    config.data.name, config.data.config = "chikusei", "sspsr"
    return common.smoke(config) if smoke else config
