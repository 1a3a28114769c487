"""SNLSR: the attention between channels as a series and as a matrix, and the whole network.

    python benchmarks/micro_snlsr.py [--pixels 16384] [--features 64] [--batch 4] [--size 32]
        [--rounds 5] [--full] [--original DIRECTORY]

prints milliseconds (the smallest of the rounds) and ratios measured in one interleaved run: the
median over rounds of the first line's time divided by this line's, above 1 is faster. With the
folder of the published A-SNLSR code the network is compared with it: a training step is loss,
gradients and Adam, all parameters trainable.
"""

import argparse
import statistics
import sys
import time
from pathlib import Path
from unittest import mock

import jax
import jax.numpy as jnp
import numpy as np
import optax

sys.path.insert(0, str(Path(__file__).parents[1]))

from hsisr_jax import losses, models  # noqa: E402
from hsisr_jax.ops.series import full_attention, series_attention  # noqa: E402


def attention(function, pixels: int, features: int) -> dict:
    rng = np.random.default_rng(0)
    q, k, v = (jnp.asarray(x, jnp.float32) for x in rng.standard_normal((3, features, pixels)))
    q, k = (x / jnp.linalg.norm(x, axis=0, keepdims=True) for x in (q, k))
    forward = jax.jit(function)
    both = jax.jit(jax.value_and_grad(lambda *x: jnp.square(function(*x)).sum(), (0, 1, 2)))
    return {
        "forward": lambda: jax.block_until_ready(forward(q, k, v)),
        "forward and backward": lambda: jax.block_until_ready(both(q, k, v)),
    }


def network(options: dict, batch: dict) -> dict:
    module = models.create("snlsr", **options)
    loss, adam = losses.create("snlsr"), optax.adam(1e-4)
    variables = jax.jit(lambda: module.init(jax.random.key(0), batch))()
    infer = jax.jit(lambda p, batch: module.apply(p, batch)["sr"])

    @jax.jit
    def step(params, state, batch):
        value = lambda p: loss(module.apply(p, batch), batch)[0]  # noqa: E731
        updates, state = adam.update(jax.grad(value)(params), state)
        return optax.apply_updates(params, updates), state

    held = [(variables, adam.init(variables))]

    def train():
        held[0] = jax.block_until_ready(step(*held[0], batch))

    return {"train": train, "inference": lambda: jax.block_until_ready(infer(variables, batch))}


def original(folder: str, batch: dict, args) -> dict:
    import torch

    sys.path.insert(0, str(Path(folder) / "src"))
    for package in ("pytorch_revgrad", "torchmetrics", "torchmetrics.image"):
        sys.modules.setdefault(package, mock.MagicMock())  # imported there, not used here
    from a_snlsr.models.sisr import SNLSR

    net = SNLSR(args.bands, args.size, args.size, args.features, pretrain=True)
    net.val_dataset_statistics = {"min": 0, "max": 1}
    lr, hr = (torch.from_numpy(np.moveaxis(np.asarray(batch[k]), -1, 1).copy()) for k in batch)
    optimizer = torch.optim.Adam(net.parameters(), 1e-4)

    def train():
        net.train()
        optimizer.zero_grad()
        output, reconstruction = net(lr)
        net.loss(output, hr, lr, reconstruction)[0].backward()
        optimizer.step()

    def infer():
        net.eval()
        with torch.no_grad():
            net(lr)

    return {"train": train, "inference": infer}


def table(title: str, contestants: dict[str, dict], rounds: int) -> None:
    """Every line once a round, so that a busy machine slows all of them."""
    print(title)
    for case in next(iter(contestants.values())):
        times: dict[str, list[float]] = {name: [] for name in contestants}
        for turn in range(rounds + 1):
            for name, functions in contestants.items():
                start = time.perf_counter()
                functions[case]()
                if turn:  # the first round compiles
                    times[name].append(time.perf_counter() - start)
        base = next(iter(times.values()))
        for name, values in times.items():
            ratio = statistics.median(a / b for a, b in zip(base, values))
            least = min(base) / min(values)
            print(
                f"  {case:22s} {name:18s} {1e3 * min(values):9.1f} ms"
                f"  x{ratio:6.2f} (of minima x{least:.2f})",
                flush=True,
            )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for option, value in (("pixels", 16384), ("features", 64), ("batch", 4), ("size", 32)):
        parser.add_argument(f"--{option}", type=int, default=value)
    parser.add_argument("--bands", type=int, default=30)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--full", action="store_true", help="also time the network with matrices")
    parser.add_argument("--original", help="folder of the published A-SNLSR code")
    args = parser.parse_args()

    forms = {"matrix": full_attention, "series": series_attention}
    table(
        f"attention between {args.features} channels, {args.pixels} pixels",
        {name: attention(f, args.pixels, args.features) for name, f in forms.items()},
        args.rounds,
    )
    rng = np.random.default_rng(0)
    cube = lambda n: jnp.asarray(  # noqa: E731
        rng.uniform(0.1, 1, (args.batch, n, n, args.bands)), jnp.float32
    )
    batch = {"lr": cube(args.size), "hr": cube(4 * args.size)}
    options = {"bands": args.bands, "features": args.features}
    lines = {"published, PyTorch": original(args.original, batch, args)} if args.original else {}
    for form in ("full", "series") if args.full else ("series",):
        lines[form] = network({**options, "attention": form}, batch)
    table(
        f"SNLSR x4, {args.bands} bands, {args.size} pixels, batch {args.batch}", lines, args.rounds
    )


if __name__ == "__main__":
    main()
