r"""A spiral-wound element whose membrane tells ions apart: a point model (DSPM-DE, SDEM, Spiegler-Kedem) at every position.

    dQ/ds = -A_m J_v,    dn_i/ds = -A_m J_v c_p,i,    dP/ds = L dP/dx        (s from 0 at the inlet to 1 at the outlet)

with ``J_v`` and ``c_p`` of the point model at the local ``c_i = n_i/Q``, pressure and mass-transfer coefficients. Volumes add up:
feed and permeate have one density.
"""

from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jax import Array

from ..._errors import JaxmemError
from ..._fields import whole
from ..._status import code
from ...case import Case
from ...chemistry.brine import brine_of
from ...chemistry.mixture import Mixture
from ...chemistry.osmotic import van_t_hoff
from ...conditions import FeedPressure, MassTransfer, PressureDriven
from ...membranes.element import SpiralElement, Vessel
from ...membranes.polarisation import Flow
from ...nonlinear.increasing import root_of_increasing
from ..base import AbstractModel
from ..dspmde.model import DSPMDE
from ..inputs import benign, check_feed, check_precision, feed_status, held
from ..lanes import known, over_lanes
from ..sdem import SDEM
from ..spiegler_kedem import SpieglerKedem
from .dormand_prince import dormand_prince
from .ions_result import IonElementResult
from .march import March
from .model import check_conditions, imposed_recovery, vessel_of

_BLOCK = 64  # lanes at a time on a CPU
_DRY = 1e-3  # of the feed's flow: a step never sees less
_LEAST = 1e3  # Pa over the permeate: less is told as spent
_WIDEST = 1.0  # m/s, the largest coefficient of a film: beyond, nothing polarises
_TRUSTED = 1e-3  # estimated relative error of what leaves


class IonStream(NamedTuple):
    """The feed side at one position."""

    flow: Array  # Q, m3/s
    ions: Array  # n_i, mol/s, (S)
    pressure: Array  # Pa, absolute


class IonLocal(NamedTuple):
    """A position along the channel, seen in full."""

    stream: IonStream
    flux: Array  # J_v, m/s
    concentration: Array  # bulk, mol/m3, (S)
    interface: Array  # at the membrane, mol/m3, (S)
    permeate: Array  # mol/m3, (S)
    status: Array  # of the point model


class IonState(NamedTuple):
    """The march of one lane: E elements, n + 1 nodes each."""

    inlet: IonStream
    outlet: IonStream
    nodes: IonLocal  # (E, n + 1)
    error: Array  # estimated error of what leaves, relative to what enters
    missed: Array  # what is left of the imposed recovery, relative
    status: Array  # code of the inputs


