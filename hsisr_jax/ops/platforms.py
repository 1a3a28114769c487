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


@contextmanager
def tracing_for(name: str) -> Iterator[None]:
    """Inside, programs take their forms for this platform."""
    token = _CHOSEN.set(name)
    try:
        yield
    finally:
        _CHOSEN.reset(token)
