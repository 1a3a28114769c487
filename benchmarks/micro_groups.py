"""SSPSR's spectral groups: one batched call, a compiled loop, and the published PyTorch code.

    python benchmarks/micro_groups.py [--bands 128] [--features 256] [--blocks 3] [--batch 2]
        [--size 16] [--rounds 5] [--original DIRECTORY]

prints milliseconds of a training step (loss, gradients) and of inference, and ratios measured in
one interleaved run: the median over rounds of the original's time divided by ours, so that above 1
we are faster. On a machine that does other work PyTorch loses more than its share: its threads wait
for each other in a busy loop. Give it one (`--threads 1`) there, or believe only batched and loop.
"""

import argparse
import statistics
import sys
import time
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))

from hsisr_jax import models  # noqa: E402


def ours(module, batch):
    shapes = jax.eval_shape(lambda key: module.init(key, batch), jax.random.key(0))
    rng = np.random.default_rng(0)
    params = jax.tree.map(
        lambda s: jnp.asarray(0.02 * rng.standard_normal(s.shape), s.dtype), shapes
    )
    infer = jax.jit(lambda p: module.apply(p, batch)["sr"])
    train = jax.jit(
        jax.value_and_grad(lambda p: jnp.abs(module.apply(p, batch)["sr"] - 0.5).mean())
    )
    return {
        "train": lambda: jax.block_until_ready(train(params)),
        "inference": lambda: jax.block_until_ready(infer(params)),
    }


def original(folder, args, batch):
    import torch

    torch.set_num_threads(args.threads)
    torch.Tensor.cuda = lambda self: self
    sys.path.insert(0, str(Path(folder)))
    from SSPSR import SSPSR as Original

    net = Original(
        args.group, args.overlap, args.bands, args.blocks, args.features, args.scale, 0.1
    )
    lr, lms = (
        torch.from_numpy(np.moveaxis(np.asarray(batch[k]), -1, 1).copy()) for k in ("lr", "lms")
    )

    def train():
        net.zero_grad()
        (net(lr, lms) - 0.5).abs().mean().backward()

    def infer():
        with torch.no_grad():
            net(lr, lms)

    return {"train": train, "inference": infer}


def measure(runners: dict, rounds: int) -> dict:
    """Seconds by runner and kind, taken in turn."""
    times = {(name, kind): [] for name, kinds in runners.items() for kind in kinds}
    for kinds in runners.values():
        for run in kinds.values():
            run()
    for _ in range(rounds):
        for name, kinds in runners.items():
            for kind, run in kinds.items():
                start = time.perf_counter()
                run()
                times[name, kind].append(time.perf_counter() - start)
    return times


def main() -> None:
    parser = argparse.ArgumentParser()
    for name, value in {
        "bands": 128,
        "features": 256,
        "blocks": 3,
        "batch": 2,
        "size": 16,
        "scale": 4,
        "group": 8,
        "overlap": 2,
        "rounds": 5,
        "threads": 2,
    }.items():
        parser.add_argument(f"--{name}", type=int, default=value)
    parser.add_argument("--original", help="folder of the published SSPSR.py")
    args = parser.parse_args()
    rng = np.random.default_rng(0)
    high = args.size * args.scale
    batch = {
        "lr": jnp.asarray(rng.random((args.batch, args.size, args.size, args.bands), np.float32)),
        "lms": jnp.asarray(rng.random((args.batch, high, high, args.bands), np.float32)),
    }
    options = dict(
        bands=args.bands,
        features=args.features,
        blocks=args.blocks,
        scale=args.scale,
        group_size=args.group,
        group_overlap=args.overlap,
    )
    runners = {}
    if args.original:
        runners["PyTorch"] = original(args.original, args, batch)
    for grouping in ("batched", "loop"):
        runners[grouping] = ours(models.create("sspsr", **options, grouping=grouping), batch)
    times = measure(runners, args.rounds)
    base = next(iter(runners))
    print(f"{args}\n{'':10}" + "".join(f"{kind:>30}" for kind in ("train", "inference")))
    for name in runners:
        cells = []
        for kind in ("train", "inference"):
            ratio = statistics.median(a / b for a, b in zip(times[base, kind], times[name, kind]))
            fastest = min(times[base, kind]) / min(times[name, kind])
            cells.append(
                f"{1e3 * min(times[name, kind]):10.0f} ms {ratio:5.2f} (min {fastest:4.2f})"
            )
        print(f"{name:10}" + "".join(f"{cell:>30}" for cell in cells))


if __name__ == "__main__":
    main()
