"""Workdirs of older versions: their `model.json` and `config.json` in today's form."""

from collections.abc import Mapping
from typing import Any

NO_BASE = {"kind": "none"}
# keys that came later, with the value that does what was done before
LATER = {
    "tiny": False, "loggers": ["tensorboard"], "eval_every_epochs": 0.0,
    "checkpoint_every_epochs": 0.0, "members": 1, "ema": 0.0, "patience": 0,
    "adversarial": {"objective": "reversal", "domain_loss": "cross_entropy", "strength": 0.01,
                    "ramp": 0.0, "label_smoothing": 0.0, "discriminator_steps": 1},
}  # fmt: skip
OPTIMIZER = {"name": "adam", "schedule": {"name": "constant"}, "weight_decay": 0.0, "clip": 0.0,
             "accumulate": 1, "freeze": [], "skip_unused": False}  # fmt: skip
BASE = {"kind": "none", "rounds": 3, "dark": 0.3, "radius": 8, "source": "anyband"}
GONE = ("residual", "base_projection", "base_filters", "projection_dark", "keep_programs")


def card(values: Mapping[str, Any]) -> dict[str, Any]:
    """`model.json`: until version 0.1 a network with a wrapper, now a spec with a base."""
    found = dict(values)
    if "network" not in found:
        return found
    options = dict(found.pop("network"))
    wrapper, rounds = found.pop("wrapper"), found.pop("base_projection", 0)
    radius, dark = found.pop("base_radius", 0), found.get("dark", 0.0)
    degradation, scale = found.get("degradation", {}), found.pop("scale")
    base = dict(NO_BASE)
    if wrapper == "LeastSquaresResidual":
        base = {"kind": "least_squares"}
    elif wrapper == "BicubicResidual":
        base = {"kind": "bicubic", "level": 1.0}  # the level itself is among the weights
        moved = {"rounds": rounds, "dark_level": dark, "degradation": degradation}
        if rounds:
            base |= {"kind": "back_projected", **moved}
        if radius:
            base |= {"kind": "filters", "radius": radius * scale, **moved}
    name, sizes = options.pop("name"), ("scale", "bands", "msi_bands")
    found["spec"] = {
        "name": name,
        "options": {k: v for k, v in options.items() if k not in sizes},
        "scale": scale,
        "bands": found.pop("bands"),
        "msi_bands": found.pop("msi_bands", 0),
        "members": found.pop("members", 1),
        "base": base,
    }
    return found


def config(values: Mapping[str, Any]) -> dict[str, Any]:
    """`config.json`: an optimizer left out what was usual; four keys stood for `base`."""
    found = dict(values)
    if isinstance(optimizer := found.get("optimizer"), Mapping):
        paired = [name for name in ("generator", "discriminator") if name in optimizer]
        sides = {name: OPTIMIZER | optimizer[name] for name in paired}
        found["optimizer"] = sides or OPTIMIZER | optimizer
    if isinstance(found.get("eval"), Mapping):
        found["eval"] = {"baselines": [], **found["eval"]}
    if not isinstance(found.get("model"), Mapping) or not set(GONE) & set(found):
        return found
    for key, value in LATER.items():
        found.setdefault(key, value)
    residual, rounds, reach, dark, _ = (found.pop(key, None) for key in GONE)
    dark = BASE["dark"] if dark is None else dark
    base = dict(BASE)
    if residual and found["model"].get("name") == "ssran":
        base["kind"] = "least_squares"
    elif residual and reach:
        base |= {"kind": "filters", "radius": reach, "rounds": rounds or 0, "dark": dark}
    elif residual and rounds:
        base |= {"kind": "back_projected", "rounds": rounds, "dark": dark}
    elif residual:
        base["kind"] = "bicubic"
    found["base"] = base
    for part, later in (
        ("eval", {"dark": dark, "projection": 0, "self_ensemble": False, "save": ""}),
        ("data", {"train_on": "train"}),
    ):
        if isinstance(found.get(part), Mapping):
            found[part] = later | dict(found[part])
    return found
