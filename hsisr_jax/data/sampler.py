"""Training batches as a pure function of `(seed, step)`.

An epoch visits every patch under every flip and rotation exactly once, in an order that a keyed
permutation of the index range gives: nothing is stored, so a run resumes at any step without
iterator state, and one step costs the work of its own batch only. The permutation is integer
arithmetic, the same to the last bit on the device and on the host.
"""

import math

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct

from hsisr_jax.data.pixel_file import PixelFile
from hsisr_jax.errors import UserError

SYMMETRIES = 8  # flips and rotations of the square
ROUNDS = 6
GOLDEN_RATIO = 0x9E3779B9
SCALING = ("gain", "bias", "low", "high")  # of a `normalise.Normaliser`, for each patch


@struct.dataclass
class Patches:
    """Scenes as one sequence of pixels, and the positions of patches in it.

    Scenes may differ in size; each patch has the normaliser of its scene. Patches are ordered by
    domain; `counts` is their number in each.
    """

    pixels: dict[str, jax.Array]  # name -> [p, c], stored dtype; on disk: `PixelFile`
    start: jax.Array  # [n] index of a patch's first pixel
    width: jax.Array  # [n] pixels in a row of its scene
    domain: jax.Array  # [n]
    gain: jax.Array  # [n, 1], as the three below: see `normalise.Normaliser`
    bias: jax.Array
    low: jax.Array
    high: jax.Array
    counts: tuple[int, ...] = struct.field(pytree_node=False)
    size: int = struct.field(pytree_node=False)  # pixels on a patch's side

    def per_epoch(self, augment: bool) -> int:
        """Examples in an epoch."""
        return sum(self.counts) * (SYMMETRIES if augment else 1)


def orders(seed: int, domains: int) -> np.ndarray:
    """A number for each domain that decides the order of its patches: uint32 `[domains]`."""
    return np.array([hash_words(seed, domain) for domain in range(domains)], np.uint32)


