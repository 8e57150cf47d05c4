"""The membrane of reverse osmosis: water permeance A and salt permeability B."""

import math
from collections.abc import Callable

import equinox as eqx
import jax.numpy as jnp
from jax import Array

from .._fields import check, field
from ..constants import STANDARD_TEMPERATURE
from .provenance import Provenance


class MakerTemperature(eqx.Module):
    """``TCF = exp[K (1/298 - 1/T)]``, K = 2640 above 25 C and 3020 below, ``T = t + 273``: of both A and B.

    The rule of a maker's manual (second-hand); its slope jumps at 25 C. Trusted between 5 and 45 C.
    """

    def __call__(self, temperature: Array) -> Array:
        t = temperature - STANDARD_TEMPERATURE + 298.0
        return jnp.exp(jnp.where(t > 298.0, 2640.0, 3020.0) * (1.0 / 298.0 - 1.0 / t))


class NoTemperature(eqx.Module):
    """A and B are those of the case's temperature already."""

    def __call__(self, temperature: Array) -> Array:
        return jnp.ones_like(temperature)


class SolutionDiffusionMembrane(eqx.Module):
    """``J_w = A (dP - sigma dPi)``, ``J_s = B (c_m - c_p) + (1 - sigma) J_w c_m``, A and B at 25 C.

    ``reflection = 1`` is solution-diffusion (Wijmans and Baker 1995, doi 10.1016/0376-7388(95)00102-I); below 1 it adds the
    convective leak of Spiegler and Kedem (1966, doi 10.1016/S0011-9164(00)80018-1) in linear form. Seawater membranes: A 0.7 to
    1.5 LMH/bar, B 1e-8 to 1e-7 m/s; brackish: 3 to 8 LMH/bar, 1e-7 to 1e-6 m/s.
    """

    water_permeance: Array = field(
        unit="m/s/Pa", low=1e-15, high=1e-8, usual=3e-12, symbol="A", hint="LMH_per_bar", doc="water permeance at 25 C"
    )
    salt_permeability: Array = field(
        unit="m/s", low=0.0, high=1e-3, usual=3e-8, symbol="B", hint="um_per_s", doc="salt permeability at 25 C"
    )
    reflection: Array = field(unit="1", low=0.0, high=1.0, symbol="sigma", doc="reflection coefficient", default=1.0)
    temperature: Callable = MakerTemperature()
    provenance: Provenance = Provenance()

    def __check_init__(self) -> None:
        check(self)


def rejection_to_permeability(rejection: float, flux: float) -> float:
    """B that gives a real rejection at a flux: ``B = J (1 - R)/R``, m/s."""
    if not 0.0 < rejection <= 1.0 or not math.isfinite(flux):
        raise ValueError(f"rejection = {rejection} is outside (0, 1]. Give a fraction: for 99.4 % write 0.994.")
    return flux * (1.0 - rejection) / rejection
