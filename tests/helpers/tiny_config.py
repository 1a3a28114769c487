"""A run of seconds for the tests of reliability: a network of a few hundred parameters.

The argument `adversarial` gives two domains, a discriminator and a pair of optimizers.
"""

from configs import common


def get_config(arg: str | None = None):
    config = common.base()
    config.model = {"name": "rcam", "features": 4, "dense_blocks": 1, "rcams": 1}
    config.data.options = {"height": 64, "width": 64, "bands": 6}
    config.data.patch, config.data.stride = 16, 8
    config.batch_size, config.steps = 2, 40
    config.optimizer.learning_rate = 1e-3
    config.ema = 0.9
    config.log_every, config.eval_every, config.checkpoint_every = 5, 10, 5
    config.mesh.data = 1
    config.eval.images_kept = 1
    if arg == "adversarial":
        config.scale = 4
        config.model = {"name": "asnlsr", "features": 4, "materials": 2}
        config.data.options = {"height": 64, "width": 128, "bands": 6, "domains": 2}
        config.loss = {"name": "snlsr", "source_only": True}
        common.against_discriminator(config)
    elif arg:
        raise ValueError(f"config argument {arg!r} is unknown: use adversarial")
    return config
