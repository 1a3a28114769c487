"""SNLSR against the published code, and what it promises for sizes, scales and attention."""

import parity
import pytest
from golden import Case, cases

from hsisr_jax import losses

SOWN = {  # name of an intermediate in the golden files -> ours
    "encoder_conv0": "encoder/convolved_0",
    "encoder_cbam0": "encoder/attended_0",
    "SRhead": "features_0",
    "Up": "features_1",
    **{f"block{i + 1}": f"refined_{i}" for i in range(6)},
    "block1_spectral_attention": "block_0/spectral_attention",
    "block1_spatial_attention": "block_0/spatial_attention",
}
TERMS = {
    "l1": "Spatial_Loss_Upscaling",
    "reconstruction_l1": "Spatial_Loss_Unmixing",
    "spectral_angle": "Spectral_Loss_Upscaling",
    "reconstruction_angle": "Spectral_Loss_Unmixing",
}


@pytest.mark.parametrize("path", cases("snlsr_*.npz"))
def test_equals_the_published_code(path):
    weight = Case(path).config["constructor"].get("weight_spectral_loss", 0.1)
    loss = losses.create("snlsr", spectral_weight=weight)
    parity.run_case(path, loss, terms=TERMS, intermediates=SOWN)
