"""Scores of networks on a real scene: as published, with all options, and with each option.

    python -m experiments.quality --scene jasperRidge2_R198.mat --network srlsgat --bands 50:81 \\
        --scale 2 --steps 4000 --seeds 3 --sets bicubic,paper,ours

The protocol is an argument for an argument: training columns, patches, stride, test tiles, steps,
seeds. `--sets` names what is compared: `paper` (hybrid loss, Adam 1e-4), `ours` (every option),
`paper+NAME` (one option alone), `ours-NAME` (all but one), or `ablation`: all of these. The
defaults are the protocol of docs/quality.md; `--test-columns` left of `--train-columns`' end are
for choosing options without looking at the test tiles, and `--change` tries other values. Options
of inference alone share a training.
"""

import argparse
import ast
import functools
import json
import operator
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
from ml_collections import ConfigDict

from configs import common
from hsisr_jax import train
from hsisr_jax.training import setup
from hsisr_jax.training.experiment import describe
from hsisr_jax.training.fit import fit, prepare
from hsisr_jax.training.stopping import Signals

# What goes beyond the published recipes, an option each; docs/quality.md has what each one adds.
OPTIONS = {
    "residual": {"base.kind": "bicubic"},
    "base": {"base.kind": "back_projected"},
    "rate": {
        "optimizer.learning_rate": 1e-3,
        "optimizer.schedule": {"name": "cosine", "warmup": 30},
        "optimizer.clip": 1.0,
    },
    "ema": {"ema": 0.99},
    "loss": {"loss": {"name": "weighted", "relative_mse": 5.0, "spectral_angle": 0.5}},
    "dense": {"data.stride": 2},
    "augment": {
        "data.augmentations.zoom": {"most": 1.5},
        "data.augmentations.gain": {"spread": 0.2},
        "data.augmentations.mix": {"share": 0.5},
    },
    "edges": {"data.augmentations.occlude": {"share": 0.5, "least": 0.6}},
    "ensemble": {"eval.self_ensemble": True},
    "projection": {"eval.projection": 3},
}
SHOWN = ("MPSNR", "MSSIM", "SAM", "ERGAS")
WIDTHS = {  # the sizes of the published protocol
    "srlsgat": {"features": 64, "blocks": 2},
    "sspsr": {"features": 64, "blocks": 3, "group_size": 8, "group_overlap": 2},
}
# Means of the authors' own PyTorch code on Jasper Ridge: (network, scale, steps)
PUBLISHED = {
    ("srlsgat", 2, 4000): {"MPSNR": 31.33, "MSSIM": 0.8806, "SAM": 0.730, "ERGAS": 2.800},
    ("srlsgat", 4, 4000): {"MPSNR": 26.29, "MSSIM": 0.6055, "SAM": 0.966, "ERGAS": 2.515},
    ("sspsr", 4, 2000): {"MPSNR": 27.44, "MSSIM": 0.6902, "SAM": 4.665, "ERGAS": 4.778},
    ("sspsr", 4, 1000): {"MPSNR": 27.21},
    ("sspsr", 4, 500): {"MPSNR": 26.84},
    ("srlsgat", 2, 1000): {"MPSNR": 30.92},
    ("srlsgat", 2, 2000): {"MPSNR": 31.22},
    ("srlsgat", 2, 3000): {"MPSNR": 31.32},
}


def span(text: str) -> tuple[int, int]:
    first, last = text.split(":")
    return int(first), int(last)


def change(text: str) -> tuple[str, object]:
    """`"loss.spectral_angle=1.0"` -> `("loss.spectral_angle", 1.0)`."""
    key, _, value = text.partition("=")
    try:
        return key, ast.literal_eval(value)
    except (SyntaxError, ValueError):
        return key, value


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--scene", required=True, help="any file that config.data.path takes")
    parser.add_argument("--variable", help="which array of a MATLAB or HDF5 file")
    parser.add_argument("--network", default="srlsgat", help="names by commas")
    parser.add_argument("--scale", default="2", help="scales by commas")
    parser.add_argument("--bands", type=span, help="first:end, all when left out")
    parser.add_argument("--rows", type=span, default=(0, 100), help="of the training region")
    parser.add_argument("--train-columns", type=span, default=(0, 64))
    parser.add_argument("--test-columns", type=span, default=(64, 96))
    parser.add_argument("--tile", type=int, default=32, help="rows of a test tile")
    parser.add_argument("--tiles", type=int, default=3)
    parser.add_argument("--patch", type=int, default=32)
    parser.add_argument("--stride", type=int, default=8)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--steps", type=int, default=4000)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("--sets", default="bicubic,paper,ours")
    parser.add_argument(
        "--change", type=change, action="append", default=[], metavar="KEY=VALUE",
        help="of every set's config, such as loss.spectral_angle=1.0",
    )  # fmt: skip
    parser.add_argument("--data-dir", default="", help="where the prepared scene is kept")
    parser.add_argument("--output", help="a JSON file with every run")
    return parser.parse_args()


def sets_of(text: str) -> list[str]:
    """`ablation` spelt out."""
    found = []
    for word in text.split(","):
        if word == "ablation":
            found += ["paper", *(f"paper+{o}" for o in OPTIONS)]
            found += [*(f"ours-{o}" for o in OPTIONS), "ours"]
        else:
            found.append(word)
    return found


