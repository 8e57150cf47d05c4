"""What happens on a boundary; the names say what they fix. ``n`` points outward, ``v`` is the velocity along it."""

from collections.abc import Callable

import equinox as eqx
import jax.numpy as jnp
from jax import Array

from .._fields import check, field


class Natural(eqx.Module):
    """Nothing is said: the weak form decides, see its docstring."""


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

    transfer: Array = field(unit="m/s", low=0.0, usual=1e-5, symbol="h", doc="transfer coefficient")
    outside: Array = field(unit="mol/m3", symbol="C_inf", doc="concentration outside", default=0.0)

    def __check_init__(self) -> None:
        check(self)


class Permeable(eqx.Module):
    """``v C - D C' = permeability C``: what leaves is proportional to what is there, as through a membrane."""

    permeability: Array = field(unit="m/s", low=0.0, usual=1e-7, symbol="P", doc="total flux over concentration")

    def __check_init__(self) -> None:
        check(self)


class Integrand(eqx.Module):
    """``int g(points) phi`` over the boundary is added to the weak form; ``g`` is a function of ``fem.Points``."""

    function: Callable


Outlet = Dirichlet | Gradient | TotalFlux | Robin | Permeable
Condition = Outlet | Natural


def outflow(outlet: Condition, concentration: Array, velocity: Array, diffusivity: Array) -> Array:
    """``D dC/dn``: what the weak form integrates by parts. Zero for a Dirichlet boundary, whose rows are replaced."""
    if isinstance(outlet, Gradient):
        return diffusivity * outlet.slope
    if isinstance(outlet, TotalFlux):
        return velocity * concentration - outlet.flux
    if isinstance(outlet, Permeable):
        return (velocity - outlet.permeability) * concentration
    if isinstance(outlet, Robin):
        return -outlet.transfer * (concentration - outlet.outside)
    return jnp.zeros_like(concentration)
