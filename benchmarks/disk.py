"""Training from disk: a dataset several times larger than the memory of the process.

    python -m benchmarks.disk [--small] [--limit 2] [--times 6] [--steps 8] [--folder DIRECTORY]

First the reader alone: batches of random patches of one scene (16-bit, all bands), ours beside
numpy's memory map, h5py (chunks of a patch, not compressed) and MATLAB files of a patch each read
by SciPy; all from the system's page cache, timed in turn.

Then `--times` x `--limit` GiB of pixels are written, forgotten by the page cache, and SSPSR trains
on them in a process that may allocate `--limit` GiB (RLIMIT_DATA; what the page cache holds of
files is the system's). Printed is the share of the time in which the device waited for a batch.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import h5py
import jax
import numpy as np
from scipy.io import loadmat, savemat

from benchmarks import timing
from benchmarks.networks import case_of, make_training
from hsisr_jax import degrade, mesh
from hsisr_jax.data.batches import Recipe
from hsisr_jax.data.normalise import Normaliser
from hsisr_jax.data.pixel_file import PixelFile, StoredCube
from hsisr_jax.data.scenes import Scene, pixel_store
from hsisr_jax.data.splits import region_patches
from hsisr_jax.training.trainer import Trainer

ROOT = Path(__file__).resolve().parents[1]
GIB, WIDTH = 1 << 30, 1024  # pixels in a row of the scene
BLOCK = 64 << 20


def write_pixels(path: Path, size: int, bands: int) -> int:
    """A file of about `size` bytes; returns the scene's rows."""
    rows = max(size // (WIDTH * bands * 2), 64)
    step = max(BLOCK // (WIDTH * bands * 2), 1)
    block = np.random.default_rng(0).integers(0, 10_000, (step * WIDTH, bands)).astype(np.uint16)
    with path.open("wb") as file:
        header = {"descr": "<u2", "fortran_order": False, "shape": (rows * WIDTH, bands)}
        np.lib.format.write_array_header_1_0(file, header)
        for row in range(0, rows, step):
            file.write(block[: (min(row + step, rows) - row) * WIDTH].data)
        file.flush()
        os.fsync(file.fileno())
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
    return rows


def scene_of(path: Path) -> Scene:
    file = PixelFile(path)
    cube = StoredCube(file, 0, WIDTH, (file.shape[0] // WIDTH, WIDTH))
    return Scene("scene", {"hr": cube}, Normaliser(1e-4, 0.0))


def train(path: Path, args: argparse.Namespace) -> dict:
    """Some steps of SSPSR; seconds of waiting and of all."""
    limit = int(args.limit * GIB)
    resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))
    case = case_of("sspsr", small=args.small, **({} if args.small else {"bands": args.bands}))
    txs, step = make_training(case)
    scene, patch = scene_of(path), case.size * case.scale
    where = region_patches([scene.hr.shape[:2]], patch, patch // 2)
    trainer = Trainer(
        module=case.module,
        step=step,
        optimizers=txs,
        recipe=Recipe(degrade.create("bicubic", scale=case.scale), scale=case.scale),
        patches=pixel_store([scene], where, patch),
        mesh=mesh.make(1, 1, jax.devices()[:1]),
        seed=0,
        batch_size=case.batch,
        augment=True,
        on_device=False,
        ema=False,
    )
    state, waited, began = trainer.first_state(), 0.0, 0.0
    sources = trainer.sources(0, list(range(1, args.steps + 2)))
    for step in range(args.steps + 1):  # the first one compiles and does not count
        asked = time.perf_counter()
        source, n = next(sources)
        if step == 0:
            trainer.compile(state, source)
        else:
            waited += time.perf_counter() - asked
        state, _ = jax.block_until_ready(trainer.advance(state, source, n))
        began = began or time.perf_counter()
    total = time.perf_counter() - began
    return {
        "waited": waited, "total": total, "share": waited / total, "batch": case.batch,
        "peak": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024.0,
    }  # fmt: skip


def readers(folder: Path, args: argparse.Namespace) -> dict:
    """Random patches of one scene, by every way of storing it."""
    patch, batch = (16, 4) if args.small else (64, 32)
    path, rng = folder / "part.npy", np.random.default_rng(0)
    rows = write_pixels(path, (1 << 24) if args.small else GIB, args.bands)
    scene, where = scene_of(path), region_patches([(rows, WIDTH)], patch, patch // 2)[:, 1:]
    mapped = np.load(path, mmap_mode="r").reshape(rows, WIDTH, args.bands)
    count = 2 * batch  # MATLAB files: reading them again and again flatters them
    with h5py.File(folder / "part.h5", "w") as file:
        chunks = (patch, patch, args.bands)
        cube = file.create_dataset("x", mapped.shape, mapped.dtype, chunks=chunks)
        for row in range(0, rows, patch):
            cube[row : row + patch] = mapped[row : row + patch]
    for i in range(count):
        row, col = where[i * len(where) // count]
        savemat(folder / f"{i}.mat", {"gt": mapped[row : row + patch, col : col + patch]})
    h5 = h5py.File(folder / "part.h5")["x"]

    def some():
        return where[rng.integers(0, len(where), batch)].tolist()

    def ours():
        first = np.array([[(r + i) * WIDTH + c for i in range(patch)] for r, c in some()])
        return scene.hr.file.runs(first, patch)

    forms = {
        "SciPy, a file a patch": lambda: np.stack(
            [loadmat(folder / f"{i}.mat")["gt"] for i in rng.integers(0, count, batch)]
        ),
        "h5py": lambda: np.stack([h5[r : r + patch, c : c + patch] for r, c in some()]),
        "memory map": lambda: np.stack([mapped[r : r + patch, c : c + patch] for r, c in some()]),
        "ours": ours,
    }
    found = timing.compare(f"batch of {batch}", forms, args.rounds)
    for name, row in found.items():
        speed = batch * patch**2 * args.bands * 2 / row["median"] / 1e6
        print(f"{name:24} {speed:9.0f} MB/s")
    return found


def measure(folder: Path, args: argparse.Namespace) -> dict:
    """Training in a process of its own."""
    path, size = folder / "pixels.npy", int(args.times * args.limit * GIB)
    write_pixels(path, size, args.bands)
    command = [sys.executable, "-m", "benchmarks.disk", "--child", str(path)]
    command += [f"--{name}={getattr(args, name)}" for name in ("limit", "steps", "bands")]
    command += ["--small"] if args.small else []
    ended = subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True)
    found = json.loads(ended.stdout.splitlines()[-1]) | {"bytes": float(path.stat().st_size)}
    print(
        f"SSPSR, batch {found['batch']}: {found['bytes'] / GIB:.2f} GiB of pixels, a limit of "
        f"{args.limit:g} GiB, peak {found['peak'] / GIB:.2f} GiB; {args.steps} steps in "
        f"{found['total']:.1f} s, of which the device waited {found['share']:.2%}"
    )
    return found


def main() -> None:
    parser = timing.parser(__doc__)
    parser.add_argument("--small", action="store_true", help="tiny files and a tiny network")
    parser.add_argument("--limit", type=float, default=3.0, help="GiB that training may allocate")
    parser.add_argument("--times", type=float, default=6.0, help="how much larger the dataset is")
    parser.add_argument("--steps", type=int, default=8, help="of training; 0: the reader alone")
    parser.add_argument("--bands", type=int, default=128)
    parser.add_argument("--folder", help="where the files go; a temporary folder by default")
    parser.add_argument("--child", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.child:
        print(json.dumps(train(Path(args.child), args)))
        return
    if args.small:
        args.bands, args.times, args.steps = 14, 0.01, 3
    timing.heading("disk", args)
    with tempfile.TemporaryDirectory(dir=args.folder) as name:
        found = {"readers": readers(Path(name), args)}
        if args.steps:
            found["training"] = measure(Path(name), args)
    timing.save(args, found)


if __name__ == "__main__":
    main()
