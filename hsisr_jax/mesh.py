"""The device mesh, and the two rules that place arrays on it.

`data`: copies of the network, each with its own part of the batch.
`fsdp`: the same, with parameters and optimizer states sharded over it as well.
"""

import jax
import numpy as np
from jax.sharding import AxisType, Mesh, NamedSharding
from jax.sharding import PartitionSpec as P

from hsisr_jax.errors import UserError

DATA, FSDP = "data", "fsdp"
BATCH = P((DATA, FSDP))
SMALL = 1024  # arrays of fewer elements are replicated


def make(data: int = -1, fsdp: int = 1, devices: list | None = None) -> Mesh:
    """A mesh of `data` x `fsdp` devices; -1 uses all remaining ones."""
    devices = jax.devices() if devices is None else devices
    if fsdp < 1 or data == 0 or data < -1:
        raise UserError(f"mesh data={data}, fsdp={fsdp}: use positive sizes (data=-1: all devices)")
    if data == -1:
        data = max(len(devices) // fsdp, 1)
    if data * fsdp > len(devices):
        raise UserError(
            f"the mesh needs {data} x {fsdp} devices and there are {len(devices)}: "
            "set config.mesh.data and config.mesh.fsdp to fit"
        )
    grid = np.asarray(devices[: data * fsdp]).reshape(data, fsdp)
    return Mesh(grid, (DATA, FSDP), axis_types=(AxisType.Auto,) * 2)


def check_batch(mesh: Mesh, batch_size: int) -> None:
    """Refuses a batch that does not divide over the devices."""
    if batch_size < 1 or batch_size % mesh.size:
        raise UserError(
            f"batch size {batch_size} does not divide over {mesh.size} devices: "
            f"use a multiple of {mesh.size}, or a smaller mesh (config.mesh.data)"
        )


def replicated(mesh: Mesh) -> NamedSharding:
    return NamedSharding(mesh, P())


def batch(mesh: Mesh) -> NamedSharding:
    """The sharding of the first axis over all devices."""
    return NamedSharding(mesh, BATCH)


def whole(x: jax.Array) -> np.ndarray:
    """Gathers a sharded array on the host; every process must call it."""
    if isinstance(x.sharding, NamedSharding) and not x.is_fully_addressable:
        x = jax.jit(lambda x: x, out_shardings=NamedSharding(x.sharding.mesh, P()))(x)
    return np.asarray(x)


def parameter(mesh: Mesh, shape: tuple[int, ...]) -> NamedSharding:
    """The sharding of a parameter: the largest axis that `fsdp` divides, unless it is small."""
    size = mesh.shape[FSDP]
    if size == 1 or np.prod(shape, dtype=np.int64) < SMALL:
        return replicated(mesh)
    axes = [axis for axis, n in enumerate(shape) if n % size == 0]
    if not axes:
        return replicated(mesh)
    chosen = max(axes, key=lambda axis: shape[axis])
    return NamedSharding(mesh, P(*(FSDP if axis == chosen else None for axis in range(len(shape)))))


def parameters(mesh: Mesh, tree):
    """The shardings of every leaf of a tree of parameters or shapes."""
    return jax.tree.map(lambda leaf: parameter(mesh, leaf.shape), tree)
