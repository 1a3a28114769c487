"""Parameters and floating-point operations of every network at its default size.

    python -m tools.flops [--size 32]

prints the two columns of the table in docs/models.md: operations of one forward pass in matrix
products and convolutions (a multiplication and an addition are two), divided by the pixels of the
output. Counted on the traced program, loops times their length; nothing is computed.
"""

import argparse

import jax

from hsisr_jax import models
from hsisr_jax.inference.cost import count


def describe(name: str, size: int) -> tuple[int, float, int]:
    """Parameters, operations and output pixels of a network at its defaults."""
    module = models.create(name)
    scale, bands = getattr(module, "scale", 1), getattr(module, "bands", 31)
    shapes = {
        "lr": (1, size, size, getattr(module, "input_bands", None) or bands),
        "lms": (1, size * scale, size * scale, bands),
        "msi": (1, size, size, getattr(module, "msi_bands", 1)),
    }
    batch = {key: jax.ShapeDtypeStruct(shape, "float32") for key, shape in shapes.items()}
    batch["domain"] = jax.ShapeDtypeStruct((1,), "int32")
    init = lambda batch: module.init(jax.random.key(0), batch, train=False)  # noqa: E731
    variables = jax.eval_shape(init, batch)
    parameters = sum(leaf.size for leaf in jax.tree.leaves(variables.get("params", {})))
    program = jax.make_jaxpr(lambda v, batch: module.apply(v, batch, train=False)["sr"])
    return parameters, count(program(variables, batch).jaxpr), (size * scale) ** 2


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--size", type=int, default=32, help="low-resolution pixels a side")
    size = parser.parse_args().size
    print(f"{'network':10}{'parameters':>14}{'GFLOP':>10}{'kFLOP per output pixel':>26}")
    for name in models.names():
        parameters, flops, pixels = describe(name, size)
        print(f"{name:10}{parameters:14,}{flops / 1e9:10.2f}{flops / pixels / 1e3:26,.0f}")


if __name__ == "__main__":
    main()
