"""A-SNLSR from VNIR to SWIR on real scenes at x4, after a first stage that learns to unmix.

    python -m experiments.adaptation_scenes --manual_dir=FOLDER          # Jasper Ridge, three seeds
    python -m experiments.adaptation_scenes --manual_dir=FOLDER --scene=pines --seeds=1
    python -m experiments.adaptation_scenes --manual_dir=FOLDER --base=pretrained
    python -m experiments.adaptation_scenes --steps=4 --unmixing=4 --smoke           # a trial

The first stage trains encoder and endmembers on the reconstruction of low-resolution patches, of
both domains for A-SNLSR and of the source alone for SNLSR. Every row then starts from it, with zero
correction of the bicubic image or another `--base`; `pretrained` is the packaged network. `frozen`
is SNLSR as published, without first stage and base: its random encoder is not trained. No row sees
the target's high-resolution cubes. What was trained, first stages included, is kept in `--workdir`
and is not trained again while its settings stay the same.
"""

import argparse
import sys
import time
from collections.abc import Mapping
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from flax import serialization
from ml_collections import ConfigDict

from configs import leaderboard_adaptation
from experiments.adaptation import SHOWN, Row
from hsisr_jax import identity
from hsisr_jax.errors import UserError
from hsisr_jax.files import written
from hsisr_jax.training import start
from hsisr_jax.training.workdir import as_dict

RAMPED = {"strength": 0.1, "ramp": 10.0}
ROWS: dict[str, dict | None] = {  # name -> what differs from the published game; None: no game
    "rcam": None,
    "esrt": None,
    "srformer": None,
    "frozen": None,
    "source": None,
    "strength_0": {"strength": 0.0},
    "published": {},
    "ramped": RAMPED,
    "non_saturating": RAMPED | {"objective": "non_saturating"},
    "aligned_0": {"strength": 0.0},
    "aligned": {},
}
CUBES = ("lr", "lms", "hr")
UNMIXING = ("encoder", "endmembers")
ALIGNED = ("unmixing_aligned", "aligned_0", "aligned")
BASELINES = {"rcam": "RCAM", "esrt": "ESRT", "srformer": "SRFormer"}  # as in the leaderboard
STAGES: dict[str, str | None] = {
    **dict.fromkeys((*BASELINES, "frozen")),
    "source": "unmixing_source",
    **dict.fromkeys(ALIGNED, ALIGNED[0]),
}
WITHOUT_ADVERSARY = dict.fromkeys(("published", "ramped", "non_saturating"), "strength_0")
WITHOUT_ADVERSARY["aligned"] = "aligned_0"


def config_of(row: str, options: argparse.Namespace) -> ConfigDict:
    """The config of a row, or of the first stage: `unmixing` or `unmixing_source`."""
    single = ROWS.get(row, row) in (None, "unmixing_source")
    model = {"name": "snlsr" if single or row.startswith("unmixing") else "asnlsr"}
    # for so few features the whole matrix compiles sooner, with the same result
    model |= {"features": options.features, "materials": options.materials, "attention": "full"}
    if row in BASELINES:
        model = leaderboard_adaptation.ROWS[BASELINES[row]][0]
    steps = options.unmixing if row.startswith("unmixing") else options.steps
    game, frozen = ROWS.get(row), row == "frozen"
    config = leaderboard_adaptation.recipe(model, game, steps, frozen=frozen)
    config.base.kind = options.base
    if row.startswith("unmixing"):
        config.loss = ConfigDict({"name": "weighted"})
        config.loss.update(reconstruction_l1=1.0, reconstruction_angle=0.1)
        config.batch_size = 8
        config.base.kind = "bicubic"  # one first stage for all bases
    elif frozen:
        config.base.kind = "none"
    if config.base.kind == "pretrained":
        config.base.source, config.eval.baselines = "anyband", ("anyband",)
    _, config.data.name, prefix = leaderboard_adaptation.SCENES[options.scene]
    config.data.config = prefix + ("single" if single else "domains")
    config.data.manual_dir = options.manual_dir
    if options.smoke:
        config.tiny, config.data.config = True, f"{config.data.config}_smoke"
    return config


class AlignedRow(Row):
    """A row whose target has the source's mean and deviation in every band of its number, as its
    low-resolution inputs say; outputs are mapped back."""

    def __init__(self, config: ConfigDict):
        super().__init__(config)
        batches = list(start.plain_batches(self.trainer, augment=False))
        lr, domain = (
            np.concatenate([batch[name] for batch in batches]) for name in ("lr", "domain")
        )
        source, target = (lr[domain == number].reshape(-1, lr.shape[-1]) for number in (0, 1))
        gain = (source.std(0) / target.std(0))[None, None, None]
        shift = source.mean(0)[None, None, None] - gain * target.mean(0)
        self.gain, self.shift = gain, shift
        network = self.apply

        def apply(variables: Mapping, inputs: Mapping) -> dict:
            out = network(variables, {name: x * gain + shift for name, x in inputs.items()})
            return out | {"sr": (out["sr"] - shift) / gain}

        self.apply = apply

    def batch(self, drawn, key) -> dict:
        batch = super().batch(drawn, key)
        target = (batch["domain"] == 1)[:, None, None, None]
        moved = {n: jnp.where(target, batch[n] * self.gain + self.shift, batch[n]) for n in CUBES}
        return batch | moved


