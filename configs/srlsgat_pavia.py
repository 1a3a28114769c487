"""SRLSGAT on Pavia Centre, bands 35 to 65, as the paper trains it.

Paper: Dong et al., "Hyperspectral image super-resolution via joint network with spectral-spatial
strategy", Geo-spatial Information Science, 2025.
Command: python main.py --config=configs/srlsgat_pavia.py:x4 --workdir=runs/srlsgat_pavia_x4
Time: a GPU is needed for the full size (1.3 TFLOP a step); `:smoke` takes seconds on a CPU.
Expected: the paper's table; not reproduced here, where no GPU was at hand.
"""

from configs import common


def get_config(arg: str | None = None):
    config = common.base()
    config.scale, smoke = common.parse(arg, scale=2)
    config.model = {"name": "srlsgat"}
    config.data.name, config.data.config = "pavia", "srlsgat"
    config.loss = {"name": "hybrid"}
    config.batch_size, config.epochs = 16, 70
    config.optimizer.learning_rate = 1e-4
    # mains.py: rates of 0.1 ** ((e + 1) // 30) with e from 0
    config.optimizer.schedule = {"name": "step", "first_epochs": 29, "every_epochs": 30}
    config.optimizer.schedule.factor = 0.1
    config.eval_every_epochs, config.checkpoint_every_epochs = 1.0, 5.0
    config.eval.ratio = 4  # the published evaluation passes 4 at every scale
    config.eval.save = "mat"
    return common.smoke(config) if smoke else config
