"""Scenes of a sensor's size from file to file by the packaged network: time and peak memory.

    python -m benchmarks.sensors [--sensors enmap,prisma] [--scale 4] [--share 1] [--json out.json]

writes a synthetic scene of the size of an EnMAP tile (1024 x 1024 x 224, uint16 GeoTIFF), of a
PRISMA product (1000 x 1000 x 230, its HDF5 layout) or of `enmap200` (1024 x 1024 x 200, uint16
ENVI) to a temporary folder, and gives it to `python main.py --mode=predict` as a user would, the
output uint16 too (`--folder` needs room for it: about 7.5 GB at x4). It prints elapsed seconds,
those of all cores together, and the peak resident memory of the process; `--share` 0.25 takes a
quarter of the rows.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from benchmarks.predict_memory import ROOT, write_scene
from benchmarks.timing import environment

SIZES = {"enmap": (1024, 1024, 224), "prisma": (1000, 1000, 230), "enmap200": (1024, 1024, 200)}
FILES = {"enmap": "scene.tif", "prisma": "scene.he5", "enmap200": "scene.hdr"}


def write_prisma(path: Path, height: int, width: int, bands: int) -> None:
    """The layout of a level 2D product: two cubes whose wavelengths fall."""
    import h5py

    rng = np.random.default_rng(0)
    split = {"Vnir": (bands * 63 // 230, 406.0, 977.0)}
    split["Swir"] = (bands - split["Vnir"][0], 980.0, 2497.0)
    with h5py.File(path, "w") as file:
        for name, (count, first, last) in split.items():
            place = f"HDFEOS/SWATHS/PRS_L2D_HCO/Data Fields/{name.upper()}_Cube"
            data = file.create_dataset(place, (height, count, width), np.uint16)
            spectrum = 20000 + 10000 * np.sin(np.arange(count) / 17)
            for row in range(0, height, 32):
                rows = np.arange(row, min(row + 32, height))
                ground = 1 + 0.3 * np.sin(np.add.outer(rows, np.arange(width)) / 25)
                block = ground[:, None] * spectrum[:, None]
                data[rows[0] : rows[-1] + 1] = block + rng.integers(0, 300, block.shape)
            file.attrs[f"List_Cw_{name}"] = np.linspace(last, first, count, dtype="f4")
            file.attrs[f"List_Fwhm_{name}"] = np.full(count, 10, "f4")
            file.attrs[f"L2Scale{name}Min"], file.attrs[f"L2Scale{name}Max"] = 0.0, 1.0
        file.attrs["Epsg_Code"] = 32632
        for corner, east, north in (("UL", 0, 0), ("LR", 30 * (width - 1), 30 * (height - 1))):
            file.attrs[f"Product_{corner}corner_easting"] = 5e5 + east
            file.attrs[f"Product_{corner}corner_northing"] = 5e6 - north


def measure(source: Path, target: Path, scale: int) -> dict:
    """One prediction by the command, in a process of its own."""
    command = [sys.executable, "main.py", "--mode=predict", f"--input={source}"]
    command += [f"--output={target}", f"--scale={scale}", "--dtype=uint16", "--output_scale=1e-4"]
    began = time.perf_counter()
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL)
    _, status, used = os.wait4(process.pid, 0)
    seconds = time.perf_counter() - began
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"{' '.join(command)} ended with {process.returncode}")
    processors = used.ru_utime + used.ru_stime
    return {"seconds": seconds, "processors": processors, "peak": used.ru_maxrss / 1024}


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--sensors", default="enmap,prisma,enmap200")
    parser.add_argument("--scale", type=int, default=4)
    parser.add_argument("--share", type=float, default=1, help="of the rows")
    parser.add_argument("--small", action="store_true", help="a few pixels, to try it")
    parser.add_argument("--rounds", type=int, default=1, help="not used: one run takes minutes")
    parser.add_argument("--folder", help="where the scenes go; a temporary folder by default")
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    found: dict = {"environment": environment()}
    print(f"{'sensor':10}{'scene':>18}{'scale':>6}{'seconds':>9}{'of cores':>9}{'peak, MiB':>11}")
    for sensor in given.sensors.split(","):
        height, width, bands = (16, 16, 30) if given.small else SIZES[sensor]
        height = max(round(height * given.share), 1)
        with tempfile.TemporaryDirectory(dir=given.folder) as name:
            source = Path(name) / FILES[sensor]
            write = write_prisma if sensor == "prisma" else write_scene
            write(source, height, width, bands)
            ending = ".hdr" if sensor == "enmap200" else ".tif"
            row = measure(source, Path(name) / f"out{ending}", given.scale)
        shape = f"{height}x{width}x{bands}"
        found[sensor] = {"shape": shape, "scale": given.scale, **row}
        print(f"{sensor:10}{shape:>18}{given.scale:6d}{row['seconds']:9.0f}"
              f"{row['processors']:9.0f}{row['peak']:11.0f}", flush=True)  # fmt: skip
    if given.json:
        given.json.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
