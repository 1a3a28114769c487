"""Names of SNLSR's intermediates in the golden files -> where ours are sown."""

SOWN = {
    "encoder_conv0": "encoder/convolved_0",
    "encoder_cbam0": "encoder/attended_0",
    "SRhead": "features_0",
    "Up": "features_1",
    **{f"block{i + 1}": f"refined_{i}" for i in range(6)},
    "block1_spectral_attention": "block_0/spectral_attention",
    "block1_spatial_attention": "block_0/spatial_attention",
}