def choose(counts: tuple[int, ...], seed, step, batch_size: int, *, augment: bool, xp=jnp):
    """Indices of patches and symmetries of the batch at `step`: two int32 arrays `[b]`.

    `seed` is a whole number, or its `orders`, which may be traced: one program for all seeds.

    Every domain gets an equal part of the batch and its own epochs; where it does not divide, the
    first ones get one sample more.
    """
    if batch_size < len(counts):
        raise UserError(
            f"a batch of {batch_size} has no sample of some of {len(counts)} domains: set "
            f"config.batch_size to {len(counts)} or more"
        )
    symmetries = SYMMETRIES if augment else 1
    keys = orders(seed, len(counts)) if isinstance(seed, int | np.integer) else seed
    patches, turns, first = [], [], 0
    for domain, count in enumerate(counts):
        items = count * symmetries
        share = batch_size // len(counts) + (domain < batch_size % len(counts))
        step = xp.asarray(step, xp.int32)
        whole, rest = step // items, step % items
        epochs, first_item = _product_divided(rest, share, items, xp)
        within = first_item + xp.arange(share, dtype=xp.int32)
        epoch = whole * share + epochs + within // items
        item = permute(within % items, items, epoch, keys[domain], xp=xp)
        patches.append(first + item // symmetries)
        turns.append(item % symmetries)
        first += count
    return xp.concatenate(patches), xp.concatenate(turns)


def _product_divided(x, factor: int, size: int, xp):
    """Quotient and remainder of `x * factor / size` for `x < size`; the product itself may exceed
    32 bits, so it is made bit by bit."""
    quotient, rest = xp.zeros_like(x), xp.zeros_like(x)
    for bit in f"{factor:b}":
        quotient, rest = 2 * quotient, rest.astype(xp.uint32) * xp.uint32(2)
        for more in (0, x.astype(xp.uint32) if bit == "1" else 0):
            rest = rest + xp.asarray(more, xp.uint32)
            over = rest >= xp.uint32(size)
            rest = rest - over.astype(xp.uint32) * xp.uint32(size)
            quotient = quotient + over.astype(xp.int32)
        rest = rest.astype(xp.int32)
    return quotient, rest


def hash_words(*words: int) -> int:
    """A 32-bit key from a few integers."""
    state = 0x811C9DC5
    for word in words:
        for byte in int(word).to_bytes(8, "little", signed=True):
            state = ((state ^ byte) * 0x01000193) & 0xFFFFFFFF
    return state


def permute(index, size: int, epoch, key, *, xp=jnp):
    """`index` under a permutation of `range(size)` that `key` and `epoch` choose.

    A Feistel network permutes the next power of two; what lands outside is walked on until it is
    inside, which keeps it a permutation of the range.
    """
    bits = max(2, math.ceil(math.log2(max(size, 2))))
    mixed = _mix(epoch.astype(xp.uint32) * xp.uint32(GOLDEN_RATIO) + xp.uint32(key), xp)
    start = _feistel(index.astype(xp.uint32), bits, mixed, xp)
    limit = xp.uint32(size)

    def walk(x):
        return xp.where(x >= limit, _feistel(x, bits, mixed, xp), x)

    if xp is np:
        while (start >= limit).any():
            start = walk(start)
    else:
        start = jax.lax.while_loop(lambda x: (x >= limit).any(), walk, start)
    return start.astype(xp.int32)


def _feistel(x, bits: int, key, xp):
    low = bits // 2
    left, right = x >> xp.uint32(low), x & xp.uint32((1 << low) - 1)
    for i in range(ROUNDS):
        salt = xp.uint32((GOLDEN_RATIO * (i + 1)) & 0xFFFFFFFF)
        if i % 2:
            left = left ^ (_mix(right + key + salt, xp) & xp.uint32((1 << (bits - low)) - 1))
        else:
            right = right ^ (_mix(left + key + salt, xp) & xp.uint32((1 << low) - 1))
    return (left << xp.uint32(low)) | right


def _mix(x, xp):
    """A 32-bit integer hash with full avalanche."""
    x = (x ^ (x >> xp.uint32(16))) * xp.uint32(0x7FEB352D)
    x = (x ^ (x >> xp.uint32(15))) * xp.uint32(0x846CA68B)
    return x ^ (x >> xp.uint32(16))


def gather(patches: Patches, chosen: jax.Array) -> dict[str, jax.Array]:
    """The stored pixels of the chosen patches, `b p p c` each, on the device."""
    steps = jnp.arange(patches.size, dtype=jnp.int32)[None]
    rows = patches.start[chosen][:, None] + patches.width[chosen][:, None] * steps  # b p

    def cut(pixels):
        def row(first):
            return jax.lax.dynamic_slice_in_dim(pixels, first, patches.size)

        return jax.vmap(jax.vmap(row))(rows)

    return {name: cut(pixels) for name, pixels in patches.pixels.items()}


def gather_on_host(patches: Patches, chosen: np.ndarray) -> dict[str, np.ndarray]:
    """The same pixels, by numpy or from disk: for scenes that the device cannot hold."""
    steps = np.arange(patches.size)
    rows = patches.start[chosen][:, None] + patches.width[chosen][:, None] * steps
    where = rows[:, :, None] + steps

    def cut(pixels):
        if isinstance(pixels, PixelFile):
            return pixels.runs(rows, patches.size)
        return np.asarray(pixels[where])

    return {name: cut(pixels) for name, pixels in patches.pixels.items()}


def turn(x: jax.Array, symmetry: jax.Array) -> jax.Array:
    """Each `p p c` of a batch under its own flip or rotation, 0 to 7."""
    bit = symmetry[:, None, None, None]
    x = jnp.where(bit & 1, x[:, ::-1], x)
    x = jnp.where(bit & 2, x[:, :, ::-1], x)
    return jnp.where(bit & 4, x.swapaxes(1, 2), x)
