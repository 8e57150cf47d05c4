r"""Similarity: what a binary salt beside a membrane has in common with others, and back to SI.

Scales: length L, equivalents c0 of the bulk, potential RT/F, time L^2/D, velocity D/L, current F D c0/L, with the diffusivity of the salt
``D = (z_1 - z_2) D_1 D_2/(z_1 D_1 - z_2 D_2)``. Groups:

    eps   = lambda_D/L, lambda_D^2 = e RT/(2 F^2 c0)     Debye length; Poisson's coefficient is 2 eps^2
    kappa = e (RT/F)^2/(mu D)                              what electric force does against viscosity; a constant of the fluid
    Pe = V0 L/D,  Sc = mu/(rho D),  Re = Pe/Sc,  K_el = kappa/(Re Pe)
"""

import warnings
from typing import Any, NamedTuple

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.core import Tracer
from jax.typing import ArrayLike

from ..._errors import JaxmemError, PhysicalRangeError, ShapeError
from ..._fields import check, field, float_array, is_concrete, outside, quantities, range_message
from ...case import Case
from ...chemistry.mixture import Mixture
from ...chemistry.properties import water_density
from ...chemistry.species import species
from ...conditions import CurrentDriven, Voltage, VoltageSweep
from ...constants import FARADAY, GAS, STANDARD_TEMPERATURE, VACUUM_PERMITTIVITY


def debye(*, eps: ArrayLike | None = None, nu_D: ArrayLike | None = None, eps_U: ArrayLike | None = None) -> Array:
    """The Debye ratio in jaxmem's convention from any of three: ``eps``; ``nu_D`` (Demekhin), ``nu_D^2 = 2 eps^2``; ``eps_U``
    (Urtenov, Kovalenko), ``eps_U = 2 eps^2``, a squared ratio."""
    given = {"eps": eps, "nu_D": nu_D, "eps_U": eps_U}
    named = [name for name, value in given.items() if value is not None]
    if len(named) != 1:
        raise JaxmemError(f"debye() takes one of eps, nu_D, eps_U; got {named or 'none'}. Write jm.debye(eps=1e-3).")
    name = named[0]
    value = jnp.asarray(float_array(given[name]), float)
    positive = jnp.where(value > 0.0, value, jnp.nan)  # a square forgets the sign
    ratio = {"eps": positive, "nu_D": positive / np.sqrt(2.0), "eps_U": jnp.sqrt(positive / 2.0)}[name]
    meta = quantities(Groups)["eps"]
    if is_concrete(ratio) and ratio.size and bool(np.all(outside(np.asarray(ratio), meta))):
        own = {"eps": lambda x: x, "nu_D": lambda x: x * np.sqrt(2.0), "eps_U": lambda x: 2.0 * x**2}[name]
        bounds = {key: own(meta[key]) for key in ("low", "high", "usual")}
        raise PhysicalRangeError(range_message(name, float(np.ravel(np.asarray(value))[0]), {**meta, **bounds}))
    return ratio


_SALTS = 1e-10, 1e-8  # m2/s: diffusivities of salts in water, with a margin


class Scales(NamedTuple):
    """What one unit of each scaled quantity is in SI, ``(*batch)``."""

    length: Array  # m
    concentration: Array  # equivalents, mol/m3
    potential: Array  # V
    diffusivity: Array  # m2/s

    @property
    def time(self) -> Array:
        """s."""
        return self.length**2 / self.diffusivity

    @property
    def velocity(self) -> Array:
        """m/s."""
        return self.diffusivity / self.length

    @property
    def current(self) -> Array:
        """A/m2."""
        return FARADAY * self.diffusivity * self.concentration / self.length


