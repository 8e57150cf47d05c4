"""A and B of an element from its data sheet."""

import dataclasses
from collections.abc import Callable
from functools import partial

import equinox as eqx
import jax
import jax.numpy as jnp
from jax import Array

from .._errors import ConvergenceError, JaxmemError
from .._fields import check, field
from ..case import Case
from ..chemistry.mixture import Mixture
from ..conditions import ATMOSPHERE, FeedPressure
from ..membranes.element import SpiralElement
from ..membranes.solution_diffusion import SolutionDiffusionMembrane
from ..models.element.model import SpiralWound
from ..models.solve import solve
from ..units import LMH_per_bar

FLOW_TOLERANCE = 0.2  # of nominal flows, published by makers


class Sheet(eqx.Module):
    """What a data sheet states: permeate flow and rejection at test conditions."""

    permeate_flow: Array = field(
        unit="m3/s", low=1e-12, high=1.0, usual=28.4 / 86400, symbol="Q_p", hint="m3_per_day", doc="permeate flow"
    )
    rejection: Array = field(unit="1", low=1e-3, high=0.99999, usual=0.998, symbol="R", doc="observed salt rejection")
    recovery: Array = field(unit="1", low=1e-4, high=0.9, usual=0.08, symbol="Y", doc="permeate over feed flow")
    pressure: Array = field(unit="Pa", low=1e4, high=2e7, symbol="P", hint="bar", doc="feed pressure", default=55e5)
    concentration: Array = field(unit="kg/m3", low=0.01, high=100.0, symbol="c", doc="NaCl in the feed", default=32.0)
    permeate_pressure: Array = field(
        unit="Pa", low=0.0, high=1e7, symbol="P_p", hint="bar", doc="permeate pressure", default=ATMOSPHERE
    )

    minimum_rejection: Array | None = field(
        unit="1",
        low=1e-3,
        high=0.99999,
        usual=0.9965,
        symbol="R_min",
        doc="smallest rejection that the maker guarantees",
        optional=True,
    )

    def __check_init__(self) -> None:
        check(self)
        for name in self.__dataclass_fields__:
            if jnp.ndim(getattr(self, name)) if getattr(self, name) is not None else 0:
                raise JaxmemError(
                    f"Sheet.{name} holds several numbers. Fit one sheet at a time: write [jm.fit_sheet(e, s) for s in sheets]."
                )


class SheetFit(eqx.Module):
    """The element with the membrane that its sheet asks for, and how far to trust it."""

    element: SpiralElement
    permeance_range: tuple[float, float]  # A at flows 20 % below and above the nominal one, m/s/Pa
    closures: str
    permeability_limit: float | None = None  # B at the smallest rejection that the sheet guarantees, m/s

    def __str__(self) -> str:
        m, (low, high) = self.element.membrane, (a / LMH_per_bar for a in self.permeance_range)
        most = "" if self.permeability_limit is None else f" (at most {self.permeability_limit:.3e})"
        return (
            f"A = {float(m.water_permeance) / LMH_per_bar:.3f} LMH/bar ({low:.3f} to {high:.3f} for flows within 20 %), "
            f"B = {float(m.salt_permeability):.3e} m/s{most}; belongs to {self.closures}"
        )


