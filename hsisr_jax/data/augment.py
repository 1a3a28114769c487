"""Augmentations that keep spectra physical: `(hr, key) -> hr` on linear values, `b H W c`.

What follows the key in their signatures are options of the config.
"""

from collections.abc import Callable
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np

from hsisr_jax.errors import UserError

Augmentation = Callable[[jax.Array, jax.Array], jax.Array]


def gain(hr: jax.Array, key: jax.Array, *, spread: float = 0.1) -> jax.Array:
    """Brightness: one factor per sample for all bands, so spectral angles are unchanged."""
    shape = (hr.shape[0], 1, 1, 1)
    return hr * jax.random.uniform(key, shape, hr.dtype, 1 - spread, 1 + spread)


def band_gain(hr: jax.Array, key: jax.Array, *, spread: float = 0.02) -> jax.Array:
    """Calibration: one factor per band and sample."""
    shape = (hr.shape[0], 1, 1, hr.shape[-1])
    return hr * (1 + spread * jax.random.normal(key, shape, hr.dtype))


def mix(hr: jax.Array, key: jax.Array, *, share: float = 0.5) -> jax.Array:
    """Linear mixing: a convex combination of each sample with another one of the batch."""
    weight, use = jax.random.split(key)
    shape = (hr.shape[0], 1, 1, 1)
    chosen = jax.random.bernoulli(use, share, shape)
    part = jnp.where(chosen, jax.random.uniform(weight, shape, hr.dtype, 0.0, 0.5), 0.0)
    return (1 - part) * hr + part * jnp.roll(hr, 1, axis=0)


def zoom(hr: jax.Array, key: jax.Array, *, most: float = 1.5, shift: float = 0.5) -> jax.Array:
    """Scale: each sample shrunk by a factor of 1 to `most` and shifted by a fraction of a pixel.

    Antialiased, so that it is what a coarser sensor measures; borders are mirrored. Degradation
    comes after it, so the network sees other scales and phases.
    """
    if most < 1:
        raise UserError(f"augmentation zoom: most is 1 or more, not {most}")
    size = np.array(hr.shape[1:3])
    pad = [int(n) for n in np.ceil((most - 1) * size / 2 + shift + 2)]
    wide = jnp.pad(hr, ((0, 0), *((p, p) for p in pad), (0, 0)), mode="symmetric")
    factor, move = jax.random.split(key)
    scale = 1 / jax.random.uniform(factor, (len(hr), 1), jnp.float32, 1.0, most)  # b 1
    offset = jax.random.uniform(move, (len(hr), 2), jnp.float32, -shift, shift)
    offset += (size / 2)[None] - scale * (size / 2 + np.array(pad))[None]  # b 2: about the centre

    def one(image: jax.Array, scale: jax.Array, offset: jax.Array) -> jax.Array:
        shape = (*hr.shape[1:3], image.shape[-1])
        both = jnp.broadcast_to(scale, (2,))
        return jax.image.scale_and_translate(image, shape, (0, 1), both, offset, "cubic")

    return jax.vmap(one)(wide, scale, offset).astype(hr.dtype)


def occlude(
    hr: jax.Array, key: jax.Array, *, share: float = 0.5, shapes: int = 4, least: float = 2.0
) -> jax.Array:
    """Edges: overlays each sample with ellipses from other samples of the batch.

    Dead leaves (Lee, Mumford and Huang, IJCV 41, 2001) with the scene's own texture and spectra: a
    small scene has few edges, to which a network overfits. Half-axes range from `least` pixels to
    the side of a patch; a pixel on an edge is a mixture by area, as in a sensor.
    """
    count, height, width, _ = hr.shape
    use, *keys = jax.random.split(key, 4)
    chosen = jax.random.bernoulli(use, share, (count, 1, 1, 1))
    side = jnp.array([height, width], hr.dtype)
    centre = side[None, None] * jax.random.uniform(keys[0], (shapes, count, 2))
    turn = jnp.pi * jax.random.uniform(keys[1], (shapes, count))
    longest = float(np.log(max(height, width) / least))
    axes = least * jnp.exp(longest * jax.random.uniform(keys[2], (shapes, count, 2)))
    y, x = jnp.arange(height) + 0.5, jnp.arange(width) + 0.5
    dy = y[None, None, :, None] - centre[..., 0, None, None]  # n b H 1
    dx = x[None, None, None] - centre[..., 1, None, None]  # n b 1 W
    cos, sin = jnp.cos(turn)[..., None, None], jnp.sin(turn)[..., None, None]
    a, b = axes[..., 0, None, None], axes[..., 1, None, None]
    u, v = (cos * dx + sin * dy) / a, (cos * dy - sin * dx) / b  # n b H W
    radius = jnp.sqrt(u * u + v * v)
    # pixels to the edge: the distance from 1 over the slope of `radius`
    slope = jnp.sqrt((u / a) ** 2 + (v / b) ** 2) / jnp.maximum(radius, 1e-6)
    inside = jnp.clip(0.5 + (1 - radius) / jnp.maximum(slope, 1e-6), 0, 1)
    out = hr
    for n in range(shapes):
        cover = jnp.where(chosen, inside[n, ..., None], 0)
        out = out + cover * (jnp.roll(hr, n + 1, axis=0) - out)
    return out


def blur_input(lr: jax.Array, key: jax.Array, *, share: float = 0.25) -> jax.Array:
    """Blurs a fraction of the low-resolution inputs, not the targets, as A-SNLSR does.

    Gaussian, 3 x 3 with a standard deviation of 0.8 pixels, mirrored at the borders: torchvision's.
    """
    weights = np.exp(-0.5 * (np.arange(-1, 2) / 0.8) ** 2)
    weights = weights / weights.sum()
    chosen = jax.random.bernoulli(key, share, (lr.shape[0], 1, 1, 1))
    soft = jnp.pad(lr, ((0, 0), (1, 1), (1, 1), (0, 0)), mode="reflect")
    soft = sum(w * soft[:, i : i + lr.shape[1]] for i, w in enumerate(weights))
    soft = sum(w * soft[:, :, i : i + lr.shape[2]] for i, w in enumerate(weights))
    return jnp.where(chosen, soft, lr).astype(lr.dtype)


ON_INPUTS = ("blur_input",)  # after the degradation, on what the network reads
AUGMENTATIONS: dict[str, Callable[..., jax.Array]] = {
    "gain": gain,
    "band_gain": band_gain,
    "blur_input": blur_input,
    "mix": mix,
    "occlude": occlude,
    "zoom": zoom,
}


def create(name: str, **options) -> Augmentation:
    """An augmentation by name."""
    if name not in AUGMENTATIONS:
        raise UserError(
            f"unknown augmentation {name!r} in config.data.augmentations: known are "
            f"{', '.join(AUGMENTATIONS)}"
        )
    made = partial(AUGMENTATIONS[name], **options)
    try:  # tracing it shows what is wrong with its options
        jax.eval_shape(made, jax.ShapeDtypeStruct((2, 8, 8, 3), jnp.float32), jax.random.key(0))
    except TypeError as error:
        raise UserError(f"config.data.augmentations.{name}: {error}") from None
    return made