class Groups(eqx.Module):
    """The similarity criteria, ``(*batch)``. ``jm.similarity(case)`` finds them; ``.case(...)`` goes back to SI.

    ``kappa`` and ``schmidt`` are constants of a salt and a temperature: a set of groups with several Schmidt numbers is one of several fluids, of which
    a warning tells. Stokes flow does not see it, and the way back to SI keeps it for diffusivities from 1e-10 to 3e-9 m2/s.
    """

    eps: Array = field(
        unit="1", low=1e-7, high=1.0, usual=1e-3, symbol="eps", doc="Debye length over L; enter it by jm.debye(...)"
    )
    kappa: Array = field(unit="1", low=2e-4, high=400.0, symbol="kappa", doc="electric over viscous force", default=0.5)
    diffusivity_ratio: Array = field(
        unit="1", low=0.02, high=50.0, symbol="D+/D-", doc="cation over anion", default=1.0
    )
    peclet: Array = field(unit="1", low=0.0, high=1e8, symbol="Pe", doc="mean velocity in D/L", default=0.0)
    schmidt: Array = field(unit="1", low=1.0, high=1e7, symbol="Sc", doc="viscosity over diffusivity", default=1e3)
    charges: tuple[int, int] = eqx.field(static=True, default=(1, -1))

    def __check_init__(self) -> None:
        check(self)
        try:
            jnp.broadcast_shapes(*(jnp.shape(getattr(self, name)) for name in quantities(Groups)))
        except ValueError as error:
            shapes = ", ".join(f"{name} {jnp.shape(getattr(self, name))}" for name in quantities(Groups))
            raise ShapeError(
                f"These criteria do not go together: {shapes}. Give each one number, or all the same axes."
            ) from error
        z = self.charges
        if not (isinstance(z, tuple) and len(z) == 2 and all(type(x) is int for x in z) and z[0] > 0 > z[1]):
            raise JaxmemError(f"charges = {z!r} are no cation and anion. Write charges=(2, -1), whole numbers.")
        if is_concrete(self.schmidt) and np.size(self.schmidt) > 1 and np.ptp(np.asarray(self.schmidt)) > 0.0:
            low, high = float(np.min(self.schmidt)), float(np.max(self.schmidt))
            warnings.warn(
                f"Sc = Pe/Re varies from {low:.4g} to {high:.4g}: every one is another fluid. Of one salt at one temperature Sc and kappa are constants, and Re "
                "follows Pe: write jm.Groups(eps, kappa, peclet=pe).",
                stacklevel=3,
            )

    @classmethod
    def from_reynolds(cls, eps: ArrayLike, reynolds: ArrayLike, peclet: ArrayLike, **others: Any) -> "Groups":
        """With ``Sc = Pe/Re`` in place of a Schmidt number; warns where that makes several fluids of one."""
        re, pe = jnp.asarray(reynolds, float), jnp.asarray(peclet, float)
        made = cls(eps, peclet=pe, schmidt=pe / re, **others)
        if is_concrete(made.schmidt) and is_concrete(made.kappa):
            salt = np.asarray(made._salt_diffusivity())
            if not np.any((salt > _SALTS[0]) & (salt < _SALTS[1])):
                warnings.warn(
                    f"Sc = Pe/Re = {_first(made.schmidt)} with kappa = {_first(made.kappa)} is no salt in water: it would diffuse with {_first(salt)} m2/s. "
                    "Of NaCl at 25 C Sc is 553 and kappa 0.32: Re is Pe/553.",
                    stacklevel=2,
                )
        return made

    def _salt_diffusivity(self) -> Array:
        """In water at 25 C: ``D^2 = e (RT/F)^2/(kappa Sc rho)``."""
        t = jnp.asarray(STANDARD_TEMPERATURE)
        thermal = GAS * t / FARADAY
        permittivity = VACUUM_PERMITTIVITY * Mixture(species("Na+", "Cl-"), jnp.ones(2)).water_permittivity
        return jnp.sqrt(permittivity * thermal**2 / (self.kappa * self.schmidt * water_density(t)))

    @property
    def reynolds(self) -> Array:
        """``Pe/Sc``."""
        return self.peclet / self.schmidt

    @property
    def electric(self) -> Array:
        """``K_el = kappa/(Re Pe)``; infinite without flow."""
        return self.kappa / (self.reynolds * self.peclet)

    def case(
        self, membrane: object, *, thickness: ArrayLike = 1e-4, box: ArrayLike | None = None, **imposed: Any
    ) -> Case:
        """A case in SI with these groups over a ``thickness`` in m: ``voltage=20.0``, ``sweep=[...]`` (RT/F) or ``current=1.5`` (F D c0/L).
        ``box`` is the period along the membrane, in L."""
        kinds = {"voltage": Voltage, "sweep": VoltageSweep, "current": CurrentDriven}
        if len(imposed) != 1 or next(iter(imposed)) not in kinds:
            raise JaxmemError(
                f"Impose one of voltage, sweep, current; got {sorted(imposed)}. Write groups.case(membrane, voltage=20.0)."
            )
        what, given = next(iter(imposed.items()))
        value, gap = (jnp.asarray(float_array(x), float) for x in (given, thickness))
        if is_concrete(gap) and not bool(np.all(np.asarray(gap) > 0.0)):
            raise PhysicalRangeError(
                f"thickness = {_first(gap)} is no length. Write groups.case(..., thickness=1e-4), in m."
            )
        period = None if box is None else jnp.asarray(float_array(box), float) * gap
        try:
            feed = self.mixture(gap)
            scale = scales(feed, gap)
            unit = scale.current if what == "current" else scale.potential
            value = value * (unit[..., None] if what == "sweep" and unit.ndim else unit)
            return Case(feed, membrane, kinds[what](value, gap, period, self.peclet * scale.velocity))
        except PhysicalRangeError as error:
            text = f"In SI, over {_first(gap)} m, {what} = {_first(given)} with {self._said()} is out of range: {error}"
            if "concentration" in str(error):
                text += " Scaled results are the same over any thickness: write groups.case(..., thickness=1e-3) for a weaker salt."
            raise PhysicalRangeError(text) from error

    def _said(self) -> str:
        """The first of each criterion."""
        return ", ".join(f"{name} = {_first(getattr(self, name))}" for name in ("eps", "kappa", "peclet"))

    def mixture(self, thickness: ArrayLike = 1e-4) -> Mixture:
        """A salt at 25 C with these groups over a thickness in m; its names are those of table salt, its numbers are not."""
        z1, z2 = self.charges
        t, names = jnp.asarray(STANDARD_TEMPERATURE), ("Na+", "Cl-")
        table = species(*names)
        water = Mixture(table, jnp.ones(2))
        permittivity = VACUUM_PERMITTIVITY * water.water_permittivity
        thermal = GAS * t / FARADAY
        share = (z1 * self.diffusivity_ratio - z2) / ((z1 - z2) * self.diffusivity_ratio)  # D- over that of the salt
        high = jnp.minimum(3e-9, 1.9e-8 / jnp.maximum(share, share * self.diffusivity_ratio))  # what an ion may have
        d_salt = jnp.clip(
            self._salt_diffusivity(), 1e-10, high
        )  # beyond it Sc gives way, which Stokes flow does not see
        anion = d_salt * share
        diffusivity = jnp.stack(jnp.broadcast_arrays(self.diffusivity_ratio * anion, anion), axis=-1)
        salt = eqx.tree_at(
            lambda s: (s.charge, s.diffusivity), table, (jnp.asarray([float(z1), float(z2)]), diffusivity)
        )
        eps = jnp.where(self.eps > 0.0, self.eps, jnp.nan)  # its square forgets the sign
        equivalents = permittivity * thermal / (2.0 * FARADAY * (eps * jnp.asarray(thickness)) ** 2)
        concentration = equivalents[..., None] / jnp.abs(salt.charge)
        viscosity = permittivity * thermal**2 / (self.kappa * d_salt)
        return Mixture(salt, concentration, temperature=t, viscosity=viscosity)


