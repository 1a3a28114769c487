"""Any cube of yours, with no other preparation: trained on one part of it, tested on the rest.

Paper: Zhang et al., CAAI Transactions on Intelligence Technology, 2023 (RCAM, a small one), as a
correction of the package's network, `anyband`, that starts at zero. A part of the scene between
both is kept for validation: where no step is better there, the network of the package is kept.
Command: python main.py --config=configs/scene.py:x2 --config.data.path=/my/scene.hdr
    (`:x2,smoke` with the path: a trial with a tiny network and 30 steps)
Time: two or three minutes of one CPU core for 100 x 100 pixels of 198 bands, whatever the scale.
Expected: at least what the package's network has on the validation part; docs/quality.md has the
scores of simpler bases on Jasper Ridge.
"""

from configs import common

# The fewer low-resolution pixels a scene has, the sooner the network overfits to their spectra. An
# epoch has every patch in each of its flips and rotations: a larger scene gets more steps.
EPOCHS = {2: 0.5, 4: 0.5, 8: 0.25}


def get_config(arg: str | None = None):
    config = common.base()
    config.scale, smoke = common.parse(arg, scale=2)
    config.model = {"name": "rcam", "dense_blocks": 3, "rcams": 2}
    config.model.bicubic_skip = config.scale == 8  # or nothing of the input reaches its third stage
    config.data.name = "scene"
    # scored in tiles one by one, as published test images are
    config.data.options = {"fractions": (0.49, 0.18, 0.33), "test_tile": 32}
    config.data.stride = 2
    config.data.augmentations = {"zoom": {"most": 1.5}, "gain": {"spread": 0.2}}
    config.data.augmentations.mix = {"share": 0.5}
    if config.scale == 2:  # at x4 a small scene's few steps do not suffice to learn edges
        config.data.augmentations.occlude = {"share": 0.5, "least": 0.6}
    config.base.kind, config.base.source = "pretrained", "anyband"
    config.select, config.eval_every_epochs = "best", EPOCHS[config.scale] / 5
    config.eval.baselines = ("anyband",)
    config.loss = {"name": "weighted", "relative_mse": 5.0, "spectral_angle": 0.5}
    config.epochs, config.batch_size = EPOCHS[config.scale], 8
    config.optimizer.learning_rate, config.optimizer.clip, config.ema = 1e-3, 1.0, 0.99
    config.optimizer.schedule = {"name": "cosine", "warmup": 30}
    config.eval.projection = 3
    config.log_every, config.checkpoint_every = 100, 250
    config.mesh.data = 1
    return common.smoke(config) if smoke else config
