"""What every config shares. A config file changes only what differs.

The argument after the colon picks the scale and the tiny variant: `configs/x.py:x4,smoke`.
"""

from ml_collections import ConfigDict


def parse(arg: str | None, *, scale: int, scales: tuple[int, ...] = (2, 4, 8)) -> tuple[int, bool]:
    """`"x4,smoke"` -> `(4, True)`."""
    smoke = False
    for word in filter(None, (arg or "").split(",")):
        if word == "smoke":
            smoke = True
        elif word[:1] == "x" and word[1:].isdigit() and int(word[1:]) in scales:
            scale = int(word[1:])
        else:
            known = ", ".join(f"x{s}" for s in scales)
            raise ValueError(f"config argument {word!r} is unknown: use {known} or smoke")
    return scale, smoke


def take(arg: str | None, word: str) -> tuple[str, bool]:
    """The argument without `word`, and whether it was there."""
    words = (arg or "").split(",")
    return ",".join(w for w in words if w != word), word in words


def base() -> ConfigDict:
    """Defaults: train with Adam on bicubic-degraded patches, evaluate, report."""
    config = ConfigDict()
    config.seed = 0
    config.scale = 2
    config.epochs = 0.0  # used when steps is 0
    config.steps = 0
    config.batch_size = 16
    config.precision = "float32"  # compute type: float32 or bfloat16; parameters stay float32
    config.deterministic = True
    config.steps_per_call = 0  # optimisation steps per dispatch; 0: chosen for the backend
    config.remat = False  # recompute activations in the backward pass: less memory, more time
    config.init_from = ""  # a workdir whose weights to start from
    config.keep_programs = True  # what tracing gave, for the next start of the same run
    config.profile = ""  # a folder: a profiler trace of some steps goes there

    config.model = ConfigDict({"name": "bicubic"})
    config.members = 1  # networks trained side by side, each on its own part of every batch; their
    # mean is the estimate
    config.loss = ConfigDict({"name": "l1"})
    config.training = "supervised"

    config.data = ConfigDict()
    config.data.name = "synthetic"
    config.data.config = ""  # the split of which paper; empty: the dataset's first
    config.data.path = ""  # of your own scene: short for options.path
    config.data.options = ConfigDict()  # keywords of the dataset: a size, a seed, how to split
    config.data.dir = ""  # prepared datasets; empty: ~/.cache/hsisr_jax/datasets
    config.data.manual_dir = ""  # files that you downloaded by hand
    config.data.patch = 0  # high-resolution pixels; 0: as the paper's split says
    config.data.stride = 0
    config.data.train_on = "train"  # or inputs: the test scenes at low resolution; or both
    config.data.augment = True  # every flip and rotation once an epoch
    config.data.degradation = ConfigDict({"name": "bicubic"})
    config.data.augmentations = ConfigDict()  # name -> options, applied to each batch
    config.data.placement = "auto"  # device, host, or auto by memory_gb
    config.data.memory_gb = 2.0  # what the training scenes may take on a device

    config.optimizer = ConfigDict()
    config.optimizer.name = "adam"
    config.optimizer.learning_rate = 1e-4
    config.optimizer.schedule = ConfigDict({"name": "constant"})
    config.optimizer.weight_decay = 0.0
    config.optimizer.clip = 0.0  # global norm; 0: off
    config.optimizer.accumulate = 1
    config.ema = 0.0  # decay of the averaged weights; 0: off
    config.residual = False  # predict a correction of the bicubic image (of the best linear map
    # of bands where msi is the input), zero at the start
    config.base_projection = 0  # rounds of back-projection that the bicubic image gets before it
    config.base_filters = 0  # high-resolution pixels that linear filters, fitted to the training
    # patches before the first step, reach on each side; they add their detail to that image
    config.projection_dark = 0.3  # of the training scenes' mean: where an image is back-projected,
    # darker pixels keep their spectral direction

    config.mesh = ConfigDict({"data": -1, "fsdp": 1})

    config.log_every = 100
    config.eval_every = 0  # 0: only at the end
    config.checkpoint_every = 1000
    config.keep_checkpoints = 2
    config.select = "last"  # which step is evaluated in the end: last, or best (by select_metric)
    config.select_metric = "MPSNR"
    config.patience = 0  # evaluations without a better one before stopping early; 0: never
    config.max_bad_streak = 20  # steps in a row with a loss that is not finite

    config.eval = ConfigDict()
    config.eval.protocol = "sspsr"
    config.eval.data_range = 1.0
    config.eval.ratio = 0  # of ERGAS; 0: the scale
    config.eval.tile = 0  # low-resolution pixels; 0: whole images
    config.eval.overlap = 8
    config.eval.batch = 8  # tiles at a time
    config.eval.self_ensemble = False  # the mean over flips and rotations: 8 times the work
    config.eval.projection = 0  # rounds of back-projection on the input
    config.eval.images_kept = 4  # test images stored for the report
    return config


def _rate(config: ConfigDict) -> None:
    config.optimizer.learning_rate = 1e-3
    config.optimizer.schedule = ConfigDict({"name": "cosine", "warmup": 30})
    config.optimizer.clip = 1.0


def _edges(config: ConfigDict) -> None:
    if config.scale <= 2:  # at x4 a small scene's few steps do not suffice to learn them
        config.data.augmentations.occlude = {"share": 0.5, "least": 0.6}


