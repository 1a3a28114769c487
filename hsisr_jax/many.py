"""Prediction of many scenes: `--mode=predict --input='scenes/*.hdr' --output=folder/`.

A scene that fails does not stop the others; finished ones are skipped. Any number of processes may
run the same command: each takes scenes that no other one has, and those of a killed process are
taken by the others or by the next call. They coordinate only by the locks of the outputs.
"""

import glob
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from hsisr_jax import formats, locks
from hsisr_jax.errors import UserError
from hsisr_jax.formats import places
from hsisr_jax.inference import finished
from hsisr_jax.inference.options import Options
from hsisr_jax.inference.packaged import Load
from hsisr_jax.predict import After, make

WILD = "*?["
WAIT = 2.0  # seconds between looks at what other processes are making
BESIDE = (".aux.xml", ".npy.json", ".work.json", "_quicklook.png", "_report.html", ".partial")
ENDING = ".tif"  # of outputs whose input has a format that is not written


def several(input: str, output: str) -> bool:
    """Whether flags name many scenes, or a folder for the output."""
    named = len(inputs(input)) != 1 or "*" in output
    if places.is_url(output):
        if named:
            raise UserError(
                f"{output}: several scenes are shared out by locks, which a URL has not: give a "
                "folder of this machine, or a command for each scene"
            )
        return False
    target = Path(output)
    folder = target.is_dir() and target.suffix != ".zarr"
    return named or output.endswith("/") or folder


def inputs(text: str) -> list[str]:
    """The scenes of a path, a pattern, or several of them separated by commas."""
    if Path(text).exists() or places.is_url(text):
        return [text]
    found: list[str] = []
    for part in text.split(","):
        wild = any(sign in part for sign in WILD) and not Path(part).exists()
        found += _scenes(sorted(glob.glob(part, recursive=True))) if wild else [part]
    return list(dict.fromkeys(found))


def _scenes(names: Sequence[str]) -> list[str]:
    """Removes files that belong to another one: an ENVI header's data, quicklooks, sidecars."""
    headers = {name for name in names if name.lower().endswith(".hdr")}
    stems = {Path(name).with_suffix("") for name in headers}
    return [
        name
        for name in names
        if not name.endswith(BESIDE)
        and not _is_output(Path(name))
        and (name in headers or not {Path(name), Path(name).with_suffix("")} & stems)
    ]


def _is_output(path: Path) -> bool:
    """Whether a file is the output of an earlier call into the folder of its inputs."""
    try:
        return finished.record(path).exists()
    except UserError:  # of a format that is not written
        return False


def targets(sources: Sequence[str], output: str, scale: int) -> list[Path]:
    """The output of each scene: its name with the scale in a folder, or for the `*` in a name."""
    made = []
    for source in sources:
        path = Path(source)
        stem = path.name if path.is_dir() and path.suffix != ".zarr" else path.stem
        if "*" in output:
            target = Path(output.replace("*", stem))
        else:
            target = Path(output) / f"{stem}_x{scale}{_ending(path)}"
        made.append(target)
    twice = [str(target) for target, count in Counter(made).items() if count > 1]
    if twice:
        raise UserError(
            f"several inputs would become {twice[0]}: give scenes of one name folders of their own"
        )
    return made


def _ending(path: Path) -> str:
    ending = path.suffix.lower()
    known = {f".{e}" for e in ("hdr", *formats.ENDINGS["geotiff"], "mat", "nc", "npy", "zarr")}
    return ending if ending in known else ENDING


def predict(
    load: Load,
    sources: Sequence[str],
    output: str,
    scale: int,
    options: Options,
    *,
    after: After | None = None,
) -> int:
    """Predicts each scene that has no output yet, and prints a line for each.

    Returns:
        The exit code: 0 if all outputs exist, else 2.
    """
    if not sources:
        raise UserError("--input: no file has such a name; check the pattern and its quotes")
    waiting = dict(zip(sources, targets(sources, output, scale)))
    became: dict[str, str] = {}
    failed = 0
    while waiting:
        busy = {}
        for source, target in waiting.items():
            try:
                made = make(load, source, target, options, after, once=True)
                became[source] = f"{'done' if made else 'was finished'}, {target}"
            except locks.Busy:
                busy[source] = target
            except (UserError, OSError, ValueError, RuntimeError, MemoryError) as error:
                failed += 1
                problem = str(error).removeprefix(f"{source}: ")
                became[source] = f"failed: {problem}"
                print(f"error: {source}: {problem}", flush=True)
        waiting = busy
        if waiting:
            time.sleep(WAIT)
    print("\n".join(f"{source}: {became[source]}" for source in sources))
    print(f"{len(sources) - failed} of {len(sources)} scenes are there", flush=True)
    return 2 if failed else 0
