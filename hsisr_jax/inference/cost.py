"""Floating-point operations of a network, counted on the traced program; nothing is computed.

3x3 convolutions count as their direct form, also where the program takes Winograd's: the number
says how large a network is, on every backend alike.
"""

import math
from collections.abc import Iterator
from typing import Any

import jax

from hsisr_jax.models.spec import NetworkSpec
from hsisr_jax.ops.cpu import winograd

# the direct form's operations, from the shapes of the two arguments and the size of the result
WINOGRAD = {
    winograd.convolution.__name__: lambda x, kernel, size: 2 * size * 9 * x[-1],
    winograd.weight_gradient.__name__: lambda x, dy, size: 2 * size * math.prod(dy[:3]),
}


def count(jaxpr: Any) -> float:
    """Operations in matrix products and convolutions, loops and calls included; a multiplication
    and an addition are two."""
    total = 0.0
    for equation in jaxpr.eqns:
        name, params = equation.primitive.name, equation.params
        size = math.prod(equation.outvars[0].aval.shape) if equation.outvars else 0
        if name == "dot_general":
            (contracted, _), _ = params["dimension_numbers"]
            shape = equation.invars[0].aval.shape
            total += 2 * size * math.prod(shape[axis] for axis in contracted)
        elif name == "conv_general_dilated":
            kernel = equation.invars[1].aval.shape
            features = kernel[params["dimension_numbers"].rhs_spec[0]]
            total += 2 * size * math.prod(kernel) / features
        elif params.get("name") in WINOGRAD and len(equation.invars) > 1:
            # Differentiation may have moved the kernel's transform out, and passes its parts.
            shapes = [v.aval.shape for v in equation.invars[:2]]
            total += WINOGRAD[params["name"]](*shapes, size)
        else:
            times = params.get("length", 1) if name == "scan" else 1
            total += times * sum(count(inner) for inner in programs(params))
    return total


def programs(params: dict) -> Iterator[Any]:
    """The programs that an operation calls; of the branches of a condition, the first."""
    for key, value in params.items():
        value = value[0] if key == "branches" else value
        value = getattr(value, "jaxpr", value)
        if hasattr(value, "eqns"):
            yield value


def per_output_pixel(spec: NetworkSpec, side: int = 32) -> float:
    """Operations for each pixel of the output, all bands, of an input of `side` pixels."""
    module, batch = spec.module(), spec.example(side, side)
    init = lambda batch: module.init(jax.random.key(0), batch, train=False)  # noqa: E731
    variables = jax.eval_shape(init, batch)
    program = jax.make_jaxpr(lambda v, batch: module.apply(v, batch, train=False)["sr"])
    return count(program(variables, batch).jaxpr) / (side * spec.scale) ** 2
