"""The networks as the benchmarks run them: at full size or small, training and inference.

A training step is the library's own (`training.make_step`): forward pass, the paper's loss, its
gradients, Adam, the check for numbers that are not finite. Inputs are noise: no time here depends
on their values.
"""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from configs import common
from hsisr_jax import losses, mesh, models
from hsisr_jax.ops.platforms import compiler_options, platform
from hsisr_jax.training import make_step, optimizers
from hsisr_jax.training import state as states


@dataclass(frozen=True)
class Case:
    """A network, what it trains with, and on how much."""

    name: str
    batch: int
    size: int  # low-resolution pixels a side
    loss: str = "l1"
    options: dict[str, Any] = field(default_factory=dict)
    precision: str = "float32"

    @cached_property
    def module(self):
        return models.create(self.name, **self.options)

    @property
    def scale(self) -> int:
        return getattr(self.module, "scale", 1)

    @property
    def pixels(self) -> int:
        """Output pixels of a batch."""
        return self.batch * (self.size * self.scale) ** 2

    def inputs(self) -> dict[str, jax.ShapeDtypeStruct]:
        """Shapes of what the network reads, and of the target."""
        module, b, n, high = self.module, self.batch, self.size, self.size * self.scale
        bands = getattr(module, "bands", 31)
        shapes = {"hr": (b, high, high, bands)}
        if hasattr(module, "msi_bands"):
            shapes["msi"] = (b, n, n, module.msi_bands)
        else:
            shapes |= {"lr": (b, n, n, bands), "lms": shapes["hr"]}
        batch = {k: jax.ShapeDtypeStruct(shape, "float32") for k, shape in shapes.items()}
        if self.name == "asnlsr":
            batch["domain"] = jax.ShapeDtypeStruct((b,), "int32")
        for factor in (2, 4) if self.name == "rcam" else ():
            side = high // factor
            batch[f"lr_div{factor}"] = jax.ShapeDtypeStruct((b, side, side, bands), "float32")
        return batch

    def batch_of_noise(self) -> dict[str, np.ndarray]:
        rng = np.random.default_rng(0)
        return {
            k: rng.uniform(0.1, 1, x.shape).astype(x.dtype) if x.ndim > 1
            else np.arange(x.shape[0], dtype=x.dtype) % 2
            for k, x in self.inputs().items()
        }  # fmt: skip


FULL = {
    "srlsgat": Case("srlsgat", 16, 32, "hybrid"),
    "sspsr": Case("sspsr", 32, 16, "hybrid"),
    "ssran": Case("ssran", 100, 4, "mse"),
    "snlsr": Case("snlsr", 4, 32, "snlsr"),
    "asnlsr": Case("asnlsr", 4, 32, "asnlsr"),
    "rcam": Case("rcam", 4, 32),
    "esrt": Case("esrt", 4, 32),
    "srformer": Case("srformer", 4, 32),
}
# every part of each network, in seconds: what a smoke test runs
SMALL = {
    "srlsgat": {"features": 16, "blocks": 1},
    "sspsr": {"features": 16, "blocks": 1, "bands": 14},
    "ssran": {"features": 16, "bands": 12},
    "snlsr": {"features": 16, "materials": 8},
    "asnlsr": {"features": 16, "materials": 8},
    "rcam": {"features": 16, "dense_blocks": 1, "rcams": 1},
    "esrt": {},
    "srformer": {"embed_dim": 16, "depths": (1,), "num_heads": (2,), "window_size": 8},
}


def case_of(name: str, *, small: bool = False, batch: int = 0, **changes) -> Case:
    """A network's case; on a CPU at full size SSPSR's batch is 2, or a step takes half a minute."""
    case = FULL[name]
    if small:
        case = replace(case, options=SMALL[name], batch=2, size=min(case.size, 16))
    elif name == "sspsr" and platform() == "cpu":
        case = replace(case, batch=2)
    case = replace(case, batch=batch or case.batch)
    return replace(case, options=case.options | changes)


@dataclass
class Program:
    """A compiled function, its arguments held on the device."""

    compiled: Any
    run: Callable[[], Any]
    trace_seconds: float
    compile_seconds: float
    lower: Callable  # again, for a second compilation
    cached_seconds: float = math.nan

    @property
    def bytes_held(self) -> int:
        """Arguments and temporaries on one device, as the compiler counts them."""
        found = self.compiled.memory_analysis()
        return found.argument_size_in_bytes + found.temp_size_in_bytes if found else 0

    @property
    def bytes_moved(self) -> float:
        """Operands and results of every operation, loops counted once: XLA's cost analysis."""
        return _cost(self.compiled).get("bytes accessed", math.nan)


def _cost(compiled) -> dict:
    found = compiled.cost_analysis() or {}
    return found[0] if isinstance(found, list) else found


def _program(function: Callable, *arguments, **options) -> tuple[Any, float, float, Callable]:
    options |= {"compiler_options": compiler_options()}
    lower = lambda: jax.jit(function, **options).lower(*arguments)  # noqa: E731
    began = time.perf_counter()
    lowered = lower()
    traced = time.perf_counter()
    compiled = lowered.compile()
    return compiled, traced - began, time.perf_counter() - traced, lower


