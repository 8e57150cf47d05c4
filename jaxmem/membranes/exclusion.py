"""Partitioning at a pore face apart from the Donnan potential: ``ln(Phi_i B_i)``."""

import equinox as eqx
import jax.numpy as jnp
from jax import Array

from ..constants import BOLTZMANN, ELEMENTARY_CHARGE, VACUUM_PERMITTIVITY


class StericExclusion(eqx.Module):
    """Size alone: ``Phi = (1 - lambda)^2`` (Ferry 1936, doi 10.1085/jgp.20.1.95)."""

    def __call__(
        self, ratio: Array, charge: Array, born_radius: Array, pore: Array, bulk: Array, temperature: Array
    ) -> Array:
        """``lambda``, z, r_b (m) of shape ``(*batch, S)``; permittivities and T of shape ``(*batch, 1)``."""
        return 2.0 * jnp.log1p(-ratio)


class BornExclusion(eqx.Module):
    """Size and Born energy: ``Phi exp(-dG/kT)``, ``dG = z^2 e^2/(8 pi eps0 r_b) (1/eps_p - 1/eps_b)``.

    Positive for ``eps_p < eps_b``: ions are kept out, divalent ones four times as strongly. Both the missing exponential and
    the reversed bracket are in print elsewhere. Born 1920 (doi 10.1007/BF01881023); Bowen and Welfoot 2002
    (doi 10.1016/S0009-2509(01)00413-4). A common factor on all radii is the same as a change of ``1/eps_p - 1/eps_b``.
    """

    def __call__(
        self, ratio: Array, charge: Array, born_radius: Array, pore: Array, bulk: Array, temperature: Array
    ) -> Array:
        """``lambda``, z, r_b (m) of shape ``(*batch, S)``; permittivities and T of shape ``(*batch, 1)``."""
        length = ELEMENTARY_CHARGE**2 / (8.0 * jnp.pi * VACUUM_PERMITTIVITY * BOLTZMANN * temperature)
        return 2.0 * jnp.log1p(-ratio) - charge**2 * length / born_radius * (1.0 / pore - 1.0 / bulk)
