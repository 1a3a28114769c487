"""Gains of the packaged network over bicubic on scenes with known truth, in dB and degrees.

python -m experiments.prior jasperRidge2_R198.mat scene.hdr ...  (any files, FILE:VARIABLE where
                                                                  they hold several scenes)
python -m experiments.prior --wrong SCENE ...  (x4: each sensor, taken for each)
"""

import argparse

import numpy as np

from experiments.noise import gains, read

SETTINGS: tuple[tuple[int, dict, float | None], ...] = (
    (2, {"name": "bicubic"}, None),
    (4, {"name": "bicubic"}, None),
    (8, {"name": "bicubic"}, None),
    (4, {"name": "mtf", "mtf": 0.3}, None),
    (4, {"name": "bicubic"}, 30.0),
)


SENSORS = {
    "bicubic": {"name": "bicubic"},
    "area": {"name": "area"},
    "MTF 0.15": {"name": "mtf", "mtf": 0.15},
    "MTF 0.3": {"name": "mtf", "mtf": 0.3},
    "MTF 0.5": {"name": "mtf", "mtf": 0.5},
}


def wrong(scenes: list[np.ndarray]) -> None:
    """Prints the mean gains at x4 by the sensor (rows) and by what the network is told."""
    print("| sensor |", *(f"{name} |" for name in SENSORS))
    print("|---|" + "---|" * len(SENSORS))
    for name, sensor in SENSORS.items():
        row = [
            np.mean([next(gains(truth, 4, sensor, None, told)) for truth in scenes], 0)
            for told in SENSORS.values()
        ]
        print(f"| {name} |", *(f"{psnr:+.2f} / {angle:+.2f} |" for psnr, angle in row), flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("scenes", nargs="+")
    parser.add_argument("--wrong", action="store_true", help="sensors taken for others, at x4")
    given = parser.parse_args()
    if given.wrong:
        wrong([read(path) for path in given.scenes])
        return
    for path in given.scenes:
        truth = read(path)
        for scale, sensor, snr in SETTINGS:
            psnr, angle = next(gains(truth, scale, sensor, snr))
            seen = sensor | ({"noise_snr": snr} if snr else {})
            print(f"{path}  x{scale}  {seen}  {psnr:+.2f} dB  {angle:+.2f} degrees", flush=True)


if __name__ == "__main__":
    main()
