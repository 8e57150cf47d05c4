"""Spiral-wound elements in series: one-dimensional flow along the feed channel, a solution-diffusion wall at every position."""

from functools import partial
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jax import Array

from ..._errors import JaxmemError
from ..._fields import whole
from ..._status import code
from ...case import Case
from ...chemistry.brine import Brine, NaClBrine, SeaSaltBrine, brine_of
from ...conditions import FeedPressure, MeanFlux, Recovery, RequiredArea
from ...membranes.element import SpiralElement, Vessel
from ...membranes.solution_diffusion import SolutionDiffusionMembrane
from ...nonlinear.increasing import root_of_increasing
from ..base import AbstractModel
from ..inputs import benign, check_feed, check_precision, check_salt, feed_status, held
from ..lanes import known, over_lanes
from ..wall import permeances
from .march import Local, March, Physics, Stream, explicit, first_flux, implicit, leaks, volume
from .result import ElementResult

SCHEMES = {
    "dormand_prince": explicit,
    "backward": partial(implicit, theta=1.0),
    "trapezoid": partial(implicit, theta=0.5),
}
_BLOCK = 128  # lanes at a time on a CPU, whose march then stays in the cache
_TRUSTED = 1e-3  # estimated relative error of the concentrate's water flow


class ElementState(NamedTuple):
    """The march of one lane: E elements, n + 1 nodes each."""

    inlet: Stream
    outlet: Stream
    nodes: Local  # (E, n + 1)
    area: Array  # of an element, m2
    error: Array  # estimated error of the outlet's water flow, relative to the inlet
    missed: Array  # what is left of the imposed recovery, relative
    status: Array  # code of the inputs


