"""Windows of a scene read and written: seconds and peak memory, beside the usual library.

    python -m benchmarks.formats --size 1024 --bands 128

Each cell is a process of its own, which reads (or writes) the whole scene window by window; files
are in the page cache. "times" is the other library's seconds over ours, both from the same round;
the libraries are spectral (ENVI), rasterio (GeoTIFF), scipy (MATLAB v5, which reads everything for
the first window), h5py (HDF5 and v7.3) and numpy.
"""

import argparse
import multiprocessing
import resource
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

FILES = ("bsq.hdr", "bil.hdr", "bip.hdr", "cube.tif", "v5.mat", "v73.mat", "cube.h5", "cube.npy")
TILE = 128


def ours(path: Path) -> Callable[[slice, slice], np.ndarray]:
    from hsisr_jax.formats import open_scene

    return open_scene(path).read


def theirs(path: Path) -> Callable[[slice, slice], np.ndarray]:
    """The same windows through the library that one would take."""
    match path.suffix:
        case ".hdr":
            import spectral.io.envi

            cube = spectral.io.envi.open(str(path)).open_memmap(interleave="bip")
            return lambda rows, cols: np.array(cube[rows, cols], order="C")
        case ".tif":
            import rasterio

            file = rasterio.open(path)
            return lambda rows, cols: np.ascontiguousarray(
                file.read(window=(tuple(_ends(rows)), tuple(_ends(cols)))).transpose(1, 2, 0)
            )
        case ".npy":
            cube = np.load(path, mmap_mode="r")
            return lambda rows, cols: np.array(cube[rows, cols], order="C")
    if path.name == "v5.mat":
        import scipy.io

        cube = scipy.io.loadmat(path)["cube"]
        return lambda rows, cols: np.ascontiguousarray(cube[rows, cols])
    import h5py

    data = h5py.File(path)["cube"]
    if path.suffix == ".mat":
        return lambda rows, cols: np.ascontiguousarray(data[:, cols, rows].T)
    return lambda rows, cols: data[rows, cols]


def _ends(part: slice) -> tuple[int, int]:
    return part.start, part.stop


def windows(size: int) -> list[tuple[slice, slice]]:
    """All tiles of a square scene."""
    starts = range(0, size, TILE)
    return [(slice(r, r + TILE), slice(c, c + TILE)) for r in starts for c in starts]


def write(path: Path, size: int, bands: int) -> None:
    """Tiles of noise."""
    from hsisr_jax.formats import create_scene

    options: dict = {"interleave": path.stem} if path.suffix == ".hdr" else {}
    if path.suffix == ".mat":
        options = {"version": "5" if path.stem == "v5" else "7.3"}
    block = np.random.default_rng(0).random((TILE, TILE, bands), "f4")
    with create_scene(path, height=size, width=size, bands=bands, **options) as out:
        for rows, cols in windows(size):
            out.write(rows.start, cols.start, block)


def read(path: Path, size: int, how: Callable) -> None:
    """Every tile once."""
    load = how(path)
    for rows, cols in windows(size):
        load(rows, cols)


def _measure(queue, job: Callable, *arguments) -> None:
    import hsisr_jax.formats  # noqa: F401 - imports are not what is measured

    began = time.perf_counter()
    job(*arguments)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    queue.put((time.perf_counter() - began, peak))


def measured(job: Callable, *arguments) -> tuple[float, float]:
    """Seconds and peak megabytes of a job in a fresh process."""
    context = multiprocessing.get_context("spawn")
    queue = context.Queue()
    child = context.Process(target=_measure, args=(queue, job, *arguments))
    child.start()
    result = queue.get()
    child.join()
    return result


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--size", type=int, default=1024)
    parser.add_argument("--bands", type=int, default=128)
    options = parser.parse_args()
    megabytes = options.size**2 * options.bands * 4 / 2**20
    print(f"{options.size} x {options.size} x {options.bands} float32: {megabytes:.0f} MB")
    print("| file | write s | peak MB | read s | peak MB | other's read s | peak MB | times |")
    print("|---|---|---|---|---|---|---|---|")
    for name in FILES:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, name)
            cells = [*measured(write, path, options.size, options.bands)]
            cells += measured(read, path, options.size, ours)
            cells += measured(read, path, options.size, theirs)
            cells.append(cells[4] / cells[2])
        print(f"| {name} | " + " | ".join(f"{cell:.3g}" for cell in cells) + " |", flush=True)


if __name__ == "__main__":
    main()
