"""Any cube of yours, with no other preparation: trained on one part of it, tested on the rest.

Paper: Zhang et al., CAAI Transactions on Intelligence Technology, 2023 (RCAM, a small one), as a
correction of the bicubic image that starts at zero and holds spectra by its loss.
Command: python main.py --config=configs/scene.py:x2 --config.data.path=/my/scene.hdr
Time: a minute and a half of one CPU core for 100 x 100 pixels of 198 bands, whatever the scale.
Expected: above bicubic in PSNR, SSIM and spectral angle; on Jasper Ridge, seed 0, by 0.47 dB, 0.018
and 0.12 degrees at x2, 0.16 dB, 0.019 and 0.002 at x4, 0.05 dB, 0.011 and 0.05 at x8.
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
    config.epochs, config.batch_size = EPOCHS[config.scale], 8
    config.log_every, config.checkpoint_every = 100, 250
    config.mesh.data = 1
    return common.smoke(config) if smoke else config