class SpiralWound(AbstractModel):
    """Water, salt and pressure along the feed channel of a ``SpiralElement`` or a ``Vessel``; permeates mix as they come.

    Every position carries a solution-diffusion wall under its own polarisation (``jaxmem/models/wall.py``); the equations are
    at the head of ``jaxmem/models/element/march.py``. ``brine=None`` takes Na+ and Cl- for NaCl and everything else for sea salt; all
    salts of a feed pass alike. ``scheme="backward"`` and ``"trapezoid"`` with ``cells=3`` and 1 are those of WaterTAP, for comparison.
    Breaks down where the channel runs dry; nominal data of elements carry 20 % on the flow.
    """

    brine: Brine | None = None
    scheme: str = eqx.field(static=True, default="dormand_prince")
    cells: int = eqx.field(static=True, default=6, converter=whole)  # of each element
    precision: str = eqx.field(static=True, default="float64")

    def __check_init__(self) -> None:
        if self.scheme not in SCHEMES:
            raise JaxmemError(f"scheme = {self.scheme!r} is not known. Write one of {', '.join(SCHEMES)}.")
        if type(self.cells) is not int or self.cells < 1:
            raise JaxmemError(f"cells = {self.cells!r} is not a number of cells. Write cells=6.")
        if not isinstance(self.brine, NaClBrine | SeaSaltBrine | None):
            raise JaxmemError(
                f"brine = {self.brine!r} is not a brine. Write brine=jm.NaClBrine() or jm.SeaSaltBrine()."
            )

    def title(self) -> str:
        """Name and options, as printed."""
        return f"Spiral wound ({self.cells} cells {self.scheme})"

    def sources(self) -> list[str]:
        """Where the equations come from."""
        return [" ".join((type(self.brine or NaClBrine()).__doc__ or "").split())]

    def check(self, case: Case) -> None:
        """Refuse what this model cannot answer."""
        if not isinstance(case.membrane, SpiralElement | Vessel):
            raise JaxmemError(
                f"SpiralWound needs an element or a vessel; Case.membrane is a {type(case.membrane).__name__}. Write "
                'jm.Case(feed, jm.element("SW30HRLE-400"), conditions).'
            )
        check_conditions(case, RequiredArea)
        self.check_element(case, vessel_of(case).element)
        check_precision(case, self.precision)

    def check_element(self, case: Case, element: SpiralElement) -> None:
        """Refuse an element whose membrane tells ions apart, or its feed."""
        membrane = element.membrane
        if membrane is None:
            raise JaxmemError(
                "The element has no membrane. Write jm.SpiralElement(jm.SolutionDiffusionMembrane(3e-12, 3e-8), area=37.0, length=0.96), or "
                "take A and B from its data sheet: jm.fit_sheet(element, jm.Sheet(...)).element."
            )
        if not isinstance(membrane, SolutionDiffusionMembrane):
            raise JaxmemError(
                f"The element's membrane is a {type(membrane).__name__}, which tells ions apart. Write jm.SpiralWoundIons() instead of "
                "jm.SpiralWound() for it, or give the element a jm.SolutionDiffusionMembrane(3e-12, 3e-8)."
            )
        check_feed(case)
        check_salt(case, self.brine)

    def initial_guess(self, case: Case) -> Array:
        """The pressure that an ideal vessel would need, Pa, ``(*batch)``."""
        return over_lanes(lambda c: _first_pressure(c, self.brine or brine_of(c.feed), imposed_recovery(c)), case)

    @eqx.filter_jit
    def find(self, case: Case) -> ElementState:
        """March every lane."""
        status = feed_status(case)
        state = over_lanes(self._lane, benign(case, status == code("successful")), _BLOCK)
        return state._replace(status=status)

    def _lane(self, case: Case) -> ElementState:
        """One question: for an imposed recovery, the pressure that gives it; then the march itself."""
        brine, target = self.brine or brine_of(case.feed), imposed_recovery(case)
        if isinstance(case.conditions, RequiredArea):
            case = _sized(case, _area(self, case, brine))
            pressure = case.conditions.pressure
        else:
            pressure = case.conditions.pressure if target is None else _pressure(self, case, brine, target)
        inlet, march = _vessel_march(self, case, brine, pressure)
        missed = jnp.zeros_like(pressure)
        if target is not None:
            outlet = jax.tree.map(lambda x: x[-1], march.outlet)
            missed = (recovered(inlet, outlet, brine, case.feed.temperature) - target) / target
        return self.state(vessel_of(case), inlet, march, missed)

    # --- one vessel, as the stages of a train ask for it

    def entering(self, case: Case, pressure: Array) -> Stream:
        """The feed at a pressure."""
        return feed_stream(case, self.brine or brine_of(case.feed), pressure)

    def through(
        self, vessel: Vessel, case: Case, inlet: Stream, permeate_pressure: Array, most: Array | None = None
    ) -> March:
        """All elements in series; outputs lead with the element. After ``most`` elements, where given, nothing moves on."""
        brine = self.brine or brine_of(case.feed)
        return march_vessel(self, vessel, inlet, case.feed.temperature, permeate_pressure, brine, most)

    def state(self, vessel: Vessel, inlet: Stream, march: March, missed: Array) -> ElementState:
        """What a march tells of one vessel."""
        outlet = jax.tree.map(lambda x: x[-1], march.outlet)
        area, sound = vessel.element.area, jnp.zeros((), jnp.int32)
        return ElementState(inlet, outlet, march.nodes, area, jnp.sum(march.error), missed, sound)

    def recovered(self, case: Case, inlet: Stream, outlet: Stream) -> Array:
        """Volume of permeate over volume of feed."""
        return recovered(inlet, outlet, self.brine or brine_of(case.feed), case.feed.temperature)

    def ideal_pressure(self, case: Case, recovery: Array, element: SpiralElement, area: Array) -> Array:
        """What a recovery would take without friction and polarisation."""
        return ideal_pressure(case, self.brine or brine_of(case.feed), recovery, element, area)

    def status_of(self, state: ElementState, case: Case) -> Array:
        """Code of every lane."""
        return march_status(state, case, self.brine or brine_of(case.feed))

    # --- the Result

    def residual(self, state: ElementState, case: Case) -> Array:
        """What is left of the imposed recovery, and of the salt balance, relative, ``(*batch, 2)``."""
        return jnp.stack([state.missed, self.observe(state, case).salt_closure], axis=-1)

    @eqx.filter_jit
    def observe(self, state: ElementState, case: Case) -> ElementResult:
        """The Result of every lane."""
        clean = benign(case, state.status == code("successful"))
        brine = self.brine or brine_of(case.feed)
        status = march_status(state, clean, brine)
        good = (status == code("successful")) | (status == code("accuracy_not_reached"))
        state = known(state, good)
        return ElementResult(case=case, model=self, state=state, brine=brine, clean=held(clean, good), status=status)


