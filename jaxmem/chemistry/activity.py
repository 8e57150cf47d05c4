"""Activity coefficients of ions."""

import math

import equinox as eqx
import jax.numpy as jnp
from jax import Array

from .._errors import JaxmemError, unknown
from ..constants import AVOGADRO, BOLTZMANN, ELEMENTARY_CHARGE, VACUUM_PERMITTIVITY


def debye_factor(permittivity: Array, temperature: Array, density: float = 1000.0) -> Array:
    """``A`` of Debye and Hueckel, per sqrt(mol/L): ``sqrt(2 pi N_A rho)/ln 10 (e^2/(4 pi eps0 eps k T))^(3/2)``.

    0.5110 at 25 C with eps = 78.36 and rho = 1000 kg/m3.
    """
    bjerrum = ELEMENTARY_CHARGE**2 / (4.0 * jnp.pi * VACUUM_PERMITTIVITY * permittivity * BOLTZMANN * temperature)
    return jnp.sqrt(2.0 * jnp.pi * AVOGADRO * density) / jnp.log(10.0) * bjerrum**1.5


class Davies(eqx.Module):
    """Davies: ``log10 gamma = -A z^2 [sqrt(I)/(1 + sqrt(I)) - b I]``, good to about 0.5 mol/L.

    ``ln gamma`` turns over at higher strength: results carry ``ionic_strength`` and a flag. In the pore the same formula
    with bulk permittivity is an assumption, not a measurement. Source: Davies 1962, Ion Association, Butterworths.
    """

    b: float = eqx.field(static=True, default=0.3)
    strength: str = eqx.field(static=True, default="molar")  # or "molal"
    in_pore: bool = eqx.field(static=True, default=True)
    debye: float | None = eqx.field(static=True, default=None)  # A; from temperature and permittivity when None

    def __check_init__(self) -> None:
        if self.strength not in ("molar", "molal"):
            raise unknown("Davies strength", self.strength, ("molar", "molal"), 'Write jm.Davies(strength="molar").')
        for name in ("b", "debye"):
            value = getattr(self, name)
            if not (isinstance(value, int | float) and math.isfinite(value)) and (name == "b" or value is not None):
                raise JaxmemError(f"Davies.{name} = {value!r} is not a number. Write jm.Davies(b=0.3).")

    def log_gamma(self, charge: Array, strength: Array, permittivity: Array, temperature: Array) -> Array:
        """``ln gamma`` for charges ``(*batch, S)`` at ionic strengths ``(*batch, 1)`` in mol/L."""
        a = debye_factor(permittivity, temperature) if self.debye is None else self.debye
        root = jnp.sqrt(strength + 1e-30)
        return -a * jnp.log(10.0) * charge**2 * (root / (1.0 + root) - self.b * strength)
