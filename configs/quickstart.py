"""A small SRLSGAT x2 as a correction of the package's network, on a real scene where there is one.

Paper: Dong et al., Geo-spatial Information Science, 2025 (a narrow variant of its network, trained
as a correction of `anyband`, with options of docs/quality.md).
Command: python main.py --config=configs/quickstart.py --workdir=runs/quickstart
Time: about three minutes on two CPU cores.
Expected: README.md has the scores; below the package's network it cannot end on the validation
columns, since no step but a better one is kept.

The scene is Indian Pines (VNIR, 30 bands) where the package `tensorly` brings it; else, and with
`:synthetic`, an artificial one.
"""

import importlib.util

from configs import common


def get_config(arg: str | None = None):
    config = common.base()
    arg, synthetic = common.take(arg, "synthetic")
    config.scale, smoke = common.parse(arg, scale=2)
    config.model = {"name": "srlsgat", "features": 32, "blocks": 2}
    if synthetic or importlib.util.find_spec("tensorly") is None:
        config.data.name = "synthetic"
        shares = {"fractions": (0.5, 0.17, 0.33)}
        config.data.options = {"height": 144, "width": 144, "bands": 30} | shares
    else:
        config.data.name, config.data.config = "indian_pines", "vnir"
    config.base.kind, config.base.source = "pretrained", "anyband"
    config.data.patch, config.data.stride = 32, 2
    config.data.augmentations = {"gain": {"spread": 0.2}, "mix": {"share": 0.5}}
    config.loss = {"name": "weighted", "relative_l1": 1.0, "spectral_angle": 0.5}
    config.steps, config.batch_size = 300, 4
    config.optimizer.learning_rate, config.optimizer.clip, config.ema = 1e-3, 1.0, 0.98
    config.optimizer.schedule = {"name": "cosine", "warmup": 30}
    config.select, config.eval_every = "best", 100
    config.eval.baselines = ("anyband",)
    config.log_every, config.checkpoint_every = 50, 100
    config.mesh.data = 1
    return common.smoke(config) if smoke else config
