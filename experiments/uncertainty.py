"""How many errors lie within one standard deviation on real scenes whose truth is known.

    python -m experiments.uncertainty --scale 2 [--half left] FILE [FILE:VARIABLE ...]

Each scene is degraded, so that it is the truth; what is left goes through the packaged network and
its calibration as any scene does. 68 % of the errors should lie within one deviation. The columns
add one thing after the other: the table of the reduced resolution, the noise of smaller pixels, the
shrinking seen from one scale coarser (which is what `--uncertainty` writes).
"""

import argparse
from dataclasses import replace

import numpy as np

from experiments.noise import opened
from hsisr_jax import assess, uncertainty
from hsisr_jax.inference import packaged, without_truth
from hsisr_jax.inference.options import Options
from hsisr_jax.models.spec import observer

COLUMNS = ("truth", "table alone", "and noise", "and shrinking", "its bands, 5 to 95 %")


def held(source: str, scale: int, options: Options, half: str) -> list[str]:
    """A row: the scene's name and size, the share of all values for each column, and of bands."""
    with opened(source) as scene:
        rows, cols = without_truth.part_of(scene, scale)
        middle = cols.start + (cols.stop - cols.start) // (2 * scale) * scale
        parts = {"": cols, "left": slice(cols.start, middle), "right": slice(middle, cols.stop)}
        truth = without_truth.cropped(scene, rows, parts[half])
    network = packaged.loader(None, scale, print)(truth, options)
    observe = observer(assess.sensor_of(network.card, options)[0], scale)
    level = uncertainty.Level.of(network, truth, options, observe)
    table, _ = uncertainty.calibrated(network, level.lower, options)
    added, error = (cube[level.counted] for cube in (level.added, level.error))
    variants = replace(table, noise=0.0, shrink=1.0), replace(table, shrink=1.0), table
    within = [np.abs(error) <= known(added) for known in variants]
    low, high = 100 * np.percentile(within[-1].mean(0), [5, 95])
    size = " x ".join(map(str, level.truth.shape))
    shares = [f"{100 * found.mean():.1f}" for found in within]
    stem = scene.path.stem
    name = f"{stem}, {half}" if half else stem
    return [f"{name}, {size}", *shares, f"{low:.0f} to {high:.0f}"]


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("scenes", nargs="+", help="files, with :VARIABLE where they hold several")
    parser.add_argument("--scale", type=int, default=2)
    parser.add_argument("--half", default="", choices=("left", "right"), help="of each scene")
    parser.add_argument("--mtf", default="", help="of the sensor that degrades; bicubic without it")
    given = parser.parse_args()
    print(f"| {' | '.join(COLUMNS)} |\n|{'---|' * len(COLUMNS)}")
    options = Options(mtf=given.mtf, quicklook=False)
    for source in given.scenes:
        print(f"| {' | '.join(held(source, given.scale, options, given.half))} |", flush=True)


if __name__ == "__main__":
    main()
