"""The attention neural ODE: the permeate follows the flux, led by a network, by physics, or by both."""

from typing import Any, NamedTuple

import diffrax
import equinox as eqx
import jax
import jax.numpy as jnp
import optimistix as optx
from jax import Array

from .._errors import JaxmemError, unknown
from .._status import code
from ..case import Case
from ..conditions import FluxDriven
from ..membranes.pore import PoreMembrane
from ..models.base import AbstractModel
from ..models.dspmde.model import DSPMDE
from ..models.dspmde.problem import Core, Form
from ..models.inputs import as_fed, as_imposed, benign, check_precision, input_status
from ..models.point import lanes
from ..models.result import PointResult
from .attention import descriptors
from .drift import drift, film_field, problem
from .field import CONTEXT, FluxField
from .projection import orthogonal, weighted
from .range import Range
from .slots import PAPER, SlotField
from .waters import Seen

FLUX = 60e-6  # m/s, the unit of flux
KNEE = 0.02  # of that unit: below it rejections rise fastest, and the flux is counted as ln(1 + J_v/knee)
PROJECTIONS = ("weighted", "orthogonal", "none")

_FAR = 30.0  # RT/F over a film
_MOST = 1e4  # c_p/c_b: in 80,000 points of random membranes the largest by DSPM-DE was 7,200


class Lane(NamedTuple):
    """One rollout, or many along leading axes."""

    ions: Array  # (S, 4)
    charge: Array  # (S,) zero for absent ions
    feed: Array  # (S,) in equivalents of the feed
    mobility: Array  # (S,) relative
    present: Array  # (S,)
    context: Array  # (C,)
    flux: Array  # () in units of 60 um/s


class Rollout(NamedTuple):
    """What a model keeps of its lanes, ``(N, ...)``."""

    permeate: Array  # (N, S) equivalents
    lane: Lane
    interface: Array  # (N, S) c_m/c_b
    shift: Array  # (N, S) implied feed shift, zero without physics
    attention: Array  # (N, S, S)
    steps: Array  # (N,)
    solved: Array  # (N,)
    outside: Array  # (N,) beyond the training
    status: Array  # (*batch) of the inputs


