"""Diffusivities that follow the concentration, as factors of the dilute value."""

import equinox as eqx
import jax.numpy as jnp
from jax import Array

from .._fields import check, field


class ConstantDiffusivity(eqx.Module):
    """``D = D_0``."""

    linear = True

    def __call__(self, concentration: Array) -> Array:
        return jnp.ones_like(concentration)


class ExponentialDiffusivity(eqx.Module):
    """``D = D_0 exp(-alpha C)``, C in mol/m3. Najdawi 2025, doi 10.4236/eng.2025.1710029 (Eq. 3)."""

    alpha: Array = field(
        unit="m3/mol", low=-1.0, high=1.0, usual=1e-4, symbol="alpha", doc="decay of diffusivity with concentration"
    )
    linear = False

    def __check_init__(self) -> None:
        check(self)

    def __call__(self, concentration: Array) -> Array:
        return jnp.exp(-self.alpha * concentration)


class FirstOrderDiffusivity(eqx.Module):
    """``D = D_0 (1 - alpha C)``: the linearised form, of use where alpha C is small. Not positive beyond ``C = 1/alpha``."""

    alpha: Array = field(
        unit="m3/mol", low=-1.0, high=1.0, usual=1e-4, symbol="alpha", doc="decay of diffusivity with concentration"
    )
    linear = False

    def __check_init__(self) -> None:
        check(self)

    def __call__(self, concentration: Array) -> Array:
        return 1.0 - self.alpha * concentration
