"""A water as the closures read it, and which waters and fluxes a closure has learned from."""

from typing import Any

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jax import Array

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
_MARGIN, _STILL = 0.05, 0.02  # of the width of what was seen; of what was the same in all of it, half a kelvin
_LIKE = 0.02  # between the descriptors of two ions that are alike
_FASTEST = 1.001  # of the largest flux that was seen


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


class Seen(eqx.Module):
    """The box of all waters at the membrane that something has learned from, the ions in them, the largest flux and correction; unbounded before.

    A question is outside with a water beyond the box (by 5 % of its width), an ion unlike all that were there, a larger flux, or a larger correction
    of the physics.
    """

    water: Array  # (2, 6) least and largest, as ``describe`` has it
    ions: Array  # (U, 4)
    flux: Array  # () m/s
    correction: Array  # () of a logarithm of what passes

    @classmethod
    def unbounded(cls) -> "Seen":
        """Nothing is outside."""
        ends = jnp.tile(jnp.asarray([-jnp.inf, jnp.inf])[:, None], (1, len(FEED)))
        return cls(ends, jnp.zeros((0, len(DESCRIPTORS))), jnp.asarray(jnp.inf), jnp.asarray(jnp.inf))

    @classmethod
    def of(cls, water: Mixture, flux: Any, correction: Any = None) -> "Seen":
        """Waters ``(*batch, S)`` and their fluxes ``(*batch)``; corrections ``(*batch, S)`` where there are any."""
        x = np.asarray(describe(water)).reshape(-1, len(FEED))
        width = np.ptp(x, axis=0)
        margin = np.where(width > 1e-9, _MARGIN * width, _STILL)
        every = np.broadcast_to(np.asarray(descriptors(water)), (*water.concentration.shape, len(DESCRIPTORS)))
        there = np.unique(every[np.asarray(water.concentration) > 0.0].round(9), axis=0)
        most = np.inf if correction is None else _FASTEST * np.abs(np.asarray(correction)).max()
        ends = np.stack([x.min(0) - margin, x.max(0) + margin])
        return cls(*(jnp.asarray(v, float) for v in (ends, there, _FASTEST * np.max(np.asarray(flux)), most)))

    def joined(self, other: "Seen") -> "Seen":
        """What either has seen; of one that has seen nothing, the other."""
        if not bool(jnp.isfinite(self.water).all()):
            return other
        low, high = jnp.minimum(self.water[0], other.water[0]), jnp.maximum(self.water[1], other.water[1])
        ions = jnp.concatenate([self.ions, other.ions])
        most = (jnp.maximum(a, b) for a, b in ((self.flux, other.flux), (self.correction, other.correction)))
        return Seen(jnp.stack([low, high]), ions, *most)

    def outside(self, water: Mixture, flux: Array, correction: Array | None = None) -> Array:
        """Whether a question lies beyond, ``(*batch)``."""
        x, ions = describe(water), descriptors(water)[..., None, :]
        low, high = (_like(end, x) for end in self.water)
        beyond = jnp.any((x < low) | (x > high), axis=-1) | (flux > self.flux.astype(flux.dtype))
        if correction is not None:
            beyond = beyond | jnp.any(jnp.abs(correction) > self.correction.astype(correction.dtype), axis=-1)
        if self.ions.shape[0] == 0:
            return beyond
        gap = jnp.max(jnp.abs(ions - _like(self.ions, ions)), axis=-1)
        strange = jnp.broadcast_to(jnp.min(gap, axis=-1) > _LIKE, water.concentration.shape)
        return beyond | jnp.any(strange & (water.concentration > 0.0), axis=-1)


def _like(a: Array, other: Array) -> Array:
    """With the leading axes and in the precision of another."""
    return a.reshape((1,) * (other.ndim - a.ndim) + a.shape).astype(other.dtype)
