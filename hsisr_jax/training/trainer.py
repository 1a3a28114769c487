"""Compiled training: placement of arrays, the initial state, and many steps per dispatch."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn
from jax.extend.core import jaxpr_as_fun
from jax.sharding import Mesh

from hsisr_jax import mesh as meshes
from hsisr_jax.data import sampler
from hsisr_jax.data.batches import Draw, Recipe, draw, draw_on_host
from hsisr_jax.data.host import prefetch
from hsisr_jax.data.sampler import Patches
from hsisr_jax.ops.platforms import compiler_options, platform
from hsisr_jax.training import state as states
from hsisr_jax.training.state import TrainState
from hsisr_jax.training.steps import Step


@dataclass
class Trainer:
    """Runs `step` on batches of `patches`: the device's own copy of them, or from the host's
    memory or disk."""

    module: nn.Module
    step: Step
    optimizers: dict
    recipe: Recipe
    patches: Patches
    mesh: Mesh
    seed: int
    batch_size: int
    augment: bool
    on_device: bool
    ema: bool
    adjust: Callable[[dict], dict] = lambda params: params
    deterministic: bool = False  # GPUs: no sums whose order varies; CPUs have none

    def __post_init__(self):
        meshes.check_batch(self.mesh, self.batch_size)
        self._key = jax.random.key(self.seed)
        self._creation = jax.jit(self._create)  # traced once, for shapes and for values
        self._abstract = self._creation.eval_shape(self._key)
        self._place = partial(jax.lax.with_sharding_constraint, shardings=meshes.batch(self.mesh))
        self.shardings = jax.tree.map(
            lambda leaf: meshes.parameter(self.mesh, leaf.shape), self._abstract
        )
        if self.on_device:
            self.patches = put(self.patches, meshes.replicated(self.mesh))
        seeds = sampler.orders(self.seed, len(self.patches.counts)), jax.random.key_data(self._key)
        # arguments of the compiled program, which is one for all seeds
        self.seeds = put(jax.device_get(seeds), meshes.replicated(self.mesh))
        self._advance = self._many_steps()
        self._compiled: Callable = self._advance
        self._previous: dict = {}

    def sample_batch(self) -> dict:
        """Shapes of one batch, for initialisation."""

        def batch(patches: Patches) -> dict:
            drawn = draw(patches, self.seed, 0, self.batch_size, augment=self.augment)
            return self.recipe(drawn, self._key)

        shapes = jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype), self.patches)
        return jax.eval_shape(batch, shapes)

    def patches_on_host(self) -> Patches:
        """The patches in the host's memory, for `draw_on_host`."""
        return jax.device_get(self.patches) if self.on_device else self.patches

    def _create(self, key: jax.Array) -> TrainState:
        batch = jax.tree.map(lambda x: jnp.zeros((1, *x.shape[1:]), x.dtype), self.sample_batch())
        return states.create(
            self.module, self.optimizers, batch, key, ema=self.ema, adjust=self.adjust
        )

    def abstract_state(self) -> TrainState:
        return self._abstract

    def first_state(self) -> TrainState:
        """The state at step 0, created on its devices."""
        # it runs once: a CPU takes ten seconds to optimise what then takes ten milliseconds
        quickly = {"xla_backend_optimization_level": 0} if platform() == "cpu" else None
        create = jax.jit(self._creation, out_shardings=self.shardings, compiler_options=quickly)
        return create(self._key)

    def _many_steps(self) -> Callable:
        """`(state, source, seeds, n) -> (state, means of the scalars over the steps that counted)`;
        NaN if none did."""

        def batch_of(source, seeds, state: TrainState, i):
            if self.on_device:
                drawn = draw(
                    source,
                    seeds[0],
                    state.step,
                    self.batch_size,
                    augment=self.augment,
                    place=self._place,
                )
            else:
                drawn = jax.tree.map(lambda x: x[i], source)
            key = jax.random.wrap_key_data(seeds[1], impl=jax.random.key_impl(self._key))
            key = jax.random.fold_in(key, state.step)
            return jax.tree.map(self._place, self.recipe(drawn, key)), jax.random.fold_in(key, 1)

        def one(state: TrainState, source, seeds, i):
            return self.step(state, *batch_of(source, seeds, state, i))

        def advance(state: TrainState, source, seeds, n):
            # traced once, for the loop and for the shapes of what it adds up
            traced, (_, shapes) = jax.make_jaxpr(one, return_shape=True)(state, source, seeds, n)
            run, tree = jaxpr_as_fun(traced), jax.tree.structure((state, shapes))

            def body(i, carry):
                state, totals = carry
                skipped = state.skipped
                flat = run(*jax.tree.leaves((state, source, seeds, i)))
                state, scalars = jax.tree.unflatten(tree, flat)
                good = state.skipped == skipped
                scalars |= {"good": good.astype(jnp.float32)}
                return state, jax.tree.map(lambda t, x: t + jnp.where(good, x, 0), totals, scalars)

            totals = {name: jnp.zeros(x.shape, x.dtype) for name, x in shapes.items()}
            totals["good"] = jnp.zeros((), jnp.float32)  # weakly typed, the loop is traced twice
            state, totals = jax.lax.fori_loop(0, n, body, (state, totals))
            good = totals.pop("good")
            share = jnp.where(good > 0, 1 / jnp.maximum(good, 1), jnp.nan)
            return state, jax.tree.map(lambda t: t * share, totals)

        whole = meshes.replicated(self.mesh)
        return jax.jit(advance, donate_argnums=0, out_shardings=(self.shardings, whole))

    def compile(self, state: TrainState, source) -> float:
        """Compiles for this source; returns the seconds that it took."""
        began = time.monotonic()
        exact = self.deterministic and self.mesh.devices.flat[0].platform == "gpu"
        options = compiler_options() | ({"xla_gpu_deterministic_ops": True} if exact else {})
        lowered = self._advance.lower(state, source, self.seeds, self._count(1))
        self._compiled = lowered.compile(compiler_options=options)
        return time.monotonic() - began

    def batch_at(self, step: int) -> dict[str, jax.Array]:
        """The batch of a step, for inspecting what went wrong there."""
        drawn = draw_on_host(
            self.patches_on_host(), self.seed, step, self.batch_size, augment=self.augment
        )
        return self.recipe(drawn, jax.random.fold_in(self._key, step))

    def advance(self, state: TrainState, source, n: int) -> tuple[TrainState, dict]:
        """Runs `n` steps in one dispatch; at most one dispatch is queued behind another.

        Only the count `n` moves between host and device.
        """
        jax.block_until_ready(self._previous)
        count = self._count(n)
        with jax.transfer_guard("disallow"):
            state, self._previous = self._compiled(state, source, self.seeds, count)
        return state, self._previous

    def _count(self, n: int) -> jax.Array:
        return put(np.asarray(n, np.int32), meshes.replicated(self.mesh))

    def sources(self, start: int, stops: list[int]):
        """The source of patches and the number of steps of each dispatch between the stops."""
        counts = np.diff([start, *stops]).tolist()
        if self.on_device:
            yield from ((self.patches, n) for n in counts)
            return
        most = max(counts, default=1)
        firsts = np.cumsum([start, *counts[:-1]]).tolist()
        sizes = dict(zip(firsts, counts))

        def make(first: int) -> tuple[Draw, int]:
            n = sizes[first]
            steps = [first + min(i, n - 1) for i in range(most)]  # one shape: one compilation
            return self._stack(steps), n

        yield from prefetch(make, firsts)

    def _stack(self, steps: list[int]) -> Draw:
        """Draws of several steps, each process making its own part of every batch."""
        share = self.batch_size // jax.process_count()
        part = slice(jax.process_index() * share, (jax.process_index() + 1) * share)
        drawn = [
            draw_on_host(
                self.patches, self.seed, step, self.batch_size, augment=self.augment, part=part
            )
            for step in steps
        ]
        stacked = jax.tree.map(lambda *x: np.stack(x), *drawn)
        sharding = jax.sharding.NamedSharding(
            self.mesh, jax.sharding.PartitionSpec(None, *meshes.BATCH)
        )
        return jax.tree.map(lambda x: jax.make_array_from_process_local_data(sharding, x), stacked)


def put(tree, sharding):
    """Places host arrays, the same on every process, on the mesh."""
    return jax.tree.map(
        lambda x: jax.make_array_from_callback(x.shape, sharding, lambda index: x[index]), tree
    )
