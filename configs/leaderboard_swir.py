"""A-SNLSR and all that it compares with: trained on SWIR1, tested on SWIR2, x4.

Paper: "Cross-Spectral Domain Adaptation for Hyperspectral Image Super-Resolution" (RMA, 2025).
Command: python -m hsisr_jax.leaderboard --config=configs/leaderboard_swir.py --workdir=runs/swir
Time: the authors report 7 to 20 minutes a run on a GPU; here 10 seeds of 6 networks.
Expected: the published figures stand beside ours in the table; not run here: the tiles must be
fetched by hand.

`:smoke` tries everything on synthetic tiles in minutes; `:seeds=3` takes fewer seeds.
"""

from ml_collections import ConfigDict

from configs import asnlsr_swir, esrt_swir, rcam_swir, snlsr_swir, srformer_swir

NETWORKS = {
    "RCAM": rcam_swir,
    "ESRT": esrt_swir,
    "SRFormer": srformer_swir,
    "SNLSR": snlsr_swir,
    "A-SNLSR": asnlsr_swir,
}


def get_config(arg: str | None = None):
    words = (arg or "").split(",")
    seeds = next((int(word[6:]) for word in words if word.startswith("seeds=")), 10)
    smoke = "smoke" in words
    config = ConfigDict({"runs": {}, "seeds": tuple(range(1 if smoke else seeds))})
    config.manual_dir = ""  # files that you downloaded by hand
    for label, recipe in NETWORKS.items():
        one = recipe.get_config("smoke" if smoke else None)
        entry = {"dataset": "SWIR Park", "network": label, "config": one}
        config.runs[f"swir_{one.model.name}_x4"] = ConfigDict(entry)
    return config
