"""A small SRLSGAT x2 on the embedded scene: from nothing to a report in minutes on a CPU.

Paper: Dong et al., Geo-spatial Information Science, 2025 (a narrow variant of its network).
Command: python main.py --config=configs/quickstart.py --workdir=runs/quickstart
Time: about 2 minutes on 2 CPU cores.
Expected: at least 1 dB above bicubic in mean PSNR, and a smaller spectral angle.
"""

from configs import common


def get_config(arg: str | None = None):
    config = common.base()
    config.scale, smoke = common.parse(arg, scale=2)
    config.model = {"name": "srlsgat", "features": 32, "blocks": 2}
    config.loss = {"name": "hybrid"}
    config.residual = True
    config.data.name = "synthetic"
    config.data.options = {"height": 192, "width": 192, "bands": 31}
    config.data.patch, config.data.stride = 32, 16
    config.steps = 1500
    config.batch_size = 8
    config.optimizer.learning_rate = 2e-3
    config.optimizer.schedule = {"name": "cosine", "warmup": 50}
    config.optimizer.clip = 1.0
    config.ema = 0.99
    config.log_every = 100
    config.eval_every = 500
    config.checkpoint_every = 250
    config.mesh.data = 1
    return common.smoke(config) if smoke else config