class AttentionNeuralODE(AbstractModel):
    r"""Permeate concentrations as a path over the volume flux, from ``c_p = c_feed`` at zero flux:

        dh/dJ_v = P_z [v_phys(h, J_v) + h g(h, J_v, context)/(J_v + J_0)],      h = c_p/c_ref,   c_ref = 1/2 sum |z| c_feed

    ``g`` is an attention network over ions (``FluxField``), ``P_z`` takes the charge out: ``"weighted"`` with ``D_i h_i``, which keeps signs and
    absent ions; ``"orthogonal"`` as published; ``"none"``. With ``physics=jm.DSPMDE()`` the drift ``v_phys`` is DSPM-DE's own ``dc_p/dJ_v`` and an untrained
    network is DSPM-DE; ``result.state.shift`` says how far a trained one has moved the feed that the pore would need. ``relative=False`` leaves
    out the factor ``h/(J_v + J_0)`` as published: concentrations may then turn negative. States of different fluxes do not cause one another: the
    path is a smooth family of steady states, no motion in time. Networks without physics answer at the membrane: no film.

    Rehman and Lienhard 2023, arXiv 2312.02871. Breaks down outside of what it was trained on, and where DSPM-DE does with its physics.
    """

    field: FluxField | SlotField
    trained: Range  # by simulations
    seen: Seen  # of measurements
    physics: DSPMDE | None = None
    projection: str = eqx.field(static=True, default="weighted")
    relative: bool = eqx.field(static=True, default=True)
    rtol: float = eqx.field(static=True, default=1e-8)
    atol: float = eqx.field(static=True, default=1e-10)
    max_steps: int = eqx.field(static=True, default=2048)
    precision: str = eqx.field(static=True, default="float64")

    def __init__(
        self,
        physics: DSPMDE | None = None,
        *,
        key: Array | None = None,
        field: FluxField | SlotField | None = None,
        trained: Range | None = None,
        seen: Seen | None = None,
        width: int = 69,
        attend: bool = True,
        conditioned: bool = True,
        projection: str = "weighted",
        relative: bool = True,
        rtol: float = 1e-8,
        atol: float = 1e-10,
        max_steps: int = 2048,
    ) -> None:
        if projection not in PROJECTIONS:
            raise unknown(
                "Projection", projection, PROJECTIONS, 'Write jm.AttentionNeuralODE(projection="weighted", key=key).'
            )
        if physics is not None and (
            not isinstance(physics, DSPMDE) or physics.cells is not None or physics.precision != "float64"
        ):
            raise JaxmemError(
                "The drift is that of jm.DSPMDE() in float64 with a resolved pore. Write jm.AttentionNeuralODE(jm.DSPMDE(), key=key)."
            )
        if field is None and key is None:
            raise JaxmemError("A new network needs a key. Write jm.AttentionNeuralODE(key=jax.random.key(0)).")
        self.field = field if field is not None else FluxField(
            key=key, width=width, attend=attend, conditioned=conditioned, still=physics is not None
        )  # fmt: skip
        self.trained = Range.unbounded() if trained is None else trained
        self.seen = Seen.nothing() if seen is None else seen
        self.physics, self.projection, self.relative = physics, projection, relative
        self.rtol, self.atol, self.max_steps, self.precision = rtol, atol, max_steps, "float64"

    @classmethod
    def as_published(
        cls,
        ions: tuple[str, ...] = PAPER,
        *,
        key: Array,
        width: int = 64,
        attend: bool = True,
        encoding: str = "learned",
        **others: Any,
    ) -> "AttentionNeuralODE":
        """As in the paper: a slot for each ion of a list (``SlotField``: 17,488 numbers for the paper's eight), no context, no physics, orthogonal projection,
        no factor h. A feed must hold just these ions, in this order, absent ones at zero."""
        field = SlotField(ions, key=key, width=width, attend=attend, encoding=encoding)
        return cls(field=field, projection="orthogonal", relative=False, **others)

    def title(self) -> str:
        """Name and options, as printed."""
        drift = f" over {self.physics.title()}" if self.physics is not None else ""
        mixing = "Attention neural ODE" if self.field.attention is not None else "Neural ODE"
        return f"{mixing}{drift} ({self.projection} projection)"

    def sources(self) -> list[str]:
        """Where the idea comes from."""
        return ["Rehman and Lienhard 2023, arXiv 2312.02871", *([] if self.physics is None else self.physics.sources())]

    def check(self, case: Case) -> None:
        """Refuse what this model cannot answer."""
        if not isinstance(case.conditions, FluxDriven):
            raise JaxmemError(
                f"The path runs over the flux; conditions are {type(case.conditions).__name__}. Write jm.FluxDriven(20 * jm.units.LMH)."
            )
        if self.physics is not None:
            return self.physics.check(case)
        check_precision(case, self.precision)
        if isinstance(self.field, SlotField):
            self.field.check(case.feed.species.names)
        if case.conditions.mass_transfer is not None:
            raise JaxmemError(
                "This network answers at the membrane and knows no film. Write jm.FluxDriven(flux), with the feed as it is at the membrane."
            )
        if self.field.conditioned and not isinstance(case.membrane, PoreMembrane):
            raise JaxmemError(
                f"This network reads the numbers of a pore; the membrane is a {type(case.membrane).__name__}. Write jm.membrane('NF270')."
            )
        return None

    def initial_guess(self, case: Case) -> Array:
        """The feed itself, in its equivalents, ``(N, S)``."""
        return lane_of(case).feed

    @eqx.filter_jit
    def find(self, case: Case) -> Rollout:
        """Roll out every lane from no flux to its own."""
        status = input_status(case)
        if self.physics is not None:
            status = jnp.where(
                status == code("successful"), jnp.broadcast_to(self.physics.blocked(case), status.shape), status
            )
        clean = benign(case, input_status(case) == code("successful"))
        lane = lane_of(clean)
        core, form = (None, None) if self.physics is None else problem(self.physics, clean)
        along = None if core is None else jax.tree.map(lambda x: jnp.moveaxis(x, -1, 0), core)
        return jax.vmap(lambda lane, core: self._roll(lane, core, form))(lane, along)._replace(status=status)

    def _roll(self, lane: Lane, core: Core | None, form: Form | None) -> Rollout:
        start = (lane.feed, jnp.zeros(()))
        knee = KNEE / jnp.maximum(
            lane.flux, 1e-9
        )  # the share of the flux within which the permeate falls: the clock runs on ln(1 + f/knee)
        if core is not None:
            assert form is not None
            first = drift(core, form, _unknowns(*start, lane), jnp.zeros(())).passages
            knee = jax.lax.stop_gradient(1.0 / (1.0 + jnp.max(jnp.where(lane.present, jnp.abs(first), 0.0))))
        length = jnp.log1p(1.0 / knee)

        def along(s: Array, y: tuple[Array, Array], _: None) -> tuple[Array, Array]:
            f = knee * jnp.expm1(length * s)
            speed = length * (f + knee)
            return jax.tree.map(lambda x: speed * x, self.slope(f, y, lane, core, form))

        term = diffrax.ODETerm(along)
        done = diffrax.diffeqsolve(
            term, diffrax.Tsit5(), 0.0, 1.0, 0.01, start,
            stepsize_controller=diffrax.PIDController(rtol=self.rtol, atol=self.atol, norm=optx.max_norm),
            max_steps=self.max_steps, throw=False, adjoint=diffrax.RecursiveCheckpointAdjoint(),
        )  # fmt: skip
        assert done.ys is not None
        h, zeta = (x[-1] for x in done.ys)
        solved = (done.result == diffrax.RESULTS.successful) & jnp.all(jnp.isfinite(h))
        h = jnp.where(solved, h, lane.feed)
        _, weights = self.field(h, jnp.log1p(lane.flux / KNEE) / 4.0, lane.feed, lane.ions, lane.present, lane.context)
        interface, shift = jnp.ones_like(h), jnp.zeros_like(h)
        if core is not None:
            assert form is not None
            d = drift(core, form, _unknowns(h, zeta, lane), jnp.ones(()))
            interface, shift = d.interface, jnp.where(lane.present, d.shift, 0.0)
        if weights is None:
            weights = jnp.zeros((h.shape[0],) * 2, self.field.dtype)
        outside = self.trained.outside(lane)
        return Rollout(h, lane, interface, shift, weights, done.stats["num_steps"], solved, outside, solved)

    def slope(
        self, f: Array, y: tuple[Array, Array], lane: Lane, core: Core | None, form: Form | None
    ) -> tuple[Array, Array]:
        """The vector field over the share ``f`` of a lane's flux; ``y`` is the permeate in equivalents and the film's field."""
        h, zeta = y
        g, _ = self.field(h, jnp.log1p(f * lane.flux / KNEE) / 4.0, lane.feed, lane.ions, lane.present, lane.context)
        move = (
            lane.flux
            * g.astype(h.dtype)
            * (h / (f * lane.flux + KNEE) if self.relative else lane.present.astype(h.dtype))
        )
        d = None
        if core is not None:
            assert form is not None
            d = drift(core, form, _unknowns(h, zeta, lane), f)
            move = move + jnp.where(lane.present, h * d.passages, 0.0)
        if self.projection == "weighted":
            move = weighted(move, lane.charge, lane.mobility * jnp.maximum(h, 0.0))
        elif self.projection == "orthogonal":
            move = orthogonal(move, lane.charge)
        if core is None or d is None:
            return move, jnp.zeros_like(zeta)
        relative = jnp.where(lane.present, move / jnp.where(lane.present, jnp.maximum(h, 1e-12), 1.0), d.passages)
        return move, film_field(core, d, relative)

    def outside(self, result: PointResult) -> Array:
        """Whether a lane lies beyond both what the network was taught by simulations and what it has learned from measurements, ``(*batch)``.

        An answer that no membrane would give, a permeate of ten thousand times the feed, lies beyond both: tuned networks may forget what they were taught.
        """
        shape, found = result.status.shape, []
        if self.trained.ions.shape[0]:
            found.append(result.state.outside.reshape(shape))
        if self.seen.known:
            shift = None if self.physics is None else result.state.shift.reshape(*shape, -1)
            found.append(self.seen.outside(result.water, result.volume_flux, result.case.membrane, shift))
        beyond = jnp.all(jnp.stack(found), axis=0) if found else jnp.zeros(shape, bool)
        return beyond if self.physics is not None else beyond | jnp.any(result.passage > _MOST, axis=-1)

    def remembering(self, result: PointResult, rows: Any, part: Case) -> "AttentionNeuralODE":
        """Knowing that it has learned from some lanes of a Result, whose waters at the membrane are the feeds of ``part``."""
        shift = None if self.physics is None else result.state.shift[rows]
        known = Seen.of(part.feed, result.volume_flux[rows], part.membrane, shift)
        return eqx.tree_at(lambda m: m.seen, self, self.seen.joined(known))

    def residual(self, state: Rollout, case: Case) -> Array:
        """Charge of the permeate over its equivalents: the one equation that a path can be judged by, ``(*batch, 1)``."""
        return _charge(state).reshape(*case.batch_shape, 1)

    def reflection(self, case: Case) -> Array:
        """Of the osmotic pressure: 1."""
        return jnp.ones(())

    def water_permeance(self, case: Case) -> Array:
        """Of the pore; not a number where the membrane has none."""
        if isinstance(case.membrane, PoreMembrane):
            return case.membrane.water_permeance(case.feed.water_viscosity)
        return jnp.asarray(getattr(case.membrane, "water_permeance", jnp.nan))

    @eqx.filter_jit
    def observe(self, state: Rollout, case: Case) -> PointResult:
        """The Result of every lane."""
        shape, s = case.batch_shape, len(case.feed.species)
        sound = state.status == code("successful")
        solved = state.solved.reshape(shape)
        status = jnp.where(sound, jnp.where(solved, code("successful"), code("no_solution_found")), state.status)
        clean = benign(case, input_status(case) == code("successful"))
        bulk = lanes(clean, clean.feed.concentration, True).T
        ratio = jnp.where(state.lane.present, state.permeate / jnp.where(state.lane.present, state.lane.feed, 1.0), 1.0)
        good = (status == code("successful")).reshape(-1)
        known = lambda x: jnp.where(good.reshape(-1, *(1,) * (x.ndim - 1)), x, jax.lax.stop_gradient(x))
        ions = lambda x: known(x).reshape(*shape, s)
        return PointResult(
            case=case, model=self, state=state,
            volume_flux=as_imposed(case, jnp.broadcast_to(clean.conditions.volume_flux, shape), sound),
            feed=as_fed(case, ions(bulk), sound), interface=as_fed(case, ions(bulk * state.interface), sound),
            permeate=as_fed(case, ions(bulk * ratio), sound), passage=ions(ratio),
            interface_ratio=ions(state.interface), status=status, steps=state.steps.reshape(shape),
            residual=jnp.abs(_charge(state)).reshape(shape), error_estimate=jnp.full((*shape, s), self.rtol),
            closure=jnp.where(good, jnp.abs(_charge(state)), jnp.inf).reshape(shape),
        )  # fmt: skip


