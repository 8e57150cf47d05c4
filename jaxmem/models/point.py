"""What DSPM-DE and SDEM share: a membrane point whose equations are a ``Core``. From a Case to lanes, and back to a Result."""

from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jax import Array

from .._errors import JaxmemError, PhysicalRangeError
from .._fields import is_concrete
from .._status import code
from ..case import Case, all_quantities
from ..conditions import FluxDriven, PressureDriven
from .dspmde.derivative import find_root, harmless, known_root
from .dspmde.march import residual
from .dspmde.observe import points
from .dspmde.problem import Core, Form
from .dspmde.root import Root, grids, needs_more
from .inputs import as_fed, as_imposed, benign, input_status
from .result import PointResult


class PointState(NamedTuple):
    """The solved unknowns of every lane (batch last), the problem they solve, and what each lane's inputs are worth."""

    root: Root
    core: Core
    status: Array  # (*batch) code of the inputs: 0 when they are sound


def check_tolerance(tolerance: Any) -> None:
    """A positive number, or the grids would never be refined (or always)."""
    if not (isinstance(tolerance, int | float) and 0.0 < tolerance < 1.0):
        raise JaxmemError(f"tolerance = {tolerance!r} is not a number between 0 and 1. Write tolerance=2e-7.")


def check_conditions(case: Case) -> None:
    """Conditions of a known type, with a film that fits the species."""
    if not isinstance(case.conditions, FluxDriven | PressureDriven):
        raise JaxmemError(
            f"Case.conditions is a {type(case.conditions).__name__}. Write jm.FluxDriven(20 * jm.units.LMH) or "
            "jm.PressureDriven(8 * jm.units.bar)."
        )
    if case.conditions.mass_transfer is not None:
        case.conditions.mass_transfer.check(case.feed)


def lanes(case: Case, x: Array, ions: bool) -> Array:
    """``(*batch, S)`` or ``(*batch)`` to ``(S, N)`` or ``(N)``."""
    shape = case.batch_shape
    if not ions:
        return jnp.broadcast_to(x, shape).reshape(-1)
    s = len(case.feed.species)
    return jnp.broadcast_to(x, (*shape, s)).reshape(-1, s).T


def pairs(case: Case, x: Array) -> Array:
    """``(*batch, S, S)`` to ``(S, S, N)``."""
    s = len(case.feed.species)
    return jnp.moveaxis(jnp.broadcast_to(x, (*case.batch_shape, s, s)).reshape(-1, s, s), 0, -1)


def reference_flux(case: Case, water_permeance: Array) -> Array:
    """The imposed flux, or ``A dP``, ``(*batch)``."""
    if isinstance(case.conditions, FluxDriven):
        return case.conditions.volume_flux
    return water_permeance * case.conditions.pressure


def film_terms(case: Case, flux: Array, form: Form) -> tuple[Array, Array]:
    """``J_v/k`` and the field weights of the film, ``(*batch, S)``."""
    transfer, feed = case.conditions.mass_transfer, case.feed
    ones = jnp.ones_like(feed.diffusivity)
    if transfer is None:
        return jnp.zeros_like(ones), ones
    k = transfer.of(feed)
    if not form.linear_film:
        return flux[..., None] / k, ones
    length = feed.diffusivity / k
    return flux[..., None] / k, length / length[..., :1]


@eqx.filter_jit
def prepare(model: Any, case: Case) -> tuple[Core, Array]:
    """The problem of every lane, harmless where the inputs are not sound, and the code of the inputs."""
    status = input_status(case)
    sound = status == code("successful")
    case = benign(case, sound)
    status = jnp.where(sound, jnp.broadcast_to(model.blocked(case), status.shape), status)
    core = model.core(case, model.form(case))
    valid = (status == code("successful")).reshape(-1)
    core = jax.tree.map(lambda x, safe: jnp.where(valid, x, safe), core, harmless(core))
    if model.precision == "float32":
        core = jax.tree.map(lambda x: x.astype(jnp.float32), core)
    return core, status


def find(model: Any, case: Case) -> PointState:
    """Solve all lanes of a case; ``model`` supplies ``core(case)``, ``form(case)``, ``effort``, ``blocked(case)``."""
    core, status = prepare(model, case)
    return in_precision(model, case, core, find_root(core, model.form(case), model.effort()), status)


def in_precision(model: Any, case: Case, core: Core, root: Root, status: Array) -> PointState:
    """Everything after the solve is in the precision of the case."""
    wide = case.feed.concentration.dtype
    if model.precision == "float32":
        core, root = jax.tree.map(lambda x: x.astype(wide) if x.dtype == jnp.float32 else x, (core, root))
    return PointState(root, core, status)