def check_conditions(case: Case, *more: type) -> None:
    """Refuse conditions that are not those of an element."""
    if not isinstance(case.conditions, (FeedPressure, Recovery, MeanFlux, *more)):
        raise JaxmemError(
            f"Case.conditions is a {type(case.conditions).__name__}. Write jm.FeedPressure(55 * bar, flow=8 * m3_per_h), "
            "jm.Recovery(0.45, flow=...) or jm.MeanFlux(15 * LMH, flow=...)."
        )


def vessel_of(case: Case) -> Vessel:
    """The vessel of a case; an element is a vessel of one."""
    return case.membrane if isinstance(case.membrane, Vessel) else Vessel(case.membrane, 1)


def imposed_recovery(case: Case) -> Array | None:
    """The imposed recovery, or None where only the pressure is imposed."""
    c = case.conditions
    if isinstance(c, Recovery | RequiredArea):
        return c.recovery
    if isinstance(c, MeanFlux):
        vessel = vessel_of(case)
        return c.flux * vessel.element.area * vessel.count / c.flow
    return None


def feed_stream(case: Case, brine: Brine, pressure: Array) -> Stream:
    """The inlet, kg/s."""
    t, c = case.feed.temperature, jnp.sum(case.feed.mass_concentration, axis=-1)
    mass = case.conditions.flow * brine.density(brine.mass_fraction(c, t), t)
    salt = case.conditions.flow * c
    return Stream(mass - salt, salt, pressure)


def recovered(inlet: Stream, outlet: Stream, brine: Brine, temperature: Array) -> Array:
    """Volume of permeate over volume of feed."""

    permeate = volume(brine, inlet.water - outlet.water, inlet.salt - outlet.salt, temperature)
    return permeate / volume(brine, inlet.water, inlet.salt, temperature)


def _vessel_march(model: SpiralWound, case: Case, brine: Brine, pressure: Array) -> tuple[Stream, March]:
    """The inlet, and all elements in series."""
    inlet = feed_stream(case, brine, pressure)
    behind = case.conditions.permeate_pressure
    return inlet, march_vessel(model, vessel_of(case), inlet, case.feed.temperature, behind, brine)


def march_vessel(
    model: SpiralWound,
    vessel: Vessel,
    inlet: Stream,
    temperature: Array,
    permeate_pressure: Array,
    brine: Brine,
    most: Array | None = None,
) -> March:
    """All elements in series; outputs lead with the element. After ``most`` elements, where given, nothing moves on."""
    p = Physics(
        vessel.element, permeances(vessel.element.membrane, temperature), temperature, permeate_pressure, brine
    )  # fmt: skip

    def element(carry: tuple[Stream, Array], number: Array) -> tuple:
        stream, flux = carry
        march = SCHEMES[model.scheme](p, stream, model.cells, flux)
        after = march.outlet._replace(pressure=march.outlet.pressure - vessel.interconnector_loss)
        moved = (after, march.nodes.wall.flux[-1])
        if most is not None:
            moved = jax.tree.map(lambda new, old: jnp.where(number < most, new, old), moved, carry)
        return moved, march

    return jax.lax.scan(element, (inlet, first_flux(p, inlet)), jnp.arange(vessel.count))[1]


def _first_pressure(case: Case, brine: Brine, recovery: Array | None) -> Array:
    if recovery is None or isinstance(case.conditions, RequiredArea):
        return case.conditions.pressure
    vessel = vessel_of(case)
    return ideal_pressure(case, brine, recovery, vessel.element, vessel.count * vessel.element.area)


