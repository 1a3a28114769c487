"""Between the units of a scene and the numbers that a network sees; saved with the checkpoint.

`value = stored * gain + bias` brings a scene's stored numbers to the network's linear range.
With a `floor`, degradation happens in that linear range and the network sees
`(log(max(value, floor)) - low) / (high - low)`, as A-SNLSR's does.
"""

from dataclasses import asdict, dataclass

import jax.numpy as jnp
import numpy as np


@dataclass(frozen=True)
class Normaliser:
    """One scene's way into the network and back out."""

    gain: float = 1.0
    bias: float = 0.0
    floor: float | None = None
    low: float = 0.0
    high: float = 1.0

    def linear(self, stored, xp=jnp):
        """Stored numbers to linear values, float32."""
        return stored.astype(xp.float32) * xp.float32(self.gain) + xp.float32(self.bias)

    def compress(self, linear, xp=jnp):
        """Linear values to what the network sees (the identity without a floor)."""
        return compress(linear, self.floor, self.low, self.high, xp)

    def apply(self, stored, xp=jnp):
        return self.compress(self.linear(stored, xp), xp)

    def invert(self, seen, xp=jnp):
        """What the network gives, in stored units (as float32)."""
        linear = seen
        if self.floor is not None:
            linear = xp.exp(seen * xp.float32(self.high - self.low) + xp.float32(self.low))
        return (linear - xp.float32(self.bias)) / xp.float32(self.gain)

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
