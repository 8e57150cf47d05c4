"""The lanes that need more: finer grids, more Newton steps, continuation in the flux.

The lanes are gathered in blocks, so that a few hard ones do not hold up a batch. In a block each lane first tries Newton
at the full flux; a lane on which that fails starts again from almost no flux and follows the solution upward in adaptive
steps. With a given pressure the flux is held along the branch until the water balance changes sign, then released.
"""

from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from .march import Levels, residual
from .problem import Core, Form
from .root import (
    Coarse,
    Effort,
    Root,
    accept,
    empty,
    grids,
    needs_more,
    newton_step,
    norm,
    polish,
    start,
    weighted_error,
)

_DIRECT, _CORRECTOR = 24, 10  # Newton steps granted at the full flux, and at each step of the continuation
_FIRST, _SMALLEST, _MOST = 1e-3, 1e-3, 400
_NEAR = 0.3  # residual of an unsolved lane that is worth starting from
BLOCK = 32  # lanes at a time


class Branch(NamedTuple):
    y: Array  # (K, *b) current iterate
    base: Array  # (K, *b) last solution on the branch
    reached: Array  # (*b) flux of ``base``, as a fraction of the given one (or of A dP)
    target: Array  # (*b) flux being solved for
    tries: Array  # (*b) Newton steps left at this target
    held: Array  # (*b) continuation under way (with a pressure: the flux is imposed)
    closed: Array  # (*b) arrived, or given up
    grading: Array
    steps: Array
    count: Array


def _scaled(core: Core, factor: Array) -> Core:
    names = ("convection", "exchange", "film_flux")
    return eqx.tree_at(lambda c: [getattr(c, n) for n in names], core, [getattr(core, n) * factor for n in names])


def _advance(core: Core, form: Form, grid: Levels, tolerance: float, branch: Array, b: Branch) -> Branch:
    """One Newton step in every open lane, and the decision what to do next."""
    at = core if form.pressure else _scaled(core, b.target)
    r = residual(at, form, b.y, grid, None, True)
    assert r.slope is not None
    over = jnp.zeros_like(b.held)
    if form.pressure:  # impose the flux instead of the water balance while the branch is followed
        over = r.value[-2] > 0.0
        pinned = r.value.at[-2].set(b.y[-2] - jnp.log(b.target))
        unit = jnp.zeros_like(r.slope[-2]).at[-2].set(1.0)
        value = jnp.where(b.held, pinned, r.value)
        r = r._replace(value=value, slope=r.slope.at[-2].set(jnp.where(b.held, unit, r.slope[-2])))
    worst = norm(r.value)
    astray = empty(core, r.interface.ratio)
    done = (worst < tolerance) & ~b.closed & ~astray
    moved = accept(core, b.y, newton_step(at, r), jnp.where(b.held, 2.0, 6.0))
    failed = ~done & ((b.tries <= 0) | astray) & ~b.closed

    direct_end = done & ~b.held
    release = done & b.held & over if form.pressure else jnp.zeros_like(done)  # bracketed: solve for the flux
    arrived = done & b.held & (b.target >= 1.0) if not form.pressure else jnp.zeros_like(done)
    grown = done & b.held & ~release & ~arrived
    span = b.target / b.reached - 1.0
    step = jnp.where(grown, jnp.minimum(2.0 * span + 1e-3, 3.0), 0.35 * span)

    first = failed & ~b.held & branch  # begin the continuation
    retreat = failed & b.held
    give_up = retreat & (step < _SMALLEST)
    reached = jnp.where(grown, b.target, jnp.where(first, _FIRST / 4.0, b.reached))
    target = jnp.where(first, _FIRST, jnp.where(grown | retreat, reached * (1.0 + step), b.target))
    if not form.pressure:
        target = jnp.minimum(target, 1.0)
    zero = jnp.zeros_like(b.y)
    if form.pressure:
        zero = zero.at[-2].set(jnp.log(_FIRST))
    base = jnp.where(grown, b.y, jnp.where(first, zero, b.base))
    y = jnp.where(first | retreat, base, jnp.where(done | b.closed, b.y, moved))
    tries = jnp.where(first | grown | retreat, _CORRECTOR, jnp.where(release, _DIRECT, b.tries - 1))
    closed = b.closed | direct_end | arrived | give_up | (failed & ~b.held & ~branch) | (b.count >= _MOST)
    # a released lane that fails again starts the branch anew with the same outcome: closed by the count
    held = (b.held | first) & ~release
    grading = jnp.where(b.closed, b.grading, r.grading_next)
    return Branch(
        y, base, reached, target, tries, held, closed, grading, b.steps + (~b.closed).astype(b.steps.dtype), b.count + 1
    )