class SpiralWoundIons(AbstractModel):
    """Each ion along the feed channel of a ``SpiralElement`` or a ``Vessel``; permeates mix as they come.

    ``local`` is the point model of the membrane: ``jm.DSPMDE()`` for a ``PoreMembrane``, ``jm.SDEM()`` for a ``PermeanceMembrane``,
    ``jm.SpieglerKedem()`` for a ``SpieglerKedemMembrane``. Each ion has its own mass-transfer coefficient, by its diffusivity. The
    equations are at the head of ``jaxmem/models/element/ions.py``. Breaks down where the channel runs dry.
    """

    local: DSPMDE | SDEM | SpieglerKedem = DSPMDE()
    cells: int = eqx.field(static=True, default=2, converter=whole)  # of each element
    precision: str = eqx.field(static=True, default="float64")

    def __check_init__(self) -> None:
        if not isinstance(self.local, DSPMDE | SDEM | SpieglerKedem):
            raise JaxmemError(
                f"local = {self.local!r} is no model of a membrane point. Write jm.SpiralWoundIons(jm.DSPMDE()), or jm.SDEM(), "
                "jm.SpieglerKedem()."
            )
        if type(self.cells) is not int or self.cells < 1:
            raise JaxmemError(f"cells = {self.cells!r} is not a number of cells. Write cells=2.")

    def title(self) -> str:
        """Name and options, as printed."""
        return f"Spiral wound ({self.cells} cells) of {self.local.title()}"

    def sources(self) -> list[str]:
        """Where the equations come from."""
        return self.local.sources()

    def check(self, case: Case) -> None:
        """Refuse what this model cannot answer."""
        if not isinstance(case.membrane, SpiralElement | Vessel):
            raise JaxmemError(
                f"SpiralWoundIons needs an element or a vessel; Case.membrane is a {type(case.membrane).__name__}. Write "
                'jm.Case(feed, jm.SpiralElement(jm.membrane("NF270"), area=37.0, length=0.96), conditions).'
            )
        check_conditions(case)
        self.check_element(case, vessel_of(case).element)
        check_precision(case, self.precision)

    def check_element(self, case: Case, element: SpiralElement) -> None:
        """Refuse an element, or its feed, that the point model cannot answer."""
        self.local.check(Case(case.feed, element.membrane, PressureDriven(1e6)))
        if not hasattr(element.mass_transfer, "coefficient"):
            raise JaxmemError(
                f"mass_transfer = {element.mass_transfer!r} has no coefficient for each ion. Write "
                "jm.SpiralElement(..., mass_transfer=jm.ConstantTransfer(4e-5)), or leave it out."
            )
        check_feed(case)

    def initial_guess(self, case: Case) -> Array:
        """The pressure that an ideal vessel would need, Pa, ``(*batch)``."""
        return over_lanes(lambda c: self._first_pressure(c, imposed_recovery(c)), case)

    def _first_pressure(self, case: Case, recovery: Array | None) -> Array:
        if recovery is None:
            return case.conditions.pressure
        vessel = vessel_of(case)
        return self.ideal_pressure(case, recovery, vessel.element, vessel.element.area * vessel.count)

    def ideal_pressure(self, case: Case, recovery: Array, element: SpiralElement, area: Array) -> Array:
        """What a recovery would take without friction and polarisation, and with complete rejection."""
        whole = Case(case.feed, element.membrane, PressureDriven(1e6))
        flux = recovery * case.conditions.flow / area
        reach = jnp.clip(recovery, 1e-6, 0.95)
        osmotic = van_t_hoff(case.feed.concentration, case.feed.temperature) * -jnp.log1p(-reach) / reach
        return case.conditions.permeate_pressure + osmotic + flux / self.local.water_permeance(whole)

    @eqx.filter_jit
    def find(self, case: Case) -> IonState:
        """March every lane."""
        status = feed_status(case)
        state = over_lanes(self._lane, benign(case, status == code("successful")), _BLOCK)
        return state._replace(status=status)

    def _lane(self, case: Case) -> IonState:
        """One question: for an imposed recovery, the pressure that gives it; then the march itself."""
        target, vessel, behind = imposed_recovery(case), vessel_of(case), case.conditions.permeate_pressure
        pressure, missed = self._first_pressure(case, target), jnp.zeros_like(case.conditions.flow)

        def short(pressure: Array) -> Array:
            inlet = self.entering(case, pressure)
            march = self.through(vessel, case, inlet, behind)
            return 1.0 - march.outlet.flow[-1] / case.conditions.flow - target

        if target is not None:
            low = behind + _LEAST
            pressure = root_of_increasing(short, low, low + 1e8, pressure, most=40)
        inlet = self.entering(case, pressure)
        march = self.through(vessel, case, inlet, behind)
        if target is not None:
            missed = (self.recovered(case, inlet, jax.tree.map(lambda x: x[-1], march.outlet)) - target) / target
        return self.state(vessel, inlet, march, missed)

    def entering(self, case: Case, pressure: Array) -> IonStream:
        """The feed at a pressure."""
        return IonStream(case.conditions.flow, case.conditions.flow * case.feed.concentration, pressure)

    def through(
        self, vessel: Vessel, case: Case, inlet: IonStream, permeate_pressure: Array, most: Array | None = None
    ) -> March:
        """All elements in series; outputs lead with the element. After ``most`` elements, where given, nothing moves on."""
        element = vessel.element

        def rate(stream: IonStream, _: None) -> tuple[IonStream, None, IonLocal]:
            here, gradient = self._local(case.feed, element, inlet, stream, permeate_pressure)
            passed = element.area * here.flux
            return IonStream(-passed, -passed * here.permeate, element.length * gradient), None, here

        def one(stream: IonStream, number: Array) -> tuple[IonStream, March]:
            outlet, nodes, left = dormand_prince(rate, stream, None, self.cells)
            relative = jnp.max(left.ions / jnp.where(inlet.ions > 0.0, inlet.ions, jnp.inf))
            after = outlet._replace(pressure=outlet.pressure - vessel.interconnector_loss)
            if most is not None:
                after = jax.tree.map(lambda new, old: jnp.where(number < most, new, old), after, stream)
            return after, March(outlet, nodes, jnp.maximum(left.flow / inlet.flow, relative))

        return jax.lax.scan(one, inlet, jnp.arange(vessel.count))[1]

    def state(self, vessel: Vessel, inlet: IonStream, march: March, missed: Array) -> IonState:
        """What a march tells of one vessel."""
        outlet = jax.tree.map(lambda x: x[-1], march.outlet)
        return IonState(inlet, outlet, march.nodes, jnp.sum(march.error), missed, jnp.zeros((), jnp.int32))

    def recovered(self, case: Case, inlet: IonStream, outlet: IonStream) -> Array:
        """Volume of permeate over volume of feed."""
        return (inlet.flow - outlet.flow) / inlet.flow

    def _local(
        self, feed: Mixture, element: SpiralElement, inlet: IonStream, stream: IonStream, permeate_pressure: Array
    ) -> tuple[IonLocal, Array]:
        """The point model at a position, and the pressure gradient there."""
        t = feed.temperature
        flow = jnp.maximum(stream.flow, _DRY * inlet.flow)
        concentration = jnp.maximum(stream.ions, 0.0) / flow
        brine, salt = brine_of(feed), concentration @ feed.species.molar_mass
        w = brine.mass_fraction(salt, t)
        density, viscosity, d_h = brine.density(w, t), brine.viscosity(w, t), element.hydraulic_diameter
        velocity = flow / (element.spacer_height * element.width * element.porosity)
        reynolds = density * velocity * d_h / viscosity

        def channel(diffusivity: Array) -> Flow:
            return Flow(
                velocity, density, reynolds, viscosity / (density * diffusivity), diffusivity, d_h, element.length
            )

        k = element.mass_transfer.coefficient(channel(feed.diffusivity)) * jnp.ones_like(feed.diffusivity)
        k = jnp.minimum(k, _WIDEST)
        drive = jnp.maximum(stream.pressure - permeate_pressure, _LEAST)
        here = eqx.tree_at(lambda m: m.concentration, feed, concentration)
        film = eqx.tree_at(lambda m: m.coefficient, MassTransfer(jnp.ones_like(k), per_species=True), k)
        conditions = eqx.tree_at(lambda c: c.pressure, PressureDriven(1e6, film), drive)
        question = Case(here, element.membrane, conditions)
        found = self.local.observe(self.local.find(question), question)
        point = IonLocal(stream, found.volume_flux, concentration, found.interface, found.permeate, found.status)
        return point, element.friction(channel(brine.diffusivity(w, t)))

    def residual(self, state: IonState, case: Case) -> Array:
        """What is left of the imposed recovery, relative, and the charge of the permeate, ``(*batch, 2)``."""
        return jnp.stack([state.missed, self.observe(state, case).closure], axis=-1)

    @eqx.filter_jit
    def observe(self, state: IonState, case: Case) -> IonElementResult:
        """The Result of every lane."""
        clean = benign(case, state.status == code("successful"))
        status = self.status_of(state, clean)
        good = (status == code("successful")) | (status == code("accuracy_not_reached"))
        return IonElementResult(case=case, model=self, state=known(state, good), clean=held(clean, good), status=status)

    def status_of(self, state: IonState, case: Case) -> Array:
        """Code of every lane: of its inputs, of what became of the channel, of a point that was not solved."""
        shape, nodes = state.status.shape, state.nodes
        over = tuple(range(len(shape), nodes.flux.ndim))
        permeate = jnp.broadcast_to(case.conditions.permeate_pressure, shape)
        inaccurate = (state.error > _TRUSTED) | jnp.any(nodes.status == code("accuracy_not_reached"), axis=over)
        status = jnp.where(inaccurate, code("accuracy_not_reached"), code("successful"))
        broken = jnp.where(nodes.status == code("accuracy_not_reached"), code("successful"), nodes.status)
        worst = jnp.max(broken, axis=over)
        status = jnp.where(worst != code("successful"), worst, status)
        dry = jnp.min(nodes.stream.flow, axis=over) < 0.01 * state.inlet.flow
        status = jnp.where(dry | ~jnp.isfinite(state.outlet.flow), code("channel_runs_dry"), status)
        status = jnp.where(~(jnp.abs(state.missed) < 1e-8), code("recovery_out_of_reach"), status)
        spent = jnp.min(nodes.stream.pressure, axis=over) <= permeate + _LEAST
        status = jnp.where(spent, code("pressure_spent"), status)
        if isinstance(case.conditions, FeedPressure):
            status = jnp.where(state.inlet.pressure <= permeate + _LEAST, code("below_osmotic_pressure"), status)
        return jnp.where(state.status == code("successful"), status, state.status.astype(status.dtype))
