"""A solution: which species, how much of each, how warm."""

import tomllib
from collections.abc import Mapping
from functools import lru_cache
from importlib.resources import files

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jax import Array

from .._errors import ElectroneutralityError, JaxmemError, PhysicalRangeError, ShapeError, unknown
from .._fields import check, field, float_array, is_concrete
from ..constants import STANDARD_TEMPERATURE
from .osmotic import van_t_hoff
from .properties import diffusivity_at, water_density, water_permittivity, water_viscosity
from .species import Species, species

TOLERANCE = 1e-6  # of the charge of one sign


def imbalance(charge: Array, concentration: Array) -> Array:
    """Net charge over gross charge, ``sum z c / sum |z| c``, ``(*batch)``; zero without ions."""
    charge, concentration = jnp.asarray(charge, float), jnp.asarray(concentration, float)
    gross = jnp.sum(jnp.abs(charge) * concentration, axis=-1)
    return jnp.sum(charge * concentration, axis=-1) / jnp.where(gross > 0.0, gross, 1.0)


class Mixture(eqx.Module):
    """A solution of S species in water. Electroneutral to 1e-6 relative; ``balance="Cl-"`` adjusts one ion, by name.

    ``concentration`` may be zero for absent ions. Viscosity and permittivity follow from the temperature unless given.
    """

    species: Species
    concentration: Array = field(unit="mol/m3", ndim=1, low=0.0, high=2e4, symbol="c", doc="concentration")
    temperature: Array = field(
        unit="K", low=253.0, high=400.0, symbol="T", doc="temperature", default=STANDARD_TEMPERATURE
    )
    viscosity: Array | None = field(
        unit="Pa s",
        low=1e-5,
        high=1.0,
        usual=8.9e-4,
        symbol="mu",
        doc="dynamic viscosity; from T when None",
        optional=True,
    )
    permittivity: Array | None = field(
        unit="1",
        low=1.0,
        high=200.0,
        usual=78.4,
        symbol="eps_b",
        doc="relative permittivity; from T when None",
        optional=True,
    )

    def __init__(
        self,
        species: Species,
        concentration,
        temperature=STANDARD_TEMPERATURE,
        viscosity=None,
        permittivity=None,
        balance: str | None = None,
    ):
        self.species = species
        concentration = jnp.asarray(float_array(concentration))
        self.concentration = concentration if balance is None else _balanced(species, concentration, balance)
        self.temperature = temperature  # pyright: ignore[reportAttributeAccessIssue]  # the field converts
        self.viscosity = viscosity
        self.permittivity = permittivity

    def __check_init__(self) -> None:
        check(self)
        c = self.concentration
        if c.shape[-1:] != (len(self.species),):
            raise ShapeError(
                f"Mixture.concentration has shape {c.shape} for {len(self.species)} species {self.species.names}. "
                f"The last axis must be {len(self.species)}: write concentration[..., :{len(self.species)}]."
            )
        if is_concrete(c) and is_concrete(self.species.charge):
            z, amount = np.asarray(self.species.charge), np.asarray(c)  # NumPy: under jit nothing of this is traced
            net, gross = np.sum(z * amount, axis=-1), np.sum(np.abs(z) * amount, axis=-1)
            off = np.asarray(net / np.where(gross > 0.0, gross, 1.0))
            if off.size and (np.abs(off) > TOLERANCE).all():
                worst, net = float(off.flat[0]), float(np.asarray(net).flat[0])
                opposite = z * -net > 0
                fix = 'Add an ion of the other sign, for example "Cl-" or "Na+".'
                if opposite.any():
                    first = amount.reshape(-1, len(self.species))[0]
                    ion = self.species.names[
                        int(np.argmax(np.where(opposite.reshape(-1, len(self.species))[0], first, -1.0)))
                    ]
                    fix = f"To let one ion make up for it write Mixture(..., balance={ion!r})."
                raise ElectroneutralityError(
                    f"The mixture carries a net charge of {net:.6g} mol/m3 of charge ({worst:.2e} of the gross charge). Allowed is "
                    f"{TOLERANCE:g}. {fix}"
                )

    @classmethod
    def from_concentration(
        cls,
        amounts: Mapping[str, object],
        *,
        temperature=STANDARD_TEMPERATURE,
        balance: str | None = None,
        **properties,
    ) -> "Mixture":
        """From ``{"Na+": 20.0, "Cl-": 20.0}`` in mol/m3 (numbers or arrays of one shape)."""
        which = _distinct(amounts)
        return cls(which, _columns(amounts), temperature=temperature, balance=balance, **properties)

    @classmethod
    def from_mass_concentration(
        cls,
        amounts: Mapping[str, object],
        *,
        temperature=STANDARD_TEMPERATURE,
        balance: str | None = None,
        **properties,
    ) -> "Mixture":
        """From ``{"Na+": 10.5, "Cl-": 19.0}`` in kg/m3 (g/L); for mg/L multiply by ``jm.units.mg_per_L``."""
        which = _distinct(amounts)
        hint = "jaxmem is SI: for mg/L write {value:g} * jm.units.mg_per_L."
        for (name, amount), charge in zip(amounts.items(), np.asarray(which.charge), strict=True):
            _refuse_above({name: amount}, 500.0 if charge else 2000.0, "kg/m3", hint)  # no ion is more soluble
        return cls(which, _columns(amounts) / which.molar_mass, temperature=temperature, balance=balance, **properties)

    @classmethod
    def from_mass_fraction(
        cls,
        amounts: Mapping[str, object],
        *,
        density=None,
        temperature=STANDARD_TEMPERATURE,
        balance: str | None = None,
        **properties,
    ) -> "Mixture":
        """From ``{"Na+": 0.0107, ...}`` in kg per kg of solution. ``density`` of the solution in kg/m3; that of water plus
        70 % of the solutes' mass when None (within 0.2 % for seawater)."""
        which, w = _distinct(amounts), _columns(amounts)
        _refuse_above(amounts, 1.0, "kg per kg of solution", "For {value:g} mg/kg write {value:g}e-6.")
        if density is None:
            density = solution_density(jnp.sum(w, axis=-1), float_array(temperature))
        return cls(
            which,
            w * jnp.asarray(density)[..., None] / which.molar_mass,
            temperature=temperature,
            balance=balance,
            **properties,
        )

    def __getitem__(self, name: str) -> Array:
        return self.concentration[..., self.species.index(name)]

    @property
    def diffusivity(self) -> Array:
        """D at the temperature of the mixture, m2/s, ``(*batch, S)``."""
        return diffusivity_at(self.species.diffusivity, self.temperature[..., None])

    @property
    def water_viscosity(self) -> Array:
        """Pa s, ``(*batch)``: as given, or of water at this temperature."""
        return water_viscosity(self.temperature) if self.viscosity is None else self.viscosity

    @property
    def water_permittivity(self) -> Array:
        """Relative, ``(*batch)``: as given, or of water at this temperature."""
        return water_permittivity(self.temperature) if self.permittivity is None else self.permittivity

    @property
    def ionic_strength(self) -> Array:
        """``1/2 sum z^2 c``, mol/m3."""
        return 0.5 * jnp.sum(self.species.charge**2 * self.concentration, axis=-1)

    @property
    def equivalent_fraction(self) -> Array:
        """``|z_i| c_i`` over the sum of all ions of the same sign, ``(*batch, S)``; zero for neutral solutes and without ions."""
        z = self.species.charge
        amount = jnp.abs(z) * self.concentration
        sums = [jnp.sum(jnp.where(side, amount, 0.0), axis=-1, keepdims=True) for side in (z > 0.0, z < 0.0)]
        total = jnp.where(z > 0.0, *sums)
        return jnp.where(total > 0.0, amount / jnp.where(total > 0.0, total, 1.0), 0.0)

    @property
    def multivalent_fraction(self) -> tuple[Array, Array]:
        """Shares of ions of charge 2 or more among the equivalents of cations and of anions, each ``(*batch)``."""
        z, share = self.species.charge, self.equivalent_fraction
        return jnp.sum(jnp.where(z > 1.5, share, 0.0), axis=-1), jnp.sum(jnp.where(z < -1.5, share, 0.0), axis=-1)

    @property
    def osmotic_pressure(self) -> Array:
        """van 't Hoff, Pa."""
        return van_t_hoff(self.concentration, self.temperature)

    @property
    def mass_concentration(self) -> Array:
        """kg/m3, ``(*batch, S)``."""
        return self.concentration * self.species.molar_mass


