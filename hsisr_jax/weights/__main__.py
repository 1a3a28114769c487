"""Makes a file of weights, as it comes with the package, of trained runs of `anyband`.

python -m hsisr_jax.weights runs/anyband_x4 runs/anyband_x2 --output=anyband.npz
"""

import argparse
import sys
from collections.abc import Mapping
from pathlib import Path

import jax
import numpy as np
from flax.traverse_util import flatten_dict

from hsisr_jax import weights
from hsisr_jax.errors import UserError, command
from hsisr_jax.files import disk_error, written
from hsisr_jax.inference import trained


@command
def main(argv: list[str] | None = None) -> int:
    """The command; its exit status."""
    parser = argparse.ArgumentParser(prog="python -m hsisr_jax.weights", description=__doc__)
    parser.add_argument("runs", nargs="+", help="workdirs, one a scale, that share their trunk")
    parser.add_argument("--output", required=True, help="the file to write, .npz")
    given = parser.parse_args(argv)
    arrays = gathered([Path(run) for run in given.runs])
    written = write(Path(given.output), arrays)
    layers = {path.split("/")[0] for path in arrays}
    scales = sorted(x.removeprefix(weights.TAIL) for x in layers if x.startswith(weights.TAIL))
    count = sum(x.size for x in arrays.values())
    print(f"{given.output}: x{', x'.join(scales)}, {count:,} parameters, {written:,} bytes")
    return 0


def gathered(runs: list[Path]) -> dict[str, np.ndarray]:
    """The arrays of the runs by `layer/name`, in float16."""
    found: dict[str, np.ndarray] = {}
    origin: dict[str, Path] = {}
    for run in runs:
        for path, values in _arrays(run).items():
            tail = path.startswith(weights.TAIL)
            if path in found and tail:
                raise UserError(f"{run} and {origin[path]} are of one scale: give one of them")
            if path in found and not np.array_equal(found[path], values):
                raise UserError(
                    f"{run} has another trunk than {origin[path]}, and a file holds one: train the "
                    f"last layer alone, --config=anyband:x2,tail --config.init_from={origin[path]}"
                )
            found[path], origin[path] = values, run
    return found


def _arrays(run: Path) -> Mapping[str, np.ndarray]:
    card, variables = trained.load(run)
    if card.name != "anyband" or card.spec.members > 1:
        raise UserError(f"{run} is a run of {card.name}: give runs of anyband with one member")
    params = jax.device_get(variables()[0]["params"][weights.TRUNK])
    with np.errstate(over="ignore"):
        arrays = {path: x.astype(np.float16) for path, x in flatten_dict(params, sep="/").items()}
    if not all(np.isfinite(x).all() for x in arrays.values()):
        raise UserError(f"{run}: weights are not finite, or too large for float16: train it again")
    return arrays


def write(path: Path, arrays: Mapping[str, np.ndarray]) -> int:
    """Writes the file whole or not at all; returns its size in bytes."""
    if path.suffix != ".npz":
        raise UserError(f"--output={path}: give a name that ends in .npz")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise disk_error(path, error) from error
    with written(path) as file:
        np.savez_compressed(file, **arrays)  # type: ignore[arg-type]
    return path.stat().st_size


if __name__ == "__main__":
    sys.exit(main())
