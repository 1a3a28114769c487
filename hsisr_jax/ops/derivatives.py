"""Gradients written by hand, for functions that still have every other derivative.

`jax.custom_vjp` refuses forward mode: no `jax.jvp`, no Hessian-vector product by forward over
reverse. Here a function's tangent is JAX's own, and only the transpose of that linear map, which
reverse mode asks for, is written by hand.
"""

from collections.abc import Callable
from functools import partial, wraps

import jax
import jax.numpy as jnp
from jax.extend.core import Primitive
from jax.interpreters import ad, batching, mlir


def with_gradient(forward: Callable, backward: Callable, point: Callable) -> Callable:
    """A decorator: reverse mode through the function is `backward`, all else is automatic.

    As for `jax.custom_vjp`, `forward(*args)` gives the result and its residuals, and
    `backward(residuals, gradient)` the gradients of all arguments. `point(residuals)` gives
    arguments at which the function has the same tangents as at `args`.
    """

    def decorate(function: Callable) -> Callable:
        def tangent(residuals, tangents):
            return jax.jvp(function, point(residuals), tangents)[1]

        @jax.custom_jvp
        def with_rule(*args):
            return function(*args)

        @with_rule.defjvp
        def rule(primals, tangents):
            out, residuals = forward(*primals)
            return out, _linear(tangent, backward, residuals, tangents, out)

        return wraps(function)(lambda *args: with_rule(*args))

    return decorate


def _linear(tangent: Callable, transpose: Callable, residuals, tangents, out):
    """`tangent(residuals, tangents)`, shaped like `out`, with its `transpose` written by hand.

    Nothing is traced here: most often only the transpose is ever asked for.
    """
    fixed, fixed_tree = jax.tree.flatten(residuals)
    moved, moved_tree = jax.tree.flatten(tangents)
    leaves, out_tree = jax.tree.flatten(out)

    def flat_tangent(fixed, moved):
        args = jax.tree.unflatten(fixed_tree, fixed), jax.tree.unflatten(moved_tree, moved)
        return jax.tree.leaves(tangent(*args))

    def flat_transpose(fixed, gradients):
        args = jax.tree.unflatten(fixed_tree, fixed), jax.tree.unflatten(out_tree, gradients)
        return jax.tree.leaves(transpose(*args))

    found = _linear_p.bind(
        *fixed,
        *moved,
        tangent=flat_tangent,
        transpose=flat_transpose,
        count=len(fixed),
        shapes=tuple((x.shape, x.dtype) for x in leaves),
    )
    return jax.tree.unflatten(out_tree, found)


def _apply(*args, tangent: Callable, count: int, **_) -> list:
    return tangent(args[:count], args[count:])


def _abstract(*_, shapes: tuple, **__) -> list:
    return [jax.core.ShapedArray(*each) for each in shapes]


def _jvp(primals, tangents, **options):
    tangents = tuple(ad.instantiate_zeros(t) for t in tangents)
    return jax.jvp(partial(_apply, **options), tuple(primals), tangents)


def _transposed(gradients, *args, transpose: Callable, count: int, **_) -> list:
    found = transpose(args[:count], [ad.instantiate_zeros(g) for g in gradients])
    wanted = [ad.is_undefined_primal(a) for a in args[count:]]
    return [None] * count + [g if asked else None for g, asked in zip(found, wanted)]


def _batched(args, axes, *, tangent: Callable, transpose: Callable, count: int, shapes: tuple):
    size = next(a.shape[i] for a, i in zip(args, axes) if i is not None)
    moved = [
        jnp.broadcast_to(a, (size, *a.shape)) if i is None else jnp.moveaxis(a, i, 0)
        for a, i in zip(args[count:], axes[count:])
    ]

    def over_batch(function: Callable) -> Callable:
        mapped = jax.vmap(function, in_axes=(tuple(axes[:count]), 0))
        return lambda fixed, moved: mapped(tuple(fixed), tuple(moved))

    out = _linear_p.bind(
        *args[:count],
        *moved,
        tangent=over_batch(tangent),
        transpose=over_batch(transpose),
        count=count,
        shapes=tuple(((size, *shape), dtype) for shape, dtype in shapes),
    )
    return out, [0] * len(out)


_linear_p = Primitive("linear_with_gradient")
_linear_p.multiple_results = True
_linear_p.def_impl(_apply)
_linear_p.def_abstract_eval(_abstract)
ad.primitive_jvps[_linear_p] = _jvp
ad.primitive_transposes[_linear_p] = _transposed
batching.primitive_batchers[_linear_p] = _batched
mlir.register_lowering(_linear_p, mlir.lower_fun(_apply, multiple_results=True))
