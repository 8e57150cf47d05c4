"""Closures that are learned: what a membrane's charge, permeances, partition and hindrance owe to the water and the ions, as small networks.

Each drops into the field of a membrane that a published closure fills, changes nothing before it is trained (``jm.train``), and cannot break a
conservation law: the transport equations are solved around it. They read what an ion is, never which one: any species may be asked.
"""

from collections.abc import Callable

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from .._errors import JaxmemError
from ..chemistry.mixture import Mixture
from ..membranes.exclusion import BornExclusion
from ..membranes.hindrance import DechadilokDeen
from .attention import DESCRIPTORS, descriptors
from .network import Network
from .waters import FEED, describe


class LearnedCharge(eqx.Module):
    """``X = charge_density + scale g(feed)``: a charge that follows the water and may change sign. Fills ``PoreMembrane.charge``."""

    network: Network
    scale: float = eqx.field(static=True, default=100.0)  # mol/m3

    @classmethod
    def new(cls, key: Array, *, scale: float = 100.0, **options) -> "LearnedCharge":
        """Untrained; options of ``Network``."""
        if not (isinstance(scale, int | float) and 0.0 < scale < 1e5):
            raise JaxmemError(
                f"scale = {scale!r} must be above zero, in mol/m3. Write jm.LearnedCharge.new(key, scale=100.0)."
            )
        return cls(Network(len(FEED), key=key, **options), scale)

    def __call__(self, charge_density: Array, feed: Mixture) -> Array:
        """``charge_density (*batch)`` and the water at the membrane to ``X (*batch)``, mol/m3."""
        return charge_density + self.scale * self.network(describe(feed))[..., 0]


class LearnedShift(eqx.Module):
    """``ln P_i = ln permeance_i - z_i g(feed)``: the membrane's potential follows the water. Fills ``PermeanceMembrane.law``.

    ``DonnanShift`` is the linear case in the first two numbers of ``describe``.
    """

    network: Network

    @classmethod
    def new(cls, key: Array, **options) -> "LearnedShift":
        """Untrained; options of ``Network``."""
        return cls(Network(len(FEED), key=key, **options))

    def __call__(self, permeance: Array, feed: Mixture) -> Array:
        """``permeance (*batch, S)`` in the order of the feed's species, to the same."""
        return permeance * jnp.exp(-feed.species.charge * self.shift(feed)[..., None])

    def shift(self, feed: Mixture) -> Array:
        """``g(feed)`` in units of RT/F, ``(*batch)``; above zero it keeps cations out."""
        return self.network(describe(feed))[..., 0]


class LearnedPermeance(eqx.Module):
    """``ln P_i = ln permeance_i + g(ion, feed)``, of any ion by what it is. Fills ``PermeanceMembrane.law``."""

    network: Network

    @classmethod
    def new(cls, key: Array, **options) -> "LearnedPermeance":
        """Untrained; options of ``Network``."""
        return cls(Network(len(DESCRIPTORS) + len(FEED), key=key, **options))

    def __call__(self, permeance: Array, feed: Mixture) -> Array:
        """``permeance (*batch, S)`` in the order of the feed's species, to the same."""
        ions, water = descriptors(feed), describe(feed)[..., None, :]
        lead = jnp.broadcast_shapes(ions.shape[:-1], water.shape[:-1])
        x = jnp.concatenate([jnp.broadcast_to(a, (*lead, a.shape[-1])) for a in (ions, water)], axis=-1)
        return permeance * jnp.exp(self.network(x)[..., 0])


class LearnedExclusion(eqx.Module):
    """``ln Phi_i = base + g(ion in its pore)``: partition beyond size and Born energy. Fills ``PoreMembrane.exclusion``."""

    network: Network
    base: Callable = BornExclusion()

    @classmethod
    def new(cls, key: Array, base: Callable | None = None, **options) -> "LearnedExclusion":
        """Untrained; options of ``Network``."""
        return cls(Network(4, key=key, **options), BornExclusion() if base is None else base)

    def __call__(
        self, ratio: Array, charge: Array, born_radius: Array, pore: Array, bulk: Array, temperature: Array
    ) -> Array:
        """``lambda``, z, r_b (m) of shape ``(*batch, S)``; permittivities and T of shape ``(*batch, 1)``."""
        columns = (ratio, charge / 2.0, charge**2 * 2e-10 / born_radius / 4.0, 10.0 * (1.0 / pore - 1.0 / bulk))
        offset = self.network(jnp.stack(jnp.broadcast_arrays(*columns), axis=-1))[..., 0]
        return self.base(ratio, charge, born_radius, pore, bulk, temperature) + offset


class LearnedHindrance(eqx.Module):
    """``K_d`` and ``K_c`` of ``base``, each times ``exp g(lambda)``. Fills ``PoreMembrane.hindrance``."""

    network: Network
    base: Callable = DechadilokDeen()

    @classmethod
    def new(cls, key: Array, base: Callable | None = None, *, bound: float = 1.0, **options) -> "LearnedHindrance":
        """Untrained; options of ``Network``."""
        return cls(Network(1, 2, key=key, bound=bound, **options), DechadilokDeen() if base is None else base)

    def __call__(self, ratio: Array) -> tuple[Array, Array]:
        """``lambda`` of any shape to ``K_d, K_c``."""
        kd, kc = self.base(ratio)
        factor = jnp.exp(self.network(ratio[..., None]))
        return kd * factor[..., 0], kc * factor[..., 1]


class LearnedFriction(eqx.Module):
    """``1/D_ij = softplus(q_i . q_j - start)/D_0``, ``q = Q(ion)``: attention without a softmax, which physics can test. Fills ``PoreMembrane.friction``.

    One map for both roles makes it symmetric and positive (Onsager), so that it dissipates, whatever it has learned. Unlike the other closures it does not start
    at nothing, but small: ``softplus(-start)/D_0`` for each pair.
    """

    network: Network
    start: float = eqx.field(static=True, default=4.0)
    diffusivity: float = eqx.field(static=True, default=1e-10)  # D_0, m2/s

    @classmethod
    def new(
        cls, key: Array, *, size: int = 4, start: float = 4.0, diffusivity: float = 1e-10, **options
    ) -> "LearnedFriction":
        """Untrained, with queries of ``size`` numbers; options of ``Network``."""
        if not (type(size) is int and size >= 1 and isinstance(start, int | float) and np.isfinite(start)):
            raise JaxmemError(
                f"size = {size!r} and start = {start!r} make no friction. Write jm.LearnedFriction.new(key, size=4, start=4.0)."
            )
        if not (isinstance(diffusivity, int | float) and 0.0 < diffusivity < 1.0):
            raise JaxmemError(
                f"diffusivity = {diffusivity!r} must be above zero, in m2/s. Write jm.LearnedFriction.new(key, diffusivity=1e-10)."
            )
        first, last = jax.random.split(key)
        network = Network(len(DESCRIPTORS), size, key=first, **options)
        weight = network.layers[-1].weight
        weight = 0.3 * jax.random.normal(last, weight.shape, weight.dtype)  # at q = 0 nothing would be learned
        return cls(eqx.tree_at(lambda n: n.layers[-1].weight, network, weight), float(start), float(diffusivity))

    def __call__(self, feed: Mixture) -> Array:
        """``(*batch, S, S)`` in the order of the feed's species, s/m2; what stands on the diagonal is not used."""
        q = self.network(descriptors(feed))
        return jax.nn.softplus(q @ jnp.swapaxes(q, -1, -2) - self.start) / self.diffusivity