def fit_sheet(element: SpiralElement, sheet: Sheet, model: SpiralWound | None = None) -> SheetFit:
    """A and B such that ``model`` returns the sheet's permeate flow and rejection at its test conditions.

    Two equations in ``ln A`` and ``ln B``; the feed flow is ``Q_p/Y``. The result belongs to the closures of the element: other mass
    transfer or friction needs another fit. Without polarisation A would come out 15 to 20 % too low.
    """
    if not isinstance(element, SpiralElement):
        raise JaxmemError(
            f"{type(element).__name__} is not an element. Write jm.SpiralElement(membrane, area, length)."
        )
    if not isinstance(sheet, Sheet):
        raise JaxmemError(
            f"{type(sheet).__name__} is not a data sheet. Write jm.Sheet(permeate_flow=..., rejection=0.997, recovery=0.08)."
        )
    if not isinstance(element.membrane, SolutionDiffusionMembrane | None):
        raise JaxmemError(
            f"{type(element.membrane).__name__} has no A and B to fit. Write jm.SpiralElement(None, area, length)."
        )
    model = SpiralWound() if model is None else model
    misses = eqx.filter_jit(partial(_misses, element, sheet, model))
    permeances = jnp.stack([_fitted(misses, element, sheet, 1.0 + s * FLOW_TOLERANCE) for s in (-1.0, 0.0, 1.0)])
    if not bool(jnp.all(jnp.isfinite(permeances))):
        raise ConvergenceError(
            f"No A and B give Q_p = {float(sheet.permeate_flow):.3e} m3/s and R = {float(sheet.rejection):g} at "
            f"{float(sheet.pressure) / 1e5:g} bar. Check the units of the sheet, and that the pressure exceeds the osmotic one."
        )
    limit = None
    if sheet.minimum_rejection is not None:
        weaker = dataclasses.replace(sheet, rejection=sheet.minimum_rejection, minimum_rejection=None)
        limit = float(_fitted(eqx.filter_jit(partial(_misses, element, weaker, model)), element, weaker, 1.0)[1])
    provenance = dataclasses.replace(element.provenance, closures=element.closures)
    membrane = dataclasses.replace(_like(element.membrane, *permeances[1]), provenance=provenance)
    new = eqx.tree_at(lambda e: e.membrane, element, membrane, is_leaf=lambda x: x is None)
    return SheetFit(new, (float(permeances[0, 0]), float(permeances[2, 0])), ", ".join(element.closures), limit)


def _like(membrane: SolutionDiffusionMembrane | None, a: Array, b: Array) -> SolutionDiffusionMembrane:
    """A membrane with these A and B, and the reflection and temperature law of the one given."""
    if membrane is None:
        return SolutionDiffusionMembrane(a, b)
    return SolutionDiffusionMembrane(a, b, membrane.reflection, membrane.temperature)


def _misses(element: SpiralElement, sheet: Sheet, model: SpiralWound, y: Array, factor: Array) -> tuple[Array, Array]:
    """Logarithmic misfit of flow and salt passage at ``ln A, ln B``, and its Jacobian."""
    salt = sheet.concentration / 0.05844
    feed = Mixture.from_concentration({"Na+": salt, "Cl-": salt})
    flow = sheet.permeate_flow * factor
    conditions = FeedPressure(sheet.pressure, flow / sheet.recovery, sheet.permeate_pressure)

    def miss(y: Array) -> tuple[Array, Array]:
        membrane = _like(element.membrane, jnp.exp(y[0]), jnp.exp(y[1]))
        part = eqx.tree_at(lambda e: e.membrane, element, membrane, is_leaf=lambda x: x is None)
        r = solve(model, Case(feed, part, conditions), throw=False)
        passage = r.permeate_concentration / r.feed_concentration
        value = jnp.stack([jnp.log(r.permeate_flow / flow), jnp.log(passage / (1.0 - sheet.rejection))])
        return value, value

    slope, value = jax.jacfwd(miss, has_aux=True)(y)
    return value, slope


def _fitted(misses: Callable, element: SpiralElement, sheet: Sheet, factor: float) -> Array:
    """``(A, B)`` by Newton from the values without polarisation; not a number where the sheet cannot be met."""
    flux = factor * sheet.permeate_flow / element.area
    y = jnp.log(jnp.stack([flux / (0.4 * sheet.pressure), flux * (1.0 - sheet.rejection) / sheet.rejection]))
    for _ in range(30):
        value, slope = misses(y, jnp.asarray(factor))
        if not bool(jnp.max(jnp.abs(value)) >= 1e-10):  # met, or not a number
            break
        y = y - jnp.clip(jnp.linalg.solve(slope, value), -1.0, 1.0)
    return jnp.where(jnp.max(jnp.abs(value)) < 1e-9, jnp.exp(y), jnp.nan)
