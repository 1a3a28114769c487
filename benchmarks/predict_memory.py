"""Peak memory of super-resolving large scenes: a scene, and one twice as long.

    python -m benchmarks.predict_memory [--side 2048] [--bands 128] [--networks bicubic,rcam]

writes synthetic ENVI scenes of `side` x `side` and `2 side` x `side` pixels (uint16) to a temporary
folder (`--lengths` has others), predicts them x2 in a process of its own each, and prints the peak
resident memory, the time and the rate. The output is uint16 too, four times the input: `--folder`
needs room for it.
"""

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

ROOT = Path(__file__).parents[1]
sys.path.append(str(ROOT / "tests" / "helpers"))  # workdirs of networks that nobody trained


def write_scene(path: Path, height: int, width: int, bands: int) -> None:
    """Smooth reflectance with noise, a band of rows at a time."""
    from hsisr_jax import formats

    meta = formats.SceneMeta(wavelengths=np.linspace(400, 1000, bands), scale=1e-4)
    rng = np.random.default_rng(0)
    size = {"height": height, "width": width, "bands": bands, "dtype": np.uint16, "meta": meta}
    size |= {"interleave": "bil"} if path.suffix == ".hdr" else {}
    with formats.create_scene(path, **size) as scene:
        spectrum = 3000 + 2000 * np.sin(np.arange(bands) / 17)
        for row in range(0, height, 32):
            ground = 1 + 0.3 * np.sin(np.add.outer(np.arange(row, row + 32), np.arange(width)) / 25)
            block = ground[..., None] * spectrum + rng.integers(0, 100, (32, width, bands))
            scene.write(row, 0, block[: height - row].astype(np.uint16))


def child(workdir: str, source: str, target: str) -> None:
    """One prediction; its peak and time on the last line."""
    from hsisr_jax import predict

    began = time.perf_counter()
    predict.predict(workdir, source, target, predict.Options(dtype="uint16"))
    seconds = time.perf_counter() - began
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    print(json.dumps({"peak": peak, "seconds": seconds}))


def measure(workdir: Path, source: Path, folder: Path) -> dict:
    target = folder / "out.hdr"
    command = [sys.executable, "-m", "benchmarks.predict_memory", "--child"]
    ended = subprocess.run(
        [*command, str(workdir), str(source), str(target)],
        cwd=ROOT,
        check=True,
        stdout=subprocess.PIPE,
        text=True,
    )
    for path in folder.glob("out*"):
        path.unlink()
    return json.loads(ended.stdout.splitlines()[-1])


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--side", type=int, default=2048)
    parser.add_argument("--bands", type=int, default=128)
    parser.add_argument("--networks", default="bicubic,rcam")
    parser.add_argument("--lengths", default="1,2", help="of the scene, in sides")
    parser.add_argument("--folder", help="where the scenes go; a temporary folder by default")
    parser.add_argument("--child", nargs=3, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.child:
        return child(*given.child)
    import workdirs

    print(f"{'network':10}{'scene':>20}{'peak RSS, MiB':>15}{'seconds':>10}{'Mpixel/s out':>14}")
    with tempfile.TemporaryDirectory(dir=given.folder) as name:
        folder = Path(name)
        for length in map(float, given.lengths.split(",")):
            height = round(given.side * length)
            source = folder / "scene.hdr"
            write_scene(source, height, given.side, given.bands)
            for network in given.networks.split(","):
                workdir = folder / f"{network}_{length}"
                nm = np.linspace(400, 1000, given.bands).tolist()
                workdirs.make(workdir, network, bands=given.bands, wavelengths=nm, tile=32)
                found = measure(workdir, source, folder)
                shape = f"{height}x{given.side}x{given.bands}"
                rate = 4 * height * given.side / found["seconds"] / 1e6
                peak = found["peak"] / 2**20
                print(f"{network:10}{shape:>20}{peak:15.0f}{found['seconds']:10.0f}{rate:14.2f}",
                      flush=True)  # fmt: skip
            for path in folder.glob("scene*"):
                path.unlink()
    return None


if __name__ == "__main__":
    main()
