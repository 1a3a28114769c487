"""Any cube of yours, with no other preparation: trained on one part of it, tested on the rest.

Paper: Zhang et al., CAAI Transactions on Intelligence Technology, 2023 (RCAM, a small one), as a
correction of the bicubic image that starts at zero and holds spectra by its loss.
Command: python main.py --config=configs/scene.py:x2 --config.data.path=/my/scene.hdr
Time: estimated 5 minutes on 2 CPU cores for 200 bands (13 TFLOP), 2 for 31 bands.
Expected: above bicubic in PSNR, SSIM and spectral angle (Jasper Ridge x2 after 300 of the steps:
33.01, 0.9125, 2.40 degrees; bicubic 32.49, 0.8945, 2.51); docs/quality.md says what was measured.
"""

from configs import common

# The fewer low-resolution pixels a scene has, the sooner their spectra are learnt by heart.
STEPS = {2: 300, 4: 200, 8: 100}


def get_config(arg: str | None = None):
    config = common.base()
    config.scale, smoke = common.parse(arg, scale=2)
    config.model = {"name": "rcam", "dense_blocks": 3, "rcams": 2}
    config.data.name = "scene"
    config.data.options = {"test_tile": 32}  # scored one by one, as published test images are
    common.ahead(config)
    config.steps, config.batch_size = STEPS[config.scale], 8
    config.log_every, config.checkpoint_every = 100, 250
    config.mesh.data = 1
    return common.smoke(config) if smoke else config
