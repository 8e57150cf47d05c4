"""Spiral-wound elements and pressure vessels: a membrane wound into a channel of known size, and the elements on the market."""

import tomllib
from collections.abc import Callable
from functools import lru_cache
from importlib.resources import files
from typing import Any

import equinox as eqx
from jax import Array

from .._errors import JaxmemError, unknown
from .._fields import check, field, whole
from .polarisation import SpacerTransfer, SpiralFriction, check_friction, check_transfer
from .provenance import Provenance
from .solution_diffusion import SolutionDiffusionMembrane


class SpiralElement(eqx.Module):
    """A feed channel with membrane on both sides (``sides=2``, spiral wound) or on one (``sides=1``, flat sheet).

    The channel is as wide as its area asks for, ``W = area/(sides length)``, ``spacer_height`` high and filled with a spacer that
    leaves the fraction ``porosity`` open: ``d_h = 4 eps/(2/h + 8 (1 - eps)/h)``. What the spacer does to the flow are closures
    (``jaxmem/membranes/polarisation.py``): ``mass_transfer`` to the wall, ``friction`` along it.
    """

    membrane: Any
    area: Array = field(unit="m2", low=1e-6, high=1e6, usual=37.0, symbol="A_m", doc="membrane area")
    length: Array = field(
        unit="m", low=1e-3, high=1e3, usual=0.96, symbol="L", doc="length of the channel that has membrane"
    )
    spacer_height: Array = field(
        unit="m", low=1e-5, high=1e-1, symbol="h", hint="mm", doc="height of the feed channel", default=0.711e-3
    )
    porosity: Array = field(
        unit="1", low=0.05, high=1.0, symbol="eps", doc="open fraction of the feed channel", default=0.89
    )
    sides: int = eqx.field(static=True, default=2)
    mass_transfer: Callable = eqx.field(default_factory=SpacerTransfer)
    friction: Callable = eqx.field(default_factory=SpiralFriction)
    provenance: Provenance = Provenance()

    def __check_init__(self) -> None:
        check(self)
        check_transfer(self.mass_transfer)
        check_friction(self.friction)
        if self.sides not in (1, 2):
            raise JaxmemError(
                f"sides = {self.sides!r}. A channel has membrane on 2 sides (spiral wound) or on 1: write sides=2."
            )

    @property
    def closures(self) -> tuple[str, ...]:
        """Names of mass transfer and friction, which a fit of A and B belongs to."""
        return type(self.mass_transfer).__name__, type(self.friction).__name__

    @property
    def width(self) -> Array:
        """m."""
        return self.area / (self.sides * self.length)

    @property
    def hydraulic_diameter(self) -> Array:
        """m."""
        return 4.0 * self.porosity * self.spacer_height / (2.0 + 8.0 * (1.0 - self.porosity))


class Vessel(eqx.Module):
    """``count`` equal elements in series in one pressure vessel; each interconnector costs ``interconnector_loss``."""

    element: SpiralElement
    count: int = eqx.field(static=True, default=6, converter=whole)
    interconnector_loss: Array = field(
        unit="Pa", low=0.0, high=1e6, symbol="dP_i", hint="bar", doc="pressure lost between elements", default=0.0
    )

    def __check_init__(self) -> None:
        check(self)
        if not isinstance(self.element, SpiralElement):
            raise JaxmemError(
                f'Vessel.element is a {type(self.element).__name__}. Write jm.Vessel(jm.element("SW30HRLE-400"), 6).'
            )
        if type(self.count) is not int or not 1 <= self.count <= 1000:
            raise JaxmemError(
                f"count = {self.count!r} is not a number of elements, 1 to 1000. Write jm.Vessel(element, 6)."
            )


FITTED_WITH = ("SpacerTransfer", "SpiralFriction")  # A and B of the table


@lru_cache
def element_records() -> dict[str, dict]:
    """The table of elements as it stands in ``jaxmem/data/elements.toml``."""
    return tomllib.loads((files("jaxmem") / "data/elements.toml").read_text(encoding="utf-8"))


def element(name: str, **overrides) -> SpiralElement:
    """An element on the market by name, ``jm.element("SW30HRLE-400")``, with A and B fitted to its data sheet.

    Nominal flows carry 20 % either way; ``.provenance.warning`` says what is certain about each number.
    """
    if not isinstance(name, str) or name not in element_records():
        raise unknown("Element", name, element_records(), 'Write for example jm.element("SW30HRLE-400").')
    for key in overrides:
        if key not in SpiralElement.__dataclass_fields__:
            raise unknown(
                "Field of an element",
                key,
                SpiralElement.__dataclass_fields__,
                f'Write jm.element("{name}", area=37.0).',
            )
    record = element_records()[name]
    provenance = Provenance(
        name, record["source"], "", f"{record['certainty']}; nominal flows carry +/-20 %", FITTED_WITH
    )
    membrane = SolutionDiffusionMembrane(record["water_permeance"], record["salt_permeability"], provenance=provenance)
    given = {"membrane": membrane, "area": record["area"], "length": record["length"], "provenance": provenance}
    given |= {key: record[key] for key in ("spacer_height", "porosity") if key in record}
    return SpiralElement(**{**given, **overrides})
