"""The platform that a program is traced for: some operations have another form on CPUs.

It is the default backend's, unless a program is made for a machine that is not here:

    with tracing_for("tpu"):
        lowered = jax.jit(function).lower(...)

Cached traces are not made again for another platform: jit a fresh function.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

import jax

_CHOSEN: ContextVar[str] = ContextVar("platform", default="")


def platform() -> str:
    """`cpu`, `gpu` or `tpu`."""
    return _CHOSEN.get() or jax.default_backend()


def compiler_options() -> dict[str, str]:
    """Options of `jax.jit` for the programs that take most of the time.

    On CPUs XLA gives sums, products and convolutions to YNNPACK. Sums gain by it; products are up
    to 1.2 and convolutions of few channels up to 2 times as fast without (measured on Intel).
    """
    if platform() == "cpu" and (0, 10) <= jax.__version_info__[:2] <= (0, 12):
        return {"xla_cpu_experimental_ynn_fusion_type": "LIBRARY_FUSION_TYPE_REDUCE"}
    return {}


@contextmanager
def tracing_for(name: str) -> Iterator[None]:
    """Inside, programs take their forms for this platform."""
    token = _CHOSEN.set(name)
    try:
        yield
    finally:
        _CHOSEN.reset(token)
