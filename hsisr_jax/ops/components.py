"""Principal components of a scene's spectra: a few images that hold nearly all of its detail."""

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from hsisr_jax.ops.noise import band_noise

FAINT = 1e-6  # of the first component's deviation: below it there is nothing to see

ENOUGH = 24  # bands from which on their faintest components tell the noise

TURN = 0.7  # of a component's own deviation: what a turn adds to it of its stronger neighbour
# Signs of the angles, for each of the four turns: of the 1st, 3rd ... pair of neighbours, and of
# the 2nd, 4th ... pair.
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


class Turn(NamedTuple):
    """A rotation of some components among each other: as a matrix `k k` that maps component images
    to mixtures of deviation 1, the matrix that maps such mixtures back, and the deviation of the
    noise in each mixture, `k`."""

    forth: jax.Array
    back: jax.Array
    noise: jax.Array


def turns(basis: Basis, count: int, number: int) -> Turn:
    """The first `number` of four small rotations of the first `count` components, stacked.

    One pair of neighbours after the other is rotated, by an angle that adds to the fainter one
    `TURN` of its own deviation from the stronger one, so that it still shows mostly itself. A
    component without detail stays as it is. The angles of the first two rotations are opposite,
    and so are those of the other two.
    """
    seen = (basis.vectors[:, :count] != 0).any(0)
    sizes = jnp.where(seen, basis.deviations[:count], 0)
    whole = jnp.broadcast_to(jnp.eye(count), (number, count, count))
    for i in range(count - 1):
        ratio = sizes[i + 1] / jnp.where(sizes[i] > 0, sizes[i], 1)
        angles = jnp.asarray(SIGNS[:number, i % 2]) * jnp.arctan(TURN * ratio)
        cos, sin = jnp.cos(angles), jnp.sin(angles)
        pair = jnp.stack([cos, -sin, sin, cos], -1).reshape(number, 2, 2)
        whole = whole.at[..., i : i + 2].set(_einsum("fij,fjk->fik", whole[..., i : i + 2], pair))
    mixed = jnp.sqrt(_einsum("fij,fij,i,i->fj", whole, whole, sizes, sizes))
    mixed = jnp.where(mixed > 0, mixed, 1)
    forth = _einsum("i,fij,fj->fij", sizes, whole, 1 / mixed)
    back = _einsum("fij,fj,i->fji", whole, mixed, 1 / jnp.where(sizes > 0, sizes, 1))
    shares = basis.noise[:count]
    noise = jnp.sqrt(_einsum("fij,fij,i,i->fj", forth, forth, shares, shares))
    return Turn(forth, back, jnp.minimum(noise, 1))


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