# What goes beyond the published recipes, an option each; docs/quality.md has what each one adds.
# They are off in the configs of papers.
AHEAD = {
    "residual": lambda config: config.update({"residual": True}),
    "base": lambda config: config.update({"base_projection": 3}),
    "rate": _rate,
    "ema": lambda config: config.update({"ema": 0.99}),
    "loss": lambda config: setattr(
        config, "loss", ConfigDict({"name": "weighted", "relative_mse": 5.0, "spectral_angle": 0.5})
    ),
    "dense": lambda config: config.data.update({"stride": 2}),
    "augment": lambda config: setattr(
        config.data,
        "augmentations",
        ConfigDict({"zoom": {"most": 1.5}, "gain": {"spread": 0.2}, "mix": {"share": 0.5}}),
    ),
    "edges": _edges,
    "ensemble": lambda config: config.eval.update({"self_ensemble": True}),
    "projection": lambda config: config.eval.update({"projection": 3}),
}


def ahead(config: ConfigDict) -> ConfigDict:
    """Every option that `AHEAD` names."""
    for switch_on in AHEAD.values():
        switch_on(config)
    return config


# The smallest size of each network that still has all its parts.
TINY = {
    "bicubic": {},
    "srlsgat": {"features": 16, "blocks": 1},
    "sspsr": {"features": 16, "blocks": 1},
    "ssran": {"features": 16},
    "snlsr": {"features": 16, "materials": 8},
    "asnlsr": {"features": 16, "materials": 8},
    "rcam": {"features": 16, "dense_blocks": 2, "rcams": 2},
    "esrt": {},
    "srformer": {"embed_dim": 16, "depths": (2, 2), "num_heads": (2, 2), "window_size": 8},
}


def smoke(config: ConfigDict) -> ConfigDict:
    """A tiny net on the dataset's synthetic twin, same bands and dtype: seconds on a CPU."""
    config.model.update(TINY[config.model.name])
    config.data.config = f"{config.data.config}_smoke" if config.data.config else "smoke"
    config.data.options = ConfigDict()
    config.steps, config.epochs, config.batch_size = 30, 0, 8
    for optimizer in _optimizers(config):
        optimizer.learning_rate = 1e-3
    config.log_every, config.eval_every, config.checkpoint_every = 10, 0, 15
    config.mesh.data = 1
    return config


def _optimizers(config: ConfigDict) -> list[ConfigDict]:
    pair = [config.optimizer[n] for n in ("generator", "discriminator") if n in config.optimizer]
    return pair or [config.optimizer]


def srlsgat(config: ConfigDict) -> ConfigDict:
    """The published recipe of SRLSGAT."""
    config.model = ConfigDict({"name": "srlsgat"})
    config.loss = ConfigDict({"name": "hybrid"})
    config.batch_size, config.epochs = 64, 70
    config.optimizer.schedule = ConfigDict({"name": "step", "every_epochs": 30, "factor": 0.1})
    config.eval.ratio = 4  # the published evaluation passes 4 at every scale
    return config


def sspsr(config: ConfigDict) -> ConfigDict:
    """The published recipe of SSPSR."""
    config.model = ConfigDict({"name": "sspsr"})
    config.loss = ConfigDict({"name": "hybrid"})
    config.batch_size, config.epochs = 32, 40
    config.optimizer.schedule = ConfigDict({"name": "step", "every_epochs": 30, "factor": 0.1})
    return config


def ssran(config: ConfigDict) -> ConfigDict:
    """The published recipe of SSRAN; its optimizer is not published: Adam trains best."""
    config.model = ConfigDict({"name": "ssran"})
    config.loss = ConfigDict({"name": "mse"})
    config.batch_size, config.epochs = 100, 200
    config.data.augment = False
    config.data.degradation = ConfigDict({"name": "none"})
    config.optimizer.learning_rate = 1e-3
    config.optimizer.schedule = ConfigDict({"name": "step", "every_epochs": 50, "factor": 0.1})
    config.eval.protocol, config.eval.ratio = "ssran", 1
    config.eval.tile, config.eval.overlap, config.eval.batch = 4, 0, 256
    config.select_metric = "PSNR"
    return config


def swir(config: ConfigDict, name: str) -> ConfigDict:
    """SWIR1 to SWIR2 at x4: what A-SNLSR and its baselines share. Best model by validation SSIM."""
    config.model = ConfigDict({"name": name})
    config.data.name, config.data.config = "swir_park", "single"
    config.data.augment = False
    config.data.degradation = ConfigDict({"name": "psf"})
    config.batch_size, config.epochs = 4, 10
    config.optimizer.learning_rate = 1e-3
    config.optimizer.schedule = ConfigDict(
        {"name": "cosine_restarts", "period_epochs": 2, "factor": 1.0, "final": 0.1}
    )
    config.eval.protocol = "asnlsr"
    config.select, config.select_metric, config.eval_every = "best", "SSIM", 500
    return config


def against_discriminator(config: ConfigDict) -> ConfigDict:
    """A pair of the config's optimizer, and A-SNLSR's game: see `training/adversarial.py`."""
    config.adversarial = ConfigDict()
    config.adversarial.objective = "reversal"  # or non_saturating
    config.adversarial.domain_loss = "cross_entropy"  # or least_squares
    config.adversarial.strength = 0.01
    config.adversarial.ramp = 0.0  # growth of the strength; 10: Ganin and Lempitsky's; 0: constant
    config.adversarial.label_smoothing = 0.0
    config.adversarial.discriminator_steps = 1
    one = config.optimizer.to_dict() | {"skip_unused": True}  # PyTorch's: see docs/adaptation.md
    config.optimizer = ConfigDict({"generator": one, "discriminator": dict(one)})
    return config