def solution_density(solutes: Array, temperature: Array) -> Array:
    """kg/m3, of water plus 70 % of the solutes' mass (kg per kg of solution): within 0.2 % for seawater."""
    return water_density(temperature) / (1.0 - 0.7 * solutes)


def _columns(amounts: Mapping[str, object]) -> Array:
    try:
        return jnp.stack(jnp.broadcast_arrays(*[jnp.asarray(v, float) for v in amounts.values()]), axis=-1)
    except (ValueError, TypeError) as error:
        raise ShapeError(
            f"The amounts {dict(amounts)!r} do not broadcast to one shape. Give numbers, or arrays of one shape."
        ) from error


def _distinct(amounts: Mapping[str, object]) -> Species:
    """The species of a composition; two spellings of one are refused."""
    which = species(*amounts)
    for i, name in enumerate(which.names):
        if name in which.names[:i]:
            raise JaxmemError(
                f"{list(amounts)[i]!r} is {name}, which this mixture already has. Write it once, with the sum."
            )
    return which


def _refuse_above(amounts: Mapping[str, object], high: float, unit: str, hint: str) -> None:
    for name, amount in amounts.items():
        if not is_concrete(value := jnp.asarray(amount, float)):
            continue
        if value.size and bool(np.all(np.asarray(value) > high)):
            value = float(np.asarray(value).flat[0])
            raise PhysicalRangeError(f"{name} = {value:g} is outside (0, {high:g}) {unit}. {hint.format(value=value)}")


