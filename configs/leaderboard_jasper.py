"""Small networks on Jasper Ridge, all trained alike, as corrections of the bicubic image.

Paper: this library's own comparison; no paper prints figures for this protocol.
Command: python -m hsisr_jax.leaderboard --config=configs/leaderboard_jasper.py --workdir=runs/board
Time: 12 runs of 300 steps, about three minutes each on a CPU core.
Expected: with `:x4,seeds=2,steps=200` all of them 0.3 dB above bicubic's 27.90 dB, and 0.2 degrees
below its spectral angle (docs/leaderboard.md).

The argument picks scales, seeds and steps: `:x2`, `:x2,x4`, `:x4,seeds=1,steps=200`; `plain` leaves
out what goes beyond the papers' losses; `:smoke` is a trial.
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
    seeds, steps = int(numbers.get("seeds", 3)), int(numbers.get("steps", 300))
    config = ConfigDict({"runs": {}, "seeds": tuple(range(1 if "smoke" in words else seeds))})
    config.manual_dir = ""  # files that you downloaded by hand
    for scale in scales:
        for label, model in NETWORKS.items():
            one = recipe(model, scale, steps, "plain" in words)
            one = common.smoke(one) if "smoke" in words else one
            entry = {"dataset": "Jasper Ridge", "network": label, "config": one}
            config.runs[f"jasper_{model['name']}_x{scale}"] = ConfigDict(entry)
    return config


def recipe(model: dict, scale: int, steps: int, plain: bool) -> ConfigDict:
    """The same for all: every option of docs/quality.md, or (`plain`) L1 and a residual alone."""
    config = common.base()
    config.scale = scale
    config.model = ConfigDict(model)
    config.data.name, config.data.config = "unmixing", "jasper_ridge"
    config.batch_size, config.steps = 4, steps
    config.optimizer.learning_rate, config.optimizer.clip, config.ema = 1e-3, 1.0, 0.99
    if plain:
        config.base.kind, config.data.stride = "bicubic", 4
        config.optimizer.schedule = {"name": "cosine", "warmup": 20}
    else:
        config.base.kind, config.data.stride = "back_projected", 2
        config.data.augmentations = {"zoom": {"most": 1.5}, "gain": {"spread": 0.2}}
        config.data.augmentations.mix = {"share": 0.5}
        if scale == 2:
            config.data.augmentations.occlude = {"share": 0.5, "least": 0.6}
        config.loss = {"name": "weighted", "relative_mse": 5.0, "spectral_angle": 0.5}
        config.optimizer.schedule = {"name": "cosine", "warmup": 30}
        config.eval.self_ensemble, config.eval.projection = True, 3
    config.log_every, config.checkpoint_every = 50, 100
    config.eval.images_kept = 1
    config.mesh.data = 1
    return config
