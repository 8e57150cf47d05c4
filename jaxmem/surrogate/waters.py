"""A water as the closures read it, and which waters, ions, pores and fluxes something has learned from."""

from typing import Any

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jax import Array
from scipy.spatial import ConvexHull, QhullError

from ..chemistry.mixture import Mixture
from .attention import DESCRIPTORS, descriptors

FEED = (
    "valence of cations",
    "valence of anions",
    "radius of cations",
    "radius of anions",
    "log10 strength",
    "temperature",
)
_COMPOSITION = 4  # of these numbers: what the salts are; the others, how much of them and how warm
_PORE = ("log radius", "log thickness", "charge", "permittivity")
_ROOM = 0.05  # beyond the hull of the compositions: a twentieth of a valence
_MARGINS = np.array([0.1, 0.1, 0.05, 0.05, 0.1, 0.02])  # log10 strength (a quarter), temperature (2.5 K), the pore
_LIKE = 0.02  # between the descriptors of two ions that are alike
_FASTEST = 1.01  # of the largest flux that was seen
_FLAT, _MOST = 1e-6, 2000  # width of a direction in which nothing varies; compositions that stand for all


def describe(feed: Mixture) -> Array:
    """A water in six numbers near to unity, ``(*batch, 6)``: means over the equivalents of either sign, ionic strength, temperature.

    The first two are the shares of divalent ions where no ion has more than two charges: they vanish for salts of single charges.
    """
    z, share, radius = feed.species.charge, feed.equivalent_fraction, feed.species.stokes_radius / 2e-10 - 1.0
    mean = lambda side, x: jnp.sum(jnp.where(side, share * x, 0.0), axis=-1)
    columns = (
        mean(z > 0.0, jnp.abs(z) - 1.0), mean(z < 0.0, jnp.abs(z) - 1.0), mean(z > 0.0, radius), mean(z < 0.0, radius),
        jnp.log10(jnp.maximum(feed.ionic_strength, 1e-3) / 10.0), (feed.temperature - 298.15) / 25.0,
    )  # fmt: skip
    return jnp.stack(jnp.broadcast_arrays(*columns), axis=-1)


def _amounts(water: Mixture, wall: Any) -> Array:
    """Strength, temperature and the pore's numbers, ``(*batch, 6)``; zeros for a membrane without pore."""
    much = describe(water)[..., _COMPOSITION:]
    pore = [jnp.zeros(())] * len(_PORE)
    if hasattr(wall, "pore_radius"):
        pore = [
            jnp.log(wall.pore_radius / 5e-10), jnp.log(wall.thickness_over_porosity / 1e-6), wall.charge_density / 100.0, wall.pore_permittivity / 80.0,
        ]  # fmt: skip
    return jnp.stack(jnp.broadcast_arrays(much[..., 0], much[..., 1], *pore), axis=-1)


