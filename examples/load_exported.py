"""Runs a network that `--mode=export` wrote; needs jax (and flatbuffers), nothing of hsisr_jax.

    python examples/load_exported.py model.stablehlo input.npy output.npy

The input is a cube `(height, width, bands)` of physical values, as is the output.
"""

import sys
from pathlib import Path

import jax
import numpy as np

if len(sys.argv) != 4:
    sys.exit(__doc__)
model, source, target = sys.argv[1:]
try:
    network = jax.export.deserialize(bytearray(Path(model).read_bytes()))
except OSError as error:
    sys.exit(str(error))
except Exception as error:
    sys.exit(f"{model}: not a network that --mode=export wrote ({error})")
try:
    cube = np.asarray(np.load(source), np.float32)
except FileNotFoundError as error:
    sys.exit(str(error))
except (OSError, ValueError, TypeError):
    sys.exit(f"{source}: not a cube that numpy.save wrote; convert other formats to .npy first")
_, *sizes, bands = network.in_avals[0].shape
if cube.ndim != 3 or cube.shape[-1] != bands:
    sys.exit(f"{source}: {cube.shape}, not (height, width, {bands})")
if any(isinstance(size, int) and size != n for size, n in zip(sizes, cube.shape)):
    sys.exit(
        f"{source}: this export takes tiles of {sizes[0]} x {sizes[1]} pixels, not {cube.shape}"
    )
sharper = np.asarray(network.call(cube[None]))[0]
np.save(target, sharper)
print(f"{cube.shape} -> {sharper.shape}")
