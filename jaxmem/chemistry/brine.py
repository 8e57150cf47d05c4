"""A salt solution as a whole: density, viscosity, diffusivity and osmotic pressure from the mass fraction of salt.

What reverse osmosis needs along a channel. ``brine_of(feed)`` chooses: NaCl for Na+ and Cl- alone, else sea salt.
"""

from collections.abc import Callable

import equinox as eqx
import jax.numpy as jnp
from jax import Array

from ..constants import STANDARD_TEMPERATURE
from .mixture import Mixture
from .osmotic import QuadraticNaCl, SeaSalt
from .properties import diffusivity_at, water_density, water_viscosity


class NaClBrine(eqx.Module):
    """NaCl in water: ``rho = 995 + 756 w``, ``mu = 9.80e-4 + 2.15e-3 w``, D a quartic in w, at 25 C.

    The property package of WaterTAP (open source). Away from 25 C density and viscosity follow those of water and D follows
    Stokes-Einstein, so that 25 C gives the package back exactly.
    """

    osmotic: Callable = QuadraticNaCl()
    name = "NaCl"

    def _scale(self, temperature: Array) -> Array:
        return water_density(temperature) / water_density(
            jnp.asarray(STANDARD_TEMPERATURE, jnp.asarray(temperature).dtype)
        )

    def density(self, w: Array, temperature: Array) -> Array:
        """kg/m3."""
        return (995.0 + 756.0 * w) * self._scale(temperature)

    def mass_fraction(self, concentration: Array, temperature: Array) -> Array:
        """The inverse of ``c = rho w``, kg/kg."""
        c = concentration / self._scale(temperature)
        return 2.0 * c / (995.0 + jnp.sqrt(995.0**2 + 4.0 * 756.0 * c))

    def viscosity(self, w: Array, temperature: Array) -> Array:
        """Pa s."""
        standard = water_viscosity(jnp.asarray(STANDARD_TEMPERATURE, jnp.asarray(temperature).dtype))
        return (9.80e-4 + 2.15e-3 * w) * water_viscosity(temperature) / standard

    def diffusivity(self, w: Array, temperature: Array) -> Array:
        """m2/s."""
        at_25 = 1.51e-9 + w * (-2.00e-9 + w * (3.01e-8 + w * (-1.22e-7 + w * 1.53e-7)))
        return diffusivity_at(at_25, temperature)

    def osmotic_pressure(self, concentration: Array, temperature: Array) -> Array:
        """Pa, from kg/m3."""
        return self.osmotic(self.mass_fraction(concentration, temperature), concentration, temperature)


class SeaSaltBrine(eqx.Module):
    """Sea salt in water: density and viscosity of Sharqawy 2010 (doi 10.5004/dwt.2010.1079; coefficients from memory of the
    source), osmotic pressure of ``SeaSalt``, diffusivity of NaCl."""

    osmotic: Callable = SeaSalt()
    name = "sea salt"

    def _parts(self, temperature: Array) -> tuple[Array, Array]:
        t = temperature - 273.15
        slope = 802.0 + t * (-2.001 + t * (1.677e-2 + t * -3.060e-5))
        return water_density(temperature), slope

    def density(self, w: Array, temperature: Array) -> Array:
        """kg/m3."""
        water, slope = self._parts(temperature)
        return water + slope * w

    def mass_fraction(self, concentration: Array, temperature: Array) -> Array:
        """The inverse of ``c = rho w``, kg/kg."""
        water, slope = self._parts(temperature)
        return 2.0 * concentration / (water + jnp.sqrt(water**2 + 4.0 * slope * concentration))

    def viscosity(self, w: Array, temperature: Array) -> Array:
        """Pa s."""
        t = temperature - 273.15
        first, second = 1.541 + t * (1.998e-2 + t * -9.52e-5), 7.974 + t * (-7.561e-2 + t * 4.724e-4)
        return water_viscosity(temperature) * (1.0 + w * (first + w * second))

    def diffusivity(self, w: Array, temperature: Array) -> Array:
        """m2/s."""
        return NaClBrine().diffusivity(w, temperature)

    def osmotic_pressure(self, concentration: Array, temperature: Array) -> Array:
        """Pa, from kg/m3."""
        return self.osmotic(self.mass_fraction(concentration, temperature), concentration, temperature)


Brine = NaClBrine | SeaSaltBrine


def brine_of(feed: Mixture) -> Brine:
    """The brine that a feed is taken for."""
    return NaClBrine() if set(feed.species.names) <= {"Na+", "Cl-"} else SeaSaltBrine()
