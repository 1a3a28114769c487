"""A-SNLSR on a cube of yours: learnt in one spectral range, carried to another.

Paper: "Cross-Spectral Domain Adaptation for Hyperspectral Image Super-Resolution", RMA, 2025; here
with trained encoder and endmembers, on top of the bicubic image.
Command: python main.py --config=configs/asnlsr_scene.py --config.data.path=/my/scene.hdr
Time: minutes of one CPU core for 100 x 100 pixels.
Expected: docs/adaptation.md has what was measured on public scenes.

The domains are `--config.data.domains`, two of VNIR, SWIR, SWIR1 and SWIR2 or pairs of ends in nm;
`--config.data.path=a.hdr,b.hdr` takes each from a file of its own.
"""

from configs import common


def get_config(arg: str | None = None):
    config = common.base()
    config.scale, smoke = common.parse(arg, scale=4)
    config.model = {"name": "asnlsr", "bicubic_skip": True, "features": 32}
    config.data.name, config.data.domains = "domains", ("VNIR", "SWIR")
    config.training = "adversarial"
    config.loss = {"name": "snlsr", "source_only": True}
    config.steps, config.batch_size = 1000, 8
    config.optimizer.schedule = {"name": "cosine"}
    common.against_discriminator(config)
    config.eval.protocol, config.select_metric = "asnlsr", "SSIM"
    config.checkpoint_every = 250
    config.mesh.data = 1
    return common.smoke(config) if smoke else config
