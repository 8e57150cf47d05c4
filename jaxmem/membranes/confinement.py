"""What confinement does to the water of a pore: its permittivity and its viscosity.

Permittivity laws ``law(pore_permittivity, pore_radius, bulk) -> eps_p``; viscosity laws ``law(pore_radius) -> (mu_p/mu in
diffusion, mu_p/mu in Hagen-Poiseuille)``; arrays ``(*batch)``, SI.
"""

import equinox as eqx
import jax.numpy as jnp
from jax import Array

from .._fields import check, field

WATER = 0.28e-9  # m, thickness of one layer of water molecules


class ConstantPermittivity(eqx.Module):
    """``eps_p = pore_permittivity``, a parameter of the membrane."""

    def __call__(self, pore_permittivity: Array, pore_radius: Array, bulk: Array) -> Array:
        """As given."""
        return pore_permittivity


class OrientedLayer(eqx.Module):
    """One layer of oriented water at the wall: ``eps_p = eps_b - 2 (eps_b - eps*)(d/r_p) + (eps_b - eps*)(d/r_p)^2``.

    The membrane's ``pore_permittivity`` is then not used. ``eps*`` of 6 and d = 0.28 nm after Bowen and Welfoot 2002
    (doi 10.1016/S0009-2509(01)00413-4), recalled; 31 is in use too. Meant for ``r_p > d``: narrower pores are full of the layer.
    """

    layer_permittivity: Array = field(
        unit="1", low=1.0, high=200.0, symbol="eps*", doc="relative permittivity of the oriented layer", default=6.0
    )
    thickness: Array = field(
        unit="m", low=1e-11, high=1e-8, symbol="d", hint="nm", doc="layer thickness", default=WATER
    )

    def __check_init__(self) -> None:
        check(self)

    def __call__(self, pore_permittivity: Array, pore_radius: Array, bulk: Array) -> Array:
        """From the pore radius and the permittivity of the bulk."""
        x = jnp.minimum(self.thickness / pore_radius, 1.0)
        return bulk - (bulk - self.layer_permittivity) * x * (2.0 - x)


class BulkViscosity(eqx.Module):
    """The water of the pore flows and lets diffuse like that of the bulk."""

    def __call__(self, pore_radius: Array) -> tuple[Array, Array]:
        """Ones."""
        one = jnp.ones_like(pore_radius)
        return one, one


class ConfinedViscosity(eqx.Module):
    """``mu_p/mu = 1 + 18 d/r_p - 9 (d/r_p)^2``, d = 0.28 nm; in diffusion (``D mu`` constant), in the water flow, or in both.

    Bowen and Welfoot 2002 (doi 10.1016/S0009-2509(01)00413-4), recalled. 8.3 at 0.5 nm; beyond ``r_p = d`` it is held at 10.
    """

    in_diffusion: bool = eqx.field(static=True, default=True)
    in_flow: bool = eqx.field(static=True, default=True)
    thickness: Array = field(
        unit="m", low=1e-11, high=1e-8, symbol="d", hint="nm", doc="layer thickness", default=WATER
    )

    def __check_init__(self) -> None:
        check(self)

    def __call__(self, pore_radius: Array) -> tuple[Array, Array]:
        """Ratios of viscosity, pore over bulk."""
        x = jnp.minimum(self.thickness / pore_radius, 1.0)
        ratio, one = 1.0 + x * (18.0 - 9.0 * x), jnp.ones_like(x)
        return (ratio if self.in_diffusion else one), (ratio if self.in_flow else one)
