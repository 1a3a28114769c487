"""Gains of the packaged network over bicubic on scenes with known truth, in dB and degrees.

python -m experiments.prior jasperRidge2_R198.mat scene.hdr ...  (any scene files)
"""

import argparse

from experiments.noise import gains, read

SETTINGS: tuple[tuple[int, dict, float | None], ...] = (
    (2, {"name": "bicubic"}, None),
    (4, {"name": "bicubic"}, None),
    (8, {"name": "bicubic"}, None),
    (4, {"name": "mtf", "mtf": 0.3}, None),
    (4, {"name": "bicubic"}, 30.0),
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("scenes", nargs="+")
    for path in parser.parse_args().scenes:
        truth = read(path)
        for scale, sensor, snr in SETTINGS:
            psnr, angle = next(gains(truth, scale, sensor, snr))
            seen = sensor | ({"noise_snr": snr} if snr else {})
            print(f"{path}  x{scale}  {seen}  {psnr:+.2f} dB  {angle:+.2f} degrees", flush=True)


if __name__ == "__main__":
    main()
