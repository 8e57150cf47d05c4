"""Solution-diffusion at a membrane point: a salt as a whole, with film theory and any osmotic law."""

from collections.abc import Callable
from typing import NamedTuple

import equinox as eqx
import jax.numpy as jnp
from jax import Array

from .._status import code
from ..case import Case
from ..chemistry.brine import brine_of
from ..conditions import FluxDriven
from ..membranes.polarisation import film_law
from ..membranes.solution_diffusion import SolutionDiffusionMembrane
from . import inputs, point
from .base import AbstractModel
from .lanes import known, over_lanes
from .result import PointResult
from .wall import Wall, permeances, wall, wall_at


class PointWall(NamedTuple):
    """The wall of every lane, and the code of its inputs."""

    wall: Wall
    residual: Array
    status: Array


class SolutionDiffusion(AbstractModel):
    """``J_w = A [dP - sigma (Pi(c_m) - Pi(c_p))]``, ``J_s = B (c_m - c_p) + (1 - sigma) J_w c_m``, ``c_p = J_s/J_w``, film theory.

    The model of a reverse-osmosis coupon; ``SpiralWound`` carries the same wall along a channel. ``osmotic=None`` takes the law of
    the feed's brine (NaCl or sea salt); laws are in ``jaxmem/chemistry/osmotic.py``. The flux is positive for every positive pressure:
    below the osmotic pressure of the feed a salty trickle passes. Wijmans and Baker 1995, doi 10.1016/0376-7388(95)00102-I.
    """

    osmotic: Callable | None = None
    precision: str = eqx.field(static=True, default="float64")

    def title(self) -> str:
        """Name and options, as printed."""
        return f"Solution-diffusion ({type(self.osmotic).__name__ if self.osmotic else 'osmotic law of the brine'})"

    def sources(self) -> list[str]:
        """Where the equations come from."""
        return ["Wijmans and Baker 1995, J. Membr. Sci. 107, 1, doi 10.1016/0376-7388(95)00102-I"]

    def water_permeance(self, case: Case) -> Array:
        """A at the temperature of the case, m/s/Pa."""
        return permeances(case.membrane, case.feed.temperature).water

    def reflection(self, case: Case) -> Array:
        """Of the osmotic pressure of each species, ``(*batch, S)``."""
        return case.membrane.reflection[..., None]

    def osmotic_pressure(self, case: Case, concentration: Array) -> Array:
        """Of a solution of the feed's species, mol/m3 ``(*batch, S)``, Pa."""
        t, brine = case.feed.temperature, brine_of(case.feed)
        c = jnp.sum(concentration * case.feed.species.molar_mass, axis=-1)
        return (self.osmotic or brine.osmotic)(brine.mass_fraction(c, t), c, t)

    def check(self, case: Case) -> None:
        """Refuse other membranes and conditions."""
        line = "jm.Case(feed, jm.SolutionDiffusionMembrane(3e-12, 3e-8), conditions)"
        inputs.check_membrane(case, SolutionDiffusionMembrane, "SolutionDiffusion", line)
        point.check_conditions(case)
        inputs.check_precision(case, self.precision)
        inputs.check_feed(case)
        inputs.check_salt(case, self.osmotic)

    def initial_guess(self, case: Case) -> Array:
        """Half the flux of pure water."""
        return 0.5 * point.reference_flux(case, self.water_permeance(case))

    def _lane(self, case: Case) -> PointWall:
        t, transfer = case.feed.temperature, case.conditions.mass_transfer
        p, brine = permeances(case.membrane, t), brine_of(case.feed)
        bulk = jnp.sum(case.feed.mass_concentration, axis=-1)
        polarisation = film_law(jnp.inf if transfer is None else jnp.min(transfer.of(case.feed), axis=-1))

        def osmotic(c: Array) -> Array:
            return (self.osmotic or brine.osmotic)(brine.mass_fraction(c, t), c, t)

        if isinstance(case.conditions, FluxDriven):
            found = wall_at(p, polarisation, bulk, case.conditions.volume_flux)
            residual = jnp.zeros_like(bulk)
        else:
            pressure = case.conditions.pressure
            found = wall(p, osmotic, polarisation, bulk, pressure, self.initial_guess(case))
            short = p.reflection * (osmotic(found.interface) - osmotic(found.permeate))
            residual = (found.flux / p.water - pressure + short) / pressure
        return PointWall(found, residual, jnp.zeros((), jnp.int32))

    @eqx.filter_jit
    def find(self, case: Case) -> PointWall:
        """The wall of every lane."""
        status = inputs.feed_status(case)
        return over_lanes(self._lane, inputs.benign(case, status == code("successful")))._replace(status=status)

    def residual(self, state: PointWall, case: Case) -> Array:
        """Water balance over dP, ``(*batch, 1)``."""
        return state.residual[..., None]

    @eqx.filter_jit
    def observe(self, state: PointWall, case: Case) -> PointResult:
        """The Result of every lane."""
        shape, s = case.batch_shape, len(case.feed.species)
        solved = (state.status == code("successful")) & (jnp.abs(state.residual) < 1e-9)
        state = known(state, solved)
        clean = inputs.benign(case, state.status == code("successful"))
        feed = jnp.broadcast_to(clean.feed.concentration, (*shape, s))
        total = jnp.sum(feed * clean.feed.species.molar_mass, axis=-1)
        total = jnp.where(total > 0.0, total, 1.0)
        passage, interface = state.wall.permeate / total, state.wall.interface / total
        ions = lambda x: jnp.broadcast_to(x[..., None], (*shape, s))
        failed = jnp.where(state.status == code("successful"), code("no_solution_found"), state.status)
        return PointResult(
            case=case,
            model=self,
            state=state,
            volume_flux=inputs.as_imposed(case, state.wall.flux, solved),
            feed=inputs.as_fed(case, feed, solved),
            interface=inputs.as_fed(case, feed * ions(interface), solved),
            permeate=inputs.as_fed(case, feed * ions(passage), solved),
            passage=ions(passage),
            interface_ratio=ions(interface),
            status=jnp.where(solved, code("successful"), failed),
            steps=jnp.zeros(shape, jnp.int32),
            residual=jnp.abs(state.residual),
            error_estimate=jnp.zeros((*shape, s)),
            closure=jnp.where(solved, 0.0, jnp.inf),
        )
