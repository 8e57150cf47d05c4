"""What happens at an end of the domain. Values are scaled by the caller; the names say which flux they fix."""

import equinox as eqx
import jax.numpy as jnp
from jax import Array

from .._fields import check, field


class Dirichlet(eqx.Module):
    """``C = value`` (mol/m3)."""

    value: Array = field(unit="mol/m3", symbol="C_L", doc="concentration at the outlet")

    def __check_init__(self) -> None:
        check(self)


class Gradient(eqx.Module):
    """``C' = slope`` (mol/m4); zero is the natural condition, which leaves the advective flux free."""

    slope: Array = field(unit="mol/m4", symbol="g", doc="gradient at the outlet", default=0.0)

    def __check_init__(self) -> None:
        check(self)


class TotalFlux(eqx.Module):
    """``v C - D C' = flux`` (mol/m2/s) out of the domain."""

    flux: Array = field(unit="mol/m2/s", symbol="q", doc="total flux through the outlet", default=0.0)

    def __check_init__(self) -> None:
        check(self)


class Robin(eqx.Module):
    """``-D C' = transfer (C - outside)``."""

    transfer: Array = field(unit="m/s", low=0.0, symbol="h", doc="transfer coefficient")
    outside: Array = field(unit="mol/m3", symbol="C_inf", doc="concentration outside", default=0.0)

    def __check_init__(self) -> None:
        check(self)


class Permeable(eqx.Module):
    """``v C - D C' = permeability C``: what leaves is proportional to what is there, as through a membrane."""

    permeability: Array = field(unit="m/s", low=0.0, symbol="P", doc="total flux over concentration")

    def __check_init__(self) -> None:
        check(self)


Outlet = Dirichlet | Gradient | TotalFlux | Robin | Permeable


def outflow(outlet: Outlet, concentration: Array, velocity: Array, diffusivity: Array) -> Array:
    """``D C'`` at the outlet: what the weak form integrates by parts. Zero for a Dirichlet end, whose row is replaced."""
    if isinstance(outlet, Gradient):
        return diffusivity * outlet.slope
    if isinstance(outlet, TotalFlux):
        return velocity * concentration - outlet.flux
    if isinstance(outlet, Permeable):
        return (velocity - outlet.permeability) * concentration
    if isinstance(outlet, Robin):
        return -outlet.transfer * (concentration - outlet.outside)
    return jnp.zeros_like(concentration)
