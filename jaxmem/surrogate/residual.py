"""What no closure can express: physics, and a bounded correction of its transmissions by a network."""

import dataclasses

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from .._errors import JaxmemError
from .._status import code
from ..case import Case
from ..conditions import FluxDriven
from ..models.base import AbstractModel
from ..models.dspmde.model import DSPMDE
from ..models.inputs import benign, input_status
from ..models.point import PointState
from ..models.result import PointResult
from ..models.sdem import SDEM
from .field import FluxField
from .neural_ode import KNEE, lane_of
from .projection import positive
from .waters import Seen

_GATE = 0.1  # of 60 um/s: the flux at which the gate has opened by 63 %


class BoundedResidual(AbstractModel):
    r"""Transmissions of a physical model, each within a factor ``exp(bound)`` of it, then neutral again:

        ln(c_p/c_m) = physics + (1 - exp(-J_v/J_0)) bound tanh(r/bound),      c_p <- c_p exp(-z phi),  sum z c_p = 0

    ``r`` is an attention network over ions (``FluxField``), zero before it learns (``jm.train``). Rejection vanishes with the flux, permeates stay positive
    and neutral, absent ions absent; mass balances of the barrier are those of the physics only where ``r`` is zero. ``correction`` says how
    much was added. Without a film: the feed is as it is at the membrane.
    """

    physics: DSPMDE | SDEM
    field: FluxField
    seen: Seen
    bound: float = eqx.field(static=True, default=0.5)

    def __init__(
        self,
        physics: DSPMDE | SDEM,
        *,
        key: Array | None = None,
        field: FluxField | None = None,
        width: int = 32,
        bound: float = 0.5,
    ) -> None:
        if not isinstance(physics, DSPMDE | SDEM) or physics.precision != "float64":
            raise JaxmemError(
                "The physics is jm.DSPMDE() or jm.SDEM() in float64. Write jm.BoundedResidual(jm.SDEM(), key=key)."
            )
        if (key is None) == (field is None) or not bound > 0.0:
            raise JaxmemError(
                f"Give a key or a field, and a bound above zero (it is {bound!r}). Write jm.BoundedResidual(jm.SDEM(), key=key)."
            )
        self.physics, self.seen, self.bound = physics, Seen.nothing(), bound
        self.field = field if field is not None else FluxField(key=key, width=width, still=True)

    def title(self) -> str:
        """Name and options, as printed."""
        return f"{self.physics.title()}, each transmission within a factor {jnp.exp(self.bound):.2f}"

    def sources(self) -> list[str]:
        """Of the physics."""
        return self.physics.sources()

    def check(self, case: Case) -> None:
        """Refuse what cannot be corrected."""
        self.physics.check(case)
        if not isinstance(case.conditions, FluxDriven) or case.conditions.mass_transfer is not None:
            raise JaxmemError(
                "The correction acts at the membrane, at a given flux. Write jm.FluxDriven(20 * jm.units.LMH), with the feed as it is at the membrane."
            )

    def initial_guess(self, case: Case) -> Array:
        """Of the physics."""
        return self.physics.initial_guess(case)

    def find(self, case: Case) -> PointState:
        """The physics, solved."""
        return self.physics.find(case)

    def attach(self, state: PointState, case: Case) -> PointState:
        """As the physics does."""
        return self.physics.attach(state, case)

    def residual(self, state: PointState, case: Case) -> Array:
        """Of the physics."""
        return self.physics.residual(state, case)

    def reflection(self, case: Case) -> Array:
        """Of the osmotic pressure, as the physics has it."""
        return self.physics.reflection(case)

    def water_permeance(self, case: Case) -> Array:
        """Of the physics, m/s/Pa."""
        return self.physics.water_permeance(case)

    @eqx.filter_jit
    def observe(self, state: PointState, case: Case) -> PointResult:
        """The Result of every lane."""
        plain = self.physics.observe(state, case)
        clear = plain.ok[..., None] & (
            plain.feed > 0.0
        )  # elsewhere harmless numbers, before anything is differentiated
        z = jnp.where(clear, case.feed.species.charge, 0.0)
        permeate = jnp.where(clear, plain.permeate, 1.0)
        bent = jnp.where(clear, permeate * jnp.exp(self.correction(plain)), 0.0)
        factor = jnp.where(clear, positive(bent, z) / permeate, 1.0)
        return dataclasses.replace(plain, model=self, permeate=plain.permeate * factor, passage=plain.passage * factor)

    def outside(self, result: PointResult) -> Array:
        """Whether a lane lies beyond what the network has learned from, or is corrected by more than anything there was; ``(*batch)``."""
        moved = self.correction(self.physics.observe(result.state, result.case))
        return self.seen.outside(result.water, result.volume_flux, result.case.membrane, moved)

    def remembering(self, result: PointResult, rows: np.ndarray, part: Case) -> "BoundedResidual":
        """Knowing that it has learned from some lanes of a Result, whose waters at the membrane are the feeds of ``part``."""
        assert isinstance(result.model, BoundedResidual)
        moved = result.model.correction(self.physics.observe(result.state, result.case))
        known = Seen.of(part.feed, result.volume_flux[rows], part.membrane, moved[rows])
        return eqx.tree_at(lambda m: m.seen, self, self.seen.joined(known))

    def correction(self, plain: PointResult) -> Array:
        """What is added to ``ln(c_p/c_m)`` of a Result of the physics, ``(*batch, S)``, before neutrality."""
        case = benign(plain.case, input_status(plain.case) == code("successful"))
        lane = lane_of(case)
        h = lane.feed * jnp.where(plain.ok[..., None], plain.passage, 1.0).reshape(lane.feed.shape)
        clock = jnp.log1p(lane.flux / KNEE) / 4.0
        r, _ = jax.vmap(self.field)(h, clock, lane.feed, lane.ions, lane.present, lane.context)
        gate = -jnp.expm1(-lane.flux / _GATE)[:, None]
        return (gate * self.bound * jnp.tanh(r.astype(gate.dtype) / self.bound)).reshape(plain.passage.shape)
