"""What the root finder works with: its choices, what it returns, and the steps that all its stages share.

``search.py`` takes Newton and the continuation to the root on coarse grids, ``polish`` below corrects it on three nested ones
(Richardson) and estimates what is left, ``sweeps.py`` does so for whole batches: once for every lane, then on finer grids for
the lanes that need them. ``derivative.py`` is the implicit function at the returned root, on the grids that produced it.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import Array

from ...linalg.small_dense import apply
from .march import Memory, blank_memory, residual, upstream
from .pore import MOST, Levels
from .problem import Core, Form, ion_sum, tiny

BLOCK = 32 if jax.__version_info__ >= (0, 11) else 48  # an older jax spends more on each turn of a loop


class Effort(NamedTuple):
    """Static choices of the root finder. Change ``tolerance`` first."""

    tolerance: float = 2e-7  # on the estimated discretisation error of a rejection; lanes above it get finer grids
    residual: float = 1e-10  # what counts as solved, on the logarithmic residual
    segments: int = 2  # of the coarsest grid
    adaptive: bool = True  # finer grids where the estimate asks for them
    block: int = BLOCK  # lanes at a time on a CPU: fits the cache, and few lanes wait for a slow one


class Root(NamedTuple):
    """What the solver returns, batch last."""

    y: Array  # (K, *b)
    grading: Array  # (2, *b)
    error: Array  # (S, *b) estimated discretisation error of each ln c_p
    residual: Array  # (*b) largest scaled residual, evaluated at y (or the charge that segments may be left with)
    steps: Array  # (*b) Newton and chord steps
    grid: Array  # (*b) which set of grids produced y: the index into ``grids``
    solved: Array  # (*b)
    interface: Array  # (S, *b) c_m/c_b as marched; where J_v/k is large the film law cannot be inverted for it


def grids(form: Form, effort: Effort) -> tuple[Levels, ...]:
    """The sets of nested grids, by rising cost. The midpoint scheme is a named discretisation: one grid as given."""
    m = effort.segments
    if form.scheme == "midpoint":
        return (Levels(m, 1),) * 2
    return tuple(Levels(m, factor=2**i) for i in range(MOST.bit_length()))


CAP = 6.0  # largest change of an unknown in one step; the residual is close to linear in y


def accept(core: Core, y: Array, dy: Array, cap: float | Array = CAP) -> Array:
    """Take the limited step where it is finite; elsewhere keep the last finite state.

    Ions of which next to nothing passes do not hold back the others: their log passage may go to -300 in leaps.
    """
    s = core.charge.shape[0]
    present = jnp.maximum(core.share, 1e-3) * jnp.exp(jnp.minimum(y[:s], 0.0))
    negligible = jnp.concatenate([present < 1e-9, jnp.zeros(y[s:].shape, bool)])
    size = jnp.where(negligible, 0.0, jnp.abs(dy))
    scale = jnp.minimum(1.0, cap / jnp.maximum(jnp.max(size, axis=0), 1e-30))
    new = y + jnp.where(negligible, jnp.clip(dy, -10.0 * cap, 2.0 * cap), dy * scale)
    return jnp.where(jnp.all(jnp.isfinite(new), axis=0), new, y)


def norm(value: Array) -> Array:
    """The largest row of each lane; infinite where one is no number."""
    worst = jnp.max(jnp.abs(value), axis=0)
    return jnp.where(jnp.isfinite(worst), worst, jnp.inf)


def empty(core: Core, interface: Array) -> Array:
    """No ion at the interface: a root that Davies, turning over, allows at high ionic strength. It is not connected to
    the zero-flux state and answers no question."""
    return jnp.max(jnp.where(core.share > 0.0, interface, 0.0), axis=0) < 1e-8


def mixed(core: Core, rows: Array) -> Array:
    """Add ``sign(z_i)`` times the permeate-neutrality row to row i: the leading block is then safe to eliminate."""
    s = core.charge.shape[0]
    sign = jnp.sign(core.charge).reshape((s,) + (1,) * (rows.ndim - core.charge.ndim) + core.charge.shape[1:])
    return rows.at[:s].add(sign * rows[-1])


def start(core: Core, form: Form) -> Array:
    """The zero-flux state, where permeate and feed are one solution; with a pressure, a first guess of the flux."""
    s = core.charge.shape[0]
    y = jnp.zeros((s + 1 + form.pressure, *core.wall.shape), core.share.dtype)
    return y.at[s].set(-jnp.log1p(jnp.abs(core.osmotic))) if form.pressure else y


def neutral_permeate(core: Core, y: Array) -> Array:
    """Take a small charge out of the permeate: its neutrality is then met to round-off, not to the tolerance of the root."""
    s, z = core.charge.shape[0], core.charge
    for _ in range(2):  # each squares what is left
        zbp = z * core.share * jnp.exp(y[:s])
        shift = ion_sum(zbp) / (ion_sum(z * zbp) + tiny(y))
        y = y.at[:s].add(-z * jnp.where(jnp.abs(shift) < 1e-3, shift, 0.0))
    return y


def broyden(matrix: Array, dy: Array, dr: Array) -> Array:
    """Rank-one update (Broyden 1965, doi 10.1090/S0025-5718-1965-0198670-6) of an inverse Jacobian; skipped if degenerate."""
    moved, left = apply(matrix, dr), jnp.sum(matrix * dy[:, None], axis=0)
    scale = jnp.sum(dy * moved, axis=0)
    safe = jnp.abs(scale) > 0.1 * jnp.sum(dy * dy, axis=0)
    factor = jnp.where(safe, 1.0 / jnp.where(safe, scale, 1.0), 0.0)
    return matrix + ((dy - moved) * factor)[:, None] * left[None]


class Guess(NamedTuple):
    """A state near the root: where ``search`` arrived."""

    y: Array  # (K, *b)
    grading: Array  # (2, *b)
    matrix: Array  # (K, K, *b) inverse Jacobian
    steps: Array  # (*b)


class Seen(NamedTuple):
    """What an evaluation on all grids tells of each lane."""

    value: Array  # (K, *b) residual
    worst: Array  # (*b) its norm, or what the fields may leave where that is more
    miss: Array  # (*b) what the fields may leave
    fewer: Array  # (S, *b) pore entrance, the coarsest grid left out
    contrast: Array  # (*b)
    interface: Array  # (S, *b) c_m/c_b


class Chord(NamedTuple):
    """Between two chord steps."""

    y: Array  # (K, *b)
    count: Array  # () evaluations
    seen: Seen  # at y
    near: Memory | None  # that the next evaluation starts from
    matrix: Array  # (K, K, *b) inverse Jacobian
    open: Array  # (*b) whether the lane goes on; once closed it stays as it is, whatever its neighbours do


def polish(
    core: Core, form: Form, at: Guess, levels: Levels, most: int | Array, effort: Effort, grid: int | Array
) -> Root:
    """Chord steps on all grids of ``levels``, at most ``most``, and the error estimate.

    A lane is left alone once its residual is small: the state returned is the one that was evaluated.
    """
    s, none = core.charge.shape[0], jnp.zeros_like(core.wall)
    done = 5e-3 * effort.residual  # go on below what counts as solved, where it is to be had

    def evaluate(y: Array, near: Memory | None) -> tuple[Seen, Memory | None]:
        r = residual(core, form, y, levels, at.grading, False, estimate=levels.order == 3, near=near)
        value, miss = mixed(core, r.value), none if r.memory is None else r.memory.miss()
        worst = jnp.maximum(norm(value), norm(miss[None]))
        return Seen(value, worst, miss, r.fewer, r.contrast, r.interface.ratio), r.memory

    def chord(now: Chord) -> Chord:
        before, moves = now.seen, now.open & (now.count > 0)  # the first time the state is evaluated as it is
        step = accept(core, now.y, -apply(now.matrix, before.value), 3.0)
        y = jnp.where(moves, neutral_permeate(core, step), now.y)
        new, near = evaluate(y, now.near)
        seen = jax.tree.map(lambda a, b: jnp.where(now.open, a, b), new, before)
        turn = seen.value - before.value
        exact = moves & (before.miss + seen.miss < 0.1 * norm(turn))  # the fields of both evaluations settled enough
        matrix = jnp.where(exact, broyden(now.matrix, y - now.y, turn), now.matrix)
        at_floor = (seen.worst < effort.residual) & (seen.worst > 0.3 * before.worst)  # round-off is all that is left
        return Chord(y, now.count + 1, seen, near, matrix, now.open & (seen.worst > done) & ~at_floor)

    def go(now: Chord) -> Array:
        return (now.count == 0) | ((now.count <= most) & jnp.any(now.open))

    whole = form.activity_gradient or core.friction is not None  # segments that are found with more than their field
    near = None if levels.order != 3 or whole else blank_memory(core, levels)
    blank = Seen(jnp.zeros_like(at.y), none, none, *(jnp.zeros_like(x) for x in (core.share, none, core.share)))
    start = Chord(neutral_permeate(core, at.y), jnp.asarray(0), blank, near, at.matrix, none == 0.0)
    end = jax.lax.while_loop(go, chord, start)
    seen, steps = end.seen, at.steps - 1 + end.count.astype(at.steps.dtype)
    coarse = mixed(core, upstream(core, form, end.y, seen.fewer))
    of_grids, of_rows = (jnp.abs(apply(end.matrix, x)) for x in (seen.value - coarse, seen.value))
    error = jnp.minimum(SAFETY * seen.contrast, 1.0) * of_grids + of_rows
    error = jnp.where(jnp.isfinite(error), error, jnp.inf)[:s]
    worst = jnp.where(empty(core, seen.interface), jnp.inf, seen.worst)
    which = jnp.zeros_like(steps) + grid
    return Root(end.y, at.grading, error, worst, steps, which, worst < effort.residual, seen.interface)


SAFETY = (
    120.0  # an error is estimated as the last change by extrapolation, times the contrast of the last two, times this
)


def weighted_error(core: Core, root: Root) -> Array:
    """Estimated error of a rejection; of ``ln c_p`` (times 0.1) where less than a tenth passes. Absent ions are left out."""
    t = root.y[: core.charge.shape[0]]
    weight = jnp.maximum(jnp.exp(jnp.minimum(t, 0.0)), 0.1)
    return jnp.max(jnp.where(core.share > 0.0, root.error * weight, 0.0), axis=0)


def needs_more(core: Core, root: Root, effort: Effort) -> Array:
    """Lanes whose estimated error asks for a finer grid, ``(*b)``."""
    return ~root.solved | (effort.adaptive & (weighted_error(core, root) > effort.tolerance))
