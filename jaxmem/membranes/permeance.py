"""Membranes without a pore: a permeance per ion (SDEM), or reflection and permeability (Spiegler-Kedem)."""

import equinox as eqx
import jax.numpy as jnp
from jax import Array

from .._errors import ShapeError, unknown
from .._fields import check, field
from ..chemistry.species import Species, canonical


class PermeanceMembrane(eqx.Module):
    """Solution-diffusion-electromigration: one permeance per species, ``jm.PermeanceMembrane.of({"Na+": 7e-4, "Cl-": 4.6e-6})``.

    Yaroshchuk and Bruening 2017, doi 10.1016/j.memsci.2016.09.042. ``water_permeance`` is needed with ``PressureDriven`` only.
    """

    names: tuple[str, ...] = eqx.field(static=True)
    permeance: Array = field(
        unit="m/s", ndim=1, low=1e-14, high=1.0, symbol="P", hint="um_per_s", doc="permeance per species"
    )
    water_permeance: Array = field(
        unit="m/s/Pa", low=1e-15, high=1e-8, symbol="A", hint="LMH_per_bar", doc="water permeance", default=3e-11
    )
    provenance: object = None

    def __check_init__(self) -> None:
        check(self)
        if hasattr(self.permeance, "shape") and self.permeance.shape[-1:] != (len(self.names),):
            raise ShapeError(
                f"PermeanceMembrane.permeance has shape {self.permeance.shape} for {len(self.names)} names {self.names}."
            )

    @classmethod
    def of(cls, permeance: dict, **others) -> "PermeanceMembrane":
        """From ``{"Na+": 7.5e-4, ...}`` in m/s."""
        return cls(
            tuple(canonical(n) for n in permeance),
            jnp.stack(jnp.broadcast_arrays(*map(jnp.asarray, permeance.values())), -1) * 1.0,
            **others,
        )

    def of_species(self, which: Species) -> Array:
        """Permeances in the order of a mixture's species, ``(*batch, S)``."""
        for name in which.names:
            if name not in self.names:
                raise unknown("Permeance of", name, self.names, f'Write PermeanceMembrane.of({{..., "{name}": 1e-6}}).')
        return self.permeance[..., jnp.asarray([self.names.index(n) for n in which.names])]


class SpieglerKedemMembrane(eqx.Module):
    """Reflection coefficient and solute permeability, of a salt as a whole (all its ions alike) or per neutral solute.

    Spiegler and Kedem 1966, doi 10.1016/S0011-9164(00)80018-1. Scalars apply to every species; per-species arrays
    ``(*batch, S)`` must be equal for all ions, or the permeate would carry a charge (use SDEM for that).
    """

    reflection: Array = field(unit="1", ndim=1, low=0.0, high=1.0, symbol="sigma", doc="reflection coefficient")
    permeability: Array = field(
        unit="m/s", ndim=1, low=0.0, high=1.0, symbol="P_s", hint="um_per_s", doc="solute permeability"
    )
    water_permeance: Array = field(
        unit="m/s/Pa", low=1e-15, high=1e-8, symbol="A", hint="LMH_per_bar", doc="water permeance", default=3e-11
    )
    provenance: object = None

    def __init__(self, reflection, permeability, water_permeance=3e-11, provenance=None):
        self.reflection = jnp.atleast_1d(jnp.asarray(reflection, float))
        self.permeability = jnp.atleast_1d(jnp.asarray(permeability, float))
        self.water_permeance = jnp.asarray(water_permeance, dtype=None if hasattr(water_permeance, "dtype") else float)
        self.provenance = provenance

    def __check_init__(self) -> None:
        check(self)