class Kept:
    """Rows whose results for each seed are files in a folder."""

    def __init__(self, name: str, config: ConfigDict, folder: Path, after: "Kept | None"):
        self.name, self.config, self.folder, self.after = name, config, folder, after
        self.row: Row | None = None
        settings = as_dict(config)
        for place in ("dir", "manual_dir"):
            settings["data"].pop(place)
        self.settings = {"config": settings, "after": after.settings if after else None}
        if name in ALIGNED:
            self.settings["aligned"] = True

    def place(self, seed: int) -> Path:
        digest = identity.of_json(self.settings)[:12]
        return self.folder / f"{self.config.data.name}_{self.name}_{digest}_seed{seed}.msgpack"

    def result(self, seed: int) -> dict:
        """Variables, scalars of the last step, scores and seconds; trained if they are not kept."""
        place = self.place(seed)
        if place.exists():
            return serialization.msgpack_restore(place.read_bytes())
        given = self.after.result(seed)["variables"]["params"] if self.after else {}
        self.row = self.row or (AlignedRow if self.name in ALIGNED else Row)(self.config)
        began = time.monotonic()
        state, scalars = self.row.train(seed, {name: given[name] for name in UNMIXING if given})
        jax.block_until_ready(state)
        seconds = time.monotonic() - began
        found = {
            "variables": jax.device_get(state.averaged),
            "scalars": {name: float(value) for name, value in scalars.items()},
            "scores": {} if self.name.startswith("unmixing") else self.row.score(state.averaged),
            "seconds": seconds,
        }
        self.folder.mkdir(parents=True, exist_ok=True)
        with written(place) as file:
            file.write(serialization.msgpack_serialize(found))
        shown = {**found["scores"].get("test", {}), **found["scalars"]}
        text = "  ".join(f"{name} {value:.4f}" for name, value in shown.items())
        print(f"  {self.name} seed {seed}: {text}  ({seconds:.0f} s)", flush=True)
        return found

    def forget(self) -> None:
        """Frees the compiled programs and the data."""
        self.row = None
        jax.clear_caches()


def main() -> None:
    options = arguments()
    jax.config.update("jax_default_prng_impl", "unsafe_rbg")  # compiles in a fraction of the time
    folder, names = Path(options.workdir), options.rows.split(",")
    table: dict[str, list[Mapping]] = {}
    for name in names:
        stage, after = STAGES.get(name, "unmixing"), None
        if stage:
            after = Kept(stage, config_of(stage, options), folder, None)
            for seed in range(options.seeds):
                after.result(seed)
            after.forget()
        row = Kept(name, config_of(name, options), folder, after)
        table[name] = [row.result(seed) for seed in range(options.seeds)]
        row.forget()
    print(shown(table))


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--scene", default="jasper", choices=leaderboard_adaptation.SCENES)
    parser.add_argument("--manual_dir", default="", help="the folder of the scenes' files")
    parser.add_argument(
        "--workdir", default="runs/adaptation", help="what was trained is kept here"
    )
    parser.add_argument("--rows", default="rcam,source,strength_0,published,ramped")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--unmixing", type=int, default=2000, help="steps of the first stage")
    parser.add_argument("--steps", type=int, default=400)
    parser.add_argument("--features", type=int, default=16)
    parser.add_argument("--materials", type=int, default=16)
    bases = ("bicubic", "back_projected", "pretrained")
    parser.add_argument("--base", default="bicubic", choices=bases)
    parser.add_argument("--smoke", action="store_true", help="tiny networks on synthetic twins")
    options = parser.parse_args()
    for name in options.rows.split(","):
        if name not in ROWS:
            parser.error(f"--rows: {name!r} is unknown: use {', '.join(ROWS)}")
    return options


def shown(table: Mapping[str, list[Mapping]]) -> str:
    """Mean and deviation over seeds; below, what the adversary changes, seed by seed."""
    first = next(iter(table.values()))[0]["scores"]
    lines = ["| | " + " | ".join(SHOWN) + " | domain accuracy |", "|---" * (len(SHOWN) + 2) + "|"]
    for name in [name for name in first if name != "test"]:
        cells = [f"{first[name][k]:.4f}" for k in SHOWN]
        lines.append(f"| {name} | " + " | ".join(cells) + " | |")
    for name, found in table.items():
        cells = [spread([one["scores"]["test"][k] for one in found]) for k in SHOWN]
        accuracy = [one["scalars"].get("domain_accuracy", np.nan) for one in found]
        cells.append(f"{np.mean(accuracy):.2f}" if np.isfinite(accuracy).all() else "")
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    for name, plain in WITHOUT_ADVERSARY.items():
        if not {name, plain} <= table.keys():
            continue
        pairs = zip(table[name], table[plain])
        changes = [
            {k: a["scores"]["test"][k] - b["scores"]["test"][k] for k in SHOWN} for a, b in pairs
        ]
        text = ", ".join(f"{k} {spread([c[k] for c in changes], '+')}" for k in SHOWN)
        lines.append(f"{name} against {plain}, the same seed: {text}")
    return "\n".join(lines)


def spread(values: list[float], sign: str = "") -> str:
    """Mean, and standard deviation of more than one."""
    deviation = f" ± {np.std(values):.4f}" if len(values) > 1 else ""
    return f"{np.mean(values):{sign}.4f}{deviation}"


if __name__ == "__main__":
    try:
        main()
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