def _first(x: Any) -> str:
    return f"{float(np.ravel(np.asarray(x))[0]):g}" if np.size(x) and not isinstance(x, Tracer) else "?"


def charges(feed: Mixture) -> Array:
    """z of both ions, ``(*batch, 2)``; of opposite sign even in lanes whose inputs are not sound."""
    z = feed.species.charge
    other = jnp.where(z[..., :1] * z[..., 1:] < 0.0, z[..., 1:], -z[..., :1])
    return jnp.concatenate([z[..., :1], other], axis=-1)


def scales(feed: Mixture, length: Array) -> Scales:
    """Of a binary salt over a length."""
    z, d = charges(feed), feed.diffusivity
    equivalents = jnp.abs(z[..., 0]) * feed.concentration[..., 0]
    salt = (z[..., 0] - z[..., 1]) * d[..., 0] * d[..., 1] / (z[..., 0] * d[..., 0] - z[..., 1] * d[..., 1])
    return Scales(length, equivalents, GAS * feed.temperature / FARADAY, salt)


def _valences(z: Array) -> tuple[int, int]:
    """Cation, anion; of a traced salt, and of lanes that differ, those of a 1:1 salt."""
    if not is_concrete(z):
        return (1, -1)
    high, low = (np.unique(np.asarray(x)) for x in (jnp.max(z, axis=-1), jnp.min(z, axis=-1)))
    return (int(high[0]), int(low[0])) if high.size == low.size == 1 else (1, -1)


def similarity(case: Case) -> Groups:
    """The groups of a case of current through a layer; valences where they are numbers, the same in all lanes."""
    feed, unit = case.feed, scales(case.feed, case.conditions.thickness)
    permittivity = VACUUM_PERMITTIVITY * feed.water_permittivity
    debye_length = jnp.sqrt(permittivity * unit.potential / (2.0 * FARADAY * unit.concentration))
    kappa = permittivity * unit.potential**2 / (feed.water_viscosity * unit.diffusivity)
    d, first = feed.diffusivity, charges(feed)[..., 0] > 0.0
    ratio = d[..., 0] / d[..., 1]
    schmidt = feed.water_viscosity / (water_density(feed.temperature) * unit.diffusivity)
    made = Groups(1e-3, charges=_valences(charges(feed)))
    velocity = getattr(case.conditions, "velocity", jnp.zeros(()))
    peclet = velocity * unit.length / unit.diffusivity
    return eqx.tree_at(
        lambda g: (g.eps, g.kappa, g.diffusivity_ratio, g.schmidt, g.peclet),
        made,
        (debye_length / unit.length, kappa, jnp.where(first, ratio, 1.0 / ratio), schmidt, peclet),
    )
