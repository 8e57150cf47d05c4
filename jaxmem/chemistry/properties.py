"""Properties of water, and the temperature dependence of diffusion."""

import jax.numpy as jnp
from jax import Array

from ..constants import STANDARD_TEMPERATURE


def water_viscosity(temperature: Array) -> Array:
    """Dynamic viscosity of water at 0.1 MPa, Pa s: ``1e-6 sum a_i (T/300)^b_i``; 253 to 383 K, within 1 %.

    Source: Patek et al. 2009, doi 10.1063/1.3043575 (IAPWS 2008 supplementary release). 0.890 mPa s at 298.15 K.
    """
    x = temperature / 300.0
    return 1e-6 * (280.68 * x**-1.9 + 511.45 * x**-7.7 + 61.131 * x**-19.6 + 0.45903 * x**-40.0)


def water_permittivity(temperature: Array) -> Array:
    """Relative permittivity of water, 273 to 373 K: Malmberg and Maryott 1956 (doi 10.6028/jres.056.001), scaled to 78.36 at 25 C."""

    def shape(t: Array | float) -> Array | float:
        return 87.740 - 0.40008 * t + 9.398e-4 * t**2 - 1.410e-6 * t**3

    return jnp.asarray(shape(temperature - 273.15) * (78.36 / shape(25.0)))


def water_density(temperature: Array) -> Array:
    """Density of air-free water, kg/m3, 0 to 100 C: Kell 1975, doi 10.1021/je60064a005. 997.05 at 25 C."""
    t = temperature - 273.15
    top = 999.83952 + t * (
        16.945176 + t * (-7.9870401e-3 + t * (-46.170461e-6 + t * (105.56302e-9 - 280.54253e-12 * t)))
    )
    return top / (1.0 + 16.879850e-3 * t)


def diffusivity_at(diffusivity: Array, temperature: Array) -> Array:
    """Diffusivity from its value at 25 C, ``D T / mu(T)`` constant (Stokes-Einstein with a fixed radius); shapes broadcast."""
    standard = jnp.asarray(STANDARD_TEMPERATURE, jnp.asarray(temperature).dtype)
    return diffusivity * (temperature / standard) * (water_viscosity(standard) / water_viscosity(temperature))
