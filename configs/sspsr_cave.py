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
    config.model = {"name": "sspsr", "blocks": 8, "group_size": 4, "group_overlap": 1}
    config.data.name, config.data.config = "cave", "sspsr"
    config.loss = {"name": "hybrid"}
    config.batch_size, config.epochs = 16, 40
    config.optimizer.learning_rate = 1e-4
    # mains.py: rates of 0.1 ** ((e + 1) // 30) with e from 0
    config.optimizer.schedule = {"name": "step", "first_epochs": 29, "every_epochs": 30}
    config.optimizer.schedule.factor = 0.1
    config.eval_every_epochs, config.checkpoint_every_epochs = 1.0, 5.0
    config.eval.save = "npy"
    return common.smoke(config) if smoke else config
