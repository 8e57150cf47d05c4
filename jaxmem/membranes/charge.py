"""How the charge of the pore depends on the water that it touches: ``law(charge_density, feed) -> X`` in mol/m3 of pore fluid.

``feed`` is the water at the interface, behind the film; with ``DSPMDE(charge_reads="bulk")`` the bulk feed.
"""

import equinox as eqx
import jax.numpy as jnp
from jax import Array

from .._fields import check, field
from ..chemistry.mixture import Mixture


class ConstantCharge(eqx.Module):
    """``X = charge_density``, whatever the water."""

    def __call__(self, charge_density: Array, feed: Mixture) -> Array:
        """``charge_density (*batch)`` and the water at the membrane to ``X (*batch)``."""
        return charge_density


class FreundlichCharge(eqx.Module):
    """Adsorption isotherm ``X = charge_density (c/c_0)^q`` with ``c`` the equivalents of cations in the water, mol/m3.

    ``exponent`` and ``charge_density`` (the charge at ``c_0``) are specific to a salt, the sign included. Bowen and Mukhtar
    1996 (doi 10.1016/0376-7388(95)00302-9). A feed without ions has no charge to adsorb: ``X = 0``.
    """

    exponent: Array = field(unit="1", low=-3.0, high=3.0, symbol="q", doc="Freundlich exponent", default=0.5)
    reference: Array = field(
        unit="mol/m3", low=1e-6, high=1e4, symbol="c_0", doc="concentration at which X = charge_density", default=1.0
    )

    def __check_init__(self) -> None:
        check(self)

    def __call__(self, charge_density: Array, feed: Mixture) -> Array:
        """``charge_density (*batch)`` and the water at the membrane to ``X (*batch)``."""
        equivalents = jnp.sum(jnp.maximum(feed.species.charge, 0.0) * feed.concentration, axis=-1)
        present = equivalents > 0.0
        power = (jnp.where(present, equivalents, 1.0) / self.reference) ** self.exponent
        return charge_density * jnp.where(present, power, 0.0)


class MultivalentCharge(eqx.Module):
    """``X = charge_density + cation y_M + anion y_S``: multivalent ions bind to the pore and change its charge, even its sign.

    ``y_M`` and ``y_S`` are the equivalent fractions of multivalent cations and anions in the water. The simplest law whose charge can turn over;
    an empirical form, without saturation.
    """

    cation: Array = field(
        unit="mol/m3", low=-2e4, high=2e4, symbol="X_M", doc="charge added by multivalent cations", default=0.0
    )
    anion: Array = field(
        unit="mol/m3", low=-2e4, high=2e4, symbol="X_S", doc="charge added by multivalent anions", default=0.0
    )

    def __check_init__(self) -> None:
        check(self)

    def __call__(self, charge_density: Array, feed: Mixture) -> Array:
        """``charge_density (*batch)`` and the water at the membrane to ``X (*batch)``."""
        cations, anions = feed.multivalent_fraction
        return charge_density + self.cation * cations + self.anion * anions