class Seen(eqx.Module):
    """What something has learned from; nothing before, and then nothing is outside.

    A question is outside where its composition lies beyond the convex hull of those that were there (a corner that none of them filled counts), where strength, temperature
    or a number of the pore lie beyond theirs, with an ion unlike all of them, a larger flux, or a larger correction of the physics.
    """

    compositions: Array  # (V, 4) corners of the hull
    facets: Array  # (F, 5) n and d of n . x + d <= 0 inside
    amounts: Array  # (2, 6) least and largest, margins included
    ions: Array  # (U, 4)
    flux: Array  # () m/s
    correction: Array  # () of a logarithm of what passes

    @classmethod
    def nothing(cls) -> "Seen":
        """Before anything was learned."""
        ends = jnp.tile(jnp.asarray([-jnp.inf, jnp.inf])[:, None], (1, len(_MARGINS)))
        empty = [jnp.zeros((0, n)) for n in (_COMPOSITION, _COMPOSITION + 1)]
        return cls(*empty, ends, jnp.zeros((0, len(DESCRIPTORS))), jnp.asarray(jnp.inf), jnp.asarray(jnp.inf))

    @classmethod
    def of(cls, water: Mixture, flux: Any, wall: Any, correction: Any = None) -> "Seen":
        """Waters ``(*batch, S)`` at a membrane, their fluxes ``(*batch)``; corrections ``(*batch, S)`` where there are any."""
        x = np.asarray(describe(water)).reshape(-1, len(FEED))[:, :_COMPOSITION]
        much = np.asarray(_amounts(water, wall)).reshape(-1, len(_MARGINS))
        every = np.broadcast_to(np.asarray(descriptors(water)), (*water.concentration.shape, len(DESCRIPTORS)))
        there = np.unique(every[np.asarray(water.concentration) > 0.0].round(9), axis=0)
        most = np.inf if correction is None else 1.001 * np.abs(np.asarray(correction)).max()
        ends = np.stack([much.min(0) - _MARGINS, much.max(0) + _MARGINS])
        largest = _FASTEST * np.max(np.asarray(flux))
        return cls(*(jnp.asarray(v, float) for v in (*_hull(x), ends, there, largest, most)))

    @property
    def known(self) -> bool:
        """Whether anything was learned from; under tracing too."""
        return self.facets.shape[0] > 0

    def joined(self, other: "Seen") -> "Seen":
        """What either has seen, and what lies between."""
        if not (self.known and other.known):
            return other if other.known else self
        hull = _hull(np.concatenate([np.asarray(self.compositions), np.asarray(other.compositions)]))
        ends = (jnp.minimum(self.amounts[0], other.amounts[0]), jnp.maximum(self.amounts[1], other.amounts[1]))
        ions = np.unique(np.concatenate([np.asarray(self.ions), np.asarray(other.ions)]), axis=0)
        most = (jnp.maximum(a, b) for a, b in ((self.flux, other.flux), (self.correction, other.correction)))
        return Seen(*(jnp.asarray(v, float) for v in (*hull, jnp.stack(ends), ions)), *most)

    def outside(self, water: Mixture, flux: Array, wall: Any, correction: Array | None = None) -> Array:
        """Whether a question lies beyond, ``(*batch)``."""
        if not self.known:
            return jnp.zeros(flux.shape, bool)
        x, much, ions = describe(water)[..., :_COMPOSITION], _amounts(water, wall), descriptors(water)[..., None, :]
        beyond = jnp.any(x @ self.facets[:, :-1].T.astype(x.dtype) > _like(_ROOM - self.facets[:, -1], x), axis=-1)
        low, high = (_like(end, much) for end in self.amounts)
        beyond = beyond | jnp.any((much < low) | (much > high), axis=-1) | (flux > self.flux.astype(flux.dtype))
        if correction is not None:
            beyond = beyond | jnp.any(jnp.abs(correction) > self.correction.astype(correction.dtype), axis=-1)
        gap = jnp.min(jnp.max(jnp.abs(ions - _like(self.ions, ions)), axis=-1), axis=-1)
        strange = jnp.broadcast_to(gap > _LIKE, water.concentration.shape)
        return beyond | jnp.any(strange & (water.concentration > 0.0), axis=-1)

    def summary(self) -> dict[str, Any]:
        """In words of JSON, for the header of a file."""
        ends = [[None if not np.isfinite(v) else float(v) for v in np.asarray(end)] for end in self.amounts]
        names = (*FEED[_COMPOSITION:], *_PORE)
        return {
            "compositions": {"names": FEED[:_COMPOSITION], "corners": np.asarray(self.compositions).tolist()},
            "amounts": {name: [a, b] for name, a, b in zip(names, *ends, strict=True)},
            "ions": {"names": DESCRIPTORS, "seen": np.asarray(self.ions).tolist()}, "largest flux, m/s": float(self.flux),
        }  # fmt: skip


def _like(a: Array, other: Array) -> Array:
    """With the leading axes and in the precision of another."""
    return a.reshape((1,) * (other.ndim - a.ndim) + a.shape).astype(other.dtype)


def _hull(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Corners ``(V, n)`` and facets ``(F, n + 1)`` of the points ``x (N, n)``; flat where they are."""
    x = np.unique(x.round(9), axis=0)
    x = x[np.linspace(0, len(x) - 1, min(len(x), _MOST)).round().astype(int)]
    centre = x.mean(axis=0)
    _, size, axes = np.linalg.svd(x - centre, full_matrices=True)
    wide = np.zeros(x.shape[1], bool)
    wide[: len(size)] = size > _FLAT * np.sqrt(len(x))
    across = [np.append(s * n, -s * n @ centre) for n in axes[~wide] for s in (1.0, -1.0)]  # nothing varies there
    plane = (x - centre) @ axes[wide].T
    corners, found = x, np.zeros((0, plane.shape[1] + 1))
    if plane.shape[1] == 1:
        ends = [int(plane.argmin()), int(plane.argmax())]
        corners, found = x[ends], np.array([[-1.0, plane.min()], [1.0, -plane.max()]])
    elif plane.shape[1] > 1:
        try:
            hull = ConvexHull(plane)
        except QhullError:  # nearly flat: joggled
            hull = ConvexHull(plane, qhull_options="QJ")
        corners, found = x[hull.vertices], hull.equations
    normal = found[:, :-1] @ axes[wide]
    facets = [*np.column_stack([normal, found[:, -1] - normal @ centre]), *across]
    return corners, np.asarray(facets).reshape(-1, x.shape[1] + 1)
