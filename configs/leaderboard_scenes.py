"""Four networks on four real scenes, by their papers' recipes and as corrections of `anyband`.

Paper: this library's own comparison; no paper prints figures for these splits.
Command: python -m hsisr_jax.leaderboard --config=configs/leaderboard_scenes.py:data=FOLDER \
    --workdir=runs/scenes
Time: 64 runs of 300 steps, 2 minutes of training each on a shared CPU core.
Expected: docs/quality.md. All corrections of `anyband` end within 0.03 dB of it; step 0 is kept
where no step is better on the validation part.

FOLDER has jasperRidge2_R198.mat, paris_hs_ms.mat, DLR_HySU_HS_full.tif; Indian Pines is in the
package `tensorly`, or there as Indian_pines_corrected.npy. Each scene is cut along its columns:
49 % train, 18 % select the step, 33 % are scored as one image. Networks are small and train
briefly; loss, rate and batch of a paper's recipe are the paper's (RCAM: no targets halfway).

The argument picks scales, seeds, steps, scenes and networks by commas: `:data=FOLDER,x4,seeds=2`,
`:data=FOLDER,steps=600,jasper,paris,sspsr`. `:smoke` is a trial on an artificial scene.
"""

import importlib.util
from pathlib import Path

from ml_collections import ConfigDict

from configs import common

SCENES = {  # name: title, file, options
    "jasper": ("Jasper Ridge", "jasperRidge2_R198.mat", {}),
    "paris": ("Paris", "paris_hs_ms.mat", {"variable": "HSim"}),
    "pines": ("Indian Pines", "Indian_pines_corrected.npy", {}),
    "hysu": ("HySU", "DLR_HySU_HS_full.tif", {}),
}
NETWORKS = {  # title, size, and of the paper's recipe: loss, rate, batch
    "sspsr": ("SSPSR", {"features": 32, "blocks": 2, "group_size": 20}, "hybrid", 1e-4, 32),
    "srlsgat": ("SRLSGAT", {"features": 32, "blocks": 1, "group_size": 66}, "hybrid", 1e-4, 16),
    "snlsr": ("SNLSR", {"features": 32}, "snlsr", 1e-3, 4),
    "rcam": ("RCAM", {"features": 32, "dense_blocks": 2, "rcams": 2}, "l1", 1e-3, 4),
}
RECIPES = {"paper": "{}, its paper's recipe", "anyband": "{} on anyband"}


def get_config(arg: str | None = None):
    words = [word for word in (arg or "").split(",") if word]
    given = dict(word.split("=", 1) for word in words if "=" in word)
    smoke = "smoke" in words
    scales = [int(word[1:]) for word in words if word in ("x2", "x4", "x8")] or [2, 4]
    scenes = [name for name in SCENES if name in words] or list(SCENES)[: 1 if smoke else None]
    networks = [name for name in NETWORKS if name in words] or list(NETWORKS)
    config = ConfigDict({"runs": {}, "seeds": tuple(range(int(given.get("seeds", 1))))})
    config.manual_dir = ""
    for scene in scenes:
        for scale in scales:
            for recipe, title in RECIPES.items():
                for network in networks:
                    one = run(scene, network, recipe, scale, given)
                    if smoke:
                        one = common.smoke(one)
                    label = {"dataset": SCENES[scene][0]}
                    label["network"] = title.format(NETWORKS[network][0])
                    name = f"{scene}_{network}_{recipe}_x{scale}"
                    config.runs[name] = ConfigDict({**label, "config": one})
    return config


def run(scene: str, network: str, recipe: str, scale: int, given: dict) -> ConfigDict:
    """One network on one scene at one scale."""
    config = common.base()
    config.scale = scale
    _, size, loss, rate, batch = NETWORKS[network]
    config.model = ConfigDict({"name": network, **size})
    config.data.name, config.data.path = "scene", place(scene, given.get("data", "."))
    config.data.options = ConfigDict({"fractions": (0.49, 0.18, 0.33), **SCENES[scene][2]})
    config.data.stride = 2
    config.steps, config.batch_size = int(given.get("steps", 300)), batch
    config.loss, config.optimizer.learning_rate = ConfigDict({"name": loss}), rate
    if recipe == "anyband":
        config.base.kind, config.base.source = "pretrained", "anyband"
        config.batch_size = 4
        config.data.augmentations = ConfigDict({"gain": {"spread": 0.2}, "mix": {"share": 0.5}})
        config.loss = ConfigDict({"name": "weighted", "relative_mse": 5.0, "spectral_angle": 0.5})
        config.optimizer.learning_rate, config.optimizer.clip, config.ema = 1e-3, 1.0, 0.98
        config.optimizer.schedule = ConfigDict({"name": "cosine", "warmup": 30})
    config.select, config.eval_every = "best", max(config.steps // 4, 1)
    config.eval.baselines, config.eval.images_kept = ("anyband",), 1
    config.log_every, config.checkpoint_every = 50, 0
    config.mesh.data = 1
    return config


def place(scene: str, folder: str) -> str:
    """The path of a scene's file."""
    path = Path(folder) / SCENES[scene][1]
    found = importlib.util.find_spec("tensorly") if scene == "pines" and not path.exists() else None
    if found is not None and found.origin:
        path = Path(found.origin).parent / "datasets" / "data" / path.name
    return str(path)
