"""Principal components of a scene's spectra: a few images that hold nearly all of its detail."""

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from hsisr_jax.ops.noise import band_noise

FAINT = 1e-6  # of the first component's deviation: below it there is nothing to see

ENOUGH = 24  # bands from which on their faintest components tell the noise

WEAK = 1e-3  # of the strongest band's deviation: what a weaker band counts as
LEAN = 0.7  # logarithm of how much more a view looks at the last band than at the middle one
TURN = 0.7  # of a component's own deviation: what a turn adds to it of its stronger neighbour
# Signs of the angles in each of the four views: of the 1st, 3rd ... pair of neighbours, and of the
# 2nd, 4th ... pair.
SIGNS = np.array([[1, 1], [-1, -1], [1, -1], [-1, 1]])


class Basis(NamedTuple):
    """The mean spectrum `c`, the components `c k`, their deviations `k`, and the deviation of the
    noise in each of them as a share of its own, `k`."""

    mean: jax.Array
    vectors: jax.Array
    deviations: jax.Array
    noise: jax.Array

    def images(self, x: jax.Array) -> jax.Array:
        """`... c` to component images `... k`, each of deviation 1."""
        return (x - _along(self.mean, x)) @ (self.vectors / _along(self.deviations, self.vectors))

    def spectra(self, images: jax.Array) -> jax.Array:
        """Converts component images `... k` to spectra `... c`, less the mean spectrum."""
        return images @ (self.vectors * _along(self.deviations, self.vectors)).T

    def moved(self, gain: float, bias: float) -> "Basis":
        """The basis of `gain * x + bias`, if this is that of `x`."""
        return self._replace(mean=gain * self.mean + bias, deviations=gain * self.deviations)


_einsum = functools.partial(jnp.einsum, precision=jax.lax.Precision.HIGHEST)


class Views(NamedTuple):
    """Mixtures of component images, as matrices: `forth` (`v k n`) maps `k` component images to the
    `n` mixtures of each view, of deviation 1; `back` (`v n k`) maps what is found in them to the
    components, so that the sum over the views is the whole. `noise` (`v n`) is the deviation of the
    noise in each mixture."""

    forth: jax.Array
    back: jax.Array
    noise: jax.Array


def views(basis: Basis, count: int, number: int) -> Views:
    """`number` views of a scene's components, `count` mixtures each.

    One view are the first components themselves. Each of several looks at some of the bands more
    than at others: its mixtures are the principal components of bands weighted by its window, in
    which weak bands count nearly as much as strong ones. Then it rotates one pair of neighbouring
    mixtures after the other by a small angle, another in each view. What is found in the views is
    averaged for each band by their windows.
    """
    k = basis.vectors.shape[1]
    if number == 1:
        straight = jnp.eye(k)[None, :, :count]
        return Views(straight, straight.transpose(0, 2, 1), basis.noise[None, :count])
    loadings = basis.vectors * _along(basis.deviations, basis.vectors)  # c k
    spread = jnp.sqrt(jnp.square(loadings).sum(1))  # the deviation of each band
    spread = spread / jnp.where(spread.max() > 0, spread.max(), 1)
    windows = _windows(spread > FAINT, number)  # v c
    seen = jnp.square(windows) / jnp.maximum(spread, WEAK)[None]
    values, vectors = jnp.linalg.eigh(_einsum("ck,vc,cl->vkl", loadings, seen, loadings))
    mixtures = vectors[:, :, ::-1][:, :, :count]  # v k n
    signs = jnp.where(_einsum("ck,vkn->vn", loadings, mixtures) < 0, -1.0, 1.0)
    mixtures = mixtures * signs[:, None]
    sizes = jnp.sqrt(jnp.maximum(values[:, ::-1][:, :count], 0))  # v n
    sizes = jnp.where(sizes > FAINT * sizes[:, :1], sizes, 0)
    turned, mixed = _turned(sizes)
    forth = _einsum("vki,vi,vij,vj->vkj", mixtures, sizes, turned, 1 / mixed)
    share = windows / windows.sum(0)[None]
    project = basis.vectors / _along(basis.deviations, basis.vectors)  # spectra to components
    shares = _einsum("ck,vc,cl->vkl", loadings, share, project)
    undone = _einsum("vij,vj,vi->vji", turned, mixed, 1 / jnp.where(sizes > 0, sizes, 1))
    back = _einsum("vni,vki,vkl->vnl", undone, mixtures, shares)
    noise = jnp.sqrt(_einsum("vkn,vkn,k,k->vn", forth, forth, basis.noise, basis.noise))
    return Views(forth, back, jnp.minimum(noise, 1))


