"""Feeds damaged files to the readers of untrusted files.

    python -m tools.fuzz --reader envi --trials 20000
    python -m tools.fuzz --trials 10000 --markdown        # every reader, a table for the docs

A trial takes a small valid file, damages it (flipped and overwritten bytes, extreme integers, cut,
repeated or removed pieces, changed numbers and words in text) and reads it. It passes if the reader
gives its result or raises `UserError`, in time and without memory beyond what the file can hold.
Trials are numbered: `--start N --trials 1` repeats one. They run in a child process, whose death or
standstill is a failure of the trial it was in; the campaign goes on behind it.
"""

import argparse
import multiprocessing
import resource
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from hsisr_jax.errors import UserError
from tools.fuzz_seeds import PRODUCTS, example, zarr_seeds

SECONDS = 5  # of the processor, for one trial
STANDSTILL = 60  # seconds without an end, whatever the processor did
SPARE = 512 << 20  # address space beyond what the process has when the trials begin
EXTREMES = (0, 1, 0xFF, 0x7FFF, 0xFFFF, 0x10000, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF, 1 << 40)
WORDS = (b"-1", b"0", b"99999999999", b"1e400", b"nan", b"{", b"}", b"=", b"\n", b"bsq",
         b"\xff\xfe")  # fmt: skip


@dataclass(frozen=True)
class Reader:
    """How to make small valid files in a folder, and how to read one of them to the end."""

    seeds: Callable[[Path], list[Path]]
    read: Callable[[Path], object]


class TooSlow(BaseException):
    """Raised by the alarm; not an `Exception`, so that no reader turns it into a message."""


def read_cube(path: Path) -> object:
    """A scene as every user of the formats reads it."""
    from hsisr_jax.formats import open_scene

    with open_scene(path) as scene:
        cube = scene.read()
        assert cube.shape == (scene.height, scene.width, scene.bands), "shape"
        assert cube.dtype == scene.dtype, "dtype"
        scene.read(slice(1, 2), slice(0, 2))
        scene.meta.scaled(2).check(scene.bands, path).to_json()
    return cube


def envi_seeds(folder: Path) -> list[Path]:
    from rasterio.crs import CRS

    from hsisr_jax.formats import SceneMeta, write_scene

    cube, meta = example()
    meta = SceneMeta(**meta, crs=CRS.from_epsg(32631).to_wkt())
    paths = [folder / f"{name}.hdr" for name in ("bsq", "bil", "bip")]
    for path in paths:
        write_scene(path, cube, meta, interleave=path.stem)
    return paths


def geotiff_seeds(folder: Path) -> list[Path]:
    import tifffile

    from hsisr_jax.formats import SceneMeta, write_scene

    cube, meta = example()
    paths = [folder / f"{name}.tif" for name in ("ours", "pages", "packed", "pixel")]
    write_scene(paths[0], cube, SceneMeta(**meta))
    first = np.ascontiguousarray(cube.transpose(2, 0, 1))
    tifffile.imwrite(paths[1], first, photometric="minisblack")
    tifffile.imwrite(paths[2], first, photometric="minisblack", compression="deflate")
    tifffile.imwrite(paths[3], cube, photometric="minisblack", planarconfig="contig")
    return paths


def matlab_seeds(folder: Path) -> list[Path]:
    from scipy.io import savemat

    from hsisr_jax.formats import SceneMeta, write_scene

    cube, meta = example()
    paths = [folder / f"{name}.mat" for name in ("ours", "plain", "packed")]
    write_scene(paths[0], cube, SceneMeta(**meta), version="5")
    other = dict(wl=np.linspace(450, 900, 4), s=dict(a=1), c=np.array([1, "a"], object))
    for path in paths[1:]:
        savemat(path, dict(cube=cube, **other), do_compression=path.stem == "packed")
    return paths


def hdf5_seeds(folder: Path) -> list[Path]:
    import h5py

    from hsisr_jax.formats import SceneMeta, write_scene

    cube, meta = example()
    paths = [folder / name for name in ("ours.h5", "ours.nc", "ours.mat", "chunks.h5")]
    for path in paths[:3]:
        options = {"version": "7.3"} if path.suffix == ".mat" else {}
        write_scene(path, cube, SceneMeta(**meta), **options)
    with h5py.File(paths[3], "w") as file:
        file.create_dataset("a/cube", data=cube, chunks=(3, 5, 2), compression="gzip", shuffle=True)
        file["a/wavelengths"] = np.linspace(450, 900, 4)
        file["a/cube"].attrs["units"] = "radiance"
    return paths


