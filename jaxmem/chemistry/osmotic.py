"""Osmotic pressure: a plain sum over ions, and laws of whole salt solutions.

A law is called with the mass fraction ``w`` of salt, its concentration in kg/m3 of solution and the temperature, and returns Pa.
"""

import equinox as eqx
import jax.numpy as jnp
from jax import Array

from ..constants import GAS
from .properties import water_density

SATURATED = 0.30  # mass fraction beyond which a law continues as a straight line: more than any NaCl solution holds


def van_t_hoff(concentration: Array, temperature: Array) -> Array:
    """``Pi = R T sum c``, Pa, for ``concentration (*batch, S)`` in mol/m3 and ``temperature (*batch)`` in K.

    Dilute solutions; 5 % off for NaCl at 0.6 mol/L (too high), worse beyond 1 mol/L.
    """
    return GAS * temperature * jnp.sum(concentration, axis=-1)


class VanTHoff(eqx.Module):
    """``Pi = i R T c/M`` with ``i`` particles of a salt of molar mass ``M``. Ideal: 5 % high for NaCl at 32 kg/m3."""

    particles: float = eqx.field(static=True, default=2.0)
    molar_mass: float = eqx.field(static=True, default=0.05844)  # kg/mol
    gas_constant: float = eqx.field(static=True, default=GAS)  # J/mol/K

    def __call__(self, w: Array, concentration: Array, temperature: Array) -> Array:
        return self.particles * self.gas_constant * temperature * concentration / self.molar_mass


def _beyond(law, w: Array) -> Array:
    """``law(w)`` up to saturation, its tangent beyond: finite and rising for whatever an iteration tries."""
    inside = jnp.minimum(w, SATURATED)
    high = jnp.asarray(SATURATED, w.dtype)
    step = 1e-4
    slope = (law(high) - law(high - step)) / step
    return law(inside) + jnp.maximum(w - SATURATED, 0.0) * slope


class QuadraticNaCl(eqx.Module):
    """``Pi = 2 phi m 1000 R T``, ``phi = 0.918 + 0.0889 w + 4.92 w^2``, ``m = w/(1 - w)/M``.

    The NaCl property package of WaterTAP (open source), fitted at 298.15 K; within 1 % of Pitzer for 2 to 8 % NaCl.
    """

    def __call__(self, w: Array, concentration: Array, temperature: Array) -> Array:
        def law(w: Array) -> Array:
            molality = w / (1.0 - w) / 0.05844
            return 2.0 * (0.918 + w * (0.0889 + 4.92 * w)) * molality * 1000.0 * GAS * temperature

        return _beyond(law, w)


class PitzerNaCl(eqx.Module):
    """``phi = 1 - A sqrt(m)/(1 + 1.2 sqrt(m)) + m (b0 + b1 exp(-2 sqrt(m))) + m^2 C``, ``Pi = 2 phi m M_w R T/V_w``.

    Within 0.3 % of tables to 6 mol/kg at 25 C. Pitzer and Mayorga 1973, doi 10.1021/j100621a026; the coefficients are those
    of 25 C, from memory of the source.
    """

    def coefficient(self, molality: Array) -> Array:
        """Osmotic coefficient at 25 C; molality in mol/kg."""
        root = jnp.sqrt(jnp.maximum(molality, 1e-30))
        virial = molality * (0.0765 + 0.2664 * jnp.exp(-2.0 * root)) + molality**2 * 0.00127
        return 1.0 - 0.3915 * root / (1.0 + 1.2 * root) + virial

    def __call__(self, w: Array, concentration: Array, temperature: Array) -> Array:
        def law(w: Array) -> Array:
            molality = w / (1.0 - w) / 0.05844
            return 2.0 * self.coefficient(molality) * molality * 0.0180153 * GAS * temperature / 1.8069e-5

        return _beyond(law, w)


class SeaSalt(eqx.Module):
    """Sea salt: ``Pi = phi(S, T) m rho_w R T`` with ``m = S/(1 - S)/0.0314038``; 0 to 200 C, 10 to 120 g/kg.

    25.89 bar at 35 g/kg and 25 C. Sharqawy, Lienhard and Zubair 2010, doi 10.5004/dwt.2010.1079; the coefficients from memory of
    the source, against its published values .9029 (10 g/kg, 50 C) and .9106 (50 g/kg, 10 C).
    """

    def coefficient(self, w: Array, temperature: Array) -> Array:
        """Osmotic coefficient; ``w`` in kg/kg."""
        t = temperature - 273.15
        first = 8.9453e-1 + t * (4.1561e-4 + t * -4.6262e-6) + 2.2211e-11 * t**4
        second = -1.1445e-1 + t * -1.4783e-3 + -1.3526e-8 * t**3
        return first + w * (second + w * (7.0132 + t * (5.696e-2 + t * -2.8624e-4)))

    def __call__(self, w: Array, concentration: Array, temperature: Array) -> Array:
        def law(w: Array) -> Array:
            molality = w / (1.0 - w) / 0.0314038
            return self.coefficient(w, temperature) * molality * water_density(temperature) * GAS * temperature

        return _beyond(law, w)
