"""Any cube of yours, with no other preparation: trained on one part of it, tested on the rest.

Paper: Zhang et al., CAAI Transactions on Intelligence Technology, 2023 (RCAM, a small one), as a
correction of the bicubic image that starts at zero and holds spectra by its loss.
Command: python main.py --config=configs/scene.py:x2 --config.data.path=/my/scene.hdr
Time: two or three minutes of one CPU core for 100 x 100 pixels of 198 bands, whatever the scale.
Expected: above bicubic in PSNR, SSIM and spectral angle, at every scale: docs/quality.md has the
scores on Jasper Ridge (x2: 33.6 dB and 2.15 degrees, bicubic 32.5 and 2.51).
"""

from configs import common

# The fewer low-resolution pixels a scene has, the sooner their spectra are learnt by heart. Epochs
# are of every patch in each of its flips and rotations: a larger scene gets more steps.
EPOCHS = {2: 0.5, 4: 0.5, 8: 0.25}


def get_config(arg: str | None = None):
    config = common.base()
    config.scale, smoke = common.parse(arg, scale=2)
    config.model = {"name": "rcam", "dense_blocks": 3, "rcams": 2}
    config.model.bicubic_skip = config.scale == 8  # or nothing of the input reaches its third stage
    config.data.name = "scene"
    config.data.options = {"test_tile": 32}  # scored one by one, as published test images are
    common.ahead(config)
    if config.scale == 2:  # where the scene is unlike its training part, the better base
        config.base_filters = 8
    config.epochs, config.batch_size = EPOCHS[config.scale], 8
    config.log_every, config.checkpoint_every = 100, 250
    config.mesh.data = 1
    return common.smoke(config) if smoke else config