def _unknowns(h: Array, zeta: Array, lane: Lane) -> Array:
    """``(ln passages, film field)`` as the march takes them; absent ions pass as if they were there.

    Both are bounded: steps that are tried and rejected go far, and what is not a number there would spoil derivatives of those that count.
    """
    ratio = jnp.where(lane.present, jnp.maximum(h, 1e-12) / jnp.where(lane.present, lane.feed, 1.0), 1.0)
    return jnp.append(jnp.log(ratio), jnp.clip(zeta, -_FAR, _FAR))


def _charge(state: Rollout) -> Array:
    z = state.lane.charge
    gross = jnp.sum(jnp.abs(z * state.lane.feed), axis=-1)
    return jnp.sum(z * state.permeate, axis=-1) / jnp.where(gross > 0.0, gross, 1.0)


def lane_of(case: Case) -> Lane:
    """Every lane of a case as the networks read it."""
    feed, s = case.feed, len(case.feed.species)
    c, z = feed.concentration, jnp.broadcast_to(feed.species.charge, feed.concentration.shape)
    reference = 0.5 * jnp.sum(jnp.abs(z) * c, axis=-1, keepdims=True)
    reference = jnp.where(reference > 0.0, reference, jnp.sum(c, axis=-1, keepdims=True))
    reference = jnp.where(reference > 0.0, reference, 1.0)
    present, d = c > 0.0, feed.diffusivity
    wide = lambda x: jnp.broadcast_to(x, (*case.batch_shape, *x.shape[-1:])).reshape(-1, x.shape[-1])
    ions = descriptors(feed)
    every = jnp.broadcast_to(ions, (*case.batch_shape, *ions.shape[-2:])).reshape(-1, s, ions.shape[-1])
    flux = jnp.broadcast_to(case.conditions.volume_flux / FLUX, case.batch_shape).reshape(-1)
    per_ion = (
        wide(x) for x in (jnp.where(present, z, 0.0), c / reference, d / jnp.max(d, axis=-1, keepdims=True), present)
    )
    return Lane(every, *per_ion, wide(_context(case, reference[..., 0])), flux)


def _context(case: Case, reference: Array) -> Array:
    """Feed, temperature and pore, ``(*batch, 10)``, near to unity; zero for a membrane that has no pore."""
    feed, m = case.feed, case.membrane
    cations, anions = feed.multivalent_fraction
    columns = [
        jnp.log10(reference / 100.0), jnp.log10(jnp.maximum(feed.ionic_strength, 1e-6) / 100.0), cations, anions, (feed.temperature - 298.15) / 10.0,
    ]  # fmt: skip
    if isinstance(m, PoreMembrane):
        columns += [
            jnp.log(m.pore_radius / 5e-10), jnp.log(m.thickness_over_porosity / 1e-6), jnp.arcsinh(m.charge_density / reference),
            m.charge_density / 100.0, m.pore_permittivity / 80.0,
        ]  # fmt: skip
    else:
        columns += [jnp.zeros(())] * (CONTEXT - len(columns))
    return jnp.stack(jnp.broadcast_arrays(*columns), axis=-1)