def make_training(case: Case):
    """The optimizers and the step, with the defaults of a config."""
    config = common.base()
    txs, _ = optimizers.build_all(config.optimizer.to_dict(), 1000)
    options = {"precision": case.precision, "ema_decay": config.ema, "remat": config.remat}
    return txs, make_step(case.module, losses.create(case.loss), txs, **options, steps=0)


def make_state(case: Case):
    """`key -> state`, and the step."""
    txs, step = make_training(case)
    one = {k: jnp.zeros((1, *x.shape[1:]), x.dtype) for k, x in case.inputs().items()}
    create = lambda key: states.create(case.module, txs, one, key, ema=False)  # noqa: E731
    return create, step


def shaped_training(case: Case, grid: jax.sharding.Mesh, *, steps: int = 1):
    """`key -> state`, `steps` optimisation steps, and the shapes of their state and their batch,
    placed on a mesh whose devices need not be here."""
    create, step = make_state(case)
    shapes = jax.eval_shape(create, jax.random.key(0))
    state = _placed(shapes, mesh.parameters(grid, shapes))
    batch = {k: _placed(x, mesh.batch(grid)) for k, x in case.inputs().items()}

    def advance(state, batch):
        key = jax.random.key(0)

        def body(i, state):
            return step(state, batch, jax.random.fold_in(key, i))[0]

        return body(0, state) if steps == 1 else jax.lax.fori_loop(0, steps, body, state)

    return create, advance, (state, batch)


def _placed(shapes, where):
    """Shapes that say where their arrays lie."""
    place = lambda x, s: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=s)  # noqa: E731
    return jax.tree.map(place, shapes, where)


def training(case: Case, *, steps: int = 1, on: jax.sharding.Mesh | None = None) -> Program:
    """`steps` optimisation steps in one dispatch, on one device or sharded over a mesh."""
    grid = on or mesh.make(1, 1, jax.devices()[:1])
    create, advance, (state, batch) = shaped_training(case, grid, steps=steps)
    placed = jax.tree.map(lambda x: x.sharding, state)
    state = jax.jit(create, out_shardings=placed)(jax.random.key(0))
    batch = {k: jax.make_array_from_callback(x.shape, batch[k].sharding, lambda i, x=x: x[i])
             for k, x in case.batch_of_noise().items()}  # fmt: skip
    compiled, *seconds, lower = _program(
        advance, state, batch, donate_argnums=0, out_shardings=placed
    )
    held = [state]

    def run():
        held[0] = jax.block_until_ready(compiled(held[0], batch))

    return Program(compiled, run, *seconds, lower)


def arguments_of(case: Case, key: jax.Array, batch: dict) -> tuple[dict, dict]:
    """Variables and batch of an inference, in its precision; the target is no part of them."""
    batch = {k: x for k, x in batch.items() if k != "hr"}
    dtype = jnp.dtype(case.precision)
    cast = lambda x: x.astype(dtype) if jnp.issubdtype(x.dtype, jnp.floating) else x  # noqa: E731
    return jax.tree.map(cast, (case.module.init(key, batch), batch))


def shaped_inference(case: Case, grid: jax.sharding.Mesh):
    """The network, and the shapes of its variables and its batch, placed on a mesh."""
    variables, batch = jax.eval_shape(partial(arguments_of, case), jax.random.key(0), case.inputs())
    variables = _placed(variables, jax.tree.map(lambda x: mesh.replicated(grid), variables))
    batch = {k: _placed(x, mesh.batch(grid)) for k, x in batch.items()}
    return partial(_super_resolve, case.module), (variables, batch)


def _super_resolve(module, variables: dict, batch: dict) -> jax.Array:
    return module.apply(variables, batch, train=False)["sr"]


def inference(case: Case) -> Program:
    """One batch through the network."""
    make = jax.jit(partial(arguments_of, case))
    variables, batch = make(jax.random.key(0), case.batch_of_noise())
    apply = partial(_super_resolve, case.module)
    compiled, *seconds, lower = _program(apply, variables, batch)
    return Program(
        compiled, lambda: jax.block_until_ready(compiled(variables, batch)), *seconds, lower
    )


def traced_flops(case: Case) -> tuple[float, float]:
    """Operations of a training step and of a forward pass in products and convolutions.

    A step counts three forward passes, as is the custom: what a backend saves by another algorithm
    (Winograd's gradients on a CPU), or does twice, is not the network's.
    """
    from hsisr_jax.inference.cost import count

    create, _ = make_state(case)
    variables = jax.eval_shape(create, jax.random.key(0)).variables
    inputs = {k: x for k, x in case.inputs().items() if k != "hr"}
    forward = jax.make_jaxpr(lambda v, b: case.module.apply(v, b, train=False)["sr"])
    found = count(forward(variables, inputs).jaxpr)
    return 3 * found, found
