"""Defaults of every config. A config file sets only what differs.

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
    config.init_from = ""  # a workdir whose weights to start from; or anyband: the packaged ones
    config.profile = ""  # a folder: a profiler trace of some steps goes there

    config.model = ConfigDict({"name": "bicubic"})
    config.tiny = False  # the network's smallest size with all its parts, for tests
    config.members = 1  # networks trained side by side, each on its own part of every batch; the
    # estimate is their mean
    config.loss = ConfigDict({"name": "l1"})
    config.training = "supervised"  # or adversarial, by these rules
    config.adversarial = ConfigDict()
    config.adversarial.objective = "reversal"  # or non_saturating
    config.adversarial.domain_loss = "cross_entropy"  # or least_squares
    config.adversarial.strength = 0.01  # of the discriminator's gradient in the generator
    config.adversarial.ramp = 0.0  # growth of the strength; 10: Ganin and Lempitsky's; 0: constant
    config.adversarial.label_smoothing = 0.0
    config.adversarial.discriminator_steps = 1

    config.data = _data()
    config.optimizer = _optimizer()
    config.ema = 0.0  # decay of the averaged weights; 0: off

    config.base = ConfigDict()  # the estimate that the network corrects; the correction starts at 0
    config.base.kind = "none"  # none: no base; bicubic; back_projected; filters: back_projected and
    # linear filters fitted to the training patches; pretrained; least_squares: a linear map of msi
    config.base.rounds = 3  # rounds of back-projection
    config.base.dark = 0.3  # pixels below this share of the training mean keep their direction
    config.base.radius = 8  # radius of the fitted filters, in high-resolution pixels
    config.base.source = "anyband"  # the pretrained network: a packaged one, or a run's workdir

    config.mesh = ConfigDict({"data": -1, "fsdp": 1})

    config.log_every = 100  # steps; fewer in a short run, so that it has 20 lines
    config.eval_every = 0  # steps between validations; 0: ten a run if they are quick, and the last
    config.checkpoint_every = 1000
    config.eval_every_epochs = 0.0  # if not 0: instead of eval_every
    config.checkpoint_every_epochs = 0.0  # if not 0: instead of checkpoint_every
    config.keep_checkpoints = 2
    config.select = "last"  # the step that is evaluated at the end: last, or best by select_metric
    config.select_metric = "MPSNR"
    config.patience = 0  # validations without improvement before stopping early; 0: never
    config.max_bad_streak = 20  # steps in a row with a loss that is not finite before stopping
    config.loggers = ("tensorboard",)  # beside metrics.jsonl; wandb if it is installed

    config.eval = _evaluation()
    return config


def _data() -> ConfigDict:
    """The training data."""
    config = ConfigDict()
    config.name = "synthetic"
    config.config = ""  # the split, named by its paper; empty: the dataset's first
    config.path = ""  # your own scene: short for options.path
    config.domains = ()  # source and target of your own data: short for options.domains
    config.options = ConfigDict()  # options of the dataset: size, seed, fractions of the split, ...
    config.dir = ""  # prepared datasets; empty: ~/.cache/hsisr_jax/datasets
    config.manual_dir = ""  # files that you downloaded by hand
    config.patch = 0  # side of a patch in high-resolution pixels; 0: as in the paper's split
    config.stride = 0  # distance of patches; 0: as in the paper's split
    config.train_on = "train"  # or inputs: the test scenes at low resolution; or both
    config.augment = True  # every flip and rotation of a patch once an epoch
    config.degradation = ConfigDict({"name": "bicubic"})
    config.augmentations = ConfigDict()  # name -> options, applied to each batch
    config.components = ConfigDict()  # for anyband: patches as component images; empty: off
    config.placement = "auto"  # device; host; auto: one of them by memory_gb; or disk, for datasets
    # larger than memory
    config.memory_gb = 2.0  # limit of the training scenes' size on a device
    return config


def _optimizer() -> ConfigDict:
    """The optimizer."""
    config = ConfigDict()
    config.name = "adam"
    config.learning_rate = 1e-4
    config.schedule = ConfigDict({"name": "constant"})
    config.weight_decay = 0.0
    config.clip = 0.0  # global norm; 0: off
    config.accumulate = 1  # batches whose gradients are averaged for one update
    config.freeze = ()  # prefixes of the names of parameters that are not trained
    config.skip_unused = False  # parameters without gradient keep their moments, as in PyTorch
    return config


def _evaluation() -> ConfigDict:
    """Evaluation."""
    config = ConfigDict()
    config.protocol = "sspsr"
    config.data_range = 1.0
    config.ratio = 0  # ratio of ERGAS; 0: the scale
    config.tile = 0  # side of a tile in low-resolution pixels; 0: whole images
    config.overlap = 8  # of tiles, in low-resolution pixels
    config.batch = 8  # tiles at a time
    config.self_ensemble = False  # the mean over flips and rotations: 8 times the work
    config.projection = 0  # rounds of back-projection of the output
    config.dark = 0.3  # as base.dark, for that projection
    config.baselines = ()  # scored beside bicubic and back-projection: ("anyband",)
    config.images_kept = 4  # test images stored for the report
    config.save = ""  # all test outputs at full precision: mat, npy or envi
    return config


OWN = ("scene", "domains", "patches")  # datasets of the user's own files


def smoke(config: ConfigDict) -> ConfigDict:
    """A tiny net on the dataset's synthetic twin, same bands and dtype: seconds on a CPU. Of own
    data the options stay, for a trial on a file: `--config.data.path=FILE`."""
    config.tiny = True
    config.data.config = f"{config.data.config}_smoke" if config.data.config else "smoke"
    config.data.path = ""
    if config.data.name in OWN:
        kept = {key: value for key, value in config.data.options.items() if key != "path"}
        config.data.options = ConfigDict(kept)
    else:
        config.data.options, config.data.domains = ConfigDict(), ()
    config.steps, config.epochs, config.batch_size = 30, 0, 8
    for optimizer in _optimizers(config):
        optimizer.learning_rate = 1e-3
    config.log_every, config.eval_every, config.checkpoint_every = 10, 0, 15
    config.eval_every_epochs, config.checkpoint_every_epochs = 0.0, 0.0
    config.mesh.data = 1
    return config


def _optimizers(config: ConfigDict) -> list[ConfigDict]:
    pair = [config.optimizer[n] for n in ("generator", "discriminator") if n in config.optimizer]
    return pair or [config.optimizer]


def against_discriminator(config: ConfigDict) -> ConfigDict:
    """Adversarial training, with a pair of the config's optimizer: `training/adversarial.py`."""
    config.training = "adversarial"
    one = config.optimizer.to_dict() | {"skip_unused": True}  # PyTorch's: see docs/adaptation.md
    config.optimizer = ConfigDict({"generator": one, "discriminator": dict(one)})
    return config