def array_seeds(folder: Path) -> list[Path]:
    from hsisr_jax.formats import SceneMeta, write_scene

    cube, meta = example()
    paths = [folder / name for name in ("ours.npy", "ours.npz", "packed.npz", "fortran.npy")]
    for path in paths[:2]:
        write_scene(path, cube, SceneMeta(**meta))
    np.savez_compressed(paths[2], cube=cube, wl=np.linspace(450, 900, 4))
    np.save(paths[3], np.asfortranarray(cube))
    return paths


def alone(make: Callable[[Path], Path], folder: Path) -> list[Path]:
    """One product in a folder of its own, all files of which belong together."""
    (folder / "product").mkdir()
    return [make(folder / "product")]


def png_seeds(folder: Path) -> list[Path]:
    from PIL import Image

    cube, _ = example()
    paths = [folder / name for name in ("grey.png", "rgba.png")]
    Image.fromarray(cube[..., 1]).save(paths[0])
    Image.fromarray(np.repeat(cube[..., :1].astype("u1"), 4, 2)).save(paths[1])
    return paths


def read_png(path: Path) -> object:
    from hsisr_jax.formats.png import read_png_bands

    return read_png_bands([path, path])


# Further readers of untrusted files: add one line and a function that makes seeds.
READERS = {
    "envi": Reader(envi_seeds, read_cube),
    "geotiff": Reader(geotiff_seeds, read_cube),
    "matlab": Reader(matlab_seeds, read_cube),
    "hdf5": Reader(hdf5_seeds, read_cube),
    "arrays": Reader(array_seeds, read_cube),
    "png": Reader(png_seeds, read_png),
    "zarr": Reader(zarr_seeds, read_cube),
    **{name: Reader(partial(alone, make), read_cube) for name, make in PRODUCTS.items()},
}


def damage(data: bytes, rng: np.random.Generator) -> bytes:
    """The same bytes with a few things wrong."""
    out = bytearray(data)
    for _ in range(rng.integers(1, 5)):
        if not out:
            break
        # Headers are at the front; half of the damage goes there.
        reach = len(out) if rng.random() < 0.5 else min(len(out), 600)
        place = int(rng.integers(reach))
        match rng.integers(8):
            case 0:
                out[place] ^= 1 << int(rng.integers(8))
            case 1:
                piece = rng.bytes(int(rng.integers(1, 9)))
                out[place : place + len(piece)] = piece
            case 2:
                width, order = int(rng.choice([2, 4, 8])), str(rng.choice(["little", "big"]))
                value = int(rng.choice(EXTREMES)) % (1 << (8 * width))
                place -= place % 4
                out[place : place + width] = value.to_bytes(width, order)  # type: ignore[arg-type]
            case 3:
                del out[place:]
            case 4:
                del out[place : place + int(rng.integers(1, 65))]
            case 5:
                out[place:place] = out[place : place + int(rng.integers(1, 65))]
            case 6:
                digits = [i for i in range(reach) if 48 <= out[i] < 58]
                if digits:
                    out[int(rng.choice(digits))] = 48 + int(rng.integers(10))
            case 7:
                out[place : place + int(rng.integers(3))] = WORDS[rng.integers(len(WORDS))]
    return bytes(out)


def trial(reader: Reader, seeds: list[Path], folder: Path, number: int) -> str:
    """One damaged file read: "read", "refused", or what went wrong."""
    rng = np.random.default_rng(number)
    path = seeds[number % len(seeds)]
    # Files that belong together (header, data, sidecar) travel together; one of them is damaged.
    root = path if path.is_dir() else path.parent
    family = sorted(file for file in root.rglob("*") if file.is_file())
    if path in family and path.parent.name == "seeds":  # with those of others
        family = [file for file in family if file.stem.split(".")[0] == path.stem]
    named = path in family and rng.random() < 0.8
    victim = path if named else family[int(rng.integers(len(family)))]
    home = folder / path.name if path.is_dir() else folder
    for file in family:
        data, copy = file.read_bytes(), home / file.relative_to(root)
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_bytes(damage(data, rng) if file == victim else data)
    ignored: list[str] = []  # what Python prints a traceback of, and goes on
    sys.unraisablehook = lambda found: ignored.append(f"{found.exc_value!r}, ignored"[:120])
    signal.setitimer(signal.ITIMER_PROF, SECONDS)
    try:
        reader.read(folder / path.name)
        outcome = "read"
    except UserError as error:
        outcome = "memory" if "not enough memory" in str(error) else "refused"
    except TooSlow:
        outcome = "too slow"
    except Exception as error:
        outcome = f"{type(error).__name__}: {error}"[:120]
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        sys.unraisablehook = sys.__unraisablehook__
    return ignored[0] if ignored and outcome in ("read", "refused") else outcome


