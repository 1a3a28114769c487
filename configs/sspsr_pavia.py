"""SSPSR on Pavia Centre, 102 bands, as the paper trains it.

Paper: Jiang et al., "Learning spatial-spectral prior for super-resolution of hyperspectral
imagery", IEEE Transactions on Computational Imaging, 2020.
Command: python main.py --config=configs/sspsr_pavia.py:x4 --workdir=runs/sspsr_pavia_x4
Time: a GPU is needed for the full size (6.5 TFLOP a step); `:smoke` takes seconds on a CPU.
Expected (published, x4): PSNR 29.16, SSIM 0.7903, SAM 5.461; x8: 25.20, 0.5365, 7.331. Not
reproduced here, where no GPU was at hand.
"""

from configs import common


def get_config(arg: str | None = None):
    config = common.base()
    config.scale, smoke = common.parse(arg, scale=4)
    config.model = {"name": "sspsr"}
    config.data.name, config.data.config = "pavia", "sspsr"
    config.loss = {"name": "hybrid"}
    config.batch_size, config.epochs = 32, 40
    config.optimizer.learning_rate = 1e-4
    # mains.py: rates of 0.1 ** ((e + 1) // 30) with e from 0
    config.optimizer.schedule = {"name": "step", "first_epochs": 29, "every_epochs": 30}
    config.optimizer.schedule.factor = 0.1
    config.eval_every_epochs, config.checkpoint_every_epochs = 1.0, 5.0
    config.eval.save = "npy"
    return common.smoke(config) if smoke else config
