"""Any cube of yours, with no other preparation: trained on one part of it, tested on the rest.

The network is a correction of the bicubic image and keeps spectra by its loss, so that it starts
at bicubic interpolation and goes up from there.
Command: python main.py --config=configs/scene.py:x2 --config.data.path=/my/scene.hdr
Time: about 5 minutes on 2 CPU cores for a scene of 100 x 100 pixels and 200 bands.
Expected: above bicubic in PSNR, SSIM and spectral angle; see docs/quality.md for measured scenes.
"""

from configs import common


def get_config(arg: str | None = None):
    config = common.base()
    config.scale, smoke = common.parse(arg, scale=2)
    config.model = {"name": "sspsr", "features": 64, "blocks": 3}
    config.data.name = "scene"
    return common.smoke(config) if smoke else config
