"""A-SNLSR compared with SNLSR trained on the source only, tested on the target.

    python -m experiments.adaptation                     # 3 seeds, the rows of docs/adaptation.md
    python -m experiments.adaptation --skip              # as a correction of the bicubic image
    python -m experiments.adaptation --rows=source,published --seeds=1 --steps=100

The data is SWIR Park's synthetic twin: one ground in two spectral ranges, the target's endmembers
shifted. Every row has the same network, range, optimizer, number of steps and source patches a
step; the target's high-resolution cubes are never trained on. One process, one compilation a row.
"""

import argparse
import time
from collections.abc import Mapping
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np

from configs import asnlsr_swir, common, snlsr_swir
from hsisr_jax import mesh, train
from hsisr_jax.data.batches import draw
from hsisr_jax.inference.evaluate import evaluate, forward
from hsisr_jax.training import optimizers, setup, start
from hsisr_jax.training.experiment import describe
from hsisr_jax.training.trainer import Trainer

SOURCE_PATCHES = 4  # a step
APART = 100_000  # steps between the batches of two seeds
SHOWN = ("PSNR", "SSIM", "SAM", "RMSE")
DIRECTIONS = {"PSNR": 1, "SSIM": 1, "SAM": -1, "RMSE": -1}

ROWS = {  # name -> what differs from the published game; None: no second domain
    "source": None,
    "reconstruct": {"strength": 0.0},
    "published": {},
    "stronger": {"strength": 0.1, "ramp": 10.0},
    "ratio": {"strength": 0.1, "ramp": 10.0, "discriminator_steps": 3, "label_smoothing": 0.1},
    "non_saturating": {"objective": "non_saturating", "strength": 0.1, "ramp": 10.0},
    "least_squares": {
        "objective": "non_saturating",
        "domain_loss": "least_squares",
        "strength": 0.1,
        "ramp": 10.0,
    },
}


def config_of(row: str, steps: int, learning_rate: float, skip: bool):
    """The smoke config of a row, on small patches."""
    game = ROWS[row]
    config = (snlsr_swir if game is None else asnlsr_swir).get_config("smoke")
    config.data.config = "scenes_single_smoke" if game is None else "scenes_smoke"
    config.data.patch, config.data.stride = 32, 8
    config.batch_size = SOURCE_PATCHES * (1 if game is None else 2)
    config.steps = steps
    config.base.kind, config.model.bicubic_skip = "bicubic" if skip else "none", False
    schedule = {"name": "cosine", "warmup": 20}
    one = common.base().optimizer.to_dict()
    one |= {"learning_rate": learning_rate, "clip": 1.0, "schedule": schedule}
    config.optimizer = one if game is None else {"generator": one, "discriminator": dict(one)}
    if game:
        config.adversarial.update(game)
    return config


