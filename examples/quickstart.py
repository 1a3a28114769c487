"""A scene sharpened at once by the network in the package, then by a small one trained on top.

    python -m examples.quickstart [--workdir=runs/quickstart] [--config=x2]

`make quickstart` runs it. Indian Pines is used where the package `tensorly` is installed, else an
artificial scene. It ends with a table, a picture and a page.
"""

import argparse
import time
from pathlib import Path

import jax
import numpy as np
from PIL import Image, ImageDraw

import hsisr_jax
from configs import quickstart
from hsisr_jax import metrics, train
from hsisr_jax.data.batches import of_image
from hsisr_jax.report import pictures
from hsisr_jax.report.titles import METHODS
from hsisr_jax.training import experiment

ZOOM, GAP, TITLE = 4, 6, 16  # pixels of the picture for one of the scene; between parts; for words
ROWS = {name: METHODS[name] for name in ("bicubic", "back_projected", "anyband")}
ROWS |= {"test": "trained on top"}
SCORES = ("MPSNR", "MSSIM", "SAM", "ERGAS")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--workdir", type=Path, default=Path("runs/quickstart"))
    parser.add_argument("--config", default="x2", help="the argument of configs/quickstart.py")
    given = parser.parse_args()
    config = quickstart.get_config(given.config)
    cubes = at_once(config)
    results = train.train_and_evaluate(config, given.workdir)
    with np.load(min(given.workdir.glob("eval/*.npz"))) as kept:
        cubes["trained on top"] = np.float32(kept["sr"])
    picture(cubes, given.workdir / "quickstart.png")
    (given.workdir / "quickstart.md").write_text(table(results) + "\n")
    print(f"{table(results)}\n")
    if results["base_kept"]:
        print("no step was better on the validation part: the shipped network is kept as it is")
    print(f"picture: {given.workdir / 'quickstart.png'}")
    print(f"page: {given.workdir / 'report' / 'index.html'}")


def at_once(config) -> dict[str, np.ndarray]:
    """The test image through `hsisr_jax.sharpen`, with its input, bicubic and the truth."""
    this = experiment.describe(config)
    scene = this.data.test_images(config.scale)[0]
    batch = jax.jit(this.recipe.as_tested)(of_image(scene.cubes, scene.normaliser))
    lr, lms, hr = (np.asarray(batch[name][0]) for name in ("lr", "lms", "hr"))
    began = time.monotonic()
    sharper = hsisr_jax.sharpen(lr, config.scale)
    took = time.monotonic() - began
    before, after = (metrics.evaluate(hr, x, ratio=config.scale)["MPSNR"] for x in (lms, sharper))
    words = f"{scene.name}: {lr.shape[0]} x {lr.shape[1]} pixels of {lr.shape[2]} bands"
    print(f"{words}, sharpened x{config.scale} in {took:.1f} s without any training:")
    print(f"  bicubic {before:.2f} dB, hsisr_jax.sharpen {after:.2f} dB", flush=True)
    near = lr.repeat(config.scale, 0).repeat(config.scale, 1)
    return {"input": near, "bicubic": lms, "shipped": sharper, "truth": hr,
            "wavelengths": scene.wavelengths}  # fmt: skip


def table(results: dict) -> str:
    """The scores on the test image in Markdown."""
    found = {**results, **results["baselines"]}
    lines = ["| | " + " | ".join(SCORES) + " |", "|---" * (len(SCORES) + 1) + "|"]
    for name, words in ROWS.items():
        cells = " | ".join(
            f"{found[name][score]:.{2 + 2 * (score == 'MSSIM')}f}" for score in SCORES
        )
        lines.append(f"| {words} | {cells} |")
    return "\n".join(lines)


def picture(cubes: dict, path: Path) -> None:
    """The cubes in colours, one below the other, on one stretch; the longer side lies across."""
    waves = cubes.pop("wavelengths")
    order = ("input", "bicubic", "shipped", "trained on top", "truth")
    bands = list(pictures.colour_bands(cubes["truth"].shape[-1], waves)[0])
    low, high = pictures.stretch(cubes["truth"][..., bands])
    height, width = cubes["truth"].shape[:2]
    across = max(height, width) * ZOOM
    down = min(height, width) * ZOOM + TITLE + GAP
    sheet = Image.new("RGB", (across, down * len(order)), "white")
    for number, name in enumerate(order):
        seen = np.clip((cubes[name][..., bands] - low) / (high - low), 0, 1)
        seen = np.rint(255 * (seen if width >= height else seen.swapaxes(0, 1))).astype(np.uint8)
        panel = Image.fromarray(seen).resize((across, down - TITLE - GAP), Image.Resampling.NEAREST)
        sheet.paste(panel, (0, number * down + TITLE))
        ImageDraw.Draw(sheet).text((0, number * down + 2), name, fill="black")
    sheet.quantize(128).save(path, optimize=True)


if __name__ == "__main__":
    main()
