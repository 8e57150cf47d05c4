"""A membrane of charged pores, and the published parameter sets."""

import tomllib
import warnings
from collections.abc import Callable
from functools import lru_cache
from importlib.resources import files

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jax import Array

from .._errors import JaxmemError, PhysicalRangeError, ShapeError, unknown
from .._fields import check, field, is_concrete
from ..chemistry.mixture import Mixture
from .charge import ConstantCharge
from .confinement import BulkViscosity, ConstantPermittivity
from .exclusion import BornExclusion
from .hindrance import DechadilokDeen
from .permeance import DonnanShift, PermeanceMembrane
from .provenance import Provenance


class PoreMembrane(eqx.Module):
    """Cylindrical (or slit) charged pores: the membrane of DSPM-DE. All numbers may carry leading batch axes.

    ``thickness_over_porosity`` is the active layer's thickness over its porosity, so that the flux is superficial. A membrane
    of negative groups has ``charge_density < 0``, per volume of pore fluid. The closures are fields holding callables: a
    learned one drops in. Typical polyamide NF: 0.35 to 0.6 nm, 0.5 to 3 um, -100 to -1 mol/m3, permittivity 30 to 45.
    """

    pore_radius: Array = field(
        unit="m", low=1e-11, high=1e-7, usual=0.45e-9, symbol="r_p", hint="nm", doc="pore radius"
    )
    thickness_over_porosity: Array = field(
        unit="m",
        low=1e-9,
        high=1e-2,
        usual=1.3e-6,
        symbol="dx_e",
        hint="um",
        doc="active layer thickness over porosity",
    )
    charge_density: Array = field(
        unit="mol/m3", low=-2e4, high=2e4, symbol="X", doc="charge per volume of pore fluid", default=0.0
    )
    pore_permittivity: Array = field(
        unit="1", low=1.0, high=200.0, symbol="eps_p", doc="relative permittivity in the pore", default=78.36
    )
    hindrance: Callable = DechadilokDeen()
    exclusion: Callable = BornExclusion()
    charge: Callable = ConstantCharge()
    permittivity: Callable = ConstantPermittivity()
    viscosity: Callable = BulkViscosity()
    friction: Callable | None = None  # between ions; none: they only rub against the pore
    provenance: Provenance = Provenance()

    def __check_init__(self) -> None:
        check(self)
        for name in ("hindrance", "exclusion", "charge", "permittivity", "viscosity"):
            law = getattr(self, name)
            if isinstance(law, type) or not callable(law):
                usual = type(self.__dataclass_fields__[name].default).__name__
                raise JaxmemError(
                    f"{name} = {law!r} is no closure: it takes an instance that can be called, such as {name}=jm.{usual}()"
                    + (". For a number write charge_density=-30.0." if name == "charge" else ".")
                )
        if self.friction is not None and (isinstance(self.friction, type) or not callable(self.friction)):
            raise JaxmemError(
                f'friction = {self.friction!r} is no law of a water. Write friction=jm.PairFriction((("Na+", "Cl-"),), [1e9]).'
            )

    @classmethod
    def from_thickness(cls, pore_radius, thickness, porosity, **others) -> "PoreMembrane":
        """From the thickness (m) and porosity (0 to 1) of the active layer apart."""
        porosity = jnp.asarray(porosity, float)
        if is_concrete(porosity) and bool(np.any((np.asarray(porosity) <= 0.0) | (np.asarray(porosity) > 1.0))):
            raise PhysicalRangeError(f"porosity = {porosity} is outside (0, 1]. Give a fraction: for 5 % write 0.05.")
        return cls(pore_radius, jnp.asarray(thickness, float) / porosity, **others)

    def water_permeance(self, viscosity: Array) -> Array:
        """Hagen-Poiseuille ``A = r_p^2/(8 mu_p dx_e)``, m/s/Pa, from the viscosity of the bulk."""
        return self.pore_radius**2 / (
            8.0 * viscosity * self.viscosity(self.pore_radius)[1] * self.thickness_over_porosity
        )

    def wall_charge(self, feed: Mixture) -> Array:
        """X in contact with the given feed, mol/m3."""
        return self.charge(self.charge_density, feed)

    def check_charge(self, feed: Mixture, lanes: tuple[int, ...]) -> None:
        """Refuse a law of the user's that does not give one charge for each lane."""
        if type(self.charge).__module__.startswith("jaxmem."):
            return
        found = eqx.filter_eval_shape(self.wall_charge, feed)
        shape = getattr(found, "shape", () if isinstance(found, int | float) else None)
        try:
            fits = shape is not None and np.broadcast_shapes(shape, lanes) == lanes
        except ValueError:
            fits = False
        if not fits:
            gave = f"gave {found!r}" if shape is None else f"gave shape {shape}"
            raise ShapeError(
                f"The charge law {getattr(self.charge, '__name__', type(self.charge).__name__)} {gave} for lanes {lanes}: it gives one charge for "
                "each lane, none for each ion. Let it end with jnp.sum(..., axis=-1)."
            )

    def check_friction(self, feed: Mixture) -> None:
        """Refuse a law of the user's whose friction is not symmetric, below zero, or no number: it would not dissipate."""
        if self.friction is None or type(self.friction).__module__.startswith("jaxmem."):
            return
        found = self.friction(feed)
        if not is_concrete(found):
            return
        s = len(feed.species)
        x = np.asarray(found)
        if x.ndim < 2 or x.shape[-2:] != (s, s):
            raise ShapeError(
                f"friction = {self.friction!r} gives an array {x.shape} for {s} solutes. Give (*batch, {s}, {s}), symmetric."
            )
        x = np.where(np.eye(s, dtype=bool), 0.0, x)  # an ion does not rub against itself
        if not np.isfinite(x).all() or (x < 0.0).any():
            raise PhysicalRangeError(
                f"friction = {self.friction!r} gives {x[~(x >= 0.0) | np.isinf(x)].flat[0]:g} s/m2 for a pair of {', '.join(feed.species.names)}. 1/D_ij is finite and not "
                'negative: write friction=jm.PairFriction((("Na+", "Cl-"),), [1e9]), or end the law with jnp.maximum(..., 0.0).'
            )
        if np.abs(x - np.swapaxes(x, -1, -2)).max() > 1e-9 * x.max():
            raise JaxmemError(
                f"friction = {self.friction!r} is not symmetric: what one ion feels the other feels too (Onsager). Write 0.5 * (f + jnp.swapaxes(f, -1, -2))."
            )


