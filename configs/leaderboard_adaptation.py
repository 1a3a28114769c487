"""Adaptation from VNIR to SWIR at x4 on two real scenes, Jasper Ridge and Indian Pines.

Paper: "Cross-Spectral Domain Adaptation for Hyperspectral Image Super-Resolution" (RMA, 2025); the
scenes and the split are ours.
Command: python -m hsisr_jax.leaderboard --config=configs/leaderboard_adaptation.py --workdir=runs/a
Time: about 15 minutes a run of 300 steps on two CPU cores; 16 runs a seed.
Expected: docs/adaptation.md; A-SNLSR stays at bicubic without a first stage of unmixing, which
`python -m experiments.adaptation_scenes` has.

All networks correct the bicubic image and have one optimizer. Only rows named A-SNLSR see the
target's low-resolution inputs; nobody sees its truth. `:seeds=3,steps=300` are the defaults,
`:jasper` or `:pines` takes one scene, `:smoke` is a trial.
"""

from ml_collections import ConfigDict

from configs import common

SCENES = {
    "jasper": ("Jasper Ridge", "unmixing", "jasper_ridge_"),
    "pines": ("Indian Pines", "indian_pines", ""),
}
SNLSR = {"name": "snlsr", "features": 32, "materials": 16}
GAME = {"name": "asnlsr", "features": 32, "materials": 16}
ROWS = {  # row -> the network, and what differs from the published game (None: no game)
    "RCAM": ({"name": "rcam", "features": 32, "dense_blocks": 2, "rcams": 2}, None),
    "ESRT": ({"name": "esrt"}, None),
    "SRFormer": (
        {
            "name": "srformer",
            "embed_dim": 32,
            "depths": (2, 2),
            "num_heads": (2, 2),
            "window_size": 8,
        },
        None,
    ),
    "SNLSR, frozen encoder": (SNLSR, None),
    "SNLSR": (SNLSR, None),
    "A-SNLSR, strength 0": (GAME, {"strength": 0.0}),
    "A-SNLSR, published": (GAME, {}),
    "A-SNLSR, ramped": (GAME, {"strength": 0.1, "ramp": 10.0}),
}


def get_config(arg: str | None = None):
    words = (arg or "").split(",")
    numbers = dict(word.split("=") for word in words if "=" in word)
    seeds, steps = int(numbers.get("seeds", 3)), int(numbers.get("steps", 300))
    config = ConfigDict({"runs": {}, "seeds": tuple(range(1 if "smoke" in words else seeds))})
    config.manual_dir = ""  # files that you downloaded by hand
    for scene in [s for s in SCENES if s in words] or SCENES:
        title, dataset, prefix = SCENES[scene]
        for label, (model, game) in ROWS.items():
            one = recipe(model, game, steps, frozen="frozen" in label)
            one.data.name = dataset
            one.data.config = prefix + ("single" if game is None else "domains")
            one = common.smoke(one) if "smoke" in words else one
            entry = {"dataset": f"{title}, VNIR to SWIR", "network": label, "config": one}
            name = label.lower().replace(",", "").replace(" ", "_")
            config.runs[f"{scene}_{name}"] = ConfigDict(entry)
    return config


def recipe(model: dict, game: dict | None, steps: int, *, frozen: bool) -> ConfigDict:
    """One optimizer and as many source patches a step for all."""
    config = common.base()
    config.scale, config.steps = 4, steps
    config.model = ConfigDict(model)
    config.base.kind = "bicubic"
    config.data.augment = True
    config.loss = {"name": "l1"}  # RCAM's own needs half-resolution targets, which only `psf` makes
    if "snlsr" in model["name"]:
        config.loss = {"name": "snlsr", "source_only": game is not None}
    config.batch_size = 4 if game is None else 8
    config.optimizer.learning_rate, config.optimizer.clip = 1e-3, 1.0
    config.optimizer.schedule = ConfigDict({"name": "cosine", "warmup": 20})
    if frozen:
        config.optimizer.freeze = ("encoder", "endmembers")
    if game is not None:
        config.training = "adversarial"
        common.against_discriminator(config)
        config.adversarial.update(game)
    config.eval.protocol, config.select_metric = "asnlsr", "SSIM"
    config.eval.images_kept, config.log_every, config.checkpoint_every = 1, 50, 150
    config.mesh.data = 1
    return config
