"""Dissolved species: names, charges, mobilities, radii, each number with its source in ``data/species.toml``."""

import difflib
import tomllib
from functools import lru_cache
from importlib.resources import files

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jax import Array

from .._errors import PhysicalRangeError, ShapeError, unknown
from .._fields import check, field, is_concrete
from ..constants import AVOGADRO

_DENSEST = 2e5  # kg/m3 within the Stokes radius; of the table OH- has the most, 6.7e4


@lru_cache
def records() -> dict[str, dict]:
    """The species table as it stands in ``jaxmem/data/species.toml``."""
    return tomllib.loads((files("jaxmem") / "data/species.toml").read_text(encoding="utf-8"))


@lru_cache
def _aliases() -> dict[str, str]:
    return {alias: name for name, record in records().items() for alias in (name, *record.get("aliases", []))}


def canonical(name: str) -> str:
    """The table's name for a species written in one of the usual ways (``"SO4"``, ``"SO4--"``, ``"sulfate"``)."""
    try:
        return _aliases()[str(name).strip()]
    except KeyError:
        near = difflib.get_close_matches(str(name), _aliases(), n=3, cutoff=0.4)
        close = tuple(dict.fromkeys(_aliases()[x] for x in near))
        hint = 'Write for example jm.species("Na+", "SO4-2"), or build jm.Species(...).'
        raise unknown("Species", name, records(), hint, close) from None


def pretty(name: str) -> str:
    """The name as people write it, ``SO₄²⁻``."""
    return records().get(name, {}).get("symbol", name)


class Species(eqx.Module):
    """Properties of S dissolved species, arrays ``(*batch, S)``; ``jm.species("Na+", "Cl-")`` reads them from the table."""

    names: tuple[str, ...] = eqx.field(static=True)
    charge: Array = field(unit="1", ndim=1, low=-6.0, high=6.0, symbol="z", doc="charge number")
    diffusivity: Array = field(unit="m2/s", ndim=1, low=1e-12, high=2e-8, symbol="D", doc="at 25 C, infinite dilution")
    stokes_radius: Array = field(unit="m", ndim=1, low=1e-11, high=1e-7, symbol="r_s", hint="nm", doc="Stokes radius")
    born_radius: Array = field(
        unit="m", ndim=1, low=1e-11, high=1e-7, symbol="r_b", hint="nm", doc="radius of the Born energy"
    )
    molar_mass: Array = field(unit="kg/mol", ndim=1, low=1e-4, high=100.0, symbol="M", doc="molar mass")

    def __check_init__(self) -> None:
        check(self)
        for name in ("charge", "diffusivity", "stokes_radius", "born_radius", "molar_mass"):
            value = getattr(self, name)
            if hasattr(value, "shape") and value.shape[-1:] not in ((len(self.names),), (1,)):
                raise ShapeError(
                    f"Species.{name} has shape {value.shape} for {len(self.names)} species {self.names}. "
                    f"The last axis must be {len(self.names)}."
                )

        self._check_mass()

    def _check_mass(self) -> None:
        """Grams for kilograms: nothing dissolved is denser than this within its Stokes radius."""
        if not (is_concrete(self.molar_mass) and is_concrete(self.stokes_radius)):
            return
        mass, radius = np.broadcast_arrays(np.asarray(self.molar_mass), np.asarray(self.stokes_radius))
        heavy = mass / AVOGADRO > _DENSEST * 4.0 / 3.0 * np.pi * radius**3
        if heavy.size and heavy.all():
            raise PhysicalRangeError(
                f"molar_mass = {mass.flat[0]:g} kg/mol does not fit into a Stokes radius of {radius.flat[0] * 1e9:.3g} nm. jaxmem is SI: for "
                f"{mass.flat[0]:g} g/mol write {mass.flat[0]:g}e-3."
            )

    def __len__(self) -> int:
        return len(self.names)

    def index(self, name: str) -> int:
        """Position of a species, by any of its usual names."""
        for candidate in (name, _aliases().get(name, name)):
            if candidate in self.names:
                return self.names.index(candidate)
        raise unknown("Species", name, self.names, f"This mixture holds {', '.join(self.names)}.")


def species(*names: str, born_radius: str = "stokes") -> Species:
    """Species from the table. ``born_radius``: ``"stokes"`` (default), ``"ionic"`` (crystal) or ``"cavity"`` (ionic + 0.085 nm
    for cations, + 0.01 nm for anions; Rashin and Honig 1985, doi 10.1021/j100270a035, recalled)."""
    if not names:
        raise ShapeError('jm.species() got no names. Write for example jm.species("Na+", "Cl-").')
    found = [records()[canonical(n)] for n in names]

    def column(key: str) -> Array:
        return jnp.asarray([float(r[key]) for r in found])

    if born_radius == "stokes":
        born = column("born_radius")
    elif born_radius in ("ionic", "cavity"):
        extra = 0.0 if born_radius == "ionic" else jnp.where(column("charge") > 0, 0.85e-10, 0.1e-10)
        born = jnp.asarray([float(r.get("ionic_radius", r["stokes_radius"])) for r in found]) + extra
    else:
        raise unknown("Born radius", born_radius, ("stokes", "ionic", "cavity"), 'Write born_radius="stokes".')
    return Species(
        tuple(canonical(n) for n in names),
        column("charge"),
        column("diffusivity"),
        column("stokes_radius"),
        born,
        column("molar_mass"),
    )
