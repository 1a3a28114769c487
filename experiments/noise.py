"""Gains of the packaged network over bicubic where the input is noisy, in dB and degrees.

    python -m experiments.noise [--scale 4] [--bands 12] jasperRidge2_R198.mat scene.hdr ...

White noise of a signal-to-noise ratio (dB) is added to the reduced scene, two draws of it;
`bicubic` is the same noisy input upsampled. `--bands` takes as many, evenly spread.
"""

import argparse
import os
from collections.abc import Iterator
from itertools import product

import jax
import numpy as np

import hsisr_jax
from hsisr_jax import degrade, formats, metrics

LEVELS = (None, 30.0, 25.0, 20.0)  # dB
DRAWS = 2
SENSORS: tuple[dict, ...] = ({"name": "bicubic"}, {"name": "mtf", "mtf": 0.3})


def opened(source: str) -> formats.SceneReader:
    """The scene of `FILE`, or of `FILE:VARIABLE` where a file holds several."""
    path, _, variable = source.partition(":")
    return formats.open_scene(path, variable=variable or None)


def read(source: str, bands: int = 0) -> np.ndarray:
    """The values of a scene (`FILE`, or `FILE:VARIABLE`), as a share of the largest."""
    with opened(source) as scene:
        cube = scene.read().astype(float)
    if bands:
        cube = cube[..., np.linspace(0, cube.shape[-1] - 1, bands).astype(int)]
    return (cube / cube.max()).astype(np.float32)


def gains(
    truth: np.ndarray, scale: int, sensor: dict, snr: float | None, told: dict | None = None
) -> Iterator[tuple[float, float]]:
    """PSNR and angle of the sharpened cube less those of the upsampled one, for each draw; the
    network is told the sensor, or `told` in its place."""
    truth = truth[tuple(slice(n // scale * scale) for n in truth.shape[:2])]
    options = {key: value for key, value in sensor.items() if key != "name"}
    see = degrade.create(sensor["name"], scale=scale, noise_snr=snr, **options)
    for seed in range(DRAWS if snr else 1):
        seen = see(truth[None], jax.random.key(seed))
        sharper = hsisr_jax.sharpen(np.asarray(seen["lr"][0]), scale, degradation=told or sensor)
        found = [metrics.evaluate(truth, x, ratio=scale) for x in (sharper, seen["lms"][0])]
        yield tuple(float(found[0][key] - found[1][key]) for key in ("MPSNR", "SAM"))


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("scenes", nargs="+")
    parser.add_argument("--scale", type=int, default=4)
    parser.add_argument("--bands", type=int, default=0, help="of each scene; 0: all")
    given = parser.parse_args()
    print("| scene | sensor |", *(f"{x:g} dB |" if x else "no noise |" for x in LEVELS))
    print("|---|---|" + "---|" * len(LEVELS))
    for path, sensor in product(given.scenes, SENSORS):
        truth = read(path, given.bands)
        row = [np.mean([*gains(truth, given.scale, sensor, level)], 0) for level in LEVELS]
        cells = (f"{psnr:+.2f} / {angle:+.2f} |" for psnr, angle in row)
        told = " ".join(str(x) for x in sensor.values())
        print(f"| {os.path.basename(path)} | {told} |", *cells, flush=True)


if __name__ == "__main__":
    main()
