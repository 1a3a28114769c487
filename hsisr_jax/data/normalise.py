"""Normalisation: maps between a scene's units and the network's range of values.

`value = stored * gain + bias` brings a scene's stored numbers to the network's linear range.
With a `floor`, degradation happens in that linear range and the network sees
`(log(max(value, floor)) - low) / (high - low)`, as A-SNLSR's does.
"""

from dataclasses import asdict, dataclass, replace

import jax.numpy as jnp
import numpy as np


@dataclass(frozen=True)
class Normaliser:
    """The normalisation of one scene and its inverse."""

    gain: float = 1.0
    bias: float = 0.0
    floor: float | None = None
    low: float = 0.0
    high: float = 1.0

    def linear(self, stored, xp=jnp):
        """Stored numbers to linear values, float32."""
        return stored.astype(xp.float32) * xp.float32(self.gain) + xp.float32(self.bias)

    def compress(self, linear, xp=jnp):
        """Linear values to the network's range (the identity without a floor)."""
        return compress(linear, self.floor, self.low, self.high, xp)

    def apply(self, stored, xp=jnp):
        return self.compress(self.linear(stored, xp), xp)

    def invert(self, seen, xp=jnp):
        """The network's output in stored units; float64 with numpy, which keeps offsets precise."""
        linear = seen
        if self.floor is not None:
            linear = xp.exp(seen * xp.float32(self.high - self.low) + xp.float32(self.low))
        if xp is np:
            return (np.asarray(linear, np.float64) - self.bias) / self.gain
        return (linear - xp.float32(self.bias)) / xp.float32(self.gain)

    def shifted(self, centre: float) -> "Normaliser":
        """The normaliser of stored values from which `centre` was subtracted."""
        return replace(self, bias=self.bias + self.gain * centre)

    def to_json(self) -> dict:
        return asdict(self)


def compress(linear, floor: float | None, low, high, xp=jnp):
    """The logarithmic range of A-SNLSR; `low` and `high` may be arrays that broadcast."""
    if floor is None:
        return linear
    return (xp.log(xp.maximum(linear, xp.float32(floor))) - low) / (high - low)


def from_physical(scale: float, offset: float, low: float, high: float) -> Normaliser:
    """Maps the physical range `[low, high]` of `stored * scale + offset` to `[0, 1]`."""
    span = np.float64(high) - np.float64(low)
    return Normaliser(gain=float(scale / span), bias=float((offset - low) / span))
