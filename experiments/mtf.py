"""The MTF that `--mtf=auto` finds in photographs that were blurred by a known one.

    python -m experiments.mtf FOLDER      (PNGs of 256 x 256 pixels or more, such as UC Merced's)

A scene is 16 pictures, averaged over 2 x 2 pixels, then blurred and reduced by `--scale`.
"""

import argparse
from pathlib import Path

import numpy as np
from PIL import Image

from hsisr_jax.layers import sensor
from hsisr_jax.ops import sharpness

MTFS = (0.05, 0.1, 0.2, 0.3, 0.4)


def pictures(folder: Path) -> list[np.ndarray]:
    """Grey pictures of 128 x 128 pixels, the mean of 2 x 2 each."""
    found = []
    for path in sorted(folder.rglob("*.png")):
        grey = np.asarray(Image.open(path)).astype(float)[:256, :256, :3].mean(-1)
        if grey.shape == (256, 256):
            found.append(grey.reshape(128, 2, 128, 2).mean((1, 3)))
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--scale", type=int, default=2)
    parser.add_argument("--scenes", type=int, default=30)
    given = parser.parse_args()
    known, rng = pictures(given.folder), np.random.default_rng(0)
    print("| MTF | estimate | interval | error, rms | within |\n|---|---|---|---|---|")
    for mtf in MTFS:
        down = sensor.matrix(128 // given.scale, given.scale, "mtf", mtf)
        found = []
        for _ in range(given.scenes):
            chosen = [known[i] for i in rng.choice(len(known), 16, replace=False)]
            parts = (((down @ (x - x.mean()) @ down.T) / 60)[..., None] for x in chosen)
            found.append(sharpness.estimate(parts, np.zeros(1)))
        middle, low, high = np.array(found).T
        error = np.sqrt(np.mean(np.log(middle / mtf) ** 2))
        within = int(((low <= mtf) & (mtf <= high)).sum())
        print(
            f"| {mtf} | {middle.mean():.3f} | {low.mean():.3f} to {high.mean():.3f} "
            f"| {error:.0%} | {within} of {len(found)} |",
            flush=True,
        )


if __name__ == "__main__":
    main()
