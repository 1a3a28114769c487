"""SSPSR on CAVE, 31 bands, as the paper trains it.

Paper: Jiang et al., "Learning spatial-spectral prior for super-resolution of hyperspectral
imagery", IEEE Transactions on Computational Imaging, 2020.
Command: python main.py --config=configs/sspsr_cave.py:x4 --workdir=runs/sspsr_cave_x4
Time: a GPU is needed for the full size; `:smoke` takes seconds on a CPU.
Expected (published, x4): PSNR 39.09, SSIM 0.9553, SAM 3.185; x8: 33.43, 0.9010, 4.487. Not
reproduced here, where no GPU was at hand.
"""

from configs import common


def get_config(arg: str | None = None):
    config = common.base()
    config.scale, smoke = common.parse(arg, scale=4)
    common.sspsr(config)
    config.model.update({"blocks": 8, "group_size": 4, "group_overlap": 1})
    config.batch_size = 16
    config.data.name, config.data.config = "cave", "sspsr"
    return common.smoke(config) if smoke else config
