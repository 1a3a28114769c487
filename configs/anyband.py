"""Trains anyband, the network for any sensor, on photographs, much as the packaged weights were.

Paper: this library's own; the idea of sharpening eigenimages is EigenSR's (AAAI 2025), the network
is EDSR's (Lim et al., CVPRW 2017) with one channel, told what the sensor does.
Command: python main.py --config=configs/anyband.py:x4 --manual_dir=$HOME/downloads
It starts from the packaged weights; `--config.init_from=` (nothing) starts from fresh ones. Folders
of your own: --config.data.path="['/my/photos','/more']".
Time: not measured here; the packaged weights took 4 hours of a CPU core in another framework.
Expected: above the packaged weights on the photographs held out, or they are kept (step 0 is a
candidate); those gain 1.47 dB and 0.59 degrees over bicubic at x4 on the scenes of docs/quality.md.

`:x2,tail --config.init_from=runs/anyband_x4` trains the last layer alone, so that several scales
share one trunk; `python -m hsisr_jax.weights RUNS --output=FILE` makes one file of weights of them.
"""

from configs import common


def get_config(arg: str | None = None):
    config = common.base()
    arg, tail = common.take(arg, "tail")
    config.scale, smoke = common.parse(arg, scale=4, scales=(2, 3, 4, 8))
    config.model = {"name": "anyband"}
    config.init_from = "anyband"
    config.data.name = "aerial"
    config.data.components = {"level": (-1.0, 0.5), "tone": 0.3, "principal": 0.33}
    config.data.components.update({"objects": 0.12, "noisy": 0.35, "noise": 0.6})
    config.data.components.sensors = (4.0, 1.0, 6.0)
    config.data.augmentations = {"zoom": {"most": 2.0}}
    config.batch_size, config.steps = 16, 18_000
    config.optimizer.learning_rate, config.optimizer.b2, config.optimizer.clip = 8e-4, 0.99, 1.0
    config.optimizer.schedule = {"name": "cosine", "flat": 0.55, "final": 0.01}
    config.ema = 0.999
    config.eval_every, config.checkpoint_every = 1000, 500
    config.select = "best"
    if tail:
        config.optimizer.freeze = ("trunk/head", "trunk/block", "trunk/facts", "trunk/merge")
    if smoke:
        common.smoke(config)
        config.init_from, config.data.patch = "", {3: 48}.get(config.scale, 0)
    return config
