"""Times of one 3x3 layer and of its kernel's gradient in the forms that the library chooses from.

    python -m benchmarks.micro_layers [--small] [--rounds 5]

Direct is XLA's convolution. Gradients are taken a few images at a time, as in
`ops/cpu/convolution.py`. With fewer than 64 channels on one side our layers stay direct, and their
kernel's gradient is one product with all shifts of that side.
"""

from functools import partial

import jax

from benchmarks import timing
from hsisr_jax.ops import xla
from hsisr_jax.ops.cpu import convolution, winograd
from hsisr_jax.ops.platforms import compiler_options

LAYERS = (  # batch, side, channels in, channels out
    (4, 32, 256, 256),
    (4, 32, 256, 1024),
    (4, 32, 128, 128),
    (8, 32, 64, 64),
    (4, 64, 256, 31),
    (4, 64, 31, 256),
    (4, 32, 64, 30),
    (4, 32, 32, 32),
)
PADDING = ((1, 1), (1, 1))


direct = partial(xla.convolve, stride=1, padding=PADDING)


def direct_gradient(x: jax.Array, dy: jax.Array) -> jax.Array:
    """The gradient of the kernel: batch and channels change places."""
    turned = x.transpose(3, 1, 2, 0), dy.transpose(1, 2, 0, 3)
    return direct(*turned).transpose(1, 2, 0, 3)


def timed(function, *arrays):
    compiled = jax.jit(function, compiler_options=compiler_options())
    return lambda: jax.block_until_ready(compiled(*arrays))


def main() -> None:
    parser = timing.parser(__doc__)
    parser.add_argument("--small", action="store_true", help="one narrow layer: seconds")
    args = parser.parse_args()
    timing.heading("3x3 layers", args)
    results = {}
    for batch, side, i, o in [(2, 8, 64, 64)] if args.small else LAYERS:
        keys = jax.random.split(jax.random.key(0), 3)
        x, dy = (jax.random.normal(k, (batch, side, side, c)) for k, c in zip(keys, (i, o)))
        kernel = jax.random.normal(keys[2], (3, 3, i, o))
        forward = {
            "direct": timed(direct, x, kernel),
            "Winograd": timed(partial(winograd.convolution, padding=PADDING), x, kernel),
        }
        of_kernel = {
            "direct": direct_gradient,
            "Winograd": partial(winograd.weight_gradient, padding=PADDING),
            "shifts": partial(convolution.by_shifts, kernel=kernel.shape, padding=PADDING),
        }
        gradient = {
            form: timed(partial(convolution.in_chunks, function), x, dy, kernel)
            for form, function in of_kernel.items()
        }
        name = f"{i}->{o}, {batch} x {side}^2"
        results[name] = {
            "forward": timing.compare(name, forward, args.rounds),
            "gradient": timing.compare(f"{name} grad", gradient, args.rounds),
        }
    timing.save(args, results)


if __name__ == "__main__":
    main()