@lru_cache
def membrane_records() -> dict[str, dict]:
    """The membrane table as it stands in ``jaxmem/data/membranes.toml``."""
    return tomllib.loads((files("jaxmem") / "data/membranes.toml").read_text(encoding="utf-8"))


def membrane(name: str, **overrides) -> PoreMembrane | PermeanceMembrane:
    """A published parameter set by name, ``jm.membrane("NF270", charge_density=-30.0)``.

    The sets are starting values for a fit, not truths: ``.provenance.warning`` says what is known about each.
    """
    if not isinstance(name, str) or name not in membrane_records():
        raise unknown("Membrane", name, membrane_records(), 'Write for example jm.membrane("NF270").')
    record = dict(membrane_records()[name])
    provenance = Provenance(name, record["source"], record.get("radii", "stokes"), record.get("warning", ""))
    if provenance.radii != "stokes":
        warnings.warn(
            f"Membrane {name!r} belongs with {provenance.radii} ion radii; the species table holds Stokes radii. Give your own "
            "with jm.Species(...), or choose another membrane.",
            stacklevel=2,
        )
    if record.get("kind") == "solution-diffusion-electromigration":
        permeance = record["permeance"]
        _check_overrides(name, PermeanceMembrane, overrides)
        given = {"names": tuple(permeance), "permeance": jnp.asarray(list(permeance.values()))}
        law = DonnanShift(**record["donnan_shift"])
        return PermeanceMembrane(**{**given, "law": law, "provenance": provenance, **overrides})
    _check_overrides(name, PoreMembrane, overrides)
    numbers = {k: record[k] for k in ("pore_radius", "thickness_over_porosity", "charge_density", "pore_permittivity")}
    return PoreMembrane(**{**numbers, "provenance": provenance, **overrides})


def _check_overrides(name: str, kind: type, overrides: dict) -> None:
    for key in overrides:
        if key not in kind.__dataclass_fields__:
            raise unknown(
                f"Number of {name!r}, a {kind.__name__},",
                key,
                kind.__dataclass_fields__,
                f'Write jm.membrane("{name}").',
            )
