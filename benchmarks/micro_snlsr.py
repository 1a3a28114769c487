"""SNLSR's attention between channels, as a series and as a matrix; and the whole network.

    python -m benchmarks.micro_snlsr [--small] [--pixels 16384] [--features 64] [--batch 4]
        [--rounds 5] [--full] [--original DIRECTORY]

With `--original` the network is compared with the published A-SNLSR code, a training step being
loss, gradients and Adam, all parameters trainable; `--full` adds the network with matrices.
"""

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks import timing
from benchmarks.networks import case_of, inference, training
from benchmarks.originals import load
from hsisr_jax.ops.series import full_attention, series_attention

ATTENTION = {"matrix": full_attention, "series": series_attention}


def attention(pixels: int, features: int, rounds: int) -> dict:
    """Forward, and forward with the gradients of all three inputs."""
    rng = np.random.default_rng(0)
    q, k, v = (jnp.asarray(x, jnp.float32) for x in rng.standard_normal((3, features, pixels)))
    q, k = (x / jnp.linalg.norm(x, axis=0, keepdims=True) for x in (q, k))

    def forward(function):
        compiled = jax.jit(function)
        return lambda: jax.block_until_ready(compiled(q, k, v))

    def both(function):
        return forward(jax.value_and_grad(lambda *x: jnp.square(function(*x)).sum(), (0, 1, 2)))

    found = {}
    for case, make in (("forward", forward), ("gradient", both)):
        forms = {name: make(function) for name, function in ATTENTION.items()}
        found[case] = timing.compare(f"{case}, {pixels} pixels", forms, rounds)
    return found


def main() -> None:
    parser = timing.parser(__doc__)
    parser.add_argument("--small", action="store_true", help="tiny sizes: seconds")
    for option, value in (("pixels", 16384), ("features", 64), ("batch", 4)):
        parser.add_argument(f"--{option}", type=int, default=value)
    parser.add_argument("--full", action="store_true", help="also time the network with matrices")
    parser.add_argument("--threads", type=int, default=0, help="of PyTorch; 0: its default")
    parser.add_argument("--original", help="folder with the published repositories")
    args = parser.parse_args()
    if args.small:
        args.pixels, args.features, args.batch = 256, 16, 2
    timing.heading("SNLSR", args)
    results = attention(args.pixels, args.features, args.rounds)

    def case(**options):
        sizes = {} if args.small else {"features": args.features}
        return case_of("snlsr", small=args.small, batch=args.batch, **sizes, **options)

    published = load(case(), args.original, args.threads) if args.original else {}
    for what, make in (("train", training), ("inference", inference)):
        forms = {"PyTorch": published[what]} if published else {}
        if args.full:
            forms["full"] = make(case(attention="full")).run
        forms["series"] = make(case()).run
        results[what] = timing.compare(what, forms, args.rounds)
    timing.save(args, results)


if __name__ == "__main__":
    main()