def _balanced(which: Species, concentration: Array, name: str) -> Array:
    """Adjust one ion so that the charges add up to zero; refuses a negative concentration."""
    i = which.index(name)
    z = np.asarray(which.charge)[..., i] if is_concrete(which.charge) else which.charge[..., i]
    if is_concrete(z) and bool(np.any(np.asarray(z) == 0.0)):
        raise ElectroneutralityError(
            f"balance={name!r} has no charge and cannot balance anything. Name an ion of {which.names}."
        )
    fixed = concentration.at[..., i].set(concentration[..., i] - jnp.sum(which.charge * concentration, axis=-1) / z)
    if is_concrete(fixed) and bool(np.all(np.asarray(fixed)[..., i] < 0.0)):
        value = float(np.asarray(fixed)[..., i].flat[0])
        raise ElectroneutralityError(
            f"balance={name!r} would need {value:.4g} mol/m3 of it. Concentrations must not be negative: "
            f"balance with an ion of the other sign."
        )
    return fixed


@lru_cache
def _feeds() -> dict[str, dict]:
    return tomllib.loads((files("jaxmem") / "data/feeds.toml").read_text(encoding="utf-8"))


def feed(name: str) -> Mixture:
    """A feed that ships with jaxmem: ``"seawater"``, ``"brackish8"``, ``"li_mg_brine"`` ... (``data/feeds.toml``)."""
    if not isinstance(name, str) or name not in _feeds():
        raise unknown("Feed", name, _feeds(), 'Write for example jm.feed("seawater").')
    record = _feeds()[name]
    return Mixture.from_concentration(
        record["concentration"], temperature=record.get("temperature", STANDARD_TEMPERATURE)
    )