def _alarm(*_: object) -> None:
    raise TooSlow


def limit_memory() -> None:
    """Allocations far beyond any of these files fail, and show."""
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    size = pages * resource.getpagesize() + SPARE
    resource.setrlimit(resource.RLIMIT_AS, (size, resource.RLIM_INFINITY))


def run(name: str, numbers: range, report: Callable[[int, str], None], folder: Path) -> None:
    """Trials in this process."""
    reader = READERS[name]
    for part in ("seeds", "work"):
        (folder / part).mkdir(exist_ok=True)
    seeds = reader.seeds(folder / "seeds")
    for path in seeds:
        reader.read(path)  # a seed that cannot be read would test nothing
    signal.signal(signal.SIGPROF, _alarm)
    if sys.platform == "linux":
        limit_memory()
    for number in numbers:
        report(number, "")
        report(number, trial(reader, seeds, folder / "work", number))


def _child(name: str, numbers: range, queue, at) -> None:
    counts: Counter[str] = Counter()
    failures = []

    def report(number: int, outcome: str) -> None:
        at.value = number
        counts[outcome] += bool(outcome)
        if outcome not in ("", "read", "refused"):
            failures.append((number, outcome))
            print(f"{name} {number}: {outcome}", file=sys.stderr, flush=True)

    with tempfile.TemporaryDirectory() as folder:
        run(name, numbers, report, Path(folder))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    queue.put((counts, failures, peak))


def campaign(name: str, start: int, trials: int, part: int = 500) -> dict:
    """Trials in children, a fresh one every `part` trials and after each death."""
    context = multiprocessing.get_context("spawn")
    counts: Counter[str] = Counter()
    failures, peak, began = [], 0, time.time()
    place, end = start, start + trials
    while place < end:
        queue, at = context.Queue(), context.Value("q", place)
        numbers = range(place, min(place + part, end))
        child = context.Process(target=_child, args=(name, numbers, queue, at))
        child.start()
        result = _wait(child, queue, at)
        if result is None:  # killed in trial `at`: count it, and do the ones before it again
            failures.append((at.value, f"died with {child.exitcode}"))
            print(f"{name} {at.value}: died with {child.exitcode}", file=sys.stderr, flush=True)
            counts["died"] += 1
            counts["before a death"] += at.value - place
            place = at.value + 1
            continue
        counts += result[0]
        failures += result[1]
        peak = max(peak, result[2])
        place = numbers.stop
    return dict(counts=counts, failures=failures, peak=peak, seconds=time.time() - began)


def _wait(child, queue, at):
    """A child's result; none if it died or stood still."""
    last, since = at.value, time.time()
    while True:
        try:
            return queue.get(timeout=0.2)
        except Exception:  # nothing yet
            if at.value != last:
                last, since = at.value, time.time()
            if not child.is_alive() or time.time() - since > STANDSTILL:
                child.kill()
                child.join()
                return None


def main() -> None:
    """Run the campaigns and print one line each."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--reader", choices=READERS, action="append", help="default: all")
    parser.add_argument("--trials", type=int, default=1000)
    parser.add_argument("--start", type=int, default=0)
    parser.add_argument("--markdown", action="store_true")
    options = parser.parse_args()
    if options.markdown:
        print("| reader | trials | read | refused | failures | peak MB | s |")
        print("|---|---|---|---|---|---|---|")
    failed = False
    for name in options.reader or READERS:
        result = campaign(name, options.start, options.trials)
        counts, failures = result["counts"], result["failures"]
        failed |= bool(failures)
        row = (name, options.trials, counts["read"], counts["refused"], len(failures))
        row = (*row, result["peak"], round(result["seconds"]))
        cells = " | ".join(str(cell) for cell in row)
        print(f"| {cells} |" if options.markdown else cells, flush=True)
    sys.exit(failed)


if __name__ == "__main__":
    main()
