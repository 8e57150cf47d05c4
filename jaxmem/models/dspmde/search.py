"""Newton from the zero-flux state to the root on coarse grids and, where that fails, continuation in the flux.

A block of lanes goes through one loop in two stages. On one grid each lane first tries Newton at the full flux; a lane on
which that fails (``branch``) starts again from almost no flux and follows the solution upward in adaptive steps. With a given
pressure the flux is held along the branch until the water balance changes sign, then released. When every lane has arrived
or given up, a few steps on two grids bring it near enough for chord steps. No lane's path depends on another's.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import Array

from ...linalg.small_dense import apply, gauss_jordan, inverse
from .march import Residual, residual
from .pore import Levels
from .problem import Core, Form, with_flux
from .root import Guess, accept, empty, mixed, norm, start

_CORRECTOR, _RELEASED = 10, 24  # Newton steps granted at each flux of the continuation, and once the flux is released
_FIRST, _SMALLEST, _MOST = 1e-3, 1e-3, 400
_ARRIVED, _NEAR = 3e-3, 0.03  # residuals on one grid and on two; the step that follows squares them


class Plan(NamedTuple):
    """How a block is searched; scalars, traced or not."""

    factor: int | Array  # of the grids
    tries: int | Array  # Newton steps at the full flux
    near: int | Array  # steps on two grids
    branch: bool | Array  # whether to follow the branch where Newton fails
    known: bool | Array  # start from the given state, on two grids


class Search(NamedTuple):
    """Between two Newton steps."""

    y: Array  # (K, *b) current iterate
    matrix: Array  # (K, K, *b) inverse Jacobian there, at the stage of two grids
    base: Array  # (K, *b) last solution on the branch
    reached: Array  # (*b) flux of ``base``, as a fraction of the given one (or of A dP)
    target: Array  # (*b) flux being solved for
    tries: Array  # (*b) Newton steps left at this target
    held: Array  # (*b) continuation under way (with a pressure: the flux is imposed)
    settled: Array  # (*b) arrived at this stage, or given up
    grading: Array  # (2, *b)
    steps: Array  # (*b)
    near: Array  # () whether this is the stage of two grids
    left: Array  # () steps left at this stage


def _pinned(r: Residual, b: Search) -> Residual:
    """Impose the flux instead of the water balance while the branch is followed."""
    assert r.slope is not None
    unit = jnp.zeros_like(r.slope[-2]).at[-2].set(1.0)
    value = jnp.where(b.held, r.value.at[-2].set(b.y[-2] - jnp.log(b.target)), r.value)
    return r._replace(value=value, slope=r.slope.at[-2].set(jnp.where(b.held, unit, r.slope[-2])))


def _advance(core: Core, form: Form, levels: Levels, plan: Plan, b: Search) -> Search:
    """One Newton step in every open lane, and the decision what to do next."""
    at = core if form.pressure else with_flux(core, b.target)
    r = residual(at, form, b.y, levels, b.grading, True, own=~b.near)
    over = r.value[-2] > 0.0 if form.pressure else jnp.zeros_like(b.held)
    r = _pinned(r, b) if form.pressure else r
    assert r.slope is not None
    slope, value = mixed(at, r.slope), mixed(at, r.value)

    def keep() -> tuple[Array, Array]:  # the chord steps to come need the inverse
        new = inverse(slope)
        return apply(new, value), new

    change, matrix = jax.lax.cond(b.near, keep, lambda: (gauss_jordan(slope, value[:, None])[:, 0], b.matrix))
    cap = jnp.where(b.near, 3.0, jnp.where(b.held, 2.0, 6.0))
    moved = accept(core, b.y, -change, cap)
    worst, astray = norm(r.value), empty(core, r.interface.ratio)

    open_ = ~b.settled & ~b.near
    done = open_ & (worst < _ARRIVED) & ~astray
    failed = open_ & ~done & ((b.tries <= 0) | astray)
    first = failed & ~b.held & plan.branch  # begin the continuation
    retreat = failed & b.held
    release, arrived = done & b.held & over, done & b.held & (b.target >= 1.0)
    if form.pressure:
        arrived = jnp.zeros_like(arrived)  # the flux may exceed A dP
    grown = done & b.held & ~release & ~arrived
    span = b.target / b.reached - 1.0
    step = jnp.where(grown, jnp.minimum(2.0 * span + 1e-3, 3.0), 0.35 * span)
    gave_up = (retreat & (step < _SMALLEST)) | (failed & ~b.held & ~plan.branch)

    base = jnp.where(grown, moved, b.base)
    if form.pressure:
        base = jnp.where(first, jnp.zeros_like(b.y).at[-2].set(jnp.log(_FIRST)), base)
    else:
        base = jnp.where(first, 0.0, base)
    reached = jnp.where(grown, b.target, jnp.where(first, _FIRST / 4.0, b.reached))
    target = jnp.where(first, _FIRST, jnp.where(grown | retreat, reached * (1.0 + step), b.target))
    target = target if form.pressure else jnp.minimum(target, 1.0)
    tries = jnp.where(first | grown | retreat, _CORRECTOR, jnp.where(release, _RELEASED, b.tries - 1))
    settled = jnp.where(b.near, worst < _NEAR, (done & ~b.held) | arrived | gave_up | (b.left <= 0))
    return Search(
        jnp.where(first | retreat, base, jnp.where(b.settled, b.y, moved)),
        jnp.where(b.settled, b.matrix, matrix),
        base,
        reached,
        target,
        tries,
        (b.held | first) & ~release,
        b.settled | settled,
        jnp.where(b.settled | b.near, b.grading, r.grading_next),
        b.steps + (~b.settled).astype(b.steps.dtype),
        b.near,
        b.left - 1,
    )


def _stage(plan: Plan, b: Search) -> Search:
    """From one grid to two once every lane has settled; lanes that gave up are back at the full flux."""
    now = ~b.near & jnp.all(b.settled)
    no = jnp.zeros_like(b.settled)
    fresh = b._replace(
        target=jnp.ones_like(b.target), held=no, settled=no, near=now | b.near, left=b.left * 0 + plan.near
    )
    return jax.tree.map(lambda a, c: jnp.where(now, a, c), fresh, b)


def search(core: Core, form: Form, segments: int, plan: Plan, at: Guess) -> Guess:
    """Near the root of every lane; from ``at`` when ``plan.known``, else from the zero-flux state."""
    lanes, known = jnp.zeros_like(core.wall), jnp.asarray(plan.known)
    false = lanes > 1.0
    y = jnp.where(known, at.y, start(core, form))
    first = Search(
        y=y,
        matrix=at.matrix,
        base=y,
        reached=lanes + 1.0,
        target=lanes + 1.0,
        tries=jnp.zeros_like(at.steps) + jnp.asarray(plan.tries, at.steps.dtype) - 1,
        held=false,
        settled=false,
        grading=jnp.where(known, at.grading, 1.0),
        steps=at.steps,
        near=known,
        left=jnp.where(known, jnp.asarray(plan.near, at.steps.dtype), _MOST),
    )

    def go(b: Search) -> Array:
        return ~b.near | ((b.left > 0) & ~jnp.all(b.settled))

    def step(b: Search) -> Search:
        order = 1 if form.scheme == "midpoint" else 1 + b.near.astype(jnp.int32)
        return _stage(plan, _advance(core, form, Levels(segments, order, plan.factor), plan, b))

    end = jax.lax.while_loop(go, step, first)
    return Guess(end.y, end.grading, end.matrix, end.steps)
