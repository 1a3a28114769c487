"""Small networks on Jasper Ridge, all trained alike, as corrections of the bicubic image.

Paper: this library's own comparison; no paper prints figures for this protocol.
Command: python -m hsisr_jax.leaderboard --config=configs/leaderboard_jasper.py --workdir=runs/board
Time: see docs/leaderboard.md.
Expected: see docs/leaderboard.md.

The argument picks scales, seeds and steps: `:x2`, `:x2,x4`, `:x4,seeds=1,steps=200`; `:smoke` for a
trial.
"""

from ml_collections import ConfigDict

from configs import common

NETWORKS = {
    "SSPSR": {"name": "sspsr", "features": 32, "blocks": 2, "group_size": 20},
    "SRLSGAT": {"name": "srlsgat", "features": 32, "blocks": 1, "group_size": 66},
    "SNLSR": {"name": "snlsr", "features": 32},
    "RCAM": {"name": "rcam", "features": 32, "dense_blocks": 2, "rcams": 2},
}


def get_config(arg: str | None = None):
    words = (arg or "x4").split(",")
    scales = [int(word[1:]) for word in words if word[:1] == "x"] or [4]
    numbers = dict(word.split("=") for word in words if "=" in word)
    seeds, steps = int(numbers.get("seeds", 3)), int(numbers.get("steps", 400))
    config = ConfigDict({"runs": {}, "seeds": tuple(range(1 if "smoke" in words else seeds))})
    config.manual_dir = ""  # files that you downloaded by hand
    for scale in scales:
        for label, model in NETWORKS.items():
            one = recipe(model, scale, steps)
            one = common.smoke(one) if "smoke" in words else one
            entry = {"dataset": "Jasper Ridge", "network": label, "config": one}
            config.runs[f"jasper_{model['name']}_x{scale}"] = ConfigDict(entry)
    return config


def recipe(model: dict, scale: int, steps: int) -> ConfigDict:
    """Adam, L1, cosine: the same for all."""
    config = common.base()
    config.scale = scale
    config.model = ConfigDict(model)
    config.residual = True
    config.data.name, config.data.config = "unmixing", "jasper_ridge"
    config.data.stride = 4
    config.batch_size, config.steps = 4, steps
    config.optimizer.learning_rate = 1e-3
    config.optimizer.schedule = ConfigDict({"name": "cosine", "warmup": 20})
    config.optimizer.clip = 1.0
    config.ema = 0.99
    config.log_every, config.checkpoint_every = 50, 100
    config.eval.images_kept = 1
    config.mesh.data = 1
    return config
