"""Training batches per second: ours from the device and from the host, and one file a patch.

    python -m benchmarks.data [--small] [--scene 512] [--bands 102] [--batch 16] [--rounds 5]

The published loaders keep a MATLAB file for every patch, with the patch, its low-resolution image
and its bicubic image in it, compressed as MATLAB does by default; reading one is inflating it. That
path is rewritten here (scipy, a flip or rotation, channels first), without its worker processes.
Ours cuts the patch out of the scene and makes the two images from it. "host" is the numpy part
alone, what a slow disk path would have to feed; "host, whole" and "device" are finished batches.
Both are timed in turn, after one pass for the page cache.
"""

import tempfile
from pathlib import Path

import jax
import numpy as np
from scipy.io import loadmat, savemat

from benchmarks import timing
from hsisr_jax import degrade
from hsisr_jax.data import scenes, synthetic
from hsisr_jax.data.batches import Recipe, draw, draw_on_host
from hsisr_jax.data.normalise import Normaliser

SCALE = 4


def make_scene(side: int, bands: int) -> np.ndarray:
    """A synthetic scene as a sensor stores it: 16-bit integers."""
    cube = synthetic.generate(side, side, bands, seed=0)[0]
    return np.round(np.clip(cube, 0, 1) * 10000).astype(np.uint16)


def published(folder: Path, cube: np.ndarray, patch: int, count: int, batch: int, packed: bool):
    """Writes `count` patch files, and returns a function that reads a batch of them."""
    shrink = jax.jit(degrade.create("bicubic", scale=SCALE))
    rng = np.random.default_rng(0)
    for i in range(count):
        row, col = rng.integers(0, cube.shape[0] - patch, 2)
        hr = cube[row : row + patch, col : col + patch].astype(np.float32) / 10000
        made = shrink(hr[None], None)
        cubes = {
            "gt": hr,
            "ms": np.asarray(made["lr"][0]),
            "ms_bicubic": np.asarray(made["lms"][0]),
        }
        savemat(folder / f"{packed}_{i}.mat", cubes, do_compression=packed)

    def one(index: int) -> list[np.ndarray]:
        cubes = loadmat(folder / f"{packed}_{index}.mat")
        turn = int(rng.integers(4))
        return [
            np.ascontiguousarray(np.rot90(cubes[k], turn).transpose(2, 0, 1), np.float32)
            for k in ("gt", "ms", "ms_bicubic")
        ]

    def read():
        examples = [one(i) for i in rng.permutation(count)[:batch]]
        return [np.stack(arrays) for arrays in zip(*examples)]

    return read


def ours(cube: np.ndarray, patch: int, batch: int) -> dict:
    scene = scenes.Scene("scene", {"hr": cube}, Normaliser(1e-4, 0.0))
    side = range(0, cube.shape[0] - patch + 1, patch // 2)
    where = np.array([(0, row, col) for row in side for col in side])
    patches = scenes.pixel_store([scene], where, patch)
    recipe = Recipe(degrade.create("bicubic", scale=SCALE), scale=SCALE)
    finish = jax.jit(recipe)
    stored = jax.device_put(patches)
    cut = jax.jit(lambda step: recipe(draw(stored, 0, step, batch, augment=True)))
    steps = iter(range(10**9))

    def host():
        return draw_on_host(patches, 0, next(steps), batch, augment=True)

    return {
        "host": host,
        "host, whole": lambda: jax.block_until_ready(finish(host())),
        "device": lambda: jax.block_until_ready(cut(np.int32(next(steps)))),
    }


def main() -> None:
    parser = timing.parser(__doc__)
    parser.add_argument("--small", action="store_true", help="a tiny scene: seconds")
    parser.add_argument("--scene", type=int, default=512, help="pixels a side")
    parser.add_argument("--bands", type=int, default=102)
    parser.add_argument("--patch", type=int, default=64)
    parser.add_argument("--batch", type=int, default=16)
    args = parser.parse_args()
    if args.small:
        args.scene, args.bands, args.patch, args.batch = 64, 8, 16, 4
    timing.heading("data", args)
    cube = make_scene(args.scene, args.bands)
    with tempfile.TemporaryDirectory() as folder:
        files = [Path(folder), cube, args.patch, 2 * args.batch, args.batch]
        forms = {"mat, compressed": published(*files, packed=True)}
        forms |= {"mat": published(*files, packed=False)} | ours(cube, args.patch, args.batch)
        rows = timing.compare(f"batch of {args.batch}", forms, args.rounds)
    for name, row in rows.items():
        print(f"{name:18} {args.batch / row['median']:9.0f} examples/s")
    timing.save(args, rows)


if __name__ == "__main__":
    main()
