"""Single component images of training patches, seen by random sensors: `anyband`'s training data.

A patch of any bands becomes one image: a random mixture of its bands or one of its principal
components, after a random tone curve. It is brought to mean 0 and a random deviation about 1, since
patches of a scene have more or less contrast than the scene. Some get small rectangles that are far
brighter or darker than the rest, as glints and roofs are. Then a sensor of `layers.sensor.FAMILY`
reduces it, and noise is added. Sensor and noise are inputs of the network.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

from hsisr_jax.errors import UserError
from hsisr_jax.layers import sensor
from hsisr_jax.resize import imresize

FAINT = 0.01  # least deviation of a patch that is brought to 1, in the range of the values
RECTANGLES = 3  # at most, in a patch
SIDES = (0.7, 6.0)  # of a rectangle, in pixels
HEIGHTS = (2.0, 16.0)  # of a rectangle, in deviations of its patch


def create(scale: int, **options) -> Callable[[jax.Array, jax.Array], dict[str, jax.Array]]:
    """The function `(hr, key) -> batch`; options of `component_images` by name."""
    try:
        return component_images(scale, **options)
    except TypeError as error:
        raise UserError(f"config.data.components: {error}") from None


def component_images(
    scale: int,
    *,
    level: tuple[float, float] = (-1.0, 0.5),
    tone: float = 0.3,
    principal: float = 0.33,
    objects: float = 0.12,
    noisy: float = 0.35,
    noise: float = 0.6,
    sensors: tuple[float, float, float] = (4.0, 1.0, 6.0),
) -> Callable[[jax.Array, jax.Array], dict[str, jax.Array]]:
    """Makes batches of component images from `hr`, `b H W c`.

    Args:
        scale: how many times fewer pixels a side the sensor sees.
        level: ends of the logarithm of a patch's deviation.
        tone: values are raised to a power of `exp(-tone)` to `exp(tone)`.
        principal: share of the patches of which a principal component is taken.
        objects: share of the patches that get small bright or dark rectangles.
        noisy: share of the patches with noise, of a deviation of up to `noise`; little is common.
        noise: see `noisy`.
        sensors: weights of MATLAB's bicubic, of area averaging, and of the Gaussians together.

    Returns:
        `(hr, key) -> batch` with `hr`, `lr` and `lms` of one band, and by sample the number of the
        `sensor` in the family and the deviation of the `noise`.
    """
    if not (len(level) == 2 and len(sensors) == 3 and min(sensors) >= 0 < sum(sensors)):
        raise UserError("config.data.components: level is two numbers, sensors three weights")
    bicubic, area, gaussians = np.asarray(sensors, float) / sum(sensors)
    count = len(sensor.MTFS)
    odds = np.log(np.maximum([bicubic, area, *[gaussians / count] * count], 1e-12))

    def make(hr: jax.Array, key: jax.Array) -> dict[str, jax.Array]:
        mixing, contrast, drawn, seeing, amount, grain = jax.random.split(key, 6)
        b = len(hr)
        target = one_band(hr, mixing, tone, principal)  # b H W 1
        deviation = jnp.exp(jax.random.uniform(contrast, (b,), minval=level[0], maxval=level[1]))
        size = jnp.sqrt(jnp.square(target).mean((1, 2, 3), keepdims=True))
        target = target + size * rectangles(target.shape, drawn, objects)
        target = target * deviation[:, None, None, None]
        number = jax.random.categorical(seeing, jnp.asarray(odds, jnp.float32), shape=(b,))
        down = [sensor.of_family(n // scale, scale, number) for n in hr.shape[1:3]]
        share = jax.random.uniform(amount, (b,)) / max(noisy, 1e-6)  # below 1: noisy
        sigma = jnp.where(share < 1, noise * share**2, 0.0)
        lr = sensor.apply(down[0], target, down[1])
        lr = lr + sigma[:, None, None, None] * jax.random.normal(grain, lr.shape)
        return {
            "hr": target,
            "lr": lr,
            "lms": imresize(lr, scale),
            "sensor": number,
            "noise": sigma,
        }

    return make


def one_band(hr: jax.Array, key: jax.Array, tone: float, principal: float) -> jax.Array:
    """One image of mean 0 and deviation 1 from the bands of each patch."""
    curve, choice, order, mixture = jax.random.split(key, 4)
    b, bands = len(hr), hr.shape[-1]
    power = jnp.exp(jax.random.uniform(curve, (b, 1, 1, 1), minval=-tone, maxval=tone))
    x = jnp.maximum(hr, 0) ** power
    x = x - x.mean((1, 2), keepdims=True)
    spectra = x.reshape(b, -1, bands)
    _, vectors = jnp.linalg.eigh(spectra.mT @ spectra)
    which = jax.random.randint(order, (b, 1, 1), 0, bands)
    component = jnp.take_along_axis(vectors, which, 2)[..., 0]  # b c
    weights = jax.random.normal(mixture, (b, bands))
    chosen = jax.random.bernoulli(choice, principal, (b, 1))
    weights = jnp.where(chosen, component, weights)
    one = jnp.einsum("bhwc,bc->bhw", x, weights / jnp.linalg.norm(weights, axis=1, keepdims=True))
    size = jnp.sqrt(jnp.square(one).mean((1, 2), keepdims=True))
    return (one / jnp.maximum(size, FAINT))[..., None]


def rectangles(shape: tuple[int, ...], key: jax.Array, share: float) -> jax.Array:
    """Images `b H W 1` of up to `RECTANGLES` rectangles in a share of the samples, 0 elsewhere.

    Sides and heights are spread evenly in their logarithm; a pixel that is covered in part gets
    that part of the height.
    """
    chosen, count, place, size, height, sign = jax.random.split(key, 6)
    b, each = shape[0], (shape[0], RECTANGLES)
    low, high = np.log(SIDES)
    sides = jnp.exp(jax.random.uniform(size, (2, *each), minval=low, maxval=high))
    starts = jax.random.uniform(place, (2, *each))
    low, high = np.log(HEIGHTS)
    heights = jnp.exp(jax.random.uniform(height, each, minval=low, maxval=high))
    heights = heights * jax.random.rademacher(sign, each, heights.dtype)
    many = jax.random.bernoulli(chosen, share, (b, 1)) * jax.random.randint(
        count, (b, 1), 1, RECTANGLES + 1
    )
    there = jnp.arange(RECTANGLES)[None] < many
    covered = []
    for n, start, side in zip(shape[1:3], starts, sides):
        first = start[..., None] * (n - 1)
        pixel = jnp.arange(n)[None, None]
        ends = jnp.minimum(first + side[..., None], pixel + 1)
        covered.append(jnp.clip(ends - jnp.maximum(first, pixel), 0, 1))  # b r n
    return jnp.einsum("br,brh,brw->bhw", there * heights, *covered)[..., None]
