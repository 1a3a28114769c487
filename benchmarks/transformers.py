"""ESRT and SRFormer against the published PyTorch modules: training step and inference.

    python benchmarks/transformers.py DIRECTORY [--batch 4] [--size 32] [--rounds 7]

DIRECTORY holds the published code (`A-SNLSR/`). Forward, backward and Adam of the full-size x4
networks on 30 bands. The two sides take turns in every round; the ratio is the original's time
over ours, of medians and of minima.
"""

import argparse
import sys
import time
from importlib import import_module
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import optax

sys.path.insert(0, str(Path(__file__).parents[1]))

from hsisr_jax import losses, models  # noqa: E402

BANDS, SCALE = 30, 4


def ours(name: str, lr: np.ndarray, hr: np.ndarray) -> dict:
    module, loss, adam = models.create(name), losses.create("l1"), optax.adam(1e-4)
    batch = {"lr": jnp.asarray(lr), "hr": jnp.asarray(hr)}
    variables = jax.jit(module.init)(jax.random.key(0), batch)
    params, rest = variables["params"], {k: v for k, v in variables.items() if k != "params"}

    def objective(params, key):
        out = module.apply({"params": params, **rest}, batch, train=True, rngs={"dropout": key})
        return loss(out, batch)[0]

    def step(state, key):
        grads = jax.grad(objective)(state[0], key)
        updates, moments = adam.update(grads, state[1])
        return optax.apply_updates(state[0], updates), moments

    step = jax.jit(step, donate_argnums=0)
    apply = jax.jit(lambda lr: module.apply(variables, {"lr": lr})["sr"])
    state = jax.tree.map(jnp.copy, (params, adam.init(params)))

    def train():
        nonlocal state
        state = jax.block_until_ready(step(state, jax.random.key(1)))

    return {"train": train, "inference": lambda: jax.block_until_ready(apply(batch["lr"]))}


def theirs(name: str, lr: np.ndarray, hr: np.ndarray) -> dict:
    import torch

    if name == "esrt":
        net = import_module("esrt").ESRT(SCALE, channels=BANDS)
    else:
        net = import_module("srformer").SRFormer(img_size=lr.shape[1], in_chans=BANDS)
    lr, hr = (torch.from_numpy(np.moveaxis(x, -1, 1).copy()) for x in (lr, hr))
    adam = torch.optim.Adam(net.parameters(), lr=1e-4)

    def train():
        net.train()
        adam.zero_grad()
        (net(lr) - hr).abs().mean().backward()
        adam.step()

    def inference():
        net.eval()
        with torch.no_grad():
            net(lr)

    return {"train": train, "inference": inference}


def seconds(call) -> float:
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("originals", type=Path)
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--size", type=int, default=32)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--networks", nargs="+", default=["esrt", "srformer"])
    options = parser.parse_args()
    sys.path.insert(0, str(options.originals / "A-SNLSR" / "src" / "a_snlsr" / "models"))
    rng, side = np.random.default_rng(0), options.size
    lr = rng.random((options.batch, side, side, BANDS), np.float32)
    hr = rng.random((options.batch, side * SCALE, side * SCALE, BANDS), np.float32)
    print("network    what       original ms     ours ms   ratio (of minima)")
    for name in options.networks:
        sides = theirs(name, lr, hr), ours(name, lr, hr)
        for what in ("train", "inference"):
            for calls in sides:
                calls[what]()  # compiles, warms up
            times = np.array(
                [[seconds(calls[what]) for calls in sides] for _ in range(options.rounds)]
            )
            (a, b), (fast_a, fast_b) = np.median(times, 0) * 1e3, times.min(0)
            ratios = f"{a / b:7.2f} ({fast_a / fast_b:.2f})"
            print(f"{name:10} {what:10} {a:11.1f} {b:11.1f} {ratios}", flush=True)


if __name__ == "__main__":
    main()