def options_of(word: str) -> list[str]:
    """The names of the options that a set switches on."""
    base, sign, name = word.partition("+" if "+" in word else "-")
    if base not in ("paper", "ours") or sign and name not in OPTIONS:
        known = ", ".join(OPTIONS)
        sys.exit(f"unknown set {word!r}: paper, ours, paper+NAME or ours-NAME with NAME of {known}")
    if base == "paper":
        return [name] if sign else []
    return [o for o in OPTIONS if o != name]


def configure(args: argparse.Namespace, network: str, scale: int, seed: int, word: str):
    """The protocol, with the options of a set."""
    config = common.base()
    config.seed, config.scale = seed, scale
    config.model = {"name": network, **WIDTHS.get(network, {})}
    config.loss = {"name": "hybrid"}
    first, last = args.test_columns
    tops = [i * args.tile for i in range(args.tiles)]
    config.data.name, config.data.path, config.data.dir = "scene", args.scene, args.data_dir
    config.data.options = {
        "regions": [
            ["train", *args.rows, *args.train_columns],
            *(["test", top, top + args.tile, first, last] for top in tops),
        ]
    }
    if args.bands:
        config.data.options.bands = list(args.bands)
    if args.variable:
        config.data.options.variable = args.variable
    config.data.patch, config.data.stride = args.patch, args.stride
    config.steps, config.batch_size, config.mesh.data = args.steps, args.batch, 1
    config.checkpoint_every, config.log_every = 0, 500
    chosen = [o for o in options_of(word) if o != "edges" or scale <= 2]  # not learnt in time at x4
    for key, value in (pair for name in chosen for pair in OPTIONS[name].items()):
        *folders, last = key.split(".")
        part = functools.reduce(operator.getitem, folders, config)
        part[last] = ConfigDict(value) if isinstance(value, dict) else value
    for key, value in args.change:
        *folders, last = key.split(".")
        try:
            part = functools.reduce(operator.getitem, folders, config)
            part[last] = type(part[last])(value)
        except (KeyError, TypeError, ValueError) as error:
            sys.exit(f"--change {key}: {' '.join(str(error).split())}")
    return config


class Trainings:
    """Runs by configuration; one that differs in `eval` alone is not trained again."""

    def __init__(self):
        self.key, self.experiment, self.variables = None, None, None

    def __call__(self, config) -> dict:
        plain = config.to_dict()
        plain.pop("eval")
        key = json.dumps(plain, sort_keys=True, default=list)
        if key != self.key:
            self.key, self.experiment = key, describe(config)
            with tempfile.TemporaryDirectory() as folder, Signals() as signals:
                path = Path(folder)
                with self.experiment.checkpoints(path) as checkpoints:
                    state = fit(prepare(self.experiment), checkpoints, path, signals)
            self.variables = state.averaged
        protocol = setup.protocol(config, self.experiment.data, self.experiment.spec)
        scored = replace(self.experiment, config=config, protocol=protocol)
        return train.test(scored, self.variables, Path()).to_json()


def measure(args: argparse.Namespace) -> list[dict]:
    trainings, rows = Trainings(), []
    for network in args.network.split(","):
        for scale in map(int, args.scale.split(",")):
            for word in [w for w in sets_of(args.sets) if w != "bicubic"]:
                for seed in range(args.first_seed, args.first_seed + args.seeds):
                    began = time.monotonic()
                    found = trainings(configure(args, network, scale, seed, word))
                    row = {"network": network, "scale": scale, "set": word, "seed": seed}
                    row |= {"steps": args.steps, "seconds": round(time.monotonic() - began)}
                    rows.append(row | {name: found[name] for name in ("test", "bicubic")})
                    show(rows[-1:])
                    if args.output:
                        Path(args.output).write_text(json.dumps(rows, indent=1))
    return rows


def show(rows: list[dict]) -> None:
    for row in rows:
        scores = "  ".join(f"{row['test'][name]:8.4f}" for name in SHOWN)
        print(f"{row['network']} x{row['scale']} {row['set']} seed {row['seed']}: {scores}")


def table(rows: list[dict], args: argparse.Namespace) -> str:
    """Means over the seeds in Markdown, bicubic and the published code beside them."""
    lines = [
        f"| {args.steps} steps | set | seeds | PSNR | SSIM | SAM (deg) | ERGAS | seconds |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for network, scale in dict.fromkeys((r["network"], r["scale"]) for r in rows):
        title = f"{network} x{scale}"
        own = [r for r in rows if (r["network"], r["scale"]) == (network, scale)]
        lines.append(line(title, "bicubic", "-", own[0]["bicubic"], "-"))
        if reference := PUBLISHED.get((network, scale, args.steps)):
            lines.append(line(title, "published code", "3" if network == "srlsgat" else "2",
                              reference, "-"))  # fmt: skip
        for word in dict.fromkeys(r["set"] for r in own):
            some = [r for r in own if r["set"] == word]
            means = {name: float(np.mean([r["test"][name] for r in some])) for name in SHOWN}
            seconds = f"{np.mean([r['seconds'] for r in some]):.0f}"
            lines.append(line(title, word, str(len(some)), means, seconds))
    return "\n".join(lines)


def line(title: str, word: str, seeds: str, scores: dict, seconds: str) -> str:
    digits = {"MPSNR": 2, "MSSIM": 4, "SAM": 3, "ERGAS": 3}
    cells = [f"{scores[n]:.{digits[n]}f}" if n in scores else "" for n in SHOWN]
    return f"| {title} | {word} | {seeds} | {' | '.join(cells)} | {seconds} |"


def main() -> None:
    args = arguments()
    for word in sets_of(args.sets):
        if word != "bicubic":
            options_of(word)
    print(table(measure(args), args))


if __name__ == "__main__":
    main()
