"""The lanes that need more: finer grids, more Newton steps, continuation in the flux.

The lanes are gathered in blocks, so that a few hard ones do not hold up a batch. In a block each lane first tries Newton
at the full flux; a lane on which that fails starts again from almost no flux and follows the solution upward in adaptive
steps. With a given pressure the flux is held along the branch until the water balance changes sign, then released.
"""

from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jax import Array

from .march import Levels, residual
from .problem import Core, Form
from .root import Coarse, Effort, Root, accept, grids, needs_more, newton_step, norm, polish, start

_DIRECT, _CORRECTOR = 24, 10  # Newton steps granted at the full flux, and at each step of the continuation
_FIRST, _SMALLEST, _MOST = 1e-3, 1e-3, 400


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


def _advance(core: Core, form: Form, segments: Array, tolerance: float, b: Branch) -> Branch:
    """One Newton step in every open lane, and the decision what to do next."""
    at = core if form.pressure else _scaled(core, b.target)
    r = residual(at, form, b.y, Levels(segments, 1), None, True)
    assert r.slope is not None
    over = jnp.zeros_like(b.held)
    if form.pressure:  # impose the flux instead of the water balance while the branch is followed
        over = r.value[-2] > 0.0
        pinned = r.value.at[-2].set(b.y[-2] - jnp.log(b.target))
        unit = jnp.zeros_like(r.slope[-2]).at[-2].set(1.0)
        value = jnp.where(b.held, pinned, r.value)
        r = r._replace(value=value, slope=r.slope.at[-2].set(jnp.where(b.held, unit, r.slope[-2])))
    worst = norm(r.value)
    done = (worst < tolerance) & ~b.closed
    moved = accept(core, b.y, newton_step(at, r), jnp.where(b.held, 2.0, 6.0))
    failed = ~done & (b.tries <= 0) & ~b.closed

    direct_end = done & ~b.held
    release = done & b.held & over if form.pressure else jnp.zeros_like(done)  # bracketed: solve for the flux
    arrived = done & b.held & (b.target >= 1.0) if not form.pressure else jnp.zeros_like(done)
    grown = done & b.held & ~release & ~arrived
    span = b.target / b.reached - 1.0
    step = jnp.where(grown, jnp.minimum(2.0 * span + 1e-3, 3.0), 0.35 * span)

    first = failed & ~b.held  # begin the continuation
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
    closed = b.closed | direct_end | arrived | give_up | (b.count >= _MOST)
    # a released lane that fails again starts the branch anew with the same outcome: closed by the count
    held = (b.held | first) & ~release
    grading = jnp.where(b.closed, b.grading, r.grading_next)
    return Branch(
        y, base, reached, target, tries, held, closed, grading, b.steps + (~b.closed).astype(b.steps.dtype), b.count + 1
    )


def follow(core: Core, form: Form, segments: Array, tolerance: float, y: Array, steps: Array) -> Coarse:
    """Newton at the full flux, then the branch from no flux, for a block of lanes."""
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
        lambda b: ~jnp.all(b.closed), lambda b: _advance(core, form, segments, tolerance, b), first
    )
    return Coarse(end.y, end.grading, end.steps)


def _better(new: Root, old: Root) -> Array:
    return new.solved | (~old.solved & (new.residual < old.residual))


def rescue(core: Core, form: Form, effort: Effort, root: Root) -> Root:
    """Put the open lanes through the finer sets of grids, a block at a time; keep the better of old and new."""
    n = core.wall.shape[0]
    block = min(n, max(16, n // 64))
    sets = grids(form, effort)
    counts = jnp.asarray([g.segments for g in sets])

    def take(tree, index: Array):
        return jax.tree.map(lambda x: jnp.take(x, index, axis=-1, mode="clip"), tree)

    def pending(root: Root, phase: Array) -> Array:
        """Even phases: solved but not accurate enough; odd phases: not solved. Each kind meets its like in a block."""
        return needs_more(core, root, effort) & (root.solved == (phase % 2 == 0))

    def work(carry):
        root, waiting, phase = carry
        (index,) = jnp.nonzero(waiting, size=block, fill_value=n)
        old, part = take(root, index), take(core, index)
        y = jnp.where(old.solved, old.y, start(part, form))
        grid = 1 + phase // 2
        at = follow(part, form, counts[grid], 10.0 * effort.residual, y, old.steps)
        new = polish(part, form, at, Levels(counts[grid], sets[0].order), 12, effort, grid)
        keep = _better(new, old)
        new = jax.tree.map(lambda a, b: jnp.where(keep, a, b), new, old)
        root = jax.tree.map(lambda x, v: x.at[..., index].set(v, mode="drop"), root, new)
        return root, waiting.at[index].set(False, mode="drop"), phase

    def phases(phase: Array, root: Root) -> Root:
        return jax.lax.while_loop(lambda c: jnp.any(c[1]), work, (root, pending(root, phase), phase))[0]

    return jax.lax.fori_loop(0, 2 * (len(sets) - 1), phases, root)