def ideal_pressure(case: Case, brine: Brine, recovery: Array, element: SpiralElement, area: Array) -> Array:
    """What a recovery would take without friction and polarisation."""
    t, membrane = case.feed.temperature, element.membrane
    permeance = membrane.water_permeance * membrane.temperature(t)
    flux = recovery * case.conditions.flow / area
    reach = jnp.clip(recovery, 1e-6, 0.95)
    osmotic = brine.osmotic_pressure(jnp.sum(case.feed.mass_concentration, axis=-1), t)
    return case.conditions.permeate_pressure + 1.15 * osmotic * -jnp.log1p(-reach) / reach + flux / permeance


def _pressure(model: SpiralWound, case: Case, brine: Brine, recovery: Array) -> Array:
    """The feed pressure of an imposed recovery: recovery rises with pressure."""

    def short(pressure: Array) -> Array:
        inlet, marches = _vessel_march(model, case, brine, pressure)
        outlet = jax.tree.map(lambda x: x[-1], marches.outlet)
        return recovered(inlet, outlet, brine, case.feed.temperature) - recovery

    low = case.conditions.permeate_pressure + 1e3
    return root_of_increasing(short, low, low + 1e8, _first_pressure(case, brine, recovery), most=40)


def _sized(case: Case, area: Array) -> Case:
    """The case with elements of another area."""
    where = lambda c: c.membrane.element.area if isinstance(c.membrane, Vessel) else c.membrane.area
    return eqx.tree_at(where, case, area)


def _area(model: SpiralWound, case: Case, brine: Brine) -> Array:
    """The area of an element that gives the imposed recovery at the imposed pressure: recovery rises with area."""
    c, vessel = case.conditions, vessel_of(case)
    membrane, t = vessel.element.membrane, case.feed.temperature
    drive = c.pressure - c.permeate_pressure
    osmotic = brine.osmotic_pressure(jnp.sum(case.feed.mass_concentration, axis=-1), t)
    free = jnp.maximum(drive - 1.5 * osmotic, 0.05 * drive)
    first = c.recovery * c.flow / (vessel.count * membrane.water_permeance * membrane.temperature(t) * free)

    def short(log_area: Array) -> Array:
        inlet, marches = _vessel_march(model, _sized(case, jnp.exp(log_area)), brine, c.pressure)
        outlet = jax.tree.map(lambda x: x[-1], marches.outlet)
        return recovered(inlet, outlet, brine, t) - c.recovery

    start = jnp.log(jnp.maximum(first, 1e-12))
    return jnp.exp(root_of_increasing(short, start - 7.0, start + 7.0, start, most=40))


def march_status(state: ElementState, case: Case, brine: Brine) -> Array:
    """Code of every lane."""
    c = case.conditions
    shape = state.status.shape
    water, pressure = state.nodes.stream.water, state.nodes.stream.pressure
    over = tuple(range(len(shape), water.ndim))
    permeate = jnp.broadcast_to(c.permeate_pressure, shape)
    feed = jnp.sum(case.feed.mass_concentration, axis=-1)
    drive = state.inlet.pressure - permeate
    reflection = vessel_of(case).element.membrane.reflection
    weak = drive <= reflection * brine.osmotic_pressure(feed, case.feed.temperature)
    status = jnp.where(state.error > _TRUSTED, code("accuracy_not_reached"), code("successful"))
    dry = jnp.min(water, axis=over) < 0.01 * state.inlet.water
    status = jnp.where(dry | ~jnp.isfinite(state.outlet.water), code("channel_runs_dry"), status)
    missed = jnp.abs(state.missed) > 1e-8
    if isinstance(c, RequiredArea):  # a larger area finds more water even beyond this limit, but what leaks
        missed |= leaks(state.outlet, permeate, reflection, brine, case.feed.temperature) & ~weak
    status = jnp.where(missed, code("recovery_out_of_reach"), status)
    status = jnp.where(jnp.min(pressure, axis=over) <= permeate, code("pressure_spent"), status)
    reached = status != code("recovery_out_of_reach")
    status = jnp.where(weak & reached, code("below_osmotic_pressure"), status)
    return jnp.where(state.status == code("successful"), status, state.status)