class Row:
    """A row's data and its compiled training, for any seed."""

    def __init__(self, config):
        self.run = run = describe(config)
        config = run.config
        self.apply = forward(run.module)
        patches = run.data.patches(config.scale, **run.patching)
        txs, _ = optimizers.build_all(config.optimizer.to_dict(), config.steps)
        self.trainer = Trainer(
            module=run.module,
            step=setup.step(config, run.spec, txs, config.steps),
            optimizers=txs,
            recipe=run.recipe,
            patches=patches,
            mesh=mesh.make(data=1, fsdp=1),
            seed=0,
            batch_size=config.batch_size,
            augment=config.data.augment,
            on_device=True,
            ema=False,
            adjust=start.zero_start(run.spec),
        )
        self.base = start.base_variables(run.spec, run, self.trainer)

    def train(self, seed: int, given: Mapping | None = None):
        """Trains from a seed's first parameters, or the `given` ones instead of some of them; gives
        the state after the last step, and its scalars."""
        state = start.with_variables(self.create(jax.random.key(seed)), self.base, self.trainer)
        state = state.replace(params=state.params | dict(given or {}))
        *_, scalars = jax.eval_shape(self.one_step, state, self.trainer.patches, seed)
        nothing = jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), scalars)
        return self.advance(state, nothing, self.trainer.patches, seed)

    @partial(jax.jit, static_argnums=0)
    def create(self, key):
        return self.trainer._create(key)

    @partial(jax.jit, static_argnums=0)
    def advance(self, state, scalars, patches, seed):
        def body(_, carry):
            return self.one_step(carry[0], patches, seed)

        return jax.lax.fori_loop(0, self.run.config.steps, body, (state, scalars))

    def one_step(self, state, patches, seed):
        config, step = self.run.config, state.step + APART * seed
        drawn = draw(patches, 0, step, config.batch_size, augment=config.data.augment)
        key = jax.random.fold_in(jax.random.key(seed), state.step)
        return self.trainer.step(state, self.batch(drawn, key), key)

    def batch(self, drawn, key) -> dict:
        return self.run.recipe(drawn, key)

    def score(self, variables: Mapping, *, domain: int = 1) -> dict:
        """Scores of the network, its base, bicubic and back-projection on a domain's images."""
        run = self.run
        scenes = run.data.test_images(run.config.scale)
        if domain == 0:
            scenes = [scene for scene in run.data.train if scene.domain == 0]
        others = train.baselines_of(run)
        found = evaluate(self.apply, variables, scenes, run.recipe, run.protocol, baselines=others)
        return {name: found.means(name) for name in found.methods()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", default="source,published,stronger")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=400)
    parser.add_argument("--learning_rate", type=float, default=3e-3)
    parser.add_argument("--skip", action="store_true", help="learn a correction of bicubic")
    options = parser.parse_args()
    jax.config.update("jax_default_prng_impl", "unsafe_rbg")  # compiles in a fraction of the time
    table, bicubic = {}, {}
    for name in options.rows.split(","):
        row = Row(config_of(name, options.steps, options.learning_rate, options.skip))
        began, found = time.monotonic(), []
        for seed in range(options.seeds):
            state, scalars = row.train(seed)
            found.append(row.score(state.averaged))
            accuracy = float(scalars.get("domain_accuracy", np.nan))
            shown = "  ".join(f"{k} {found[-1]['test'][k]:.4f}" for k in SHOWN)
            source = row.score(state.averaged, domain=0)["test"]["PSNR"]
            print(
                f"  {name} seed {seed}: {shown}  (source PSNR {source:.3f}, domain accuracy "
                f"{accuracy:.2f}, skipped {int(state.skipped)})",
                flush=True,
            )
        bicubic = found[0]["bicubic"]
        table[name] = {k: [f["test"][k] for f in found] for k in SHOWN}
        print(f"{name}: {time.monotonic() - began:.0f} s", flush=True)
    show(table, bicubic)


def show(table: dict, bicubic: dict) -> None:
    """Mean and deviation over seeds, and the gain over the row trained on the source alone."""
    print(f"\n{'':16}" + "".join(f"{k:>18}" for k in SHOWN))
    print(f"{'bicubic':16}" + "".join(f"{bicubic[k]:>18.4f}" for k in SHOWN))
    for name, scores in table.items():
        cells = (f"{np.mean(v):.4f} ± {np.std(v):.4f}" for v in scores.values())
        print(f"{name:16}" + "".join(f"{cell:>18}" for cell in cells))
    if "source" not in table:
        return
    for name in [name for name in table if name != "source"]:
        gains = {k: np.mean(table[name][k]) - np.mean(table["source"][k]) for k in SHOWN}
        better = [k for k in SHOWN if gains[k] * DIRECTIONS[k] > 0]
        shown = ", ".join(f"{k} {gain:+.4f}" for k, gain in gains.items())
        print(f"{name} against source: {shown}; better in {', '.join(better) or 'none'}")


if __name__ == "__main__":
    main()