def _windows(varied: jax.Array, number: int) -> jax.Array:
    """How much each of some views looks at each band, `v c`: the first half of the views mostly at
    the last bands, the other half mostly at the first ones. Bands that do not vary do not count."""
    last = varied.sum() - 1
    place = (2 * (jnp.cumsum(varied) - 1) - last) / jnp.maximum(last, 1)  # -1 to 1
    lean = np.where(np.arange(number) < number // 2, LEAN, -LEAN)
    return jnp.exp(jnp.asarray(lean, jnp.float32)[:, None] * place[None])


def _turned(sizes: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Rotations of components with the deviations `v n` among each other, `v n n`, and the
    deviations of the rotated ones. An angle adds to the fainter of two neighbours `TURN` of its own
    deviation from the stronger one, so that it still shows mostly itself."""
    number, count = sizes.shape
    whole = jnp.broadcast_to(jnp.eye(count), (number, count, count))
    for i in range(count - 1):
        ratio = sizes[:, i + 1] / jnp.where(sizes[:, i] > 0, sizes[:, i], 1)
        angles = jnp.asarray(SIGNS[:number, i % 2]) * jnp.arctan(TURN * ratio)
        cos, sin = jnp.cos(angles), jnp.sin(angles)
        pair = jnp.stack([cos, -sin, sin, cos], -1).reshape(number, 2, 2)
        whole = whole.at[..., i : i + 2].set(_einsum("vij,vjk->vik", whole[..., i : i + 2], pair))
    mixed = jnp.sqrt(_einsum("vij,vij,vi,vi->vj", whole, whole, sizes, sizes))
    return whole, jnp.where(mixed > 0, mixed, 1)


def _along(values: jax.Array, x: jax.Array) -> jax.Array:
    """One value for each entry of the last axis of `x`."""
    return values.reshape((1,) * (x.ndim - 1) + (-1,))


def basis(spectra: np.ndarray, count: int, details: np.ndarray | None = None) -> Basis:
    """The first `count` components of `n c` spectra, worked out in float64; rows with NaN are left
    out. Bands or pixels that are fewer than `count` give components without any detail, and
    constant bands have no part in any. Their noise is that of the bands, where it can be found:
    `noise.band_noise(spectra, details)`."""
    spectra = np.asarray(spectra, np.float64)
    spectra = spectra[np.isfinite(spectra).all(1)]
    if not len(spectra):
        spectra = np.zeros((1, spectra.shape[1]))
    varied = spectra.min(0) < spectra.max(0)
    varied = varied if varied.any() else ~varied
    mean = spectra.mean(0)
    centred = spectra[:, varied] - mean[varied]
    values, vectors = np.linalg.eigh(centred.T @ centred / len(spectra))
    found = Basis(*_first(np, mean[varied], values, vectors, count))
    noise = band_noise(spectra[:, varied], None if details is None else details[:, varied])
    if noise is not None:
        share = np.sqrt(np.square(found.vectors * noise[:, None]).sum(0)) / found.deviations
        found = found._replace(noise=np.minimum(share, 1))
    whole = np.zeros((len(mean), count))
    whole[varied] = found.vectors
    found = found._replace(mean=mean, vectors=whole)
    return Basis(*(np.asarray(x, np.float32) for x in found))


def empty(bands: int, count: int) -> Basis:
    """A basis of `count` components without any detail."""
    sizes = (bands, (bands, count), count, count)
    return Basis(*(np.full(size, i == 2, np.float32) for i, size in enumerate(sizes)))


def basis_of(x: jax.Array, count: int) -> Basis:
    """The same of a cube `h w c`, inside a compiled function."""
    spectra = x.reshape(-1, x.shape[-1]).astype(jnp.float32)
    mean = spectra.mean(0)
    centred = spectra - mean[None]
    product = jnp.matmul(centred.T, centred, precision=jax.lax.Precision.HIGHEST)
    values, vectors = jnp.linalg.eigh(product / len(spectra))
    return Basis(*map(jax.lax.stop_gradient, _first(jnp, mean, values, vectors, count)))


def _first(xp, mean, values, vectors, count: int) -> tuple:
    """The parts of a basis of `count` components, from eigenvalues in rising order."""
    bands = len(mean)
    values = xp.maximum(values[::-1], 0)
    kept, vectors = values[:count], vectors[:, ::-1][:, :count]
    vectors = xp.where(vectors.sum(0)[None] < 0, -vectors, vectors)  # a sign, whatever the solver
    if bands < count:
        kept = xp.concatenate([kept, xp.zeros(count - bands)])
        vectors = xp.concatenate([vectors, xp.zeros((bands, count - bands))], 1)
    deviations = xp.sqrt(kept)
    seen = deviations > FAINT * deviations[0]
    vectors = xp.where(seen[None], vectors, 0)
    deviations = xp.where(seen, deviations, 1)
    # Spectra are few-dimensional and noise is not: the faint half of the components is noise.
    floor = xp.median(values[bands // 2 : max(bands * 9 // 10, bands // 2 + 1)])
    noise = xp.sqrt(floor) / deviations if bands >= ENOUGH else xp.zeros(count)
    return mean, vectors, deviations, xp.where(seen, xp.minimum(noise, 1), 0)
