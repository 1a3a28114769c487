"""Runs a network that `--mode=export` wrote; needs jax (and flatbuffers), nothing of hsisr_jax.

    python examples/load_exported.py model.stablehlo input.npy output.npy

The input is a cube `(height, width, bands)` of physical values, as is the output.
"""

import sys
from pathlib import Path

import jax
import numpy as np

model, source, target = sys.argv[1:]
network = jax.export.deserialize(bytearray(Path(model).read_bytes()))
cube = np.load(source).astype(np.float32)
sharper = np.asarray(network.call(cube[None]))[0]
np.save(target, sharper)
print(f"{cube.shape} -> {sharper.shape}")
