"""Membranes without a pore: a permeance per ion (SDEM), or reflection and permeability (Spiegler-Kedem)."""

import dataclasses
from collections.abc import Callable

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jax import Array

from .._errors import ShapeError, UnknownNameError, unknown
from .._fields import check, field
from ..chemistry.mixture import Mixture
from ..chemistry.species import Species, canonical, pretty, records
from .provenance import Provenance


def _known(name: str) -> str | None:
    """Its name in the table; None for an ion of the user's own."""
    try:
        return canonical(name)
    except UnknownNameError:
        return None


class ConstantPermeance(eqx.Module):
    """Permeances do not depend on the water."""

    def __call__(self, permeance: Array, feed: Mixture) -> Array:
        """``permeance (*batch, S)`` in the order of the feed's species, to the same."""
        return permeance


class DonnanShift(eqx.Module):
    """``ln P_i = ln permeance_i - z_i s`` with ``s = cation y_M + anion y_S``: the membrane's potential follows its water.

    ``y_M`` and ``y_S`` are the equivalent fractions of multivalent cations and anions in the feed; ``s > 0`` keeps cations out and lets anions in,
    as a membrane does that magnesium has made positive. Two numbers in place of permeances for each salt.
    """

    cation: Array = field(unit="1", low=-30.0, high=30.0, symbol="s_M", doc="shift by multivalent cations", default=0.0)
    anion: Array = field(unit="1", low=-30.0, high=30.0, symbol="s_S", doc="shift by multivalent anions", default=0.0)

    def __check_init__(self) -> None:
        check(self)

    def __call__(self, permeance: Array, feed: Mixture) -> Array:
        """``permeance (*batch, S)`` in the order of the feed's species, to the same."""
        cations, anions = feed.multivalent_fraction
        shift = self.cation * cations + self.anion * anions
        return permeance * jnp.exp(-feed.species.charge * shift[..., None])


class PermeanceMembrane(eqx.Module):
    """Solution-diffusion-electromigration: one permeance per species, ``jm.PermeanceMembrane.of({"Na+": 7e-4, "Cl-": 4.6e-6})``.

    Yaroshchuk and Bruening 2017, doi 10.1016/j.memsci.2016.09.042. ``water_permeance`` is needed with ``PressureDriven`` only.
    ``law`` is a callable: how permeances follow the feed.
    """

    names: tuple[str, ...] = eqx.field(static=True)
    permeance: Array = field(
        unit="m/s", ndim=1, low=1e-14, high=1.0, symbol="P", hint="um_per_s", doc="permeance per species"
    )
    water_permeance: Array = field(
        unit="m/s/Pa", low=1e-15, high=1e-8, symbol="A", hint="LMH_per_bar", doc="water permeance", default=3e-11
    )
    law: Callable = ConstantPermeance()
    provenance: Provenance = Provenance()

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
                raise unknown(
                    "Permeance of",
                    name,
                    self.names,
                    f'Write PermeanceMembrane.of({{..., "{name}": 1e-6}}), or membrane.borrowing("{name}").',
                )
        return self.permeance[..., jnp.asarray([self.names.index(n) for n in which.names])]

    def borrowing(self, name: str, like: str | None = None) -> "PermeanceMembrane":
        """With the permeance of an ion that nobody measured, ``P = P_like D/D_like``; ``like`` has the same charge and, unless it is named, the nearest mobility.

        A guess to begin with, which ``provenance.warning`` says from then on. On NF270 with four salts (doi 10.3390/membranes11040272), cations
        borrowed so (Na+ from NH4+ and the reverse) have every sign right and a root mean square error of 0.13 in rejection. Anions of one charge differ by
        what this does not know (hydration): NO3- borrowed from Cl- is off by 0.6. Replaces the permeance of ``name`` where there is one.
        """
        name = canonical(name)
        table, others = records(), [n for n in self.names if _known(n) != name]
        charge, mobility = (float(table[name][k]) for k in ("charge", "diffusivity"))
        ratio = {n: mobility / float(table[_known(n)]["diffusivity"]) for n in others if _known(n)}
        alike = [n for n in ratio if float(table[_known(n)]["charge"]) == charge]
        lender = min(alike, key=lambda n: abs(np.log(ratio[n])), default=None)
        if like is not None:
            lender = next((n for n in alike if _known(n) == canonical(like)), None)
        if lender is None:
            raise UnknownNameError(
                f"{name} has charge {charge:+.0f} and can borrow from {', '.join(alike) or 'none'} of {', '.join(others)}"
                f'{"" if like is None else f", not from {like}"}. Write PermeanceMembrane.of({{..., "{name}": 1e-6}}).'
            )
        kept = jnp.asarray([self.names.index(n) for n in others])
        lent = self.permeance[..., self.names.index(lender)] * ratio[lender]
        said = f"permeance of {pretty(name)} is that of "
        before = [x for x in self.provenance.warning.split("; ") if x and not x.startswith(said)]
        said += f"{pretty(lender)} times the ratio of their mobilities"
        return dataclasses.replace(
            self,
            names=(*others, name),
            permeance=jnp.concatenate([self.permeance[..., kept], lent[..., None]], axis=-1),
            provenance=dataclasses.replace(self.provenance, warning="; ".join([*before, said])),
        )

    def in_contact_with(self, feed: Mixture) -> Array:
        """Permeances beside a feed, m/s, ``(*batch, S)`` in the order of its species."""
        return self.law(self.of_species(feed.species), feed)


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
    provenance: Provenance = Provenance()

    def __init__(self, reflection, permeability, water_permeance=3e-11, provenance=Provenance()):
        self.reflection = jnp.atleast_1d(jnp.asarray(reflection, float))
        self.permeability = jnp.atleast_1d(jnp.asarray(permeability, float))
        self.water_permeance = jnp.asarray(water_permeance, dtype=None if hasattr(water_permeance, "dtype") else float)
        self.provenance = provenance

    def __check_init__(self) -> None:
        check(self)