def attach(model: Any, state: PointState, case: Case) -> PointState:
    """The state of a case that was solved before, as if it were solved now: differentiable, and without a solver to compile."""
    if model.precision == "float32":
        return find(model, case)
    core, status = prepare(model, case)
    root = jax.lax.stop_gradient(state.root)
    return PointState(known_root(core, root, model.form(case), model.effort()), core, status)


@eqx.filter_jit
def scaled_residual(model: Any, state: PointState, case: Case, core: Core | None = None) -> Array:
    """The residual rows of a state for a case (or a ``core`` of it), ``(*batch, K)``, on the grids that it was solved on."""
    form, effort = model.form(case), model.effort()
    root = state.root
    core = jax.tree.map(lambda x: x.astype(root.y.dtype), prepare(model, case)[0] if core is None else core)
    sets = grids(form, effort)
    if sets[0] == sets[-1]:  # a named discretisation
        rows = residual(core, form, root.y, sets[0], root.grading, False).value
    else:
        factors = jnp.asarray([levels.factor for levels in sets], root.grid.dtype)
        for_all = lambda f: residual(core, form, root.y, sets[0]._replace(factor=f), root.grading, False).value
        rows = jnp.take_along_axis(jax.lax.map(for_all, factors), root.grid[None, None], axis=0)[0]
    return rows.T.reshape(*case.batch_shape, -1)


_ROUND_OFF = 500  # units in the last place of a rejection that marches on other grids differ by, mostly less


@eqx.filter_jit
def observe(model: Any, state: PointState, case: Case) -> PointResult:
    """Concentrations, fluxes and status of every lane."""
    form, effort = model.form(case), model.effort()
    root, shape, s = state.root, case.batch_shape, len(case.feed.species)
    solved = root.solved & (state.status.reshape(-1) == code("successful"))

    def known(x: Array) -> Array:
        """Derivative zero in failed lanes."""
        return jnp.where(solved, x, jax.lax.stop_gradient(x))

    place = points(state.core, form, root.y, root.interface)
    solved &= jnp.isfinite(place.closure)
    clean = benign(case, state.status == code("successful"))
    bulk = lanes(clean, clean.feed.concentration, True)
    sound = state.status == code("successful")

    def ions(x: Array) -> Array:
        return known(x).T.reshape(*shape, s)

    inputs = state.status
    accurate = ~needs_more(state.core, root, effort).reshape(shape) | ~solved.reshape(shape)
    status = jnp.where(
        (root.solved & jnp.isfinite(place.closure)).reshape(shape), code("successful"), code("no_solution_found")
    )
    if effort.adaptive and form.scheme != "midpoint":
        status = jnp.where(accurate, status, code("accuracy_not_reached"))
    status = jnp.where(inputs == code("successful"), status, inputs)
    reference = jnp.broadcast_to(reference_flux(clean, model.water_permeance(clean)), shape)
    flux = reference
    if form.pressure:
        flux = reference * known(jnp.exp(root.y[s])).reshape(shape)
    flux = jnp.where(solved.reshape(shape), flux, jax.lax.stop_gradient(flux))
    flux = as_imposed(case, flux, sound)
    passage = jnp.exp(root.y[:s])
    round_off = _ROUND_OFF * jnp.finfo(model.precision).eps
    error = jnp.where(state.core.share > 0.0, root.error * passage + round_off, 0.0)
    if effort.segments is not None and form.scheme == "midpoint":  # one grid: nothing to compare with
        error = jnp.full_like(error, jnp.nan)
    closure = jnp.where(solved, place.closure, jnp.inf)
    return PointResult(
        case=case,
        model=model,
        state=state,
        volume_flux=flux,
        feed=as_fed(case, ions(bulk), sound),
        interface=as_fed(case, ions(bulk * place.interface), sound),
        permeate=as_fed(case, ions(bulk * place.permeate), sound),
        passage=ions(passage),
        interface_ratio=ions(place.interface),
        status=status,
        steps=root.steps.reshape(shape),
        residual=root.residual.reshape(shape),
        error_estimate=error.T.reshape(*shape, s),
        closure=closure.reshape(shape),
    )


def refuse_blocked(model: Any, case: Case) -> None:
    """For a single question, or when no lane can be answered: an error instead of a status."""
    leaves = [value for _, value, _ in all_quantities(case)]
    if not all(is_concrete(x) for x in leaves):
        return
    message = model.blocked_message(case)
    if message:
        raise PhysicalRangeError(message)