def follow(core: Core, form: Form, grid: Levels, tolerance: float, steps: Array, branch: Array) -> Coarse:
    """Newton at the full flux, then (``branch``) the continuation from no flux, for a block of lanes."""
    y = start(core, form)
    lanes = jnp.zeros_like(core.wall)
    false = lanes > 1.0
    tries = jnp.full_like(steps, _DIRECT)
    first = Branch(
        y,
        y,
        lanes + 1.0,
        lanes + 1.0,
        tries,
        false,
        false,
        jnp.stack([lanes + 1.0, lanes + 1.0]),
        steps,
        jnp.asarray(0),
    )
    end = jax.lax.while_loop(
        lambda b: ~jnp.all(b.closed), lambda b: _advance(core, form, grid, tolerance, branch, b), first
    )
    return Coarse(end.y, end.grading, end.steps)


class Phase(NamedTuple):
    """One sweep over the open lanes: how they are attacked and on which set of grids."""

    kind: int | Array
    grid: int | Array


_REFINE, _NEWTON, _BRANCH = 0, 1, 2  # from the old state; from no flux in one go; from no flux along the branch


def plan(count: int) -> Phase:
    """The sweeps, in order, for ``count`` sets of grids: cheap ones first, so that few lanes reach the dear ones."""
    finer, last = [(_REFINE, g) for g in range(1, count)], count - 1
    sweeps = [*finer, (_NEWTON, 1), (_NEWTON, last), (_BRANCH, 1), (_BRANCH, last), *finer]
    kind, grid = np.asarray(sweeps).T
    return Phase(kind.astype(np.int32), grid.astype(np.int32))


def _wanted(core: Core, root: Root, effort: Effort, count: int) -> Array:
    """The set of grids that should do: a doubling divides the error by 64 (order h^6)."""
    ratio = jnp.clip(weighted_error(core, root) / effort.tolerance, 1.0, 1e30)
    return jnp.clip(root.grid + jnp.ceil(jnp.log2(ratio) / 6.0).astype(root.grid.dtype), root.grid + 1, count - 1)


def _pending(core: Core, root: Root, effort: Effort, count: int, now: Phase) -> Array:
    """Lanes that this sweep takes on."""
    open_ = needs_more(core, root, effort)
    near = root.solved | (root.residual < _NEAR)
    refine = open_ & near & (root.grid < now.grid) & (_wanted(core, root, effort, count) <= now.grid)
    return jnp.where(now.kind == _REFINE, refine, ~root.solved)


def _better(new: Root, old: Root) -> Array:
    return new.solved | (~old.solved & (new.residual < old.residual))


def rescue(core: Core, form: Form, effort: Effort, root: Root) -> Root:
    """Put the open lanes through the sweeps of ``plan``, a block at a time; keep the better of old and new."""
    n = core.wall.shape[0]
    block = min(n, max(16, min(n // 64, BLOCK)))
    sets = grids(form, effort)
    factors = jnp.asarray([g.factor for g in sets], jnp.int32)
    phases = plan(len(sets))

    def take(tree, index: Array):
        return jax.tree.map(lambda x: jnp.take(x, index, axis=-1, mode="clip"), tree)

    def work(b: Array, root: Root, order: Array, now: Phase) -> Root:
        index = jax.lax.dynamic_slice(order, (b * block,), (block,))
        old, part = take(root, index), take(core, index)
        levels = sets[0]._replace(factor=factors[now.grid])
        at = jax.lax.cond(
            now.kind == _REFINE,
            lambda: Coarse(old.y, old.grading, old.steps),
            lambda: follow(part, form, levels._replace(order=1), 1e-3, old.steps, now.kind == _BRANCH),
        )
        new = polish(part, form, at, levels, 12, effort, now.grid, newton=8)
        keep = _better(new, old)
        new = jax.tree.map(lambda a, b: jnp.where(keep, a, b), new, old)
        return jax.tree.map(lambda x, v: x.at[..., index].set(v, mode="drop"), root, new)

    def sweep(i: Array, root: Root) -> Root:
        now = Phase(jnp.asarray(phases.kind)[i], jnp.asarray(phases.grid)[i])
        waiting = _pending(core, root, effort, len(sets), now)

        def go(root: Root) -> Root:
            order = jnp.argsort(jnp.where(waiting, -weighted_error(core, root), jnp.inf))  # like meets like in a block
            order = jnp.where(jnp.take(waiting, order), order, n)
            order = jnp.concatenate([order, jnp.full(block, n, order.dtype)])
            count = -(-jnp.sum(waiting) // block)
            return jax.lax.fori_loop(0, count, lambda b, root: work(b, root, order, now), root)

        return jax.lax.cond(jnp.any(waiting), go, lambda root: root, root)

    return jax.lax.fori_loop(0, len(phases.kind), sweep, root)
