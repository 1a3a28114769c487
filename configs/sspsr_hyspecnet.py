"""SSPSR on HySpecNet-11k, 202 bands of EnMAP, more than memory holds.

Paper: Fuchs and Demir, "HySpecNet-11k: a large-scale hyperspectral dataset for benchmarking
learning-based hyperspectral image compression methods", IGARSS, 2023; the network is SSPSR's.
Command: python main.py --config=configs/sspsr_hyspecnet.py:x4 --workdir=runs/sspsr_hyspecnet_x4
Time: a GPU is needed for the full size, and 76 GB of disk; `:smoke` takes seconds on a CPU.
Expected: no published super-resolution scores are known to us, and none were measured here, where
neither the data nor a GPU was at hand. The split is `hard`, where no scene trains and tests.
"""

from configs import common


def get_config(arg: str | None = None):
    config = common.base()
    config.scale, smoke = common.parse(arg, scale=4)
    config.model = {"name": "sspsr"}
    config.data.name, config.data.config = "hyspecnet", "hard"
    config.data.placement = "disk"
    config.loss = {"name": "hybrid"}
    config.batch_size, config.epochs = 32, 10
    config.optimizer.learning_rate = 1e-4
    config.eval_every_epochs, config.checkpoint_every_epochs = 1.0, 1.0
    return common.smoke(config) if smoke else config
